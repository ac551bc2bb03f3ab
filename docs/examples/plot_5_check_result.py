"""
Check a result
==============

Eleven measures tell whether a result fits its recording. Here the same image is deconvolved with
the right PSF and with one that is too wide.
"""

import matplotlib.pyplot as plt
import numpy as np

import napari_zsdeconvnet as zs

# %%
# The NA of the microscope is 1.3. Told as 0.8, it makes the PSF more than half as wide again.
sample = zs.simulate("filaments", shape=(160, 160), photons=100, na=1.3, seed=5)
image = zs.Image(sample.raw, "YX", voxel_size=(sample.pixel_size, sample.pixel_size))
made = {
    na: zs.run(image, microscope=zs.Microscope(na=na, wavelength=0.525), steps=0).finish()
    for na in (1.3, 0.8)
}
for na, result in made.items():
    print(f"NA {na}: {result.report.headline()}")

# %%
# Each measure has a sentence that names its value and its limit.
print(made[0.8].report.summary())

# %%
# With the wide PSF the filaments look as sharp, and the measures tell that they are not right.
white = np.percentile(made[1.3].deconvolved.data, 99.5)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
axes[0].imshow(sample.raw, cmap="gray")
axes[0].set(title="raw")
for axis, (na, result) in zip(axes[1:], made.items(), strict=True):
    axis.imshow(result.deconvolved.data, cmap="gray", vmin=0, vmax=white)
    axis.set(title=f"deconvolved, NA told as {na}")
for axis in axes:
    axis.set(xticks=[], yticks=[])
plt.show()
