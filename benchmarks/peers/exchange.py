"""What the benchmark and the script of a peer hand each other: files in one folder.

The benchmark writes `raw.tif` (camera counts), `psf.tif` (centred, on the grid of the image, its
sum is 1) and `recording.json`. A script is called with the folder, and writes its images and
`report.json`. It runs in an environment of its own, which has nothing of this package.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import tifffile


@dataclass(frozen=True)
class Recording:
    """What a peer is given.

    Attributes
    ----------
    folder
        Where results are written.
    counts
        (Y, X) or (Z, Y, X), camera counts.
    psf
        Of as many axes, on the same grid.
    offset, gain, read_variance
        Counts, counts per electron, counts squared.
    voxel_size
        Micrometres along each axis.
    iterations
        Numbers of iterations to try, ascending.
    """

    folder: Path
    counts: np.ndarray
    psf: np.ndarray
    offset: float
    gain: float
    read_variance: float
    voxel_size: Sequence[float]
    iterations: Sequence[int]

    @classmethod
    def read(cls) -> Recording:
        """Read the folder that the command line names."""
        folder = Path(sys.argv[1])
        known = json.loads((folder / "recording.json").read_text())
        counts = tifffile.imread(folder / "raw.tif").astype(np.float32)
        psf = tifffile.imread(folder / "psf.tif").astype(np.float32)
        return cls(folder, counts, psf, **known)

    @property
    def light(self) -> np.ndarray:
        """Counts above the offset; what noise takes below is cut, as peers refuse it."""
        return np.maximum(self.counts - np.float32(self.offset), 0)


class Report:
    """Images of a peer with what each of them took.

    Parameters
    ----------
    recording
        Of which they are.
    package
        The distribution whose version is stated.
    version
        Stated where there is no distribution.
    """

    def __init__(self, recording: Recording, package: str = "", version: str = "") -> None:
        self.recording = recording
        version = version or metadata.version(package)
        self._report: dict[str, Any] = {"version": version, "results": []}

    def add(self, work: Callable[[], np.ndarray], note: str = "") -> np.ndarray:
        """Do the work, time it and keep its image; importing and reading are not timed."""
        wall, cpu = time.perf_counter(), _cpu_seconds()
        image = np.asarray(work(), np.float32)
        results = self._report["results"]
        file = f"result_{len(results)}.tif"
        results.append(
            {
                "file": file,
                "note": note,
                "seconds": time.perf_counter() - wall,
                "cpu_seconds": _cpu_seconds() - cpu,
            }
        )
        tifffile.imwrite(self.recording.folder / file, image)
        (self.recording.folder / "report.json").write_text(json.dumps(self._report))
        return image


def sweep(package: str, method: Callable[[Recording, int], np.ndarray]) -> None:
    """Run an iterative method once for each number of iterations."""
    recording = Recording.read()
    report = Report(recording, package)
    for number in recording.iterations:
        report.add(lambda number=number: method(recording, number), f"{number} iterations")


def _cpu_seconds() -> float:
    """Seconds of all threads of this process and of processes that it has waited for."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)
