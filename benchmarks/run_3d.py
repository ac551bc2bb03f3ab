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

from runner import DOCS, RESULTS, Benchmark, run

from napari_zsdeconvnet.simulation.phantoms_3d import PHANTOMS_3D

EXPLANATION = """\
## Phantoms

Every figure below is measured on simulated widefield stacks of {planes}x{size}x{size} voxels whose
truth is known, recorded with an offset of 100 counts, a gain of 1 count per electron and a read
variance of 4 counts squared; NA 1.1 in water, emission 525 nm, voxels of 200 x 90 x 90 nm.
*Photons* is the 99.9th percentile of the expected photons per voxel. Light from beyond the sides
and from above and below the stack is part of it. Each phantom is recorded twice with independent
noise: methods see, and networks are trained on, the first exposure alone. Nothing is enlarged:
every result has the grid of the stack. *reference* is a stack of 40x256x256 voxels of 185.2 x 92.6
x 92.6 nm that another program simulated; its second exposure is ours, and the courses of its
filaments are not known.

- *Denoised* is compared with the noise-free stack, and *PSNR* and *SSIM* compare the deconvolved
  stack with the truth at 150 nm FWHM sideways and 350 nm along z, both after one linear fit of the
  intensities, with 3 planes and 12 pixels left out at each border and the span of the reference as
  data range. SSIM has a Gaussian window of sigma 1.5 voxels along all three axes.
- *Second exposure*: the same model applied to noise that it has not seen.
- *Filament* is the median full width at half maximum of lines whose true width is zero, sideways
  and along z, the latter where they rise by less than 20 degrees.
- *RL best* is Richardson-Lucy stopped where its PSNR against the truth is highest, which no user
  could know, and is told of the read noise; *RL plain best* likewise, and is not. Both hold the
  light of the stack and continue it by reflection. "Denoised" is the estimate blurred again.
- *Memory* is the peak above what the process held before the method began.

Computed on {machine}.
"""

BENCHMARK = Benchmark(
    title="Benchmarks in 3D",
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
    page=DOCS / "benchmarks_3d.md",
)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK, __doc__))
