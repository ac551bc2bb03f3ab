"""Richardson-Lucy of cubic with its handling of edges, on the processor."""

import numpy as np
from cubic.preprocessing.deconvolution import richardson_lucy_iter
from exchange import sweep

sweep(
    "cubic",
    lambda recording, iterations: richardson_lucy_iter(
        recording.light.astype(np.float64),
        recording.psf.astype(np.float64),
        n_iter=iterations,
        noncirc=True,
    ),
)
