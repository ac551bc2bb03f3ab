"""What *Compare* has done in a worker: Richardson-Lucy and Wiener on the output grid."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ...io.image import Image
    from ...noise.noise_model import NoiseModel
    from ...physics.classical_deconvolution import Iteration
    from ...psf.psf import PSF


@dataclass(frozen=True, eq=False)
class Classical:
    """Both results.

    Attributes
    ----------
    richardson_lucy, wiener
        ([Z,] Y, X) on the output grid, counts above the offset.
    iterations
        Of Richardson-Lucy.
    explained
        Whether its residual came down to the noise.
    """

    richardson_lucy: NDArray[np.float32]
    wiener: NDArray[np.float32]
    iterations: int
    explained: bool


def classical(
    read: Callable[[], Image], psf: PSF, noise: NoiseModel, upsampling: int
) -> Generator[Iteration, None, Classical]:
    """Deconvolve one frame or stack in both classical ways, each by its own rule."""
    from ...physics.classical_deconvolution import iterate_richardson_lucy, until_explained, wiener
    from ...training.data import on_output_grid

    image = read()
    pixels = np.asarray(image.data)
    as_series = replace(image, data=pixels[np.newaxis], axes=f"T{image.axes}")
    fine, _ = on_output_grid(psf, [as_series], upsampling)
    for step in until_explained(
        iterate_richardson_lucy(pixels, fine, noise, upsampling=upsampling)
    ):
        yield step
    return Classical(
        step.estimate,
        wiener(pixels, fine, noise, upsampling=upsampling),
        step.number,
        step.explains_image,
    )
