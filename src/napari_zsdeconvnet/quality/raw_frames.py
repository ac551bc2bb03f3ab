"""Judging a result of raw structured illumination by its raw frames."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..inference.predict import Result, TileProgress
from ..inference.raw_frames import reconstruct, usable_sets
from ..io.image import Image
from ..model.model import Model
from ..model.provenance import Source
from ..noise.camera_maps import Camera, CameraMaps, check_fits, typical_of
from ..noise.noise_model import NoiseModel
from ..sim.frames import as_raw
from ..sim.reconstruction import Reconstruction
from ..utils.errors import InputError
from .measuring import iter_judge_by
from .raw_frame_statistics import RecordedSIM
from .report import Verdict


def iter_judge_frames(
    model: Model,
    raw: ArrayLike | Image,
    camera: Camera | None = None,
    *,
    reconstruction: Mapping[str, Any] | None = None,
    frame: int = 0,
    result: Result | None = None,
    second: ArrayLike | Image | None = None,
    repeats: int = 4,
    device: str = "auto",
) -> Generator[TileProgress, None, Verdict]:
    """Judge by raw frames step by step; the parameters are those of `verdict.judge`."""
    made_with = reconstruction or model.reconstruction
    if made_with is None or model.reconstruction is None:
        raise InputError(
            "model-not-sim",
            "The model was not trained on raw SIM: judge its results as an image's.",
        )
    operator = Reconstruction.from_dict(made_with)
    known = _complete(camera, model.camera)
    frames = _one_image(raw, operator, known, frame)
    evidence = RecordedSIM(model, frames, known, operator)
    other = None
    if second is not None:
        other = reconstruct(_one_image(second, operator, known, frame), operator, known), None
    judged = replace(model, reconstruction=made_with)
    return (yield from iter_judge_by(judged, evidence, frame, result, other, repeats, device))


def check_trained_on(model: Model, raw: Image) -> None:
    """Refuse frames whose patterns are not those that the model knows.

    Raises
    ------
    InputError
        If the model was trained on other frames.
    """
    frames = raw.data.reshape(-1, *raw.data.shape[-3:])
    own = Source.of(Image(frames, "TCYX")).sha256
    if model.sources and own not in {source.sha256 for source in model.sources}:
        raise InputError(
            "model-of-other-frames",
            f"The model was trained on other frames than {raw.name or 'these'}, and fringes lie "
            "elsewhere in each recording: deconvolve this one first, and judge its result.",
        )


def _one_image(
    raw: ArrayLike | Image, operator: Reconstruction, camera: Camera, frame: int
) -> NDArray[Any]:
    """Take the frames of one image, (N, Y, X) counts."""
    patterns = operator.patterns
    frames = as_raw(raw, len(patterns), patterns.phases)
    sets = frames.reshape(-1, *frames.shape[-3:])
    if not 0 <= frame < len(sets):
        raise InputError(
            "index-out-of-range",
            f"frame is {frame} and the recording has {len(sets)} images: give an index from 0 to "
            f"{len(sets) - 1}.",
        )
    one: Any = sets[frame]
    if isinstance(raw, Image):
        one = Image(one, "CYX", name=raw.name, pixel_rule=raw.pixel_rule)
    _, usable, _ = usable_sets(one, patterns)
    chosen: NDArray[Any] = np.asarray(usable)[0]
    check_fits(camera, chosen.shape)
    return chosen


def _complete(camera: Camera | None, trained: Camera | None) -> Camera:
    """Complete a camera of which no more than the offset is known by that of the training."""
    known = camera or trained
    if known is None:
        raise InputError("camera-unknown", "The model keeps no camera: give that of the frames.")
    if trained is None:
        return known
    typical = typical_of(trained)
    if isinstance(known, NoiseModel):
        return known if known.gain is not None else replace(typical, offset=known.offset)
    if known.read_variance.any() or typical.gain is None:
        return known
    flat = np.ones_like(known.offset)
    return CameraMaps(known.offset, typical.gain * flat, typical.read_variance * flat)
