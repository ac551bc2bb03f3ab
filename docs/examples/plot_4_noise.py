"""
Measure the noise
=================

Gain and read noise of a camera, from a time series of a still sample.
"""

import matplotlib.pyplot as plt
import numpy as np

import napari_zsdeconvnet as zs

# %%
# Twenty frames of a still sample, by a camera with 2 counts per electron, an offset of 100 counts
# and a read noise of 3 counts.
camera = zs.NoiseModel(offset=100, gain=2.0, read_variance=9.0, source="the data sheet")
light = zs.simulate("filaments", shape=(96, 96), photons=100, noise=camera, seed=4).noise_free
draw = np.random.default_rng(4)
series = camera.offset + camera.gain * draw.poisson(light / camera.gain, (20, *light.shape))
series = np.rint(series + draw.normal(0, 3, series.shape)).astype(np.uint16)

# %%
# The variance of a pixel over time grows with its mean by the gain. Each number has its standard
# error.
noise = zs.NoiseModel.from_series(series, offset=100)
print(noise)

# %%
# Each dot is a pixel; the line is what was measured.
mean, variance = series.mean(axis=0).ravel(), series.var(axis=0, ddof=1).ravel()
figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
axis.plot(mean, variance, ".", markersize=2, alpha=0.4, label="pixels")
counts = np.array([mean.min(), mean.max()])
axis.plot(counts, noise.gain * (counts - noise.offset) + noise.read_variance, label="measured")
axis.set(xlabel="mean (counts)", ylabel="variance (counts²)")
axis.legend()
plt.show()
