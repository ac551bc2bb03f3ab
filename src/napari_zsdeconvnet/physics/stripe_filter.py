"""Taking stripes out of an image: the line that they make in Fourier space is damped.

Rows read with slightly different offsets, or a galvo mirror that runs unevenly, draw stripes
all across the field. All of a pattern that is alike from one end of each row to the other
lies on one line through the centre of Fourier space, where little else does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dctn, idctn

from ..utils.errors import InputError

_LARGEST = 0.25  # cycles per pixel; beyond that a smooth edge no longer fits below 0.5


@dataclass(frozen=True)
class Damping:
    """A line in Fourier space to be damped, and what of it is kept.

    Weights are 0 on the line and 1 beside it, ``1 - across(k) * along(l)``: `across` falls
    from 1 to 0 between once and twice `half_width`, `along` rises from 0 to 1 between once
    and twice `keep`, both as a raised cosine, so that no edge rings. The mean and all else
    below `keep` stay exactly as they are, hence so do the counts of every plane.

    A straight structure that runs all across the field along the stripes is damped as well.

    Attributes
    ----------
    axis
        The axis along which the stripes alternate. "Y": brightness changes from row to row,
        a vertical line in Fourier space; "X": from column to column, a horizontal one.
    half_width
        Half the width of the line, cycles per pixel. Stripes that stay alike over more than
        ``1 / half_width`` pixels are damped; wavy ones need a wider line.
    keep
        Frequency along the line below which nothing is touched, cycles per pixel: stripes
        broader than ``1 / (2 * keep)`` pixels remain, as does the shape of the sample.

    Raises
    ------
    InputError
        If the axis is another, or a frequency does not lie between 0 and 0.25.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> import numpy as np
    >>> striped = np.zeros((64, 64), np.float32)
    >>> striped[::2] = 1
    >>> bool(zs.Damping("Y").apply(striped).std() < 0.5 * striped.std())
    True
    """

    axis: Literal["Y", "X"] = "Y"
    half_width: float = 0.004
    keep: float = 0.02

    def __post_init__(self) -> None:
        if self.axis not in ("Y", "X"):
            raise InputError(
                "damping-wrong",
                f'The axis of the damping is {self.axis!r}; give "Y" for stripes that alternate '
                'from row to row, or "X" from column to column.',
            )
        for name in ("half_width", "keep"):
            value = getattr(self, name)
            if not 0 < value <= _LARGEST:
                raise InputError(
                    "damping-wrong",
                    f"The {name} of the damping is {value!r} cycles per pixel; give a number above "
                    f"0 and up to {_LARGEST}.",
                )

    def mask(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Return the weights of all frequencies, as they are shown.

        Parameters
        ----------
        shape
            Rows and columns of the image.

        Returns
        -------
        ndarray
            Weights from 0 to 1, float32, of that shape: real, symmetric about the frequency
            zero, which is in the middle (at ``shape // 2``, as `numpy.fft.fftshift` puts it).
        """
        rows, columns = (np.fft.fftshift(np.abs(np.fft.fftfreq(length))) for length in shape)
        return self._weights(rows, columns)

    def apply(
        self, volume: ArrayLike, into: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Damp the stripes of every plane.

        Each plane is continued by its mirror image, so that its borders do not meet: in the
        even Fourier (cosine) transform that this makes, the weights stand at multiples of
        half a cycle per field.

        Parameters
        ----------
        volume
            Counts, finite; axes ``(Y, X)`` with any number before them. Taken plane by plane.
        into
            Where to put the result, of the same shape; may be `volume` itself.

        Returns
        -------
        ndarray
            The same shape, float32; `into` where given.

        Raises
        ------
        InputError
            If there are fewer than two axes, or `into` has another shape.
        """
        planes: Any = volume if hasattr(volume, "shape") else np.asarray(volume)
        shape = tuple(planes.shape)
        if len(shape) < 2:
            raise InputError(
                "image-axes-count",
                f"The volume has {len(shape)} axes; damping needs planes, Y and X.",
            )
        damped = np.empty(shape, np.float32) if into is None else into
        if damped.shape != shape:
            raise InputError(
                "result-arrays-shape",
                f"The array for the result has the shape {damped.shape} and the volume {shape}; "
                "give an array of the same shape.",
            )
        rows, columns = (np.arange(length) / (2 * length) for length in shape[-2:])
        weights = self._weights(rows, columns)
        for index in np.ndindex(shape[:-2]):
            coefficients = dctn(np.asarray(planes[index], np.float32), norm="ortho")
            damped[index] = idctn(coefficients * weights, norm="ortho", overwrite_x=True)
        return damped

    def _weights(
        self, rows: NDArray[np.float64], columns: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Return the weights at the frequencies along Y and X, cycles per pixel from 0 on."""
        along, across = (rows, columns) if self.axis == "Y" else (columns, rows)
        damped_along = 1 - _falling(along, self.keep)
        damped_across = _falling(across, self.half_width)
        pair = (damped_along, damped_across)
        weights: NDArray[np.float64] = 1 - np.outer(*(pair if self.axis == "Y" else pair[::-1]))
        return weights.astype(np.float32)


def _falling(frequency: NDArray[np.float64], edge: float) -> NDArray[np.float64]:
    """Return 1 up to the edge, 0 from twice the edge on, and half a cosine wave between."""
    falling: NDArray[np.float64] = 0.5 + 0.5 * np.cos(np.pi * np.clip(frequency / edge - 1, 0, 1))
    return falling
