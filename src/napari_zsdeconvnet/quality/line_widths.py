"""Widths of lines whose course is known, across them and along z."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from ..utils.errors import InputError
from .reference_metrics import Lengths, per_axis

FloatArray = NDArray[np.float64]

STEEPEST = 20.0
"""Slope in degrees up to which a line counts as horizontal: its axial width appears at most
6 % wider there, even where the blur is as wide sideways as along z."""


def profiles_across(
    image: ArrayLike,
    path: ArrayLike,
    *,
    reach: float,
    voxel_size: Lengths = 1.0,
    axial: bool = False,
    step: float = 0.25,
) -> tuple[FloatArray, FloatArray]:
    """Sample an image across a line: sideways in its plane, or in a volume along z.

    Sideways is square to the line's course within the plane, so it sees the lateral width
    alone. Along z the axial width is seen where the line is nearly horizontal: points where it
    rises by more than `STEEPEST` degrees are left out there, and those where it has no lateral
    direction sideways.

    Parameters
    ----------
    image
        (Y, X) or (Z, Y, X).
    path
        (points, 2 or 3) in pixels, evenly spaced and closer than a pixel.
    reach
        How far the profiles go to either side, in the unit of `voxel_size`.
    voxel_size
        One number, or one for each axis, of which Y and X are the same; 1 makes lengths pixels.
    axial
        Sample along z.
    step
        Distance of samples along a profile, in pixels.

    Returns
    -------
    offsets, profiles
        (samples,), distance from the line; (points, samples), one about every lateral pixel,
        without those that leave the image.

    Raises
    ------
    InputError
        `axial` with an image that has no z, or a voxel size for another number of axes.
    """
    picture = np.asarray(image, dtype=float)
    if axial and picture.ndim != 3:
        raise InputError(
            "image-axes-count", f"The image has {picture.ndim} axes; an axial profile needs ZYX."
        )
    points = np.asarray(path, dtype=float)
    sizes = np.asarray(per_axis(voxel_size, picture.ndim, "The voxel size"), dtype=float)
    pixel = float(sizes[0] if axial else sizes[-1])
    samples = round(reach / pixel / step)
    offsets = np.arange(-samples, samples + 1, dtype=float) * step
    if len(points) < 2:
        return offsets * pixel, np.empty((0, offsets.size))
    tangent = np.gradient(points, axis=0) * sizes
    length = np.linalg.norm(tangent, axis=1)
    spacing = max(float(np.median(length)), 1e-3 * pixel)
    every = slice(None, None, max(round(float(sizes[-1]) / spacing), 1))
    points, tangent, length = points[every], tangent[every], length[every]
    lateral = np.hypot(tangent[:, -2], tangent[:, -1])
    level = np.cos(np.deg2rad(STEEPEST)) if axial else 1e-3
    usable = lateral > level * length
    points, tangent, lateral = points[usable], tangent[usable], lateral[usable]

    direction = np.zeros_like(points)
    if axial:
        direction[:, 0] = 1
    else:
        direction[:, -2:] = np.stack([tangent[:, -1], -tangent[:, -2]], axis=1) / lateral[:, None]
    places = points[:, None] + offsets[:, None] * direction[:, None]
    limit = np.array(picture.shape) - 1
    inside = np.all((places >= 0) & (places <= limit), axis=(1, 2))
    profiles = ndimage.map_coordinates(picture, np.moveaxis(places[inside], -1, 0), order=3)
    return offsets * pixel, np.asarray(profiles)


def profile_fwhm(offsets: FloatArray, profile: FloatArray) -> float:
    """Full width at half maximum of the central peak of a profile, in the unit of the offsets.

    The peak is the highest sample in the middle third; half maximum lies midway between it
    and the profile's 10th percentile. NaN where the profile does not fall to half on both sides.
    """
    third = len(profile) // 3
    peak = third + int(np.argmax(profile[third : len(profile) - third]))
    base = float(np.percentile(profile, 10))
    half = (profile[peak] + base) / 2
    step = offsets[1] - offsets[0]
    width = 0.0
    for side in (profile[peak:], profile[peak::-1]):
        below = np.flatnonzero(side < half)
        if not below.size:
            return float("nan")
        index = int(below[0])
        width += index - 1 + (side[index - 1] - half) / (side[index - 1] - side[index])
    return float(width * step)


def filament_fwhm(
    image: ArrayLike,
    paths: Sequence[ArrayLike],
    voxel_size: Lengths,
    *,
    axial: bool = False,
    reach: float | None = None,
    minimum_length: float = 0.5,
) -> float:
    """Typical width in micrometres of filaments whose course is known; NaN where there is none.

    The profiles along one filament are summed up by their median, which passes over what
    crosses it; the widths of all filaments by theirs.

    Parameters
    ----------
    image, paths, voxel_size, axial
        As for `profiles_across`; in micrometres.
    reach
        Length of the profiles to either side, in micrometres; by default 0.4, along z 1.2.
    minimum_length
        Filaments of which less can be measured are left out, in micrometres.
    """
    if reach is None:
        reach = 1.2 if axial else 0.4
    pixel = float(np.ravel(voxel_size)[-1])
    widths = []
    for path in paths:
        offsets, profiles = profiles_across(
            image, path, reach=reach, voxel_size=voxel_size, axial=axial
        )
        if len(profiles) * pixel >= minimum_length:
            widths.append(profile_fwhm(offsets, np.median(profiles, axis=0)))
    measured = [width for width in widths if np.isfinite(width)]
    return float(np.median(measured)) if measured else float("nan")
