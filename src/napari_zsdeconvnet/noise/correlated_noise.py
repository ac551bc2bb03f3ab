"""Whether neighbours share noise, as interpolation leaves it, or are an image of something."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def neighbour_correlation(residual: FloatArray, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Correlation between pixels one and two apart, along the axis where it is stronger.

    A camera's pixels are read one by one, so both are zero for its noise. Interpolated
    noise (rotated, registered, deskewed) correlates neighbours and hardly anything beyond;
    an image of something, blurred by the microscope, stays correlated two pixels on.

    Parameters
    ----------
    residual
        Noise with zero mean, zero outside the region, axes ``(T, Y, X)``.
    inside
        The region, same shape.
    """
    energy = float(np.sum(residual**2))
    variance = energy / max(int(inside.sum()), 1)

    def correlation(axis: int, lag: int) -> float:
        if residual.shape[axis] <= lag or variance == 0:
            return 0.0
        here, there = [slice(None)] * 3, [slice(None)] * 3
        here[axis], there[axis] = slice(None, -lag), slice(lag, None)
        pairs = int(np.count_nonzero(inside[tuple(here)] & inside[tuple(there)]))
        product = float(np.vdot(residual[tuple(here)], residual[tuple(there)]))
        return product / (variance * max(pairs, 1))

    axis = max((1, 2), key=lambda candidate: abs(correlation(candidate, 1)))
    return correlation(axis, 1), correlation(axis, 2)


def is_structure(near: float, far: float) -> bool:
    """Tell an image (still correlated two pixels on) from interpolated noise."""
    return far > 0.35 * near > 0


def axial_correlation(residual: FloatArray, inside: NDArray[np.bool_]) -> tuple[float, float]:
    """Correlation of noise with that one plane and two planes on.

    As laterally, noise of a camera has none, interpolation correlates neighbours alone, and
    what is still correlated two planes on is an image, or the camera's fixed pattern.

    Parameters
    ----------
    residual
        Noise with zero mean in three neighbouring planes, zero outside the region, axes
        ``(Z, Y, X)``.
    inside
        The region, the same in all planes, same shape.
    """
    variance = float(np.sum(residual**2)) / max(int(inside.sum()), 1)
    if variance == 0:
        return 0.0, 0.0
    pixels = max(int(inside[0].sum()), 1)
    one, two, three = residual
    near = (np.vdot(one, two) + np.vdot(two, three)) / 2
    return float(near / pixels / variance), float(np.vdot(one, three) / pixels / variance)


def correlated_noise(correlation: float, what: Literal["pixels", "planes"] = "pixels") -> str:
    """Say that the noise is not the camera's own any more."""
    return (
        f"Neighbouring {what} share noise (correlation {correlation:.2f}): the image was "
        "interpolated, deskewed, registered, smoothed or compressed after recording; calibrate and "
        "train on the camera's original pixels where there are any."
    )
