"""Recordings put into groups, each of which one model serves.

The groups depend on the recordings and their order alone: not on who looks at them, nor when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ..io.grid import same_pixel_size
from ..modes.words import same_numbers
from .likeness import Likeness

if TYPE_CHECKING:
    from ..modes.base import Mode


@dataclass(frozen=True, eq=False)
class Traits:
    """What decides whether the model of one recording may serve another; less than 1 kB.

    Attributes
    ----------
    mode
        Its name.
    pixels
        Axes of what the network takes, and whether there is an out-of-focus background.
    voxel_size
        Micrometres along ([Z,] Y, X); None where it is not known.
    optics
        As `Mode.optics` has it.
    likeness
        Noise, light and spectrum; None where they are not compared.
    """

    mode: str
    pixels: tuple[str, bool]
    voxel_size: tuple[float, ...] | None
    optics: tuple[float, ...]
    likeness: Likeness | None

    @classmethod
    def of(cls, mode: Mode) -> Self:
        """Look at the recording of a mode, which is prepared and calibrated for that.

        Raises
        ------
        InputError
            If it cannot be prepared or calibrated.
        """
        for steps in (mode.prepare(), mode.calibrate()):
            for _ in steps:
                pass
        return cls(
            mode.name,
            (mode.spatial, mode.known.out_of_focus),
            mode.image.voxel_size,
            mode.optics,
            Likeness.of(mode),
        )

    def differs(self, other: Traits) -> str:
        """Say in what another recording is not alike; empty where it is."""
        if (self.mode, self.pixels) != (other.mode, other.pixels):
            return "it is another kind of recording"
        if not same_pixel_size(self.voxel_size, other.voxel_size):
            return "its pixel size is another one"
        if not same_numbers(self.optics, other.optics):
            return "its optics are others"
        if self.likeness is None or other.likeness is None:
            return "" if self.likeness is other.likeness else "its noise is of another kind"
        return self.likeness.differs(other.likeness)


class Groups:
    """Recordings that are alike: each goes to the first group whose first recording it is like."""

    def __init__(self) -> None:
        self._firsts: list[Traits] = []

    def __len__(self) -> int:
        return len(self._firsts)

    def place(self, traits: Traits) -> tuple[int, str]:
        """Place the next recording of the list.

        Returns
        -------
        int
            Number of its group, counted from 0; a new one where it is like none.
        str
            Of a new group, in what the recording differs from the first of all; else empty.
        """
        why = ""
        for number, first in enumerate(self._firsts):
            differs = traits.differs(first)
            if not differs:
                return number, ""
            why = why or differs
        self._firsts.append(traits)
        return len(self._firsts) - 1, why
