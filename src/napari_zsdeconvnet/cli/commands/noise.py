"""The noise of a recording as commands need it: measured, typed in, or read from a file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import numpy as np

from ...io.image import Image
from ...noise.noise_model import NoiseModel
from ...utils.errors import InputError
from ...utils.json_values import read_from


def measured_noise(
    image: Image,
    *,
    background: tuple[slice, slice] | None = None,
    offset: float | None = None,
    gain: float | None = None,
    cutoff: float | None = None,
) -> NoiseModel:
    """Measure the noise in the most trustworthy way that the image and what is known allow.

    Parameters
    ----------
    image
        In counts, axes YX, TYX, ZYX or TZYX.
    background
        Rows and columns without structure, of all frames and planes.
    offset
        Counts without light, if known.
    gain
        Counts per electron, if known.
    cutoff
        Highest frequency the optics pass, in cycles per pixel; None where not known.

    Returns
    -------
    NoiseModel
        From the background if there is one; else from the differences of frames, from 10
        frames on; else from the noise beyond the optical cutoff.

    Raises
    ------
    InputError
        If the region does not lie in the image, or the image is unfit for calibration.
    """
    if background is not None:
        mask = _mask(background, image.data.shape, image.name)
        return NoiseModel.from_background(image, mask, gain=gain, cutoff=cutoff)
    return NoiseModel.measured(image, offset, cutoff=cutoff)


def _mask(region: tuple[slice, slice], shape: tuple[int, ...], name: str) -> np.ndarray:
    """Turn rows and columns into a mask (Y, X), if they lie within the image."""
    rows, columns = shape[-2:]
    mask = np.zeros((rows, columns), dtype=bool)
    for bounds, length in zip(region, (rows, columns), strict=True):
        if not 0 <= bounds.start < bounds.stop <= length:
            words = ",".join(f"{axis.start}:{axis.stop}" for axis in region)
            raise InputError(
                "background-region-wrong",
                f"The background {words} is empty or not within {name}, which has {rows} rows "
                f"and {columns} columns; give Y0:Y1,X0:X1 in pixels.",
            )
    mask[region] = True
    return mask


def optical_cutoff(
    arguments: argparse.Namespace, voxel_size: tuple[float, ...] | None
) -> float | None:
    """Highest frequency that the objective passes, in cycles per pixel; None if not known."""
    if arguments.na is None or arguments.wavelength is None or voxel_size is None:
        return None
    return float(2 * arguments.na / arguments.wavelength * max(voxel_size[-2:]))


def with_typed(
    noise: NoiseModel, typed: dict[str, float], how: str = "typed by hand"
) -> NoiseModel:
    """Let numbers that were typed in, or come from elsewhere, prevail over measured ones."""
    changed: dict[str, Any] = {
        name: value for name, value in typed.items() if getattr(noise, name) != value
    }
    if not changed:
        return noise
    forgotten: dict[str, Any] = {f"{name}_error": None for name in changed}
    names = ", ".join(name.replace("_", " ") for name in changed)
    source = f"{noise.source}; {names} {how}"
    return replace(noise, **changed, **forgotten, source=source)


def read_noise(path: str) -> NoiseModel:
    """Read a noise model that `calibrate -o` has written."""
    remedy = f"write one with zsdeconvnet calibrate IMAGE -o {path}"
    return read_from(path, NoiseModel.from_dict, "a noise model", remedy)
