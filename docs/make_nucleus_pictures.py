"""Picture the simulated nucleus of docs/volumes.md, raw, deconvolved and as it is.

    python docs/make_nucleus_pictures.py nucleus.tif nucleus_deconvolved.tif nucleus_truth.tif

The deconvolved stack is what `zsdeconvnet predict` has written. The picture goes to
docs/images/nucleus.png; the share of light in the planes of the nucleus is printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tifffile

from napari_zsdeconvnet.pictures import orthogonal_cuts

VOXEL = (0.3, 0.13, 0.13)  # micrometres
OFFSET = 100.0
PLANES = slice(13, 30)  # of the nucleus


def main() -> None:
    """Draw the picture and print the shares."""
    raw, result, truth = (tifffile.imread(path).astype(np.float32) for path in sys.argv[1:4])
    volumes = {"Raw": raw - OFFSET, "Deconvolved": result, "Truth": truth}
    for name, volume in volumes.items():
        print(f"{name:12s} {100 * volume[PLANES].sum() / volume.sum():.1f} %")
    orthogonal_cuts(
        list(volumes.values()),
        list(volumes),
        Path(__file__).parent / "images" / "nucleus.png",
        voxel_sizes=VOXEL,
        at=(0.5, 0.5),
        percentiles=(0, 99.8),
        panel_width=330,
    )


if __name__ == "__main__":
    main()
