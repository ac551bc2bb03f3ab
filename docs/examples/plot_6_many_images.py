"""
Many images
===========

Deconvolve a folder. Recordings that are alike share the model of the first of them.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import napari_zsdeconvnet as zs

# %%
# Three recordings of the same kind.
folder = Path(tempfile.mkdtemp())
for number in range(3):
    sample = zs.simulate("cell", shape=(96, 96), photons=50, seed=number)
    voxel_size = (sample.pixel_size, sample.pixel_size)
    zs.write_image(folder / f"cell_{number}.tif", sample.raw, axes="YX", voxel_size=voxel_size)

# %%
# Results come as files beside a table, with a row for each recording.
microscope = zs.Microscope(na=1.3, wavelength=0.525)
files = sorted(folder.glob("cell_?.tif"))
rows = zs.run_many(files, folder / "results", microscope=microscope, steps=0, judged=False)
for row in rows:
    print(Path(row.recording).name, "failed" if row.failed else "done")

# %%
figure, axes = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
for (above, below), path in zip(axes.T, files, strict=True):
    (result,) = (folder / "results").glob(f"{path.stem}*deconvolved*.tif")
    for axis, name, image in ((above, "raw", path), (below, "deconvolved", result)):
        pixels = zs.read_image(image).data
        axis.imshow(pixels, cmap="gray", vmax=np.percentile(pixels, 99.5))
        axis.set(title=name, xticks=[], yticks=[])
plt.show()
