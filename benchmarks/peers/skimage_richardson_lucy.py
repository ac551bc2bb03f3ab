"""Richardson-Lucy of scikit-image."""

from exchange import sweep
from skimage.restoration import richardson_lucy

sweep(
    "scikit-image",
    lambda recording, iterations: richardson_lucy(
        recording.light, recording.psf, num_iter=iterations, clip=False, filter_epsilon=1e-6
    ),
)
