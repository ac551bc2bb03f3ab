"""Richardson-Lucy of RedLionfish on the processor; it takes volumes alone."""

from exchange import sweep
from RedLionfishDeconv import doRLDeconvolutionFromNpArrays

sweep(
    "RedLionfish",
    lambda recording, iterations: doRLDeconvolutionFromNpArrays(
        recording.light, recording.psf, niter=iterations, method="cpu"
    ),
)
