"""
Raw SIM
=======

Find the patterns of nine raw frames, reconstruct them, and deconvolve the reconstruction.
"""

import matplotlib.pyplot as plt

import napari_zsdeconvnet as zs

# %%
# Nine frames (three orientations, three phases) of the same vesicles.
sample = zs.sim.simulate_sim("vesicles", shape=(128, 128), photons=60, seed=3)
frames = zs.Image(sample.raw, "CYX", voxel_size=(sample.pixel_size, sample.pixel_size))

# %%
# The mode is recognised by the fringes, or named.
microscope = zs.Microscope(na=1.41, wavelength=0.525)
result = zs.run(frames, microscope=microscope, mode="sim", steps=0, judged=False).finish()

# %%
# The mean of the frames is the widefield image. The result has twice its pixels along Y and X.
pictures = {
    "widefield": sample.raw.mean(axis=0),
    "denoised": result.denoised.data,
    "deconvolved": result.deconvolved.data,
}
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
for axis, (name, pixels) in zip(axes, pictures.items(), strict=True):
    axis.imshow(pixels, cmap="gray", vmin=pixels.min(), vmax=pixels.max() * 0.7)
    axis.set(title=name, xticks=[], yticks=[])
plt.show()
