"""Errors of the code that computes, in words of the window."""

from __future__ import annotations

from ...utils.errors import InputError

NANOMETRES = 1000.0
"""In a micrometre."""

REMEDIES = {
    "allow-saturated": 'tick "allow saturated pixels"',
    "axial-step": "type the plane step",
    "camera-part": "type the first row and column that were read out (Noise calibration, below "
    "the maps)",
    "excitation-wavelength": "type the wavelength of the laser, such as 488 nm",
    "finish-psf": "load it in PSF, which makes it one",
    "frame-counts": "say how many orientations and phases there are (Known pattern values)",
    "frame-order": "choose {0} by {0} (Known pattern values)",
    "frame-sets": "choose how they follow each other",
    "measure-gain": "measure it in an image (Noise calibration)",
    "modality": "choose {} (Microscope)",
    "pixel-size": "type the pixel size",
    "begin-anew": "begin anew",
    "replace": "replace it",
    "resume": "go on with it from the shell",
    "psf-plane": "take its plane in focus (PSF, File)",
    "psf-voxel-size": "type the voxel size (PSF, File)",
    "result-arrays": "choose another file",
    "series": "read the layer as a time series",
    "sheet-thickness": "type the thickness of the sheet, such as 1.5 µm",
    "volume": "read the layer as a volume",
    "voxel-size": "type the voxel size",
}
"""What to do about an error, as the window words it."""


def worded(error: BaseException) -> str:
    """Say what went wrong, bad input with the remedies of the window."""
    if isinstance(error, InputError):
        return error.worded(REMEDIES)
    return str(error) or type(error).__name__
