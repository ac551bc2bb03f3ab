"""Benchmark 3D denoising and deconvolution on phantoms with a known truth.

    python benchmarks/run_3d.py                       # everything; hours on two cores
    python benchmarks/run_3d.py --phantom shell --photons 50 --only raw "RL best" fast
    python benchmarks/run_3d.py --only paper --paper-steps 20 --phantom filaments --photons 50
    python benchmarks/run_3d.py --report-only         # tables and picture from what is there

Goes on where it was interrupted, as `run_2d.py` does. The published network takes days, so it is
left out unless --only names it, and runs for a few steps only.
"""

from __future__ import annotations

import sys

from runner import PAGE, RESULTS, TITLE, Benchmark, run

from napari_zsdeconvnet.simulation.phantoms_3d import PHANTOMS_3D

EXPLANATION = """\
## Volumes

Simulated widefield stacks of {planes}x{size}x{size} voxels of 200 x 90 x 90 nm: NA 1.1 in water,
emission 525 nm, offset 100 counts, gain 1, read variance 4, with light from beyond all faces.
*reference* is a stack of 40x256x256 voxels that another program simulated. PSNR / SSIM are
against the truth at 150 nm laterally and 350 nm along z.

`python benchmarks/run_3d.py` on {machine}.
"""

BENCHMARK = Benchmark(
    title=TITLE,
    explanation=EXPLANATION,
    phantoms=tuple(PHANTOMS_3D),
    photons=(10.0, 50.0, 200.0),
    methods=("raw", "RL best", "RL plain best", "fast"),
    paper_steps=(20,),
    size=192,
    planes=32,
    reference_size=256,
    reference_planes=40,
    results=RESULTS / "3d",
    page=PAGE,
    section="volumes",
    unshown=("RL plain best",),
)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK, __doc__))
