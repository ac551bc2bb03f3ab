"""Whether training makes a result worse where the camera that it is told of is not the right one.

    python benchmarks/wrong_cameras.py
    python benchmarks/wrong_cameras.py --only mixed-half

Recordings are of 192x192 pixels, wrongly described or processed afterwards, and trained on for so
many steps. The weights of the beginning, of the last step, and those kept by the held-out pixels
are scored against the truth. Every case is kept in `results/wrong_cameras/` and not computed again
without --again; the page is written from what is there.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from cases import write_result
from PIL import Image
from report import set_section, table
from runner import DOCS, RESULTS
from scipy import ndimage
from yardstick import Yardstick

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.simulation.phantoms import PHANTOMS, Structure, filaments, vesicles
from napari_zsdeconvnet.simulation.sample import Sample, simulate

FOLDER = RESULTS / "wrong_cameras"
PAGE = DOCS / "wrong_cameras.md"
TITLE = "Cameras that are not as told"
SIZE, PHOTONS = 192, 30.0
Recorded = tuple[np.ndarray, NoiseModel]


def mixed(shape: tuple[int, int], pixel_size: float, rng: np.random.Generator) -> Structure:
    """Draw lines and points."""
    lines = filaments(shape, pixel_size, rng, per_area=0.12).density
    points = vesicles(shape, pixel_size, rng, per_area=1.0).density
    return Structure(lines + 0.15 * points)


PHANTOMS["mixed"] = mixed
KINDS: dict[str, dict[str, float]] = {
    "mixed": {"pixel_size": 0.1, "na": 1.2},
    "cell": {},
    "filaments": {},
}


def in_8_bit(sample: Sample, power: float = 1.0) -> Recorded:
    """Spread the recording over 0 to 255, after a power, with the camera spread likewise."""
    low, high = 0.8 * sample.noise.offset, float(sample.raw.max())
    values = np.clip((sample.raw - low) / (high - low), 0, 1) ** power
    factor = 255 / (high - low)
    return np.rint(255 * values).astype(np.uint8), NoiseModel(
        factor * (sample.noise.offset - low),
        factor * sample.noise.gain,
        factor**2 * sample.noise.read_variance + 1 / 12,
    )


def by_jpeg(sample: Sample) -> Recorded:
    """Compress the 8-bit recording at Pillow's usual quality, and open it again."""
    pixels, camera = in_8_bit(sample)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=75)
    return np.asarray(Image.open(file)), camera


def with_gamma(sample: Sample) -> Recorded:
    """Correct the 8-bit recording for a screen, the offset too; the slope is that in the middle."""
    pixels, camera = in_8_bit(sample, power=1 / 2.2)
    offset = 255 * (camera.offset / 255) ** (1 / 2.2)
    return pixels, replace(camera, offset=offset)


def told(**numbers: Callable[[NoiseModel], float]) -> Callable[[Sample], Recorded]:
    """Describe the camera with other numbers than it has."""
    return lambda sample: (
        sample.raw,
        replace(sample.noise, **{name: number(sample.noise) for name, number in numbers.items()}),
    )


CAMERAS: dict[str, tuple[str, Callable[[Sample], Recorded]]] = {
    "right": ("as it is", lambda sample: (sample.raw, sample.noise)),
    "half": ("half the gain", told(gain=lambda camera: camera.gain / 2)),
    "double": ("twice the gain", told(gain=lambda camera: camera.gain * 2)),
    "above": ("offset 3 read noises too high", told(offset=lambda camera: camera.offset + 6)),
    "below": ("offset 3 read noises too low", told(offset=lambda camera: camera.offset - 6)),
    "8-bit": ("rounded to 8 bit", in_8_bit),
    "gamma": ("gamma-corrected, 1/2.2", with_gamma),
    "median": (
        "median-filtered, 3x3",
        lambda sample: (ndimage.median_filter(sample.raw, 3), sample.noise),
    ),
    "jpeg": ("JPEG, quality 75", by_jpeg),
}


def measure(kind: str, camera: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train and score the three sets of weights."""
    shape, seed = (SIZE, SIZE), options.seed
    sample = simulate(kind, shape=shape, photons=PHOTONS, seed=seed, **KINDS[kind])
    raw, noise = CAMERAS[camera][1](sample)
    run = zs.train(
        raw,
        sample.psf,
        noise,
        axes="YX",
        voxel_size=sample.voxel_size,
        steps=options.steps,
        seed=seed,
        preview_every=0,
        device="cpu",
    )
    yardstick = Yardstick(sample)

    def scores(model: Model) -> dict[str, float]:
        result = model.predict(raw, axes="YX", device="cpu")
        return {
            "denoised": yardstick.denoised(result.denoised).psnr,
            "deconvolved": yardstick.deconvolved(result.deconvolved).psnr,
        }

    beginning = scores(run.latest)
    for _ in run:
        pass
    kept = run.model
    assert kept.chosen is not None
    return {
        "kind": kind,
        "camera": camera,
        "steps": run.step,
        "beginning": beginning,
        "last": scores(run.latest),
        "kept": scores(kept),
        "step": kept.chosen.step,
        "message": kept.kept,
    }


def page(results: list[dict[str, Any]]) -> str:
    """Make the table of what is there."""
    header = ("phantom", "camera", "beginning", "last step", "kept", "kept step")
    rows = [
        (
            result["kind"],
            CAMERAS[result["camera"]][0],
            *(
                f"{result[which]['denoised']:.2f} / {result[which]['deconvolved']:.2f}"
                for which in ("beginning", "last", "kept")
            ),
            f"{result['step']}",
        )
        for result in results
    ]
    least = min(
        result["kept"][stage] - result["beginning"][stage]
        for result in results
        for stage in ("denoised", "deconvolved")
    )
    return f"{table(header, rows)}\n\nKept is at least {least:+.2f} dB above the beginning."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="beginnings")
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--report-only", action="store_true")
    options = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    paths: dict[Path, tuple[str, str]] = {
        FOLDER / f"{kind}-{camera}.json": (kind, camera) for kind in KINDS for camera in CAMERAS
    }
    for path, (kind, camera) in paths.items():
        wanted = path.stem.startswith(tuple(options.only)) and not options.report_only
        if wanted and (options.again or not path.exists()):
            print(path.stem, flush=True)
            write_result(path, measure(kind, camera, options))
    results = [json.loads(path.read_text()) for path in paths if path.exists()]
    if results:
        set_section(PAGE, "wrong cameras", page(results), title=TITLE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
