"""What is known of a camera pixel by pixel, before the rest of it and the image are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import InputError
from .camera_maps import NAMES, CameraMaps, MapLike, check_fits
from .noise_model import NoiseModel


@dataclass(frozen=True, eq=False)
class MapParts:
    """Maps of a camera, or of the whole chip that a region was read out of.

    Attributes
    ----------
    offset, gain, read_variance
        Each an array (Y, X) or the file of one; None where all pixels are alike.
    start
        First row and column that was read out, counted from 0; None where that is all of it.
    """

    offset: MapLike | None = None
    gain: MapLike | None = None
    read_variance: MapLike | None = None
    start: tuple[int, int] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What there are maps of."""
        return tuple(name for name in NAMES if getattr(self, name) is not None)

    def describe(self) -> str:
        """Say what there are maps of, and where the region begins."""
        words = ", ".join(name.replace("_", " ") for name in self.names)
        where = "" if self.start is None else " from row {} and column {} on".format(*self.start)
        return f"maps of {words}{where}"

    def arrays(self, shape: Sequence[int], name: str = "the image") -> dict[str, NDArray[Any]]:
        """Read the maps, of the part that was read out for an image of this shape.

        Raises
        ------
        InputError
            If a file cannot be read, or the maps do not fit each other or the image.
        """
        given = {what: getattr(self, what) for what in self.names}
        if not given:
            return {}
        chip = CameraMaps.of(**{what: given.get(what, 1.0) for what in NAMES})
        if self.start is not None:
            chip = chip.part(self.start, shape)
        check_fits(chip, shape, name)
        return {what: getattr(chip, what) for what in given}

    def camera(
        self, noise: NoiseModel, shape: Sequence[int], name: str = "the image"
    ) -> CameraMaps:
        """Complete the maps for an image of this shape by what a noise model says.

        Raises
        ------
        InputError
            As `arrays` does, or if the gain is not known.
        """
        maps = self.arrays(shape, name)
        medians: dict[str, Any] = {what: float(np.median(pixels)) for what, pixels in maps.items()}
        source = self.describe() if len(maps) == 3 else f"{noise.source}; {self.describe()}"
        noise = replace(noise, **medians, source=source)
        if noise.gain is None:
            raise InputError(
                "gain-unknown", "The camera has maps and no gain: measure the gain or type it."
            )
        made = CameraMaps.of(
            **{what: maps.get(what, getattr(noise, what)) for what in NAMES}, shape=shape[-2:]
        )
        return replace(made, typical=noise)
