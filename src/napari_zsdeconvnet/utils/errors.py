"""What goes wrong on the user's side: a code, the fact, and remedies in words of the front end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Remedy:
    """What puts an error right, where Python, the shell and the window word it differently.

    Attributes
    ----------
    key
        Under which the table of each front end words it.
    value
        Fills the wording.
    when
        Condition that follows it, such as "if they are frames in time".
    """

    key: str
    value: str = ""
    when: str = ""

    def worded(self, table: Mapping[str, str]) -> str:
        """Word the remedy by the table of a front end."""
        return f"{table[self.key].format(self.value)} {self.when}".rstrip()


class InputError(ValueError):
    """Input that cannot be used.

    The command line prints it to stderr and exits with code 2; the napari widgets show it as
    a notification.

    Parameters
    ----------
    code : str
        Name of the problem, the same wherever it is found, such as "voxel-size-unknown".
    fact : str
        What is wrong, in words that hold in every front end: no names of arguments. A whole
        sentence, or without its full stop where remedies follow.
    *remedies : Remedy or str
        What to do about it, each of them enough; a string where all front ends say the same.
    **fields
        Values that the fact tells of, for those who handle the error.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> try:
    ...     zs.read_image("missing.tif")
    ... except zs.InputError as error:
    ...     print(error.code, error, sep=": ")
    file-missing: missing.tif does not exist; check the name and the folder.
    """

    def __init__(self, code: str, fact: str, *remedies: Remedy | str, **fields: Any) -> None:
        super().__init__(code, fact, *remedies)
        self.code = code
        self.fact = fact
        self.remedies = remedies
        self.fields = fields

    def worded(self, table: Mapping[str, str]) -> str:
        """Say fact and remedies, these by the table of a front end."""
        said = [one if isinstance(one, str) else one.worded(table) for one in self.remedies]
        if not said:
            return self.fact
        *others, last = said
        return f"{self.fact}: {', '.join([*others, f'or {last}' if others else last])}."

    def __str__(self) -> str:
        return self.worded(PYTHON)

    def within(self, place: object) -> InputError:
        """Return the same error with the file or the part that it was found in."""
        return InputError(self.code, f"{place}: {self.fact}", *self.remedies, **self.fields)

    def with_remedy(self, more: str, remedy: Remedy) -> InputError:
        """Return the same error with a further fact and what to do about it."""
        return InputError(self.code, f"{self.fact} {more}", *self.remedies, remedy, **self.fields)


class UnreadableError(InputError):
    """A part of a recording that cannot be read, while others can."""


PYTHON = {
    "allow-saturated": 'allow saturation with PixelRule(saturation="mask")',
    "camera-part": "give the part that was read out, camera=maps.part(start, shape)",
    "finish-psf": "make it one with PSF.from_array",
    "frame-counts": "say how many orientations and phases there are",
    "frame-order": 'give order="{}"',
    "frame-sets": 'give sets="consecutive" where the frames of a plane stand together, or '
    'sets="interleaved" where all planes of a frame do',
    "measure-gain": "measure it with with_gain_from(image)",
    "modality": 'choose modality="{}"',
    "pixel-size": "give pixel_size in micrometres",
    "begin-anew": "begin anew with force=True",
    "replace": "replace it with force=True",
    "resume": "go on with resume=True",
    "psf-plane": "choose its plane in focus with psf.plane()",
    "psf-voxel-size": "give voxel_size=({}) in micrometres on reading",
    "result-arrays": "make arrays of model.output_shapes(image.shape)",
    "series": 'say axes="TYX"',
    "sheet-thickness": "give sheet_thickness in micrometres, such as 1.5",
    "excitation-wavelength": "give excitation_wavelength in micrometres, such as 0.488",
    "axial-step": "give axial_step in micrometres",
    "voxel-size": "give voxel_size=({}) in micrometres",
    "volume": 'say axes="ZYX"',
}
"""The remedies as Python words them; those of the shell are in `cli`, of the window in `_qt`."""
