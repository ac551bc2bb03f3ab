"""deconwolf by its command `dw`, one call for each number of iterations."""

import subprocess

import numpy as np
import tifffile
from exchange import Recording, Report


def deconvolved(recording: Recording, iterations: int) -> np.ndarray:
    """Let `dw` work on files of the folder; it takes whole counts."""
    light = np.clip(np.rint(recording.light), 0, 65535).astype(np.uint16)
    tifffile.imwrite(recording.folder / "stack.tif", light)
    tifffile.imwrite(recording.folder / "kernel.tif", recording.psf)
    options = ["--iter", str(iterations), "--overwrite", "--out", "estimate.tif"]
    command = ["dw", *options, "stack.tif", "kernel.tif"]
    subprocess.run(command, cwd=recording.folder, check=True, capture_output=True)
    return tifffile.imread(recording.folder / "estimate.tif")


said = subprocess.run(["dw", "--version"], capture_output=True, text=True, check=True).stdout
report = Report(Recording.read(), version=said.split("\n")[0])
for number in report.recording.iterations:
    report.add(lambda number=number: deconvolved(report.recording, number), f"{number} iterations")
