"""Can a result be believed? `judge` asks in several ways, and answers in plain words.

None of the measures knows the truth, so none can prove a result right. Each can prove one thing
wrong: the noise, the PSF, the training, the light.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..inference.out_of_focus import out_of_focus_advice
from ..inference.predict import Result, TileProgress, exhaust
from ..io.excerpts import is_large
from ..io.image import Image, PixelRule, as_frames
from ..model.model import Model
from ..noise.camera_maps import Camera, CameraMaps
from ..noise.noise_model import NoiseModel
from ..noise.usable_pixels import with_mask
from ..utils.errors import InputError
from ..utils.memory import check_room
from .judged_part import cut, cut_result, maps_at, memory_to_judge, part_within_memory, spread_out
from .measuring import iter_judge_by
from .raw_frames import iter_judge_frames
from .recording_statistics import RecordedImage
from .report import Verdict

__all__ = ["Verdict", "iter_judge", "judge", "memory_to_judge"]


def judge(
    model: Model,
    image: ArrayLike | Image,
    *,
    axes: str | None = None,
    frame: int = 0,
    result: Result | None = None,
    second: ArrayLike | Image | None = None,
    repeats: int = 4,
    device: str = "auto",
    camera: Camera | None = None,
    reconstruction: Mapping[str, Any] | None = None,
    progress: Callable[[TileProgress], None] | None = None,
) -> Verdict:
    """Measure how far the result of a model on an image can be believed.

    Parameters
    ----------
    model : Model
        What made, or is to make, the result.
    image : array_like or Image
        Counts, ([T,] Y, X) or ([T,] Z, Y, X); of a model for raw 2D-SIM its raw frames,
        ([T,] N, Y, X), or what was reconstructed of such.
    axes : str, optional
        Letters for the axes of an array, as for `Model.predict`.
    frame : int
        Which frame of a series is judged, or image of a series of raw frames.
    result : Result, optional
        Of this image, with its axes; by default it is made.
    second : array_like or Image, optional
        Another exposure of the same scene, for an honest Fourier ring correlation; without one
        two re-corruptions of the image stand in.
    repeats : int
        Re-corruptions for the spread, an even number; 0 leaves spread and resolution out.
    device : str
        See `devices.resolve_device`.
    camera : CameraMaps or NoiseModel, optional
        As for `Model.predict`. Of raw frames by default that of the training, which completes one
        whose gain is not known.
    reconstruction : mapping, optional
        What the result was made with in place of the model's own patterns, as
        `sim.Reconstruction.to_dict` gives it.
    progress : callable, optional
        Called after every tile; what it raises ends the judging.

    Raises
    ------
    InputError
        If the image does not suit the model, or the result or the second exposure the image.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> sample = zs.simulate("filaments", shape=(64, 64))
    >>> run = zs.train(sample.raw, sample.psf, sample.noise, steps=1, device="cpu")
    >>> _ = list(run)
    >>> verdict = zs.judge(run.model, sample.raw, repeats=0, device="cpu")
    >>> len(verdict.measures) > 5
    True
    """
    steps = iter_judge(
        model,
        image,
        axes=axes,
        frame=frame,
        result=result,
        second=second,
        repeats=repeats,
        device=device,
        camera=camera,
        reconstruction=reconstruction,
    )
    return exhaust(steps, progress)


def iter_judge(
    model: Model,
    image: ArrayLike | Image,
    *,
    axes: str | None = None,
    frame: int = 0,
    result: Result | None = None,
    second: ArrayLike | Image | None = None,
    repeats: int = 4,
    device: str = "auto",
    camera: Camera | None = None,
    reconstruction: Mapping[str, Any] | None = None,
) -> Generator[TileProgress, None, Verdict]:
    """Judge step by step: yields `TileProgress`, returns the `Verdict`.

    The parameters are those of `judge`; close the generator to cancel.
    """
    raw_frames = reconstruction is not None or model.takes_raw(image)
    if raw_frames or isinstance(camera, NoiseModel):
        return (
            yield from iter_judge_frames(
                *(model, image, camera),
                reconstruction=reconstruction,
                frame=frame,
                result=result,
                second=second,
                repeats=repeats,
                device=device,
            )
        )
    maps = model.maps_for(camera, as_frames(image, axes, spatial=model.axes))
    raw, kinds, said = _one_frame(model, image, axes, frame, maps)
    other = None if second is None else _one_frame(model, second, axes, frame, maps)[:2]
    whole, place = raw.shape, part_within_memory(model, raw)
    if place is not None:
        result = cut_result(model, result, frame, place)
        raw, kinds, maps = raw[place], cut(kinds, place), maps_at(maps, place)
        if other is not None:
            other = other[0][place], cut(other[1], place)
        size = " x ".join(map(str, raw.shape))
        said = (*said, f"Judged is the brightest part, {size} pixels, as memory holds no more.")
    evidence = RecordedImage(model, raw, maps, kinds)
    verdict = yield from iter_judge_by(model, evidence, frame, result, other, repeats, device)
    verdict = replace(verdict, notes=(*verdict.notes, *said))
    if place is not None:
        verdict = replace(verdict, maps=spread_out(verdict.maps, place, whole, model.upsampling))
    if model.axes == "ZYX" or model.out_of_focus or evidence.unknown:
        return verdict
    advice = out_of_focus_advice(evidence.image, model.psf, model.noise, model.upsampling)
    return replace(verdict, notes=(*verdict.notes, *([advice] if advice else [])))


def _one_frame(
    model: Model, image: ArrayLike | Image, axes: str | None, frame: int, maps: CameraMaps | None
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None, tuple[str, ...]]:
    """Take one frame of an image, ([Z,] Y, X) counts, evened and filled where it is masked.

    Beside it stands why its pixels are masked, None where none is, and what is said of them.
    """
    name, rule = "image", PixelRule()
    if isinstance(image, Image):
        model.check_voxel_size(image.voxel_size, image.name)
        name, rule = image.name or name, image.pixel_rule
    frames = as_frames(image, axes, spatial=model.axes)
    if not 0 <= frame < len(frames):
        raise InputError(
            "index-out-of-range",
            f"frame is {frame} and the image has {len(frames)}: give an index from 0 to "
            f"{len(frames) - 1}.",
        )
    if maps is not None:
        frames = maps.evened(frames, name)
    if model.reconstruction is not None:
        rule = PixelRule(outliers=False)
    # Pixels that are bad in all frames are found in many; of a large series that takes too long.
    mask = model.pixel_mask(frames, rule, name, among=[frame] if is_large(frames) else None)
    check_room(
        8 * math.prod(frames.shape[1:]),
        f"Judging {name}",
        "cut it into smaller files, or use a machine with more memory.",
    )
    raw = np.asarray(with_mask(frames, mask)[frame], dtype=np.float32)
    if mask is None:
        return raw, None, ()
    kinds = mask.kinds(frame)
    return raw, kinds if kinds.any() else None, mask.sentences
