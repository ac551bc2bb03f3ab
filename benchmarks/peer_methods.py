"""What a user could take instead, as methods of the benchmarks; each runs outside of this process.

A peer is a script in `peers/` and an environment of its own in the folder that the variable
`ZSDECONVNET_PEERS` names; `peers.py` makes them. Peers know the same PSF and camera as ours.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import methods
import numpy as np
import tifffile
from methods import Output, Unavailable
from numpy.typing import NDArray
from scipy import ndimage
from yardstick import Yardstick

from napari_zsdeconvnet.quality.reference_metrics import enlarge
from napari_zsdeconvnet.simulation.sample import Sample, bin_2x2, blur

SCRIPTS = Path(__file__).parent / "peers"
CONSTRAINTS = SCRIPTS.parent.parent / "constraints.txt"
FOLDER = "ZSDECONVNET_PEERS"
"""Variable that names the folder of the environments."""

ITERATIONS = {"YX": (5, 10, 20, 40), "ZYX": (5, 10, 20, 40)}
"""Numbers of iterations of which the truth chooses the best, which no user could."""

LONGEST = 1800
"""Seconds after which a peer is ended."""


@dataclass(frozen=True)
class Peer:
    """A program that somebody else wrote.

    Attributes
    ----------
    name
        As the tables name it.
    script
        In `peers/`, without its ending.
    packages
        What pip installs into its environment, of which the first is the peer.
    licence
        Of the peer.
    about
        What it does, in a few words.
    link
        Where it is from.
    axes
        What it takes.
    denoises
        Whether it only takes noise away, and Richardson-Lucy of ours follows, stopped where the
        truth likes it best.
    constrained
        Whether the versions of `constraints.txt` hold, as where torch is required.
    command
        What has to be on the PATH for it.
    """

    name: str
    script: str
    packages: tuple[str, ...]
    licence: str
    about: str
    link: str
    axes: tuple[str, ...] = ("YX", "ZYX")
    denoises: bool = False
    constrained: bool = False
    command: str | None = None

    @property
    def environment(self) -> str:
        """Folder of its environment, which peers of the same packages share."""
        return self.packages[0].lower() if self.packages else "none"

    @property
    def method(self) -> str:
        """Its name among the methods of the benchmark."""
        return f"{self.name} + RL" if self.denoises else self.name


def _pypi(name: str) -> str:
    return f"https://pypi.org/project/{name}/"


PEERS = (
    Peer(
        "scikit-image RL",
        "skimage_richardson_lucy",
        ("scikit-image", "tifffile"),
        "BSD-3-Clause",
        "Richardson-Lucy",
        _pypi("scikit-image"),
    ),
    Peer(
        "RedLionfish",
        "redlionfish",
        ("RedLionfish", "tifffile"),
        "Apache-2.0",
        "Richardson-Lucy",
        _pypi("RedLionfish"),
        axes=("ZYX",),
    ),
    Peer(
        "cubic",
        "cubic_richardson_lucy",
        ("cubic", "tifffile"),
        "MIT",
        "Richardson-Lucy that extends the edges",
        _pypi("cubic"),
    ),
    Peer(
        "sdeconv Spitfire",
        "sdeconv_spitfire",
        ("sdeconv", "tifffile"),
        "BSD-3-Clause",
        "variational: Hessian and sparsity",
        _pypi("sdeconv"),
        constrained=True,
    ),
    Peer(
        "deconwolf",
        "deconwolf",
        (),
        "GPL-3.0",
        "accelerated Richardson-Lucy",
        "https://github.com/elgw/deconwolf",
        axes=("ZYX",),
        command="dw",
    ),
    Peer(
        "bmnd",
        "block_matching",
        ("bmnd", "tifffile"),
        "MIT",
        "block matching on the variance-stabilised image",
        _pypi("bmnd"),
        denoises=True,
    ),
    Peer(
        "bmnd Poisson",
        "poisson_block_matching",
        ("bmnd", "tifffile"),
        "MIT",
        "block matching on the photons themselves",
        _pypi("bmnd"),
        denoises=True,
    ),
    Peer(
        "BM3D",
        "bm3d_denoising",
        ("bm3d", "tifffile"),
        "non-commercial use only",
        "block matching on the variance-stabilised image",
        _pypi("bm3d"),
        axes=("YX",),
        denoises=True,
    ),
    Peer(
        "BM4D",
        "bm4d_denoising",
        ("bm4d", "tifffile"),
        "non-commercial use only",
        "block matching on the variance-stabilised image",
        _pypi("bm4d"),
        axes=("ZYX",),
        denoises=True,
    ),
)
"""In the order of the tables."""


def install(peer: Peer, folder: Path) -> str:
    """Make the environment of a peer, where there is none; return what went wrong."""
    place = folder / peer.environment
    base = getattr(sys, "_base_executable", sys.executable)
    if not peer.packages or (place / "complete").is_file():
        return ""
    commands = [
        [base, "-m", "venv", str(place)],
        [str(place / "bin" / "pip"), "install", "-q", *peer.packages],
    ]
    if peer.constrained:
        commands[1] += ["-c", str(CONSTRAINTS)]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            return _last_line(done.stderr)
    (place / "complete").touch()
    return ""


def method(peer: Peer) -> Callable[[Sample, int | None, int, str], Output]:
    """Return a method of the benchmark that runs a peer on the first exposure."""

    def run(sample: Sample, steps: int | None, seed: int, device: str) -> Output:
        yardstick = Yardstick(sample)
        if peer.denoises:
            return _denoised_first(peer, sample, yardstick)
        return max(
            (_deconvolved(peer, sample, fine) for fine in {False, sample.upsampling == 2}),
            key=lambda output: yardstick.closeness(output.deconvolved),
        )

    run.__doc__ = f"Run {peer.name} in its own environment."
    return run


def _denoised_first(peer: Peer, sample: Sample, yardstick: Yardstick) -> Output:
    """Denoise by a peer, then deconvolve by Richardson-Lucy at its best by the truth."""
    [found], version = _results(peer, _recording(sample))
    denoised = replace(sample, raw=found.image)
    best, watch = methods.best_iteration(
        denoised, denoised.raw, lambda step: yardstick.closeness(step.estimate)
    )
    return Output(
        found.image - float(sample.noise.offset),
        best.estimate,
        None,
        found.seconds + watch.seconds,
        found.cpu_seconds + watch.cpu_seconds,
        note=f"{best.number} iterations",
        version=version,
    )


def _deconvolved(peer: Peer, sample: Sample, fine: bool) -> Output:
    """Deconvolve by a peer; of its images that is taken which is closest to the truth.

    Where the truth has twice the pixels of the camera, either the image is enlarged before by cubic
    splines (``fine``), or the result.
    """
    yardstick = Yardstick(sample)
    results, version = _results(peer, _recording(sample, fine))

    def on_output_grid(image: NDArray[np.floating]) -> NDArray[np.floating]:
        return image if fine or sample.upsampling == 1 else enlarge(image)

    best = max(results, key=lambda result: yardstick.closeness(on_output_grid(result.image)))
    estimate = on_output_grid(best.image)
    grid = ", enlarged before" if fine else ", enlarged after" if sample.upsampling == 2 else ""
    return Output(
        reblurred(estimate, sample),
        estimate,
        None,
        best.seconds,
        best.cpu_seconds,
        note=best.note + grid,
        version=version,
    )


@dataclass(frozen=True, eq=False)
class _Result:
    image: NDArray[np.floating]
    note: str
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True, eq=False)
class _Recording:
    """What a peer is given: see `peers/exchange.py`."""

    counts: NDArray[Any]
    psf: NDArray[np.floating]
    known: dict[str, Any]


def _recording(sample: Sample, fine: bool = False) -> _Recording:
    """Describe a recording on the camera's grid, or enlarged to that of the truth.

    The PSF then includes the pixel of the camera, as theirs has to.
    """
    psf, voxel_size = np.asarray(sample.psf.array), sample.voxel_size
    if sample.upsampling == 2 and fine:
        psf = ndimage.convolve(np.pad(psf, 1), np.outer(*[[0.25, 0.5, 0.25]] * 2), mode="constant")
        voxel_size = sample.truth_voxel_size
    elif sample.upsampling == 2:
        psf = _binned(psf)
    noise = sample.noise
    known = {
        "offset": float(noise.offset),
        "gain": float(noise.gain or 1.0),
        "read_variance": float(noise.read_variance),
        "voxel_size": list(voxel_size),
        "iterations": ITERATIONS[sample.axes],
    }
    return _Recording(enlarge(sample.raw) if fine else sample.raw, psf / psf.sum(), known)


def _binned(psf: NDArray[np.floating]) -> NDArray[np.floating]:
    """Bring a PSF of odd size to twice its pixel: what one bright pixel of the camera becomes."""
    half = [n // 2 for n in psf.shape]
    centre = [-(-n // 2) for n in half]
    block = np.zeros([4 * n + 2 for n in centre])
    for row in (0, 1):
        for column in (0, 1):
            top, left = 2 * centre[0] - half[0] + row, 2 * centre[1] - half[1] + column
            block[top : top + psf.shape[0], left : left + psf.shape[1]] += psf
    return np.asarray(bin_2x2(block))


def reblurred(estimate: NDArray[np.floating], sample: Sample) -> NDArray[np.floating]:
    """Give the image that an estimate would give on the camera's grid, continued by reflection."""
    width = [(n // 2, n // 2) for n in sample.psf.array.shape]
    image = blur(np.pad(estimate, width, mode="symmetric"), sample.psf)
    return image if sample.upsampling == 1 else bin_2x2(image)


def _results(peer: Peer, recording: _Recording) -> tuple[list[_Result], str]:
    """Run the script of a peer in its environment."""
    if peer.command and shutil.which(peer.command) is None:
        raise Unavailable(f"the command {peer.command} is not on the PATH")
    python = _python(peer)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tifffile.imwrite(folder / "raw.tif", recording.counts.astype(np.float32))
        tifffile.imwrite(folder / "psf.tif", recording.psf.astype(np.float32))
        (folder / "recording.json").write_text(json.dumps(recording.known))
        # A peer must not find our modules.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        command = [str(python), str(SCRIPTS / f"{peer.script}.py"), str(folder)]
        try:
            done = subprocess.run(
                command,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(f"it takes more than {LONGEST} s") from None
        if done.returncode:
            raise Unavailable(_last_line(done.stderr) or f"it ends with {done.returncode}")
        report = json.loads((folder / "report.json").read_text())
        return list(_read(folder, report["results"])), report["version"]


def _read(folder: Path, results: list[dict[str, Any]]) -> Iterator[_Result]:
    for result in results:
        image = tifffile.imread(folder / result.pop("file"))
        yield _Result(np.nan_to_num(image), **result)


def _python(peer: Peer) -> Path:
    if not peer.packages:
        return Path(sys.executable)
    folder = os.environ.get(FOLDER)
    python = Path(folder or "", peer.environment, "bin", "python")
    if folder is None or not python.is_file():
        raise Unavailable("it is not installed")
    return python


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


MISSING = {
    "CAREamics N2V2 + RL": "it has no script yet",
    "ci-deconvolve": "it computes the PSF itself, so that it cannot be given the same one",
    "RLGC": "it is on no package index",
}
"""Programs that have no script, and why."""

METHODS = methods.METHODS | {peer.method: method(peer) for peer in PEERS}
"""Names to methods, peers among them."""
