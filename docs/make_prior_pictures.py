"""Picture two real recordings by `fast` as it was, and as it is.

As it was, it began from scratch and took the noise of neighbouring pixels for independent; now it
begins with the weights brought along and draws noise that neighbours share as they do.

    python docs/make_prior_pictures.py FOLDER

FOLDER has `terra_rna_spots.tif` and `telomeres_timelapse.tif`. Writes docs/images/prior_terra.png
and docs/images/prior_telomeres.png, and prints figures of both:
the Fourier ring correlation between the results of consecutive frames of the series, and between
those of two re-corruptions of the single image, and the scatter of the background.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.quality.pictures import side_by_side
from napari_zsdeconvnet.quality.reference_metrics import flux_ratio
from napari_zsdeconvnet.quality.ring_correlation import fourier_ring_correlation
from napari_zsdeconvnet.quality.stability import recorruptions

IMAGES = Path(__file__).parent / "images"
FRAMES = 20


def main() -> None:
    """Train twice on each recording, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", default=["terra", "telomeres"])
    options = parser.parse_args()
    folder = options.folder
    if "terra" in options.only:
        terra = zs.read_image(folder / "terra_rna_spots.tif")
        picture("terra", terra.data[None], 0.1, 0.6, 98.0, corner=(430, 330), width=256)
    if "telomeres" in options.only:
        telomeres = zs.read_image(folder / "telomeres_timelapse.tif")
        picture("telomeres", telomeres.data, 0.11, 0.52, 95.8, corner=(0, 0), width=133)


def picture(
    name: str,
    frames: np.ndarray,
    pixel: float,
    wavelength: float,
    offset: float,
    *,
    corner: tuple[int, int],
    width: int,
) -> None:
    """Show a region of the first frame, raw and by both."""
    if len(frames) > 1:
        noise = zs.NoiseModel.from_series(frames, offset=offset)
    else:
        noise = zs.NoiseModel.from_image(frames[0], offset=offset)
    psf = zs.PSF.simulate(na=1.4, wavelength=wavelength, pixel_size=pixel / 2)
    part = tuple(slice(first, first + width) for first in corner)
    fine = tuple(slice(2 * first, 2 * (first + width)) for first in corner)
    panels, labels = [frames[0][part] - np.float32(offset)], ["Raw"]
    for start, camera in (("scratch", replace(noise, correlation=(0.0, 0.0))), ("prior", noise)):
        began = time.process_time()
        run = zs.train(
            frames,
            psf,
            camera,
            axes="TYX",
            voxel_size=(pixel, pixel),
            start=start,
            seed=0,
            preview_every=0,
        )
        for _ in run:
            pass
        seconds = time.process_time() - began
        first = run.model.predict(frames[0]).deconvolved
        resolution = correlation(run.model, frames, pixel / 2)
        print(
            f"{name}, {start}: {run.step} steps, {seconds:.0f} s of CPU, light "
            f"{flux_ratio(first, frames[0], offset):.5f}, FRC {1000 * resolution:.0f} nm, "
            f"background {scatter(first, frames[0]):.2f} counts; {run.model.noise.describe()} "
            f"{run.ending}",
            flush=True,
        )
        panels.append(first[fine])
        labels.append("Before" if start == "scratch" else "Today")
    side_by_side(
        panels, labels, IMAGES / f"prior_{name}.png", pixel_sizes=[pixel, pixel / 2, pixel / 2]
    )


def scatter(deconvolved: np.ndarray, raw: np.ndarray, width: int = 32) -> float:
    """Measure the standard deviation in the darkest square of the raw image."""
    level = uniform_filter(raw.astype(float), width)[width:-width, width:-width]
    y, x = (int(n) + width // 2 for n in np.unravel_index(np.argmin(level), level.shape))
    return float(deconvolved[2 * y : 2 * (y + width), 2 * x : 2 * (x + width)].std())


def correlation(model: zs.Model, frames: np.ndarray, pixel: float) -> float:
    """Correlate results of consecutive frames, or of two re-corruptions, in micrometres."""
    if len(frames) > 1:
        results = model.predict(np.asarray(frames[:FRAMES])).deconvolved
        pairs = zip(results[0::2], results[1::2], strict=True)
    else:
        pairs = (
            [model.predict(image).deconvolved for image in pair]
            for pair in recorruptions(frames[0], model.noise, 1)
        )
    return float(np.median([fourier_ring_correlation(*pair, pixel).resolution for pair in pairs]))


if __name__ == "__main__":
    main()
