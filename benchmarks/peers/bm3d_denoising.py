"""Block matching by bm3d on the stabilised image; for non-commercial use only."""

from bm3d import bm3d
from exchange import Recording, Report
from variance_stabilisation import denoised

recording = Recording.read()
Report(recording, "bm3d").add(lambda: denoised(recording, lambda image: bm3d(image, 1.0)))
