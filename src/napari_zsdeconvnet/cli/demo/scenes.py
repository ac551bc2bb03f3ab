"""What is simulated: an image of filaments, a widefield volume, or raw SIM frames of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...psf.psf import PSF
from ...quality.pictures import orthogonal_cuts, side_by_side
from ...simulation.raw_sim import SIMSample, simulate_sim
from ...simulation.sample import Sample, simulate, simulate_volume
from .baselines import Baseline, Panel, of_frames, of_images

if TYPE_CHECKING:
    from ...modes.base import Mode
    from .scores import Judge

Simulated: TypeAlias = "Sample | SIMSample"

_ZOOM = (0.4, 0.4, 0.2)


@dataclass(frozen=True)
class Scene:
    """All that tells the demo of one kind of recording from that of another.

    Attributes
    ----------
    mode
        Of the recording.
    axes, raw_axes
        Of the truth and results, and of the raw recording.
    raw_name
        What messages call the recording.
    folder
        Where results go unless the user names another folder.
    na, wavelength
        Of the microscope; wavelength in micrometres.
    truth_fwhm
        Micrometres along each axis: at this resolution results are compared with the truth.
    border
        Output pixels left out at each side, and fewer of a very small sample.
    columns
        What the table shows, out of `scores.COLUMNS`.
    notes
        What the reader of the table must know.
    sample
        Simulates it, from the command line and the microscope.
    words
        Says how large it is.
    baselines
        Makes what ours is compared with.
    draw
        Makes the picture.
    microscope
        What `PSF.simulate` needs beside aperture, wavelength and pixel size.
    """

    mode: str
    axes: str
    raw_axes: str
    raw_name: str
    folder: str
    na: float
    wavelength: float
    truth_fwhm: tuple[float, ...]
    border: tuple[int, ...]
    columns: tuple[str, ...]
    notes: str
    sample: Callable[[argparse.Namespace, Scene], Simulated]
    words: Callable[[Simulated], str]
    baselines: Callable[[Judge, PSF, Mode], dict[str, Baseline]]
    draw: Callable[[list[Panel], NDArray[Any], Path], None]
    microscope: Mapping[str, float]

    @property
    def has_raw_grid(self) -> bool:
        """Whether results can be compared with the raw pixels."""
        return self.raw_axes == self.axes

    def psf(self, sample: Simulated) -> PSF:
        """Simulate the PSF on the grid of the truth."""
        *axial, _, pixel = sample.truth_voxel_size
        options: dict[str, Any] = {**self.microscope}
        if axial:
            options["axial_step"] = axial[0]
        return PSF.simulate(self.na, self.wavelength, pixel, **options)


def _image(arguments: argparse.Namespace, scene: Scene) -> Sample:
    size = arguments.size or 512
    return simulate(
        "filaments",
        shape=(size, size),
        photons=arguments.photons,
        na=scene.na,
        wavelength=scene.wavelength,
        seed=arguments.seed or 0,
    )


def _volume(arguments: argparse.Namespace, scene: Scene) -> Sample:
    size = arguments.size or 192
    return simulate_volume(
        "filaments",
        shape=(arguments.planes or 32, size, size),
        photons=arguments.photons,
        na=scene.na,
        wavelength=scene.wavelength,
        refractive_index=scene.microscope["refractive_index"],
        seed=arguments.seed or 0,
    )


def _frames(arguments: argparse.Namespace, scene: Scene) -> SIMSample:
    size = arguments.size or 256
    return simulate_sim(
        "filaments",
        shape=(size, size),
        photons=arguments.photons,
        na=scene.na,
        wavelength=scene.wavelength,
        seed=arguments.seed or 0,
    )


def _size(unit: str) -> Callable[[Simulated], str]:
    return lambda sample: f"{' x '.join(map(str, sample.raw.shape))} {unit}"


def _draw_images(panels: list[Panel], truth: NDArray[Any], path: Path) -> None:
    side_by_side(
        [panel.image for panel in panels],
        [panel.caption for panel in panels],
        path,
        pixel_sizes=[panel.voxel_size[-1] for panel in panels],
        zoom=_ZOOM,
        panel_width=384,
    )


def _draw_volumes(panels: list[Panel], truth: NDArray[Any], path: Path) -> None:
    """Cut where the truth has most to show, in the middle half of it."""
    power = np.square(truth)
    plane, row = (_brightest(power.mean(axis=others)) for others in ((1, 2), (0, 2)))
    orthogonal_cuts(
        [panel.image for panel in panels],
        [panel.caption for panel in panels],
        path,
        voxel_sizes=[panel.voxel_size for panel in panels],
        at=((plane + 0.5) / truth.shape[0], (row + 0.5) / truth.shape[1]),
        panel_width=384,
    )


def _brightest(profile: NDArray[Any]) -> int:
    quarter = len(profile) // 4
    return quarter + int(profile[quarter : len(profile) - quarter].argmax())


IMAGE = Scene(
    mode="image",
    axes="YX",
    raw_axes="YX",
    raw_name="the raw image",
    folder="zsdeconvnet-demo",
    na=1.3,
    wavelength=0.525,
    truth_fwhm=(0.1, 0.1),
    border=(32, 32),
    columns=("PSNR", "SSIM", "denoised", "filament", "resolution", "time"),
    notes="PSNR and SSIM against the truth at 100 nm; denoised against the noise-free image; "
    "resolution by Fourier ring\ncorrelation of two exposures, for all but the raw image an "
    "optimistic bound.",
    sample=_image,
    words=_size("pixels"),
    baselines=of_images,
    draw=_draw_images,
    microscope={},
)

VOLUME = Scene(
    mode="volume",
    axes="ZYX",
    raw_axes="ZYX",
    raw_name="the raw image",
    folder="zsdeconvnet-demo-3d",
    na=1.1,
    wavelength=0.525,
    truth_fwhm=(0.35, 0.15, 0.15),
    border=(3, 12, 12),
    columns=("PSNR", "SSIM", "denoised", "filament", "along z", "light", "time"),
    notes="PSNR and SSIM against the truth at 150 nm laterally and 350 nm along z; denoised "
    "against the noise-free volume;\nwidths of filaments, which are thin, sideways and along z; "
    "light of the result blurred again, as a share of that in the raw volume.",
    sample=_volume,
    words=_size("voxels"),
    baselines=of_images,
    draw=_draw_volumes,
    microscope={"refractive_index": 1.33},
)

FRAMES = Scene(
    mode="sim",
    axes="YX",
    raw_axes="TYX",
    raw_name="the raw frames",
    folder="zsdeconvnet-demo-sim",
    na=1.41,
    wavelength=0.525,
    truth_fwhm=(0.08, 0.08),
    border=(24, 24),
    columns=("PSNR", "SSIM", "filament", "resolution", "time"),
    notes="PSNR and SSIM against the truth at 80 nm; resolution by Fourier ring correlation of two "
    "exposures, for all but\nwidefield and Wiener SIM an optimistic bound.",
    sample=_frames,
    words=lambda sample: f"9 frames of {sample.raw.shape[-2]} x {sample.raw.shape[-1]}",
    baselines=of_frames,
    draw=_draw_images,
    microscope={},
)

SCENES = {"image": IMAGE, "volume": VOLUME, "sim": FRAMES}
