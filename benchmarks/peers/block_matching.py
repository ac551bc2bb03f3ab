"""Block matching by bmnd on the stabilised image."""

from bmnd import BM3DProfile, BM4DProfile, bmnd
from exchange import Recording, Report
from variance_stabilisation import denoised

recording = Recording.read()
profile = BM3DProfile() if recording.counts.ndim == 2 else BM4DProfile()
Report(recording, "bmnd").add(
    lambda: denoised(recording, lambda image: bmnd(image, profile, sigma=1.0))
)
