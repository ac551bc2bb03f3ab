"""Spitfire of sdeconv: variational, with a Hessian and a sparsity term, for several weights."""

import without_torchvision_operators  # noqa: F401, I001
import numpy as np
from exchange import Recording, Report
from sdeconv.deconv import spitfire

REGULARISATIONS = (0.98, 0.995)


def deconvolved(recording: Recording, regularisation: float) -> np.ndarray:
    """Deconvolve the light over its maximum."""
    light, psf = recording.light, recording.psf
    if light.ndim == 3:
        psf = _as_large_as(light.shape, psf)
    found = spitfire(light / light.max(), psf, reg=regularisation, pad=0)
    return light.max() * found.cpu().numpy()


def _as_large_as(shape: tuple[int, ...], psf: np.ndarray) -> np.ndarray:
    """Put a PSF into the middle of a volume, as Spitfire wants it there."""
    wide = np.zeros(shape, np.float32)
    place, part = [], []
    for size, n in zip(psf.shape, shape, strict=True):
        middle = n // 2
        reach = min(size // 2, middle, n - middle - 1)
        place.append(slice(middle - reach, middle + reach + 1))
        part.append(slice(size // 2 - reach, size // 2 + reach + 1))
    wide[tuple(place)] = psf[tuple(part)]
    return wide


recording = Recording.read()
report = Report(recording, "sdeconv")
for regularisation in REGULARISATIONS:
    report.add(
        lambda regularisation=regularisation: deconvolved(recording, regularisation),
        f"regularisation {regularisation:g}",
    )
