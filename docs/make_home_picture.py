"""Picture a real recording raw, by Richardson-Lucy and by `fast`, for the first page.

    python docs/make_home_picture.py FOLDER

FOLDER has `lls_cell_deskewed.tif` and `lls_psf_measured.tif`, the cell and the bead of
docs/gallery.md. Richardson-Lucy stops where its residual is as small as the noise. The picture
goes to docs/images/home.png. About three minutes on one core.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.physics.classical_deconvolution import richardson_lucy
from napari_zsdeconvnet.quality.pictures import side_by_side

VOXEL = (0.16, 0.1, 0.1)  # micrometres
PLANE = 14
FIELD = (PLANE, slice(60, 220), slice(60, 220))

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Deconvolve in both ways and draw one plane."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    stack = zs.read_image(folder / "lls_cell_deskewed.tif")
    pixels = np.asarray(stack.data)
    psf = zs.PSF.read(folder / "lls_psf_measured.tif", voxel_size=(0.1, 0.101, 0.101))
    noise = zs.NoiseModel.from_image(pixels)
    on_grid = psf.resampled(VOXEL).limited(len(pixels))
    classical = richardson_lucy(pixels, on_grid, noise, upsampling=1)
    run = zs.train(pixels, psf, noise, axes="ZYX", voxel_size=VOXEL, seed=0, preview_every=0)
    for _ in run:
        pass
    ours = run.model.predict(pixels, axes="ZYX", voxel_size=VOXEL).deconvolved
    raw = pixels.astype(np.float32) - noise.offset
    side_by_side(
        [volume[FIELD] for volume in (raw, classical, np.asarray(ours))],
        ["Raw", "Richardson-Lucy", "napari-zsdeconvnet"],
        IMAGES / "home.png",
        pixel_sizes=VOXEL[-1],
    )


if __name__ == "__main__":
    main()
