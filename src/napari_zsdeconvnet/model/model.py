"""A trained model: the network and everything it was trained with, in one file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import textwrap
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors.torch
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..inference.out_of_focus import out_of_focus_background
from ..inference.predict import Averaging, Result, TileProgress, exhaust, infer, output_shape
from ..inference.raw_frames import are_raw_frames, iter_predict_raw
from ..io.image import Image, PixelRule, as_frames
from ..io.units import PIXEL_SIZE_TOLERANCE, checked_length
from ..networks.base import TwoStageNetwork
from ..networks.registry import build_network
from ..noise.camera_maps import Camera, CameraMaps, check_fits, typical_of
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import Kind, PixelMask
from ..noise.processed_images import processed_words, refuse_below_offset
from ..noise.usable_pixels import usable_pixels, with_mask
from ..physics.stripe_filter import Damping
from ..psf.psf import PSF
from ..sim.patterns import check_reconstruction
from ..sim.reconstruction import Reconstruction
from ..utils.devices import resolve_device
from ..utils.errors import InputError
from ..utils.files import written_whole
from ..utils.json_values import built, fitting, parse_json
from .best_weights import Choice
from .presets import read_settings
from .provenance import Beginning, Source, Stretch, weights_fingerprint

FORMAT = 1
"""Layout of the file; raised when a reader of today would misread a file of tomorrow."""

WITH_BACKGROUND = 2
"""The same for models with an out-of-focus background, which readers of before would leave in."""

_HEADER = "zsdeconvnet"
_CHECKSUM = "sha256"
_NETWORK = "network."
_TRAINING = "training."
_PSF = "psf"
_CAMERA = "camera."


_FIRST_WEIGHTS = {
    "prior": "the pretrained weights",
    "model": "the weights that it began with",
    "scratch": "the first weights, which give a classical result,",
}


@dataclass(frozen=True, eq=False)
class Model:
    """A network with the imaging conditions that it has learned to invert.

    Made by `train` or `Model.load`.
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
                f"The model was trained with maps of {maps.shape[0]} x {maps.shape[1]} camera "
                f"pixels and {name} has {shape[-2]} x {shape[-1]}: give the maps of the part of "
                "the camera that recorded it (camera=maps.part(start, shape), or --offset-map and "
                "its like)."
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
        mask: PixelMask | None = None,
    ) -> Generator[TileProgress, None, Result]:
        """Predict tile by tile: yields `TileProgress`, returns the `Result`.

        The parameters are those of `predict`, and `mask`, what must not be used of the image where
        that is known, (T, [Z,] Y, X): nothing is searched then. Close the generator to cancel.
        """
        raw = reconstruction is not None or self.takes_raw(image, voxel_size)
        if raw or isinstance(camera, NoiseModel):
            return (yield from self._iter_raw(image, camera, reconstruction, device, tile))
        frames = as_frames(image, axes, spatial=self.axes)
        name = (image.name if isinstance(image, Image) else "") or "image"
        if voxel_size is None and isinstance(image, Image):
            voxel_size = image.voxel_size
        self.check_voxel_size(voxel_size, name)
        alphas = self.settings.get("magnitude", (1.0, 1.0))
        given = image.data if isinstance(image, Image) else image
        alone = len(given.shape if hasattr(given, "shape") else np.shape(given)) < frames.ndim
        room = None
        if into is not None:
            room = self._room(into, tuple(frames.shape[1:] if alone else frames.shape), alone)
        maps = self.maps_for(camera, frames, name)
        if maps is not None:
            frames = maps.evened(frames, name)
        rule = image.pixel_rule if isinstance(image, Image) else PixelRule()
        if self.reconstruction is not None:  # bad pixels are those of the raw frames
            rule = PixelRule(outliers=False)
        if mask is None:
            mask = self.pixel_mask(frames, rule, name)
        frames = with_mask(frames, mask)
        if self.reconstruction is None:  # a reconstruction of raw frames goes below zero
            processed_words(frames, name=name)
            if maps is None:
                noise = self.noise
                refuse_below_offset(frames, noise.offset, noise.read_variance, name=name)
        for sentence in () if mask is None else mask.sentences:
            yield TileProgress(0, 1, sentence)
        result = yield from infer(
            self.network,
            frames,
            self.noise,
            self.scale,
            resolve_device(device),
            tile=tile,
            averaging=Averaging(repeats, sum(alphas) / 2, seed),
            damping=damping,
            background=self._estimate if self.out_of_focus else None,
            into=room,
            read_variance=None if maps is None else maps.own_read_variance,
        )
        said: tuple[str, ...] = ()
        if mask is not None:
            _empty_unrecorded(result, mask, self.upsampling)
            said = mask.sentences
        if into is not None:
            return replace(into, warnings=said) if said else into
        if alone:
            result = _first_of(result)
        return replace(result, warnings=said) if said else result

    def takes_raw(
        self, image: ArrayLike | Image, voxel_size: tuple[float, ...] | None = None
    ) -> bool:
        """Tell raw SIM frames of the model's kind from what was reconstructed of such."""
        size = image.voxel_size if isinstance(image, Image) else voxel_size
        pixels = image.data if isinstance(image, Image) else image
        pixel = None if size is None else size[-1]
        shape = pixels.shape if hasattr(pixels, "shape") else np.shape(pixels)
        return are_raw_frames(self.reconstruction, tuple(shape), pixel)

    def _iter_raw(
        self,
        raw: ArrayLike | Image,
        camera: Camera | None,
        reconstruction: Mapping[str, Any] | None,
        device: str | torch.device,
        tile: int | tuple[int, ...] | None,
    ) -> Generator[TileProgress, None, Result]:
        """Reconstruct raw frames as the model's own were, then predict."""
        made_with = reconstruction or self.reconstruction
        if self.reconstruction is None or made_with is None:
            raise InputError(
                "The model was not trained on raw SIM: reconstruct the frames, or train with them."
            )
        known = camera or self.camera
        if known is None:
            raise InputError("The model keeps no camera: give that of the frames.")

        def predict(image: NDArray[np.float32], axes: str) -> Generator[TileProgress, None, Result]:
            return self.iter_predict(image, axes=axes, device=device, tile=tile)

        operator = Reconstruction.from_dict(made_with)
        return (yield from iter_predict_raw(predict, raw, operator, known))

    def pixel_mask(self, frames: Any, rule: PixelRule, name: str = "image") -> PixelMask | None:
        """Find the pixels of a recording that must not be used.

        Parameters
        ----------
        frames : array
            (T, [Z,] Y, X) counts; of maps those that are evened.
        rule : PixelRule
            What is said of them; saturated pixels are masked, however many they are.
        name : str
            What messages call the recording.
        """
        rule = replace(rule, saturation="mask")
        width = psf_width(self.psf, self.upsampling)
        return usable_pixels(frames, rule, width=width, name=name)

    def _room(self, into: Result, shape: tuple[int, ...], alone: bool) -> Result:
        """Check the caller's room for the results, and give it the axis of time if it has none."""
        coarse, fine = self.output_shapes(shape)
        wanted_of = {"denoised": coarse, "deconvolved": fine}
        if into.background is not None:
            wanted_of["background"] = coarse
        for name, wanted in wanted_of.items():
            have = tuple(getattr(into, name).shape)
            if have != wanted:
                raise InputError(
                    f"into.{name} has the shape {have} and the result is {wanted}: make room with "
                    "model.output_shapes(image.shape)."
                )
        if not alone:
            return into
        rooms: dict[str, Any] = {name: _Alone(getattr(into, name)) for name in wanted_of}
        return Result(**rooms)

    def check_voxel_size(self, voxel_size: tuple[float, ...] | None, name: str) -> None:
        """Raise InputError if pixels of this size ([Z,] Y, X; micrometres) are not the model's."""
        if voxel_size is None or self.voxel_size is None:
            return
        voxel = voxel_of(voxel_size, self.axes)
        if not same_pixel_size(voxel, self.voxel_size):
            elements = self._elements()
            raise InputError(
                f"{name} has {elements} of {nanometres(voxel)} and the model was trained on "
                f"{nanometres(self.voxel_size)}: train a model for this {elements[:-1]} size."
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


def _empty_unrecorded(result: Result, mask: PixelMask, upsampling: int) -> None:
    """Put no light where nothing was recorded."""
    rooms: list[tuple[Any, int]] = [(result.denoised, 1), (result.deconvolved, upsampling)]
    if result.background is not None:
        rooms.append((result.background, 1))
    for place, runs in mask.planes.items():
        if not (runs.kind == Kind.UNRECORDED).any():
            continue
        empty = mask.kinds(place) == Kind.UNRECORDED
        for room, factor in rooms:
            plane = np.array(room[place])
            if plane.ndim == 2:  # what nobody asked for has no pixels
                plane[empty.repeat(factor, 0).repeat(factor, 1)] = 0
                room[place] = plane


def _first_of(result: Result) -> Result:
    """Take the only frame out of a result."""
    background = result.background
    return Result(
        result.denoised[0],
        result.deconvolved[0],
        None if background is None else background[0],
    )


class _Alone:
    """Room for a single frame, written to as if it were the first of a series."""

    def __init__(self, frame: Any) -> None:
        self._frame = frame

        self.shape = (1, *frame.shape)

    def __getitem__(self, index: tuple[Any, ...]) -> Any:
        return self._frame[index[1:]]

    def __setitem__(self, index: tuple[Any, ...], values: Any) -> None:
        self._frame[index[1:]] = values


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
    header = {
        "format": WITH_BACKGROUND if model.out_of_focus else FORMAT,
        "preset": model.preset,
        "settings": dict(model.settings),
        "psf": model.psf.to_metadata(),
        "noise": model.noise.to_dict(),
        "scale": model.scale,
        "axes": model.axes,
        "voxel_size": model.voxel_size,
        "upsampling": model.upsampling,
        "seed": model.seed,
        "data_hash": model.data_hash,
        "history": list(model.history),
        "warnings": list(model.warnings),
        "versions": dict(model.versions),
        "training": dict(state),
        "reconstruction": model.reconstruction,
        "camera": None if model.camera is None else typical_of(model.camera).to_dict(),
        "camera_of_image": isinstance(model.camera, CameraMaps) and model.camera.of_image,
        "sources": [source.to_dict() for source in model.sources],
        "stretches": [stretch.to_dict() for stretch in model.stretches],
        "beginning": model.beginning and asdict(model.beginning),
        "ending": model.ending,
        "out_of_focus": model.out_of_focus,
        "chosen": model.chosen and asdict(model.chosen),
    }
    contents = {_PSF: torch.tensor(model.psf.array)}
    if isinstance(model.camera, CameraMaps):
        maps = model.camera.to_arrays()
        contents |= {_CAMERA + name: torch.tensor(pixels) for name, pixels in maps.items()}
    contents |= {_NETWORK + name: value for name, value in model.network.state_dict().items()}
    contents |= {_TRAINING + name: value for name, value in tensors.items()}
    contents = {name: value.detach().cpu().contiguous() for name, value in contents.items()}
    # Not `save_file`: its errors are no OSError, and it puts a file of its own beside ours.
    described = json.dumps(header)
    checksum = _checksum(described, contents)
    packed = safetensors.torch.save(contents, {_HEADER: described, _CHECKSUM: checksum})
    with written_whole(path) as temporary:
        temporary.write_bytes(packed)


def load_with_training(
    path: str | os.PathLike[str],
) -> tuple[Model, dict[str, Tensor], dict[str, Any]]:
    """Read what `save_with_training` wrote; the last two are empty for a plain model."""
    described, tensors = _read(path)
    with _understood(path):
        return _assemble(parse_json(described), tensors)


def _read(path: str | os.PathLike[str], *names: str) -> tuple[str, dict[str, Tensor]]:
    """Read what a model's file says of itself, and the tensors of these names, or all of them."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path} does not exist: check the name and the folder.")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            described = metadata.get(_HEADER)
            wanted = [name for name in file.keys() if not names or name in names]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a model file or is truncated ({error}): copy it again or train anew."
        ) from error
    if described is None:
        raise InputError(
            f"{path} holds weights of another program: choose a model saved by zsdeconvnet."
        )
    # Files of before it was kept have no checksum.
    if not names and metadata.get(_CHECKSUM) not in (None, _checksum(described, tensors)):
        raise InputError(
            f"{path} is damaged (it has another checksum than it was written with): copy it again "
            "or train anew."
        )
    return described, tensors


def _checksum(described: str, tensors: Mapping[str, Tensor]) -> str:
    """Checksum of all that a model's file holds."""
    digest = hashlib.sha256(described.encode())
    digest.update(weights_fingerprint(tensors).encode())
    return digest.hexdigest()


@contextmanager
def _understood(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of a file what in it cannot be understood."""
    try:
        yield
    except _NewerFormat as error:
        raise InputError(
            f"{path} has format {error}, newer than this version reads: update napari-zsdeconvnet."
        ) from error
    except (
        LookupError,
        AttributeError,
        ArithmeticError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        raise InputError(
            f"{path} does not fit together ({_in_one_line(error)}): copy it again or train anew."
        ) from error


class _NewerFormat(Exception):
    """The file is of a later format than this reader."""


def _check_format(header: Mapping[str, Any]) -> None:
    newest = WITH_BACKGROUND if header.get("out_of_focus") else FORMAT
    if header["format"] > newest:
        raise _NewerFormat(header["format"])


def _in_one_line(error: Exception) -> str:
    words = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    # torch lists every weight that has another size.
    return textwrap.shorten(words, 200, placeholder=" …").rstrip(".")


@dataclass(frozen=True, eq=False)
class ModelFacts:
    """What a model's file says of itself, for lists of models.

    Attributes
    ----------
    preset, axes, voxel_size, psf, sources, stretches
        As in `Model`.
    upsampling, steps_trained, ending
        As in `Model`.
    """

    preset: str
    axes: str
    voxel_size: tuple[float, ...] | None
    upsampling: int
    psf: PSF
    steps_trained: int
    ending: str
    sources: tuple[Source, ...]
    stretches: tuple[Stretch, ...]

    @property
    def complete(self) -> bool:
        """Whether the training did all its steps or ended by itself."""
        planned = self.stretches[-1].planned if self.stretches else 0
        return bool(self.ending) or 0 < planned <= self.steps_trained

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ModelFacts:
        """Read them without the weights.

        Raises
        ------
        InputError
            If the file is no model, or not one of this version.
        """
        described, tensors = _read(path, _PSF)
        with _understood(path):
            header = parse_json(described)
            _check_format(header)
            size, history = header["voxel_size"], header["history"]
            return cls(
                preset=header["preset"],
                axes=header["axes"],
                voxel_size=None if size is None else tuple(size),
                upsampling=header["upsampling"],
                psf=PSF.from_metadata(tensors[_PSF].numpy(), header["psf"]),
                steps_trained=int(history[-1]["step"]) if history else 0,
                ending=header.get("ending", ""),
                **_kept(header),
            )


def _kept(header: Mapping[str, Any]) -> dict[str, Any]:
    """Read what files of before it was kept do not have."""
    return {
        "sources": tuple(map(Source.from_dict, header.get("sources", ()))),
        "stretches": tuple(map(Stretch.from_dict, header.get("stretches", ()))),
    }


def _assemble(
    header: dict[str, Any], tensors: dict[str, Tensor]
) -> tuple[Model, dict[str, Tensor], dict[str, Any]]:
    _check_format(header)
    if header["axes"] not in ("YX", "ZYX"):
        raise InputError(
            f"it is a model for axes {header['axes']} and this version knows YX and ZYX"
        )
    if not (math.isfinite(header["scale"]) and header["scale"] > 0):
        raise InputError(f"its intensity scale is {header['scale']}")
    psf = PSF.from_metadata(tensors[_PSF].numpy(), header["psf"])
    if psf.array.ndim != len(header["axes"]):
        raise InputError(f"its PSF has {psf.array.ndim} axes and its images {header['axes']}")
    if header["upsampling"] not in (1, 2):
        raise InputError(f"it asks for {header['upsampling']}x up-sampling, and 1 and 2 are known")
    beginning = header.get("beginning")
    if header.get("reconstruction") is not None:
        check_reconstruction(header["reconstruction"])
    network = build_network(header["settings"]["network"], psf, header["upsampling"])
    if header.get("out_of_focus") and not network.takes_background:
        raise InputError("its network cannot take the background that it asks for")
    noise, scale = NoiseModel.from_dict(header["noise"]), float(header["scale"])
    network.expect_noise(noise, scale)
    network.load_state_dict(below(_NETWORK, tensors), strict=True)
    if not all(bool(weight.isfinite().all()) for weight in network.parameters()):
        raise InputError("its weights are not finite")
    voxel_size = fitting(header["voxel_size"], tuple[float, ...] | None, "voxel_size")
    if voxel_size is not None:
        voxel_size = voxel_of(voxel_size, header["axes"])
    model = Model(
        network=network.eval(),
        preset=fitting(header["preset"], str, "preset"),
        settings=read_settings(header["settings"]),
        psf=psf,
        noise=noise,
        scale=scale,
        axes=header["axes"],
        voxel_size=voxel_size,
        seed=fitting(header["seed"], int, "seed"),
        data_hash=fitting(header["data_hash"], str, "data_hash"),
        history=fitting(header["history"], tuple[Mapping[str, float], ...], "history"),
        warnings=fitting(header["warnings"], tuple[str, ...], "warnings"),
        versions=fitting(header["versions"], Mapping[str, str], "versions"),
        reconstruction=header.get("reconstruction"),
        camera=_camera(
            header.get("camera"),
            below(_CAMERA, tensors),
            of_image=header.get("camera_of_image", False),
        ),
        **_kept(header),
        beginning=None if beginning is None else built(Beginning, beginning),
        ending=header.get("ending", ""),
        out_of_focus=bool(header.get("out_of_focus")),
        chosen=None if header.get("chosen") is None else built(Choice, header["chosen"]),
    )
    return model, below(_TRAINING, tensors), header["training"]


def _camera(
    numbers: Mapping[str, Any] | None, maps: Mapping[str, Tensor], *, of_image: bool
) -> NoiseModel | CameraMaps | None:
    if maps:
        return CameraMaps.from_arrays(
            {name: pixels.numpy() for name, pixels in maps.items()}, numbers, of_image
        )
    return None if numbers is None else NoiseModel.from_dict(numbers)


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pick the tensors whose names begin with a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def voxel_of(
    voxel_size: float | Sequence[float], spatial: Literal["YX", "ZYX"] = "YX"
) -> tuple[float, ...]:
    """Spell out a voxel size for these axes, or say what it lacks.

    Parameters
    ----------
    voxel_size : float or sequence of float
        Micrometres: one number for each axis, ([Z,] Y, X); for images one number for both,
        and three are taken as those of a stack of which they are planes.
    spatial : {"YX", "ZYX"}
        Axes of the images.
    """
    try:
        given = [float(size) for size in np.atleast_1d(np.asarray(voxel_size, dtype=float))]
    except (TypeError, ValueError):
        given = []
    wanted = f"{len(spatial)} positive lengths ({', '.join(spatial)})"
    if not given or not all(math.isfinite(size) and size > 0 for size in given):
        raise InputError(f"voxel_size is {voxel_size}: give {wanted} in micrometres.")
    for size in given:
        checked_length(size, "voxel_size")
    if spatial == "YX":
        given = (given * 2 if len(given) == 1 else given)[-2:]
    elif len(given) < 3:
        raise InputError(
            f"voxel_size is {voxel_size}, without the axial step: give {wanted} in micrometres."
        )
    if len(given) != len(spatial):
        raise InputError(f"voxel_size is {voxel_size}: give {wanted} in micrometres.")
    return tuple(given)


def same_pixel_size(one: tuple[float, ...] | None, other: tuple[float, ...] | None) -> bool:
    """Tell whether two pixel sizes are equal to within `PIXEL_SIZE_TOLERANCE`."""
    if one is None or other is None:
        return one is other
    return all(map(partial(math.isclose, rel_tol=PIXEL_SIZE_TOLERANCE), one, other))


def nanometres(voxel_size: Sequence[float]) -> str:
    """Say a pixel size in words."""
    return " x ".join(f"{1000 * size:.4g}" for size in voxel_size) + " nm"


def installed_versions() -> dict[str, str]:
    """Versions of what a result depends on, to its last bits."""
    versions = {"python": platform.python_version()}
    for name in ("napari-zsdeconvnet", "numpy", "scipy", "torch"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    # torch computes in another order with wider vectors.
    vectors = torch.backends.cpu.get_cpu_capability()
    return {**versions, "platform": platform.platform(), "processor": vectors}
