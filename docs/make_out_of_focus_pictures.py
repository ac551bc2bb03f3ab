"""Measure the out-of-focus background on planes of a thick nucleus, and picture one of them.

    python docs/make_out_of_focus_pictures.py nucleus.tif nucleus_truth.tif

The files are a simulated widefield stack (NA 1.4, 461 nm, voxels of 0.3 x 0.13 x 0.13 um, offset
100, gain 2, read variance 16) and its truth. The tables of docs/method.md are printed, and the
picture goes to docs/images/out_of_focus.png. A few minutes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_zsdeconvnet import PSF, NoiseModel, read_image, train
from napari_zsdeconvnet.inference.out_of_focus import haze_share
from napari_zsdeconvnet.inference.predict import Result
from napari_zsdeconvnet.quality.pictures import side_by_side
from napari_zsdeconvnet.quality.reference_metrics import truth_at_resolution
from napari_zsdeconvnet.simulation.sample import PHANTOMS, simulate

IMAGES = Path(__file__).parent / "images"
CAMERA = NoiseModel(offset=100.0, gain=2.0, read_variance=16.0)
PIXEL = 0.13
PLANES = (17, 21, 25)
SHOWN = 21
DIMMED = (1, 30)  # times fewer photons
STEPS = 20
BORDER = 8  # pixels that are not scored


def main() -> None:
    """Print both tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("truth", type=Path)
    given = parser.parse_args()
    stack = np.asarray(read_image(given.recording).data)
    truth = np.asarray(read_image(given.truth).data, float)
    # Within the depth of field lie a plane and half of its neighbours.
    focus = ndimage.gaussian_filter(ndimage.uniform_filter1d(truth, 3, axis=0), (0, 0.7, 0.7))
    nucleus(stack, focus)
    thin_samples()


def nucleus(stack: NDArray, focus: NDArray) -> None:
    """Score planes of the stack at several brightnesses; draw one."""
    psf = PSF.simulate(1.4, 0.461, (PIXEL / 2, PIXEL / 2))
    print("| plane | photons | without, dB | with, dB | smooth share | light kept, % |")
    for plane in PLANES:
        for dimmed in DIMMED:
            image = thinned(stack[plane], dimmed)
            results = {on: result(image, psf, CAMERA, PIXEL, on) for on in (False, True)}
            scores = [psnr(binned(made.deconvolved), focus[plane]) for made in results.values()]
            background = results[True].background
            assert background is not None
            light = image.mean() - CAMERA.offset
            kept = (results[True].deconvolved.mean() + background.mean()) / light
            share = haze_share(background, image, CAMERA.offset)
            photons = (np.percentile(image, 99.9) - CAMERA.offset) / 2
            print(
                f"| {plane} | {photons:.0f} | {scores[0]:.1f} | {scores[1]:.1f} | {share:.2f} | "
                f"{100 * kept:.1f} |",
                flush=True,
            )
            if plane == SHOWN and dimmed == 1:
                draw(image, results, focus[plane])


def draw(image: NDArray, results: dict[bool, Result], focus: NDArray) -> None:
    """Show the plane as recorded, deconvolved in both ways, the background and the truth."""
    panels = {
        "Recorded": image - CAMERA.offset,
        "Deconvolved": results[False].deconvolved,
        "With a background": results[True].deconvolved,
        "The background": results[True].background,
        "In focus by the truth": focus,
    }
    sizes = [PIXEL * image.shape[-1] / np.shape(panel)[-1] for panel in panels.values()]
    side_by_side(
        list(panels.values()),
        list(panels),
        IMAGES / "out_of_focus.png",
        pixel_sizes=sizes,
        percentiles=(0.1, 99.9),
        panel_width=300,
    )


def thin_samples() -> None:
    """Say what the background costs where there is none."""
    print("| phantom | without, dB | with, dB | smooth share |")
    for kind in sorted(PHANTOMS):
        sample = simulate(kind, shape=(160, 160), photons=100, seed=7)
        truth = truth_at_resolution(sample.truth, 0.1, sample.pixel_size / 2)
        scores, share = [], 0.0
        for on in (False, True):
            made = result(sample.raw, sample.psf, sample.noise, sample.pixel_size, on)
            scores.append(psnr(made.deconvolved, truth))
            if made.background is not None:
                share = haze_share(made.background, sample.raw, sample.noise.offset)
        print(f"| {kind} | {scores[0]:.1f} | {scores[1]:.1f} | {share:.2f} |", flush=True)


def result(image: NDArray, psf: PSF, camera: NoiseModel, pixel: float, on: bool) -> Result:
    """Train on an image, with the background or without, and apply the model to it."""
    run = train(
        image,
        psf,
        camera,
        voxel_size=(pixel, pixel),
        steps=STEPS,
        seed=1,
        device="cpu",
        preview_every=0,
        out_of_focus=on,
    )
    for _ in run:
        pass
    return run.model.predict(image, device="cpu")


def thinned(image: NDArray, times: int) -> NDArray:
    """Record the image with so many times fewer photons, by those that it has."""
    if times == 1:
        return np.asarray(image, float)
    rng = np.random.default_rng(0)
    electrons = np.maximum((image - CAMERA.offset) / 2, 0).astype(int)
    noise = rng.normal(CAMERA.offset, CAMERA.read_variance**0.5, image.shape)
    return np.asarray(2.0 * rng.binomial(electrons, 1 / times) + noise)


def psnr(image: NDArray, truth: NDArray) -> float:
    """Score an image after one linear fit."""
    inner = (slice(BORDER, -BORDER),) * 2
    found, wanted = image[inner].ravel(), truth[inner].ravel()
    fitted = np.polyval(np.polyfit(found, wanted, 1), found)
    return float(10 * np.log10(wanted.max() ** 2 / np.mean((fitted - wanted) ** 2)))


def binned(image: NDArray) -> NDArray:
    """Bring a result back to the pixels of its image."""
    rows, columns = (length // 2 for length in image.shape)
    return np.asarray(image.reshape(rows, 2, columns, 2).mean(axis=(1, 3)))


if __name__ == "__main__":
    main()
