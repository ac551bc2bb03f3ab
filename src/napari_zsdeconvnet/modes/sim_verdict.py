"""Can a result of raw structured illumination be believed? `judge_sim` asks its raw frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..inference.predict import Result, TileProgress, exhaust
from ..io.image import Image, PixelRule
from ..model.model import Model, same_pixel_size
from ..model.provenance import Source
from ..noise.camera_maps import CameraMaps, check_fits
from ..noise.noise_model import NoiseModel
from ..quality.verdict import Verdict, iter_judge_by
from ..sim.frames import as_raw, usable_frames
from ..sim.patterns import Patterns
from ..sim.reconstruction import Reconstruction
from ..utils.errors import InputError
from .sim_statistics import RecordedSIM
from .sim_training import reconstruct


def judge_sim(
    model: Model,
    raw: ArrayLike | Image,
    camera: NoiseModel | CameraMaps | None = None,
    *,
    reconstruction: Mapping[str, Any] | None = None,
    frame: int = 0,
    result: Result | None = None,
    second: ArrayLike | Image | None = None,
    repeats: int = 4,
    device: str = "auto",
    progress: Callable[[TileProgress], None] | None = None,
) -> Verdict:
    """Measure how far the result of a model on raw 2D-SIM can be believed.

    Parameters
    ----------
    model : Model
        Trained by `train_sim`: what made, or is to make, the result.
    raw : array_like or Image
        Counts, ([T,] N, Y, X) with N frames for every image.
    camera : NoiseModel or CameraMaps, optional
        Of the frames; by default that of the training, which completes one whose gain is not
        known.
    reconstruction : mapping, optional
        What the result was made with in place of the model's own, as
        `sim.Reconstruction.to_dict` gives it.
    frame : int
        Which image of a series is judged.
    result : Result, optional
        As `predict_sim` gives it; by default it is made.
    second : array_like or Image, optional
        Another exposure of the same scene with the same patterns, for an honest Fourier ring
        correlation.
    repeats, device, progress
        As for `verdict.judge`.

    Returns
    -------
    Verdict
        Its maps are on the grid of the reconstruction.

    Raises
    ------
    InputError
        If the model was not trained on raw SIM, or the frames do not suit it.
    """
    steps = iter_judge_sim(
        model,
        raw,
        camera,
        reconstruction=reconstruction,
        frame=frame,
        result=result,
        second=second,
        repeats=repeats,
        device=device,
    )
    return exhaust(steps, progress)


def iter_judge_sim(
    model: Model,
    raw: ArrayLike | Image,
    camera: NoiseModel | CameraMaps | None = None,
    *,
    reconstruction: Mapping[str, Any] | None = None,
    frame: int = 0,
    result: Result | None = None,
    second: ArrayLike | Image | None = None,
    repeats: int = 4,
    device: str = "auto",
) -> Generator[TileProgress, None, Verdict]:
    """Judge step by step: yields `TileProgress`, returns the `Verdict`.

    The parameters are those of `judge_sim`; close the generator to cancel.
    """
    made_with = reconstruction or model.reconstruction
    if made_with is None or model.reconstruction is None:
        raise InputError("The model was not trained on raw SIM: judge its results as an image's.")
    operator = Reconstruction.from_dict(made_with)
    known = _complete(camera, model.camera)
    frames = _one_image(raw, operator, known, frame)
    evidence = RecordedSIM(model, frames, known, operator)
    other = None
    if second is not None:
        other = reconstruct(_one_image(second, operator, known, frame), operator, known), None
    judged = replace(model, reconstruction=made_with)
    return (yield from iter_judge_by(judged, evidence, frame, result, other, repeats, device))


def holds_raw_frames(model: Model, shape: tuple[int, ...], pixel_size: float | None) -> bool:
    """Tell raw frames for a model from what was made of such frames.

    Parameters
    ----------
    model : Model
        One for images has no raw frames.
    shape : tuple of int
        (..., Y, X).
    pixel_size : float, optional
        Micrometres; where it is not known the number of pixels decides.
    """
    if model.reconstruction is None or math.prod(shape[:-2]) == 1:
        return False
    patterns = Patterns.from_dict(model.reconstruction["patterns"])
    if pixel_size is not None:
        return not same_pixel_size((pixel_size,), (patterns.pixel_size / 2,))
    return shape[-2:] != tuple(2 * length for length in patterns.shape)


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
            f"The model was trained on other frames than {raw.name or 'these'}, and fringes lie "
            "elsewhere in each recording: deconvolve this one first, and judge its result."
        )


def _one_image(
    raw: ArrayLike | Image,
    operator: Reconstruction,
    camera: NoiseModel | CameraMaps,
    frame: int,
) -> NDArray[Any]:
    """Take the frames of one image, (N, Y, X) counts."""
    patterns = operator.patterns
    frames = as_raw(raw, len(patterns), patterns.phases)
    sets = frames.reshape(-1, *frames.shape[-3:])
    if not 0 <= frame < len(sets):
        raise InputError(
            f"frame is {frame} and the recording has {len(sets)} images: give an index from 0 to "
            f"{len(sets) - 1}."
        )
    rule = raw.pixel_rule if isinstance(raw, Image) else PixelRule()
    usable, _ = usable_frames(np.asarray(sets[frame]), replace(rule, saturation="mask"))
    chosen: NDArray[Any] = np.asarray(usable)[0]
    check_fits(camera, chosen.shape)
    return chosen


def _complete(
    camera: NoiseModel | CameraMaps | None, trained: NoiseModel | CameraMaps | None
) -> NoiseModel | CameraMaps:
    """Complete a camera of which no more than the offset is known by that of the training."""
    known = camera or trained
    if known is None:
        raise InputError("The model keeps no camera: give that of the frames.")
    if trained is None:
        return known
    typical = trained.typical if isinstance(trained, CameraMaps) else trained
    if isinstance(known, NoiseModel):
        return known if known.gain is not None else replace(typical, offset=known.offset)
    if known.read_variance.any() or typical.gain is None:
        return known
    flat = np.ones_like(known.offset)
    return CameraMaps(known.offset, typical.gain * flat, typical.read_variance * flat)
