"""Whether the axis before Y is what it is said to be: planes, frames in time, or channels.

Three frames or planes in a row tell, and the noise need not be known. What changes steadily
along the axis has changed more after two steps than after one, whereas noise makes the same
difference in both. The excess is compared with how much the image changes from pixel to
pixel, taken from products of two frames, in which noise averages to nothing.

Steps along Z that sample a stack as finely as pixels sample it laterally make the ratio of
the two about one (1.2 and 1.5 in the stacks tried); repeated exposures make it zero, and a
live cell 0.02 in 50 ms and 0.08 in a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import uniform_filter

from .image import Image, as_frames
from .lazy import Sliced

FloatArray = NDArray[np.float64]

_STILL = 0.1  # change from plane to plane, per change from pixel to pixel
_CHANGING = 0.4
_USUAL_ASPECT = 2.0  # axial step per pixel of stacks as they are usually sampled
_SURE = 3.0  # standard errors
_TRIPLES = 12
_TILES = 4  # along Y and along X, whose scatter gives the error
_SIDE = 512  # pixels of the middle that is looked at
_UNRELATED = 0.3  # correlation; planes of one stack have far more
_MOST_CHANNELS = 4


def frames_taken_for_planes(volume: ArrayLike | Image, axes: str | None = None) -> str | None:
    """Notice that the planes of a volume are exposures of one and the same plane.

    Parameters
    ----------
    volume
        Counts, (Z, Y, X), or (T, Z, Y, X), of which the first volume is looked at. An `Image` with
        a voxel size makes the verdict more careful where the axial step is so fine that planes
        hardly differ.
    axes
        Letters for the axes of `volume`.

    Returns
    -------
    str or None
        One sentence where the planes change from one to the next, with three standard errors
        added, by less than a tenth of what they change from pixel to pixel.
    """
    change = _change_along(_First(as_frames(volume, axes, spatial="ZYX")))
    if change is None or change.ratio + _SURE * change.error > _STILL * _fineness(volume):
        return None
    return (
        f"The planes of {_name(volume, 'the volume')} change no more from one to the next than "
        f"repeated exposures do ({100 * max(change.ratio, 0):.1f} % of the change from pixel to "
        "pixel): if they are frames in time, read them as a time series (axes TYX)."
    )


def planes_taken_for_frames(frames: ArrayLike | Image, axes: str | None = None) -> str | None:
    """Notice that the frames of a time series change as steadily as the planes of a stack do.

    One sentence where the frames (T, Y, X) change from one to the next, with three standard errors
    taken off, by more than 0.4 of what they change from pixel to pixel; else None. What moves as
    fast as that looks the same.
    """
    change = _change_along(as_frames(frames, axes))
    if change is None or change.ratio - _SURE * change.error < _CHANGING:
        return None
    return (
        f"The frames of {_name(frames, 'the series')} change from one to the next as the planes of "
        f"a stack do ({100 * change.ratio:.0f} % of the change from pixel to pixel): if they are "
        "planes, read them as a volume (axes ZYX)."
    )


def channels_taken_for_planes(volume: ArrayLike | Image, axes: str | None = None) -> str | None:
    """Notice that the two to four planes of a volume show unrelated things.

    Neighbouring planes are correlated after smoothing. So that noise does not pass for a
    difference, the correlation is divided by that of two halves of one plane's own pixels, the
    black and the white squares of a checkerboard. One sentence where a pair of neighbours of the
    first volume correlates by less than 0.3; else None.
    """
    planes = _First(as_frames(volume, axes, spatial="ZYX"))
    if not 2 <= len(planes) <= _MOST_CHANNELS:
        return None
    halves = [_halves(_middle(planes[index])) for index in range(len(planes))]
    correlations = []
    for one, two in pairwise(halves):
        own = [float(np.corrcoef(a.ravel(), b.ravel())[0, 1]) for a, b in (one, two)]
        if min(own) < _UNRELATED or not np.isfinite(own).all():
            return None
        pairs = [(one[0], two[1]), (one[1], two[0])]
        shared = np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs])
        correlations.append(float(shared) / math.sqrt(own[0] * own[1]))
    if min(correlations) >= _UNRELATED:
        return None
    return (
        f"The {len(planes)} planes of {_name(volume, 'the volume')} show unrelated things "
        f"(correlation {min(correlations):.2f}): if they are channels, choose one of them."
    )


@dataclass(frozen=True)
class _Change:
    ratio: float
    error: float


class _First(Sliced):
    """The first of several volumes, its planes read one by one."""

    def __init__(self, volumes: Any) -> None:
        self._volumes = volumes
        self.shape = tuple(volumes.shape[1:])
        self.dtype = volumes.dtype

    def __getitem__(self, index: Any) -> NDArray[Any]:
        rest = index if isinstance(index, tuple) else (index,)
        return np.asarray(self._volumes[(0, *rest)])


def _change_along(planes: Any) -> _Change | None:
    """Return the change from plane to plane per change from pixel to pixel, and its error.

    None where there are fewer than three planes, or nothing to be seen in them.
    """
    starts = len(planes) - 2
    if starts < 1 or min(planes.shape[-2:]) < 8 * _TILES:
        return None
    along, across = [], []
    for start in np.unique(np.linspace(0, starts - 1, min(starts, _TRIPLES)).round().astype(int)):
        # Smoothing leaves the image, which the optics have smoothed before, and little noise.
        one, two, three = (
            uniform_filter(_middle(planes[int(start) + step]), 3) for step in range(3)
        )
        once = (_difference(one, two) ** 2 + _difference(two, three) ** 2) / 2
        along.append(_tile_means(_difference(one, three) ** 2 - once))
        across.append(_tile_means(_lateral_change(one, three)))
    excess, lateral = np.concatenate(along), np.concatenate(across)
    if lateral.sum() <= 0:
        return None
    ratio = float(excess.sum() / lateral.sum())
    scatter = float(np.sqrt(np.sum((excess - ratio * lateral) ** 2)))
    return _Change(ratio, scatter / float(lateral.sum()))


def _difference(first: FloatArray, second: FloatArray) -> FloatArray:
    """Subtract, without what a lamp or bleaching changes: a line in the mean."""
    difference, mean = second - first, (first + second) / 2
    centred = mean - mean.mean()
    slope = np.vdot(difference, centred) / max(float(np.vdot(centred, centred)), 1e-12)
    without: FloatArray = difference - difference.mean() - slope * centred
    return without


def _lateral_change(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return by how much more two pixels change the image than one does, noise left out."""
    change = np.zeros(tuple(length - 2 for length in first.shape))
    for axis in (0, 1):
        for step, sign in ((2, 1), (1, -1)):
            moved = [
                np.roll(image, -step, axis)[: change.shape[0], : change.shape[1]]
                - image[: change.shape[0], : change.shape[1]]
                for image in (first, second)
            ]
            change += sign * moved[0] * moved[1] / 2
    return change


def _tile_means(values: FloatArray) -> FloatArray:
    rows = np.array_split(values, _TILES, axis=0)
    return np.array([part.mean() for row in rows for part in np.array_split(row, _TILES, axis=1)])


def _middle(plane: NDArray[Any]) -> FloatArray:
    height, width = plane.shape
    top, left = max((height - _SIDE) // 2, 0), max((width - _SIDE) // 2, 0)
    return plane[top : top + _SIDE, left : left + _SIDE].astype(np.float64)


def _halves(plane: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Smooth the black and the white squares of a checkerboard apart."""
    white = np.add.outer(np.arange(plane.shape[0]), np.arange(plane.shape[1])) % 2
    one, two = (
        uniform_filter(plane * half, 5) / uniform_filter(half.astype(np.float64), 5)
        for half in (white, 1 - white)
    )
    return one, two


def _fineness(volume: ArrayLike | Image) -> float:
    """Return how much less than usual the planes of a stack with this axial step differ.

    The difference grows as the square of the step.
    """
    if not isinstance(volume, Image) or volume.voxel_size is None or len(volume.voxel_size) < 3:
        return 1.0
    aspect = volume.voxel_size[0] / volume.voxel_size[-1]
    return min(aspect / _USUAL_ASPECT, 1.0) ** 2


def _name(data: ArrayLike | Image, otherwise: str) -> str:
    return (data.name if isinstance(data, Image) else "") or otherwise


def types_differ(name: str, dtype: object, other: str, other_dtype: object) -> str | None:
    """Say that two recordings hold whole numbers of different types, if they do.

    Programs that write fewer bits scale the counts, and one gain then holds for one of them alone.
    """
    one, two = np.dtype(str(dtype)), np.dtype(str(other_dtype))
    if one.kind not in "ui" or two.kind not in "ui" or one.itemsize == two.itemsize:
        return None
    return (
        f"{name} holds {one.name} and {other} {two.name}: if the counts of one of them were "
        "scaled, it has another gain; use images of one type."
    )
