"""
First image
===========

Simulate a recording of filaments, deconvolve it, and compare it with the truth.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import napari_zsdeconvnet as zs

# %%
# A recording under 50 photons, written as a camera would write it. Lengths are micrometres.
sample = zs.simulate("filaments", shape=(160, 160), photons=50, na=1.3, wavelength=0.525, seed=1)
pixel = sample.pixel_size
path = Path(tempfile.mkdtemp()) / "cell.tif"
zs.write_image(path, sample.raw, axes="YX", voxel_size=(pixel, pixel))

# %%
# One call measures the noise, simulates the PSF, deconvolves and checks the result. ``steps=0``
# takes the pretrained weights as they are; leave it out to train on the recording.
microscope = zs.Microscope(na=1.3, wavelength=0.525)
result = zs.run(path, microscope=microscope, steps=0).finish()
print(result.report.headline())

# %%
# The deconvolved image has twice the pixels along Y and X, and counts above the camera's offset.
# With the black and white of the raw image, less its offset, both compare.
offset = result.model.noise.offset
black, white = 0, float(sample.raw.max()) - offset
pictures = {
    "raw": sample.raw - offset,
    "denoised": result.denoised.data,
    "deconvolved": result.deconvolved.data,
    "truth": sample.truth,
}
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
for axis, (name, pixels) in zip(axes, pictures.items(), strict=True):
    axis.imshow(pixels, cmap="gray", vmin=black, vmax=white)
    axis.set(title=name, xticks=[], yticks=[])
plt.show()
