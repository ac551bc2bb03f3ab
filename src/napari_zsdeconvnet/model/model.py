"""A trained model: the network and everything it was trained with, in one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ..inference.out_of_focus import out_of_focus_background
from ..inference.predict import Result, TileProgress, exhaust, output_shape
from ..inference.raw_frames import are_raw_frames
from ..io.grid import nanometres, same_pixel_size, voxel_of
from ..io.image import Image, PixelRule
from ..networks.base import TwoStageNetwork
from ..noise.camera_maps import Camera, CameraMaps, check_fits
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import PixelMask
from ..noise.usable_pixels import usable_pixels
from ..physics.stripe_filter import Damping
from ..psf.psf import PSF
from ..utils.each import Each
from ..utils.errors import InputError, Remedy
from ..utils.json_values import parse_json
from .best_weights import Choice
from .model_file import TRAINING, below, read_file, understood, write_file
from .predicting import iter_predict
from .provenance import Beginning, Source, Stretch, installed_versions
from .serialization import read_model, written

_FIRST_WEIGHTS = {
    "prior": "the pretrained weights",
    "model": "the weights that it began with",
    "scratch": "the first weights, which give a classical result,",
}


@dataclass(frozen=True, eq=False)
class Model:
    """A network with the imaging conditions that it has learned to invert.

    Made by `train` or `Model.load`.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> sample = zs.simulate("filaments", shape=(64, 64))
    >>> run = zs.train(sample.raw, sample.psf, sample.noise, steps=1, device="cpu")
    >>> _ = list(run)
    >>> run.model.save("cells.safetensors")
    >>> zs.Model.load("cells.safetensors").steps_trained
    1
    """

    network: TwoStageNetwork
    preset: str
    """Name of the preset that it was trained with."""
    settings: Mapping[str, Any]
    """The preset's settings as trained, the network's name among them."""
    psf: PSF
    """On the output grid."""
    noise: NoiseModel
    scale: float
    """Counts above the offset that are 1 to the network, the same for every image and frame."""
    axes: Literal["YX", "ZYX"]
    """Axes of the images that the network takes."""
    voxel_size: tuple[float, ...] | None
    """Raw pixel ([Z,] Y, X) in micrometres; None where it was not given."""
    seed: int
    data_hash: str
    """SHA-256 of the training images."""
    history: tuple[Mapping[str, float], ...] = ()
    """Step, loss terms and learning rate along the training."""
    warnings: tuple[str, ...] = ()
    """What was noticed about images, PSF and noise when training began."""
    versions: Mapping[str, str] = field(default_factory=lambda: installed_versions())
    reconstruction: Mapping[str, Any] | None = None
    """What made the images out of raw SIM frames, as `sim.Reconstruction.to_dict` gives it."""
    camera: NoiseModel | CameraMaps | None = None
    """Of those frames, whose noise is not that of the images, or the maps of the camera that
    recorded the images; None where there were neither."""
    sources: tuple[Source, ...] = ()
    """The training images, or raw SIM frames; empty in files of before they were kept."""
    stretches: tuple[Stretch, ...] = ()
    """What was trained when and on what; empty in files of before it was kept."""
    beginning: Beginning | None = None
    """The model whose weights it began with; None where those were the prior's or random."""
    ending: str = ""
    """Why the training ended by itself, if it did."""
    out_of_focus: bool = False
    """Whether images have a background that is out of focus and left out of what is deconvolved."""
    chosen: Choice | None = None
    """Which weights were kept by the held-out pixels; None where there were none."""

    @property
    def kept(self) -> str:
        """Say in a sentence which weights were kept, where held-out pixels decided."""
        if self.chosen is None:
            return ""
        return self.chosen.describe(
            _FIRST_WEIGHTS.get(str(self.settings.get("start")), _FIRST_WEIGHTS["model"])
        )

    @property
    def upsampling(self) -> int:
        """How many output pixels stand side by side in a raw pixel."""
        return self.network.upsampling

    @property
    def maps(self) -> CameraMaps | None:
        """Of the camera that recorded the training images; None where its pixels are alike."""
        of_images = self.reconstruction is None and isinstance(self.camera, CameraMaps)
        return self.camera if of_images else None  # type: ignore[return-value]

    def maps_for(
        self, camera: CameraMaps | None, frames: Any, name: str = "the image"
    ) -> CameraMaps | None:
        """Give the maps by which an image is brought to the offset that the network expects.

        Parameters
        ----------
        camera : CameraMaps, optional
            Of the camera that recorded the image; by default that of the training images, or
            what is measured in the image itself where that was so in training.
        frames : ndarray
            The image, (T, [Z,] Y, X).
        name : str
            What messages call it.

        Raises
        ------
        InputError
            If the maps have another shape than the image.
        """
        maps = self.maps if camera is None else camera
        shape = tuple(frames.shape)
        if maps is not None and maps.of_image and camera is None:
            cutoff = self.psf.otf_cutoff * self.psf.steps[-1] * self.upsampling
            maps = CameraMaps.from_lines(frames, self.noise, cutoff)
        if maps is None:
            return None
        if camera is None and tuple(shape[-2:]) != maps.shape:
            raise InputError(
                "camera-maps-size",
                f"The model was trained with maps of {maps.shape[0]} x {maps.shape[1]} camera "
                f"pixels and {name} has {shape[-2]} x {shape[-1]}",
                Remedy("camera-part"),
            )
        check_fits(maps, shape, name)
        return replace(maps, typical=replace(maps.typical, offset=self.noise.offset))

    @property
    def steps_trained(self) -> int:
        """Optimiser steps behind this model."""
        return int(self.history[-1]["step"]) if self.history else 0

    @property
    def stopped(self) -> str:
        """Say "stopped after 20 of 240 steps" of a training that was; empty of one that ended."""
        planned = self.stretches[-1].planned if self.stretches else 0
        if self.ending or self.steps_trained >= planned:
            return ""
        return f"stopped after {self.steps_trained} of {planned} steps"

    def describe(self) -> str:
        """Say in a few lines what the model is and what it is for."""
        pixel = (
            "pixel size not recorded"
            if self.voxel_size is None
            else f"raw {self._elements()} of {nanometres(self.voxel_size)}"
        )
        return "\n".join(
            (
                f"{self.preset} model for {self._kind()}, {self._grid()}, {pixel}",
                f"{self.stopped or f'trained for {self.steps_trained} steps'}, seed {self.seed}, "
                f"data {self.data_hash[:12]}",
                f"PSF: {self.psf.describe()}",
                f"Noise: {self.noise.describe()}",
                *(["With a smooth out-of-focus background."] if self.out_of_focus else []),
            )
        )

    def _grid(self) -> str:
        if self.upsampling == 1:
            return "output on the raw grid"
        lateral = " in Y and X" if self.axes == "ZYX" else ""
        return f"output grid {self.upsampling}x finer{lateral}"

    def _kind(self) -> str:
        return "volumes" if self.axes == "ZYX" else "images"

    def _elements(self) -> str:
        return "voxels" if self.axes == "ZYX" else "pixels"

    def output_shapes(self, shape: Sequence[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Shapes of both results of an image of this shape, for room to be made.

        Parameters
        ----------
        shape : sequence of int
            Of the image, any axes that end in Y, X.
        """
        return tuple(shape), output_shape(self.network, tuple(shape))

    def background(self, frame: ArrayLike) -> NDArray[np.float32] | None:
        """Estimate the out-of-focus background of a frame, as `predict` does.

        Parameters
        ----------
        frame : array_like
            Counts, (Y, X).

        Returns
        -------
        ndarray or None
            Counts above the offset, (Y, X); None for a model without such a background.
        """
        return self._estimate(frame) if self.out_of_focus else None

    def _estimate(self, frame: ArrayLike) -> NDArray[np.float32]:
        return out_of_focus_background(frame, self.psf, self.noise, self.upsampling)

    def predict(
        self,
        image: ArrayLike | Image,
        *,
        axes: str | None = None,
        voxel_size: tuple[float, ...] | None = None,
        device: str | torch.device = "auto",
        tile: int | tuple[int, ...] | None = None,
        repeats: int = 0,
        seed: int = 0,
        damping: Damping | None = None,
        into: Result | None = None,
        camera: Camera | None = None,
        reconstruction: Mapping[str, Any] | None = None,
        progress: Callable[[TileProgress], None] | None = None,
    ) -> Result:
        """Denoise and deconvolve an image.

        Parameters
        ----------
        image : array_like or Image
            Counts, shape ([T,] Y, X) for a model of images and ([T,] Z, Y, X) for one of
            volumes, of any size. What is read by slicing it, such as a memory map, is read
            one tile at a time.
        axes : str, optional
            Letters for the axes of an array; by default as many of ``"TYX"`` or ``"TZYX"``
            as it has, from the right.
        voxel_size : tuple of float, optional
            Voxel size ([Z,] Y, X) in micrometres, checked against the model's; by default
            that of an `Image`.
        device : str
            See `devices.resolve_device`.
        tile : int or tuple of int, optional
            Size in raw pixels of the windows computed at a time, overlap included: their
            width, or one number for each axis. By default as large as the free memory
            allows; what is too small to hold the overlap is raised to the least that works.
        repeats : int
            Average over this many re-corruptions of the image (equation 2) instead of taking
            it as it is; time grows accordingly.
        seed : int
            Seed of those re-corruptions.
        damping : Damping, optional
            Takes stripes out of each plane first; by default none.
        into : Result, optional
            Where to put the results, such as files mapped into memory, of `output_shapes`;
            by default new arrays.
        camera : CameraMaps, optional
            Maps of the camera that recorded the image, or of the part of it that was read out;
            by default those of the training images, where there were any. Of raw SIM frames, which
            a model that was trained on such reconstructs first, the camera, maps or not.
        reconstruction : mapping, optional
            What raw SIM frames are reconstructed with in place of the model's own, as
            `sim.Reconstruction.to_dict` gives it.
        progress : callable, optional
            Called after every tile; what it raises ends the inference.

        Returns
        -------
        Result
            Both images in float32, in the image's own counts above the offset.

        Raises
        ------
        InputError
            If the image has unfit axes, NaN, another pixel size than the model's, or counts
            that were normalised elsewhere or lie below the camera's offset, or if memory runs
            out even with the smallest tiles.
        """
        tiles = self.iter_predict(
            image,
            axes=axes,
            voxel_size=voxel_size,
            device=device,
            tile=tile,
            repeats=repeats,
            seed=seed,
            damping=damping,
            into=into,
            camera=camera,
            reconstruction=reconstruction,
        )
        return exhaust(tiles, progress)

    def iter_predict(
        self, image: ArrayLike | Image, **settings: Any
    ) -> Generator[TileProgress, None, Result]:
        """Predict tile by tile: yields `TileProgress`, returns the `Result`.

        The parameters are those of `predict`, and `mask`, what must not be used of the image where
        that is known, (T, [Z,] Y, X): nothing is searched then. Close the generator to cancel.
        """
        return iter_predict(self, image, **settings)

    def takes_raw(
        self, image: ArrayLike | Image, voxel_size: tuple[float, ...] | None = None
    ) -> bool:
        """Tell raw SIM frames of the model's kind from what was reconstructed of such."""
        if self.reconstruction is None:
            return False
        size = image.voxel_size if isinstance(image, Image) else voxel_size
        pixels = image.data if isinstance(image, Image) else image
        pixel = None if size is None else voxel_of(size)[-1]
        shape = pixels.shape if hasattr(pixels, "shape") else np.shape(pixels)
        return are_raw_frames(self.reconstruction, tuple(shape), pixel)

    def pixel_mask(
        self,
        frames: Any,
        rule: PixelRule,
        name: str = "image",
        each: Each | None = None,
        among: Sequence[int] | None = None,
    ) -> PixelMask | None:
        """Find the pixels of a recording that must not be used.

        Parameters
        ----------
        frames : array
            (T, [Z,] Y, X) counts; of maps those that are evened.
        rule : PixelRule
            What is said of them; saturated pixels are masked, however many they are.
        name : str
            What messages call the recording.
        each : callable
            Looks at the planes, as `map` does.
        among : sequence of int, optional
            Indices along T of the frames that are looked at; by default all of them.
        """
        rule = replace(rule, saturation="mask")
        width = psf_width(self.psf, self.upsampling)
        return usable_pixels(frames, rule, width=width, name=name, each=each, among=among)

    def check_voxel_size(self, voxel_size: tuple[float, ...] | None, name: str) -> None:
        """Raise InputError if pixels of this size ([Z,] Y, X; micrometres) are not the model's."""
        if voxel_size is None or self.voxel_size is None:
            return
        voxel = voxel_of(voxel_size, self.axes)
        if not same_pixel_size(voxel, self.voxel_size):
            elements = self._elements()
            raise InputError(
                "model-other-pixel-size",
                f"{name} has {elements} of {nanometres(voxel)} and the model was trained on "
                f"{nanometres(self.voxel_size)}: train a model for this {elements[:-1]} size.",
            )

    # ------------------------------------------------------------------ the file

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to one file, whole or not at all.

        The weights and the PSF are stored as safetensors, which holds numbers only and
        executes nothing; everything else is JSON in its header.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        save_with_training(self, path, {}, {})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Model:
        """Read a model and check all of it.

        Raises
        ------
        InputError
            If the file is missing, truncated, foreign, from a newer version, or does not
            fit together.
        """
        return load_with_training(path)[0]


def psf_width(psf: PSF, upsampling: int) -> float:
    """Lateral width of a PSF on the output grid, in raw pixels; NaN where it has none."""
    return psf.fwhm[-1] / psf.steps[-1] / upsampling


def save_with_training(
    model: Model,
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
) -> None:
    """Write a model together with what is needed to go on training it.

    Parameters
    ----------
    model : Model
        What `Model.load` gives back.
    path : path
        The file.
    tensors, state : mapping
        Optimiser, weights and random state as tensors, the rest as JSON.
    """
    write_file(path, *written(model, tensors, state))


def load_with_training(
    path: str | os.PathLike[str],
) -> tuple[Model, dict[str, Tensor], dict[str, Any]]:
    """Read what `save_with_training` wrote; the last two are empty for a plain model."""
    described, tensors = read_file(path)
    with understood(path):
        header = parse_json(described)
        model = read_model(Model, header, tensors)
        return model, below(TRAINING, tensors), header["training"]
