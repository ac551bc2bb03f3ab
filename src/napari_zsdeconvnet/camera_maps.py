"""A camera whose pixels differ: maps of offset, gain and read variance, as of an sCMOS."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .image_files import read_image
from .noise import NoiseModel


@dataclass(frozen=True, eq=False)
class CameraMaps:
    """Offset, gain and read variance of every pixel.

    Attributes
    ----------
    offset
        Counts without light, shape (Y, X).
    gain
        Counts per photoelectron, shape (Y, X).
    read_variance
        Variance without light, counts squared, shape (Y, X).

    Raises
    ------
    InputError
        If the maps differ in shape, hold NaN, or if a gain is not positive or a variance is
        negative.
    """

    offset: NDArray[np.float32]
    gain: NDArray[np.float32]
    read_variance: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("offset", "gain", "read_variance"):
            values = np.asarray(getattr(self, name), np.float32)
            if values.ndim != 2:
                raise InputError(f"The map {name} has the shape {values.shape}: give (Y, X).")
            if not np.isfinite(values).all():
                raise InputError(f"The map {name} holds NaN or infinity: calibrate those pixels.")
            object.__setattr__(self, name, values)
        shapes = {self.offset.shape, self.gain.shape, self.read_variance.shape}
        if len(shapes) > 1:
            raise InputError(f"The maps have the shapes {sorted(shapes)}: give maps of one camera.")
        if float(self.gain.min()) <= 0:
            raise InputError(f"The map gain has {self.gain.min():g} in it: gains are positive.")
        if float(self.read_variance.min()) < 0:
            raise InputError(
                f"The map read_variance has {self.read_variance.min():g} in it: give variances, "
                "which are never negative."
            )

    @classmethod
    def read(
        cls,
        offset: str | os.PathLike[str],
        gain: str | os.PathLike[str],
        read_variance: str | os.PathLike[str],
    ) -> Self:
        """Read the three maps from image files.

        Raises
        ------
        InputError
            If a file cannot be read, or the maps cannot be of one camera.
        """
        files = (offset, gain, read_variance)
        return cls(*(np.asarray(read_image(file).data, np.float32).squeeze() for file in files))

    @property
    def typical(self) -> NoiseModel:
        """One noise model for all pixels: the medians."""
        return NoiseModel(
            float(np.median(self.offset)),
            float(np.median(self.gain)),
            float(np.median(self.read_variance)),
            source="the medians of maps",
        )


@dataclass(frozen=True, eq=False)
class Signal:
    """What a camera recorded, with its offset and its pixels' own gains taken out.

    Attributes
    ----------
    values
        Counts above the offset at the camera's typical gain, (..., Y, X), float32.
    gain
        Counts per photoelectron, of all pixels alike; None where it is not known.
    read_variance
        Counts squared, one number or (Y, X).
    """

    values: NDArray[np.float32]
    gain: float | None
    read_variance: float | NDArray[np.float32]


def signal_of(frames: ArrayLike, camera: NoiseModel | CameraMaps) -> Signal:
    r"""Take a camera out of its frames as far as that can be done.

    With maps, :math:`y = (c - b) \, \bar g / g` with the typical gain :math:`\bar g`, so that
    a pixel's sensitivity no longer shows, and its read variance is scaled likewise.

    Parameters
    ----------
    frames
        Counts, (..., Y, X).
    camera
        Of the frames.

    Raises
    ------
    InputError
        If the maps have another shape than the frames.
    """
    counts = np.asarray(frames, np.float32)
    if isinstance(camera, NoiseModel):
        return Signal(counts - np.float32(camera.offset), camera.gain, float(camera.read_variance))
    check_fits(camera, counts.shape)
    typical = camera.typical.gain
    assert typical is not None  # maps have one for every pixel
    share = np.float32(typical) / camera.gain
    return Signal((counts - camera.offset) * share, typical, camera.read_variance * share**2)


def check_fits(camera: NoiseModel | CameraMaps, shape: Sequence[int] | tuple[Any, ...]) -> None:
    """Refuse maps of another size than the frames."""
    if isinstance(camera, CameraMaps) and tuple(shape[-2:]) != camera.offset.shape:
        raise InputError(
            f"The camera's maps are {camera.offset.shape} and the frames {tuple(shape[-2:])} "
            "pixels: crop the maps to the part of the camera that was read out."
        )
