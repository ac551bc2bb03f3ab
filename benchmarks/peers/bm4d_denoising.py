"""Block matching by bm4d on the stabilised volume; for non-commercial use only."""

from bm4d import bm4d
from exchange import Recording, Report
from variance_stabilisation import denoised

recording = Recording.read()
Report(recording, "bm4d").add(lambda: denoised(recording, lambda volume: bm4d(volume, 1.0)))
