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

    Parameters
    ----------
    reconstruction : mapping, optional
        That of a model, as `sim.Reconstruction.to_dict` gives it; a model without has no frames.
    shape : tuple of int
        (..., Y, X).
    pixel_size : float, optional
        Micrometres; where it is not known the number of pixels decides.
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

    Parameters
    ----------
    raw
        Counts, ([T,] N, Y, X) or with axes that say where the frames are.
    patterns
        That they are under.
    refuse_saturated
        Whether the rule of the recording on saturated pixels holds; otherwise they are masked.

    Returns
    -------
    ndarray
        The frames as they are, ([T,] N, Y, X).
    array
        The usable ones, (T, N, Y, X).
    list of str
        What is not used, one sentence each.
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
    """Reconstruct raw frames in counts: the plain Wiener image.

    Parameters
    ----------
    raw : array_like or Image
        ([T,] N, Y, X); pixels that must not be used are filled from what surrounds them.
    reconstruction : sim.Reconstruction
        The linear operator.
    camera : NoiseModel or CameraMaps
        Its offset is taken away, and with maps each pixel's gain evened out.

    Returns
    -------
    ndarray
        ([T,] 2Y, 2X), counts above the offset, float32.
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
    """Reconstruct raw frames and apply a network to the result.

    Parameters
    ----------
    predict
        Applies it to an image with those axes, tile by tile.
    raw, reconstruction, camera
        As for `reconstruct`.

    Returns
    -------
    Result
        On the grid of the reconstruction, with what of the frames was not used.
    """
    frames, usable, _ = usable_sets(raw, reconstruction.patterns)
    mask = mask_of(usable)
    said = () if mask is None else mask.sentences
    for sentence in said:
        yield TileProgress(0, 1, sentence)
    image = reconstruct(np.asarray(usable).reshape(frames.shape), reconstruction, camera)
    result = yield from predict(image, "TYX"[-image.ndim :])
    return replace(result, warnings=said)
