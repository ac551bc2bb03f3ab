"""
A volume
========

Deconvolve a widefield stack, and look at it from the side.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.signal import fftconvolve

import napari_zsdeconvnet as zs

# %%
# A stack of 24 planes, 200 nm apart: spots in the wall of a hollow cell, blurred by the
# microscope and counted by a camera with an offset of 100 counts. A volume also needs the
# refractive index of the immersion medium.
microscope = zs.Microscope(na=1.1, wavelength=0.525, refractive_index=1.33)
voxel_size = (0.2, 0.09, 0.09)
draw = np.random.default_rng(2)
away = draw.normal(size=(600, 3))
away /= np.linalg.norm(away, axis=1, keepdims=True)
places = np.array([12, 48, 48]) + away * np.array([8, 30, 30])
light = np.zeros((24, 96, 96))
np.add.at(light, tuple(np.rint(places).astype(int).T), 1.0)
psf = zs.PSF.simulate(
    na=1.1, wavelength=0.525, refractive_index=1.33, pixel_size=0.09, axial_step=0.2, planes=23
)
blurred = fftconvolve(light, psf.array / psf.array.sum(), mode="same").clip(0)
counts = draw.poisson(60 * blurred / blurred.max()) + draw.normal(100, 2, light.shape)
raw = np.rint(counts).astype(np.uint16)
stack = zs.Image(raw, "ZYX", voxel_size=voxel_size)

# %%
# The result has the voxel size of the stack: volumes keep their grid.
result = zs.run(stack, microscope=microscope, steps=0, judged=False).finish()
print(result.deconvolved.data.shape, result.deconvolved.voxel_size)

# %%
# A plane above, and below it a cut along z, each pixel as high as it is in the sample.
offset = result.model.noise.offset
pictures = {
    "raw": raw - offset,
    "denoised": result.denoised.data,
    "deconvolved": result.deconvolved.data,
}
step, pixel, _ = voxel_size
figure, axes = plt.subplots(2, 3, figsize=(10, 5.4), layout="constrained", height_ratios=(2, 1))
for (above, below), (name, pixels) in zip(axes.T, pictures.items(), strict=True):
    shown = {"cmap": "gray", "vmin": 0, "vmax": float(pixels.max()) * 0.7}
    above.imshow(pixels[12], **shown)
    below.imshow(pixels[:, 48], aspect=step / pixel, **shown)
    above.set(title=name, xticks=[], yticks=[])
    below.set(xticks=[], yticks=[])
plt.show()
