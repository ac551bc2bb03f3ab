"""Benchmark 2D denoising and deconvolution on phantoms with a known truth.

    python benchmarks/run_2d.py                       # everything; hours on two cores
    python benchmarks/run_2d.py --phantom filaments --photons 50 --only raw "RL best" fast
    python benchmarks/run_2d.py --report-only         # tables and picture from what is there

Every case is computed in a process of its own and kept in a file, so an interrupted run goes
on where it was. A case is computed again when its settings or those of its preset have
changed, or with --again.
"""

from __future__ import annotations

import sys

from runner import DETAILS, RESULTS, TITLE, Benchmark, run

from napari_zsdeconvnet.simulation.phantoms import PHANTOMS

EXPLANATION = """\
## Images, by phantom

Simulated images of {size}x{size} pixels: NA 1.3, emission 525 nm, pixels of 62.6 nm, offset 100
counts, gain 1, read variance 4. Cells have PSNR / SSIM against the truth at 100 nm and, of
trainings, CPU seconds on one thread. *Raw* is enlarged by bicubic interpolation.

`python benchmarks/run_2d.py` on {machine}.
"""

BENCHMARK = Benchmark(
    title=TITLE,
    explanation=EXPLANATION,
    phantoms=tuple(PHANTOMS),
    photons=(5.0, 20.0, 50.0, 200.0),
    methods=("raw", "RL best", "RL rule", "fast", "paper"),
    paper_steps=(100, 1000),
    size=512,
    reference_size=512,
    results=RESULTS,
    page=DETAILS,
    section="images",
    unshown=("RL rule",),
)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK, __doc__))
