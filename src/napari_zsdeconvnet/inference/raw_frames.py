"""Raw SIM frames on their way to a model: told from images, made usable, and reconstructed."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..io.image import Image, PixelRule
from ..io.units import PIXEL_SIZE_TOLERANCE
from ..noise.camera_maps import Camera, signal_of
from ..noise.outliers import width_from_cutoff
from ..noise.pixel_mask import mask_of
from ..sim.frames import as_raw, usable_frames
from ..sim.patterns import Patterns
from ..sim.reconstruction import Reconstruction
from .predict import Result, TileProgress


def are_raw_frames(
    reconstruction: Mapping[str, Any] | None,
    shape: tuple[int, ...],
    pixel_size: float | None,
) -> bool:
    """Tell raw frames from what was reconstructed of such frames.

    The reconstruction is that of a model; one without has no frames. Where the pixel size is not
    known, the number of pixels decides.
    """
    if reconstruction is None or math.prod(shape[:-2]) == 1:
        return False
    patterns = Patterns.from_dict(reconstruction["patterns"])
    if pixel_size is not None:
        return not math.isclose(pixel_size, patterns.pixel_size / 2, rel_tol=PIXEL_SIZE_TOLERANCE)
    return shape[-2:] != tuple(2 * length for length in patterns.shape)


def usable_sets(
    raw: ArrayLike | Image, patterns: Patterns, *, refuse_saturated: bool = False
) -> tuple[NDArray[Any], Any, list[str]]:
    """Lay raw frames out, and fill what must not be used of them.

    Saturated pixels are masked unless the rule of the recording on them holds (`refuse_saturated`).

    Returns
    -------
    frames, usable, warnings
        As they are, ([T,] N, Y, X); the usable ones, (T, N, Y, X); and what is not used.
    """
    frames = as_raw(raw, len(patterns), patterns.phases)
    rule = raw.pixel_rule if isinstance(raw, Image) else None
    if not refuse_saturated:
        rule = replace(rule or PixelRule(), saturation="mask")
    width = width_from_cutoff(2 * patterns.na / patterns.wavelength * patterns.pixel_size)
    usable, said = usable_frames(frames, rule, width=width)
    return frames, usable, list(said)


def reconstruct(
    raw: ArrayLike | Image, reconstruction: Reconstruction, camera: Camera
) -> NDArray[np.float32]:
    """Reconstruct raw frames in counts, ([T,] N, Y, X): the plain Wiener image, ([T,] 2Y, 2X).

    It is float32 counts above the offset. Pixels that must not be used are filled from what
    surrounds them, and with maps each pixel's gain is evened out.
    """
    frames, usable, _ = usable_sets(raw, reconstruction.patterns)
    # One image at a time: a series of them on the doubled grid is all that has to fit.
    images = [reconstruction(signal_of(image, camera).values) for image in usable]
    return np.stack(images).reshape(*frames.shape[:-3], *images[0].shape)


def iter_predict_raw(
    predict: Callable[[NDArray[np.float32], str], Generator[TileProgress, None, Result]],
    raw: ArrayLike | Image,
    reconstruction: Reconstruction,
    camera: Camera,
) -> Generator[TileProgress, None, Result]:
    """Reconstruct raw frames and apply a network to the result, by `predict`, tile by tile.

    The result is on the grid of the reconstruction and says what of the frames was not used.
    """
    frames, usable, _ = usable_sets(raw, reconstruction.patterns)
    mask = mask_of(usable)
    said = () if mask is None else mask.sentences
    for sentence in said:
        yield TileProgress(0, 1, sentence)
    image = reconstruct(np.asarray(usable).reshape(frames.shape), reconstruction, camera)
    result = yield from predict(image, "TYX"[-image.ndim :])
    return replace(result, warnings=said)
