"""Picture the simulated nucleus of docs/volumes.md: raw, by Richardson-Lucy, by fast, and as it is.

    python docs/make_nucleus_pictures.py nucleus.tif nucleus_deconvolved.tif nucleus_truth.tif

The deconvolved stack is what `zsdeconvnet run` or `predict` has written. Richardson-Lucy is done
here, with the same PSF, as in `benchmarks/run_nuclei.py`. The picture goes to
docs/images/nucleus.png, from black at 0 to white at the brightest voxel of what is shown of each
volume; the shares of light in the planes of the nucleus are printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile

from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality.pictures import orthogonal_cuts

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from run_nuclei import CLASSICAL_STEPS, OBJECTIVE, VOXEL, classical

OFFSET = 100.0
PLANES = slice(13, 30)  # of the nucleus


def main() -> None:
    """Draw the picture and print the shares."""
    raw, result, truth = (tifffile.imread(path) for path in sys.argv[1:4])
    psf = PSF.simulate(pixel_size=VOXEL[1], axial_step=VOXEL[0], stack=raw.shape, **OBJECTIVE)
    volumes = {
        "Raw": raw - np.float32(OFFSET),
        f"Richardson-Lucy, {CLASSICAL_STEPS} steps": classical(raw, psf),
        "Deconvolved": result,
        "Truth": truth,
    }
    for name, volume in volumes.items():
        print(f"{name:26s} {100 * volume[PLANES].sum() / volume.sum():.1f} %")
    orthogonal_cuts(
        list(volumes.values()),
        list(volumes),
        Path(__file__).parent / "images" / "nucleus.png",
        voxel_sizes=VOXEL,
        at=(0.5, 0.5),
        percentiles=(0, 100),
        panel_width=270,
    )


if __name__ == "__main__":
    main()
