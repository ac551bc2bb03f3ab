"""Block matching by bmnd on electrons, whose read noise counts as that of light.

The read variance is added to both the signal and its variance, so that the sum is nearly Poisson.
"""

import numpy as np
from bmnd import BM3DProfile, BM4DProfile, NoiseModel, bmnd
from exchange import Recording, Report


def denoised(recording: Recording) -> np.ndarray:
    """Denoise the shifted electrons; counts with the offset."""
    shift = recording.read_variance / recording.gain**2
    electrons = (recording.counts - recording.offset) / recording.gain + shift
    make = BM3DProfile if electrons.ndim == 2 else BM4DProfile
    found = bmnd(np.maximum(electrons, 0), make(noise_model=NoiseModel.POISSON))
    return recording.offset + recording.gain * (found - shift)


recording = Recording.read()
Report(recording, "bmnd").add(lambda: denoised(recording))
