"""Write three simulated images of filaments, on which the workflows can be tried.

Usage: python make_images.py images
"""

import sys
from pathlib import Path

import napari_zsdeconvnet as zs

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "images")
folder.mkdir(parents=True, exist_ok=True)
for number in range(3):
    sample = zs.simulate("filaments", shape=(192, 192), seed=number)
    zs.write_image(
        folder / f"cell_{number}.tif", sample.raw, axes="YX", voxel_size=sample.voxel_size
    )
