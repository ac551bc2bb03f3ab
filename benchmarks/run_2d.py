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

from runner import DOCS, RESULTS, Benchmark, run

from napari_zsdeconvnet.simulation.phantoms import PHANTOMS

EXPLANATION = """\
## Phantoms

Every figure below is measured on simulated images of {size}x{size} pixels whose truth is known,
recorded with an offset of 100 counts, a gain of 1 count per electron and a read variance of 4
counts squared; NA 1.3, emission 525 nm, pixels of 62.6 nm. *Photons* is the 99.9th percentile of
the expected photons per pixel. Each phantom is recorded twice with independent noise: methods
see, and networks are trained on, the first exposure alone.

- *Denoised* is compared with the noise-free image, and *PSNR* and *SSIM* compare the deconvolved
  image with the truth at 100 nm FWHM, both after one linear fit of the intensities, with 32
  output pixels left out at each border and the span of the reference as data range. Raw is
  enlarged by bicubic interpolation; "denoised" by Richardson-Lucy is its estimate blurred again.
- *Second exposure*: the same model applied to noise that it has not seen.
- *Filament* is the median full width at half maximum of lines whose true width is zero. *Two
  lines* is the smallest separation, of 80 to 320 nm in steps of 30, from which on the dip between
  two parallel lines is at least Rayleigh's 26.5 %.
- *FRC* is where the Fourier rings of the results of both exposures correlate by less than 1/7;
  63 nm, two output pixels, means nowhere. A method's own prior counts as agreement, so for all
  but raw the figure is an optimistic bound and no resolution. It was taken with all of the
  images faded (a Hann window), which makes that of raw pairs 0.3 % coarser in the median.
- *RL best* is Richardson-Lucy stopped where it is closest to the truth, which no user could
  know; *RL rule* stops by the discrepancy principle. Both are told of the read noise.
- *Memory* is the peak above what the process held before the method began.

Computed on {machine}.
"""

BENCHMARK = Benchmark(
    title="Benchmarks in 2D",
    explanation=EXPLANATION,
    phantoms=tuple(PHANTOMS),
    photons=(5.0, 20.0, 50.0, 200.0),
    methods=("raw", "RL best", "RL rule", "fast", "paper"),
    paper_steps=(100, 1000),
    size=512,
    reference_size=512,
    results=RESULTS,
    page=DOCS / "benchmarks_2d.md",
)

if __name__ == "__main__":
    sys.exit(run(BENCHMARK, __doc__))
