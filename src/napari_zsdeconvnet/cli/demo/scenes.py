"""What is simulated: an image of filaments, or a widefield volume of them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...psf.psf import PSF
from ...quality.pictures import orthogonal_cuts, side_by_side
from ...simulation.sample import Sample, simulate, simulate_volume

_ZOOM = (0.4, 0.4, 0.2)


@dataclass(frozen=True, eq=False)
class Panel:
    """A picture to be shown: the image, its caption and its voxel size."""

    image: NDArray[Any]
    caption: str
    voxel_size: tuple[float, ...]


@dataclass(frozen=True)
class Scene:
    """All that tells the demo of an image from that of a volume.

    Attributes
    ----------
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
    draw
        Makes the picture.
    microscope
        What `PSF.simulate` needs beside aperture, wavelength and pixel size.
    """

    folder: str
    na: float
    wavelength: float
    truth_fwhm: tuple[float, ...]
    border: tuple[int, ...]
    columns: tuple[str, ...]
    notes: str
    sample: Callable[[argparse.Namespace, Scene], Sample]
    draw: Callable[[list[Panel], NDArray[Any], Path], None]
    microscope: Mapping[str, float]

    def psf(self, sample: Sample) -> PSF:
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
    draw=_draw_images,
    microscope={},
)

VOLUME = Scene(
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
    draw=_draw_volumes,
    microscope={"refractive_index": 1.33},
)
