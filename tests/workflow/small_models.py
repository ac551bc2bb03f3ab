"""Networks of one line, their models, and recordings as OME-Zarr, for tests of predictions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from torch.nn import functional as F

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.networks.base import TwoStageNetwork
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF

NOISE = NoiseModel(offset=100, gain=2.0, read_variance=9.0)
PIXEL = 0.1


class Losing(TwoStageNetwork):
    """Loses a tenth of the light in one output and a sixth in the other, and blurs both."""

    multiple = 4
    receptive_field = 8
    bytes_per_pixel = 100
    computed = 0

    def forward(
        self, image: torch.Tensor, excess: object = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.computed += 1
        window = F.avg_pool2d(image.reshape(-1, 1, *image.shape[-2:]), 3, 1, 1)
        fine = F.interpolate(window, scale_factor=2.0)
        shape = image.shape[:-2]
        return (
            0.9 * window.reshape(*shape, *window.shape[-2:]),
            0.83 * fine.reshape(*shape, *fine.shape[-2:]),
        )


class LosingVolume(Losing):
    """The same of volumes, whose results are balanced as a whole."""

    axial_field = 2


class KeepingVolume(LosingVolume):
    """One whose results need no correction."""

    keeps_light = True


def model_of(network: TwoStageNetwork) -> Model:
    deep = network.axial_field is not None
    step = (0.3,) if deep else ()
    spot = np.full((5,) * (3 if deep else 2), 1e-3)
    spot[(2,) * spot.ndim] = 1
    return Model(
        network=network,
        preset="fast",
        settings=asdict(PRESETS["fast"]),
        psf=PSF.from_array(spot, (*step, PIXEL / 2, PIXEL / 2)),
        noise=NOISE,
        scale=50.0,
        axes="ZYX" if deep else "YX",
        voxel_size=(*step, PIXEL, PIXEL),
        seed=0,
        data_hash="",
    )


def recording(folder: Path, axes: str) -> Image:
    """Two frames or volumes of noise as OME-Zarr, read lazily."""
    lengths = {"T": 2, "Z": 6, "Y": 70, "X": 90}
    shape = [lengths[letter] for letter in axes]
    pixels = np.random.default_rng(1).poisson(300, shape).astype(np.uint16)
    group = zarr.open_group(folder / "in.ome.zarr", mode="w")
    group.create_array("0", data=pixels, chunks=(1,) * (len(axes) - 2) + (32, 32))
    sizes = {"T": 0.5, "Z": 0.3, "Y": PIXEL, "X": PIXEL}
    kinds: dict[str, Any] = {"T": {"type": "time", "unit": "second"}}
    space = {"type": "space", "unit": "micrometer"}
    described = {
        "axes": [{"name": letter.lower(), **kinds.get(letter, space)} for letter in axes],
        "datasets": [
            {
                "path": "0",
                "coordinateTransformations": [
                    {"type": "scale", "scale": [sizes[letter] for letter in axes]}
                ],
            }
        ],
    }
    channels = [{"label": "Actin", "color": "00FF00"}]
    ome: Any = {"multiscales": [described], "omero": {"channels": channels}}
    group.attrs["ome"] = {"version": "0.5", **ome}
    return read_image(folder / "in.ome.zarr")


def written(path: Path) -> np.ndarray:
    """Pixels of a result without its channel."""
    image = read_image(path)
    return np.asarray(image.data).squeeze(image.axes.index("C"))
