"""Benchmark thick nuclei in 3D: how much of their haze goes back to where it is from.

    python benchmarks/run_nuclei.py                         # everything; hours on two cores
    python benchmarks/run_nuclei.py --planes 24 --photons 200 --microscope widefield

One line of JSON for each case. The row "deconwolf" needs its command `dw` on the path.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import tifffile
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.open_field import OpenField
from napari_zsdeconvnet.psf import PSF
from napari_zsdeconvnet.quality import fit_intensity, psnr, truth_at_resolution
from napari_zsdeconvnet.simulation import camera

VOXEL = (0.3, 0.13, 0.13)
WIDTH = 128
OBJECTIVE = {"na": 1.4, "wavelength": 0.461, "refractive_index": 1.515}
MICROSCOPES = {
    "widefield": {},
    "confocal": {"modality": "confocal", "excitation_wavelength": 0.405, "pinhole": 2.0},
    "light-sheet": {"modality": "light-sheet", "sheet_thickness": 2.0},
}
CAMERA = zs.NoiseModel(100.0, 2.0, 16.0)
DECONWOLF_STEPS = 50
BORDER = (slice(1, -1), slice(8, -8), slice(8, -8))


def nucleus(planes: int, dense: bool, seed: int) -> tuple[NDArray[np.float64], slice]:
    """Draw a nucleus in the middle of a stack, and say which planes hold it."""
    rng = np.random.default_rng(seed)
    shape = (planes, WIDTH, WIDTH)
    z, y, x = np.mgrid[tuple(map(slice, shape))]
    depth = max(planes / 5, 2.0)
    middle = planes // 2
    body = ((z - middle) / depth) ** 2 + ((y - 64) / 44) ** 2 + ((x - 64) / 36) ** 2 < 1
    texture = gaussian_filter(rng.normal(size=shape), (1.5, 4, 4) if dense else (0.8, 1.5, 1.5))
    texture /= texture.std()
    truth = body * (
        np.clip(1 + 0.8 * texture, 0.1, None) if dense else np.clip(texture - 2, 0, None)
    )
    reach = int(depth)
    return truth, slice(middle - reach, middle + reach + 1)


def deconwolf(image: NDArray[np.uint16], psf: PSF) -> NDArray[np.float32] | None:
    """Run `dw` on a stack; None where it is not installed."""
    if shutil.which("dw") is None:
        return None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        light = np.clip(image.astype(int) - int(CAMERA.offset), 0, 65535).astype(np.uint16)
        tifffile.imwrite(folder / "stack.tif", light)
        tifffile.imwrite(folder / "psf.tif", psf.array)
        subprocess.run(
            [
                *("dw", "--iter", str(DECONWOLF_STEPS), "--overwrite", "--out", "result.tif"),
                *("stack.tif", "psf.tif"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
        return np.asarray(tifffile.imread(folder / "result.tif"), np.float32)


def ours(image: NDArray[np.uint16], psf: PSF, steps: int | None) -> NDArray[np.float32]:
    """Train on the stack and deconvolve it."""
    run = zs.train(
        image, psf, CAMERA, axes="ZYX", voxel_size=VOXEL, steps=steps, seed=0, preview_every=0
    )
    for _ in run:
        pass
    return run.model.predict(image, axes="ZYX").deconvolved


def axial_width(volume: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """FWHM along z, nanometres, of the Gaussian that makes the truth most like a result."""
    widths = np.arange(0.15, 2.0, 0.05)

    def misfit(width: float) -> float:
        blurred = truth_at_resolution(truth, (width, 0.15, 0.15), VOXEL)
        return float(np.square(fit_intensity(volume, blurred) - blurred).mean() / blurred.var())

    return 1000 * float(min(widths, key=misfit))


def main() -> int:
    """Compute the cases asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--planes", type=int, nargs="+", default=[10, 24, 60])
    parser.add_argument("--photons", type=float, nargs="+", default=[20, 200, 5000])
    parser.add_argument("--microscope", nargs="+", default=list(MICROSCOPES), choices=MICROSCOPES)
    parser.add_argument("--only", nargs="+", default=["raw", "fast", "deconwolf"])
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    for planes, photons, microscope, dense in product(
        given.planes, given.photons, given.microscope, (True, False)
    ):
        truth, inside = nucleus(planes, dense, seed=planes)
        psf = PSF.simulate(
            pixel_size=VOXEL[-1],
            axial_step=VOXEL[0],
            stack=truth.shape,
            **OBJECTIVE,
            **MICROSCOPES[microscope],
        )
        structure = torch.from_numpy(truth.astype(np.float32))[None, None]
        seen = OpenField(psf.array, truth.shape).blurred(structure)[0, 0].numpy().clip(0)
        # Counts: two for each photon of the 99.9th percentile.
        scale = 2 * photons / np.percentile(seen, 99.9)
        raw = camera(seen * scale, CAMERA, np.random.default_rng(1))
        target = truth_at_resolution(truth * scale, (0.35, 0.15, 0.15), VOXEL)[BORDER]
        methods = {
            "raw": lambda raw=raw: raw - CAMERA.offset,
            "fast": lambda raw=raw, psf=psf: ours(raw, psf, given.steps),
            "deconwolf": lambda raw=raw, psf=psf: deconwolf(raw, psf),
        }
        for name in given.only:
            result = methods[name]()
            if result is None:
                continue
            fitted = fit_intensity(np.asarray(result)[BORDER], target)
            case = {
                "microscope": microscope,
                "planes": planes,
                "photons": photons,
                "kind": "dense" if dense else "sparse",
                "method": name,
                "psnr": round(float(psnr(fitted, target, np.ptp(target))), 2),
                "haze_percent": round(100 * float(1 - result[inside].sum() / result.sum()), 2),
                "axial_nm": round(axial_width(np.asarray(result)[BORDER], truth[BORDER])),
            }
            print(json.dumps(case), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
