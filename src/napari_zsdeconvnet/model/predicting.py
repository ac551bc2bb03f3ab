"""A model applied to a recording tile by tile, raw SIM frames included."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..inference.out_of_focus import out_of_focus_background
from ..inference.predict import Result, TileProgress, infer
from ..inference.raw_frames import iter_predict_raw
from ..inference.tile_computer import Averaging, Background
from ..io.image import Image, PixelRule, as_frames
from ..io.stack_checks import types_differ
from ..noise.camera_maps import Camera, CameraMaps
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import Kind, PixelMask
from ..noise.processed_images import processed_words, refuse_below_offset
from ..noise.usable_pixels import with_mask
from ..physics.stripe_filter import Damping
from ..sim.reconstruction import Reconstruction
from ..utils.devices import resolve_device
from ..utils.each import Each
from ..utils.errors import InputError, Remedy

if TYPE_CHECKING:
    from .model import Model


def iter_predict(
    model: Model,
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
    raw = reconstruction is not None or model.takes_raw(image, voxel_size)
    if raw or isinstance(camera, NoiseModel):
        return (yield from _iter_raw(model, image, camera, reconstruction, device, tile))
    alphas = model.settings.get("magnitude", (1.0, 1.0))
    given = image.data if isinstance(image, Image) else image
    seen = prepared(model, image, axes=axes, voxel_size=voxel_size, camera=camera, mask=mask)
    frames, mask = seen.frames, seen.mask
    alone = len(given.shape if hasattr(given, "shape") else np.shape(given)) < frames.ndim
    room = None
    if into is not None:
        room = _room(model, into, tuple(frames.shape[1:] if alone else frames.shape), alone)
    for sentence in seen.warnings:
        yield TileProgress(0, 1, sentence)
    result = yield from infer(
        model.network,
        frames,
        model.noise,
        model.scale,
        resolve_device(device),
        tile=tile,
        averaging=Averaging(repeats, sum(alphas) / 2, seed),
        damping=damping,
        background=seen.background,
        into=room,
        read_variance=seen.read_variance,
    )
    said = seen.warnings
    if mask is not None:
        _empty_unrecorded(result, mask, model.upsampling)
    if into is not None:
        return replace(into, warnings=said) if said else into
    if alone:
        result = _first_of(result)
    return replace(result, warnings=said) if said else result


@dataclass(frozen=True, eq=False)
class Prepared:
    """A recording as a model is put to it.

    Attributes
    ----------
    frames
        Counts by the camera that the network expects, (T, [Z,] Y, X), filled where the mask says.
    mask
        What of them must not be used; None where all is.
    read_variance
        Of each pixel (Y, X), counts squared; None where that of all is the typical one.
    background
        Gives the out-of-focus background of a frame; None for models that have none.
    doubt
        What is said of a type of pixels that is not that of the training; None where it is.
    """

    frames: Any
    mask: PixelMask | None
    read_variance: NDArray[np.float32] | None
    background: Background | None
    doubt: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the recording is not used or does not suit the model, one sentence each."""
        masked = () if self.mask is None else self.mask.sentences
        return masked if self.doubt is None else (self.doubt, *masked)


def prepared(
    model: Model,
    image: ArrayLike | Image,
    *,
    axes: str | None = None,
    voxel_size: tuple[float, ...] | None = None,
    camera: CameraMaps | None = None,
    mask: PixelMask | None = None,
    each: Each | None = None,
) -> Prepared:
    """Check that a recording suits a model, and find what of it must not be used.

    All of it is read, plane by plane; ``each`` does that, as for `usable_pixels`. The other
    parameters are those of `iter_predict`.
    """
    frames = as_frames(image, axes, spatial=model.axes)
    name = (image.name if isinstance(image, Image) else "") or "image"
    if voxel_size is None and isinstance(image, Image):
        voxel_size = image.voxel_size
    model.check_voxel_size(voxel_size, name)
    doubt = None
    if model.sources and model.reconstruction is None:
        first = model.sources[0]
        doubt = types_differ(name, frames.dtype, f"{first.name} of the training", first.dtype)
    maps = model.maps_for(camera, frames, name)
    if maps is not None:
        frames = maps.evened(frames, name)
    rule = image.pixel_rule if isinstance(image, Image) else PixelRule()
    if model.reconstruction is not None:  # bad pixels are those of the raw frames
        rule = PixelRule(outliers=False)
    if mask is None:
        mask = model.pixel_mask(frames, rule, name, each)
    frames = with_mask(frames, mask)
    if model.reconstruction is None:  # a reconstruction of raw frames goes below zero
        processed_words(frames, name=name)
        if maps is None:
            noise = model.noise
            refuse_below_offset(frames, noise.offset, noise.read_variance, name=name)
    return Prepared(
        frames,
        mask,
        None if maps is None else maps.own_read_variance,
        _background_of(model) if model.out_of_focus else None,
        doubt,
    )


def _iter_raw(
    model: Model,
    raw: ArrayLike | Image,
    camera: Camera | None,
    reconstruction: Mapping[str, Any] | None,
    device: str | torch.device,
    tile: int | tuple[int, ...] | None,
) -> Generator[TileProgress, None, Result]:
    """Reconstruct raw frames as the model's own were, then predict."""
    made_with = reconstruction or model.reconstruction
    if model.reconstruction is None or made_with is None:
        raise InputError(
            "model-not-sim",
            "The model was not trained on raw SIM: reconstruct the frames, or train with them.",
        )
    known = camera or model.camera
    if known is None:
        raise InputError("camera-unknown", "The model keeps no camera: give that of the frames.")

    def predict(image: NDArray[np.float32], axes: str) -> Generator[TileProgress, None, Result]:
        return iter_predict(model, image, axes=axes, device=device, tile=tile)

    operator = Reconstruction.from_dict(made_with)
    return (yield from iter_predict_raw(predict, raw, operator, known))


def _room(model: Model, into: Result, shape: tuple[int, ...], alone: bool) -> Result:
    """Check the caller's room for the results, and give it the axis of time if it has none."""
    coarse, fine = model.output_shapes(shape)
    wanted_of = {"denoised": coarse, "deconvolved": fine}
    if into.background is not None:
        wanted_of["background"] = coarse
    for name, wanted in wanted_of.items():
        have = tuple(getattr(into, name).shape)
        if have != wanted:
            raise InputError(
                "result-arrays-shape",
                f"The array for the {name} result has the shape {have} and the result {wanted}",
                Remedy("result-arrays"),
            )
    if not alone:
        return into
    rooms: dict[str, Any] = {name: _Alone(getattr(into, name)) for name in wanted_of}
    return Result(**rooms)


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


def _background_of(model: Model) -> Background:
    return partial(
        out_of_focus_background, psf=model.psf, noise=model.noise, upsampling=model.upsampling
    )
