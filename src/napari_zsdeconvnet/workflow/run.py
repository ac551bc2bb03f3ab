"""`run`: a recording in, its result with report and record out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..io.image import Image, planes_by_step
from ..io.image_files import read_image
from ..io.lazy import is_lazy
from ..io.selection import channel_count
from ..model.model import Model
from ..modes.base import Known, Mode
from ..modes.registry import find_mode
from ..noise.camera_maps import Camera
from ..psf.microscope import Microscope
from ..psf.psf import PSF
from ..utils.errors import InputError, Remedy
from .channels import ChannelRuns
from .pipeline import Pipeline

_USUAL = {2: "YX", 3: "TYX", 4: "TZYX", 5: "TCZYX"}
_FROM_THE_FILE = ("na", "wavelength", "refractive_index")


def run(
    recording: str | os.PathLike[str] | ArrayLike | Image,
    *,
    microscope: Microscope | Sequence[Microscope] | None = None,
    psf: PSF | str | os.PathLike[str] | None = None,
    camera: Camera | None = None,
    mode: str | type[Mode] | None = None,
    model: Model | str | os.PathLike[str] | Sequence[Model] | None = None,
    axes: str | None = None,
    voxel_size: float | Sequence[float] | None = None,
    known: Known | None = None,
    channels: Sequence[int] | None = None,
    **settings: Any,
) -> Pipeline | ChannelRuns:
    """Take one recording from raw counts to its result, step by step.

    Nothing is computed before the run is iterated. Each step says what was assumed; `finish` does
    those that are left and returns the result.

    Parameters
    ----------
    recording : path, array_like or Image
        Raw counts.
    microscope : Microscope, optional
        By default what the file says of aperture and emission. One for each channel where the
        recording has several.
    psf : PSF or path, optional
        Goes before the microscope.
    camera : NoiseModel or CameraMaps, optional
        By default it is measured on the recording.
    mode : str or type, optional
        ``"image"``, ``"volume"``, ``"sim"`` or the name of a mode that another package adds; by
        default it is recognised.
    model : Model, path, or sequence of Model, optional
        The first that fits the recording is used as it is; where none does, one is trained.
    axes : str, optional
        Letters for the axes of an array, or in place of those of a file.
    voxel_size : float or sequence of float, optional
        Micrometres along ([Z,] Y, X); an `Image` or file may bring its own.
    known : Known, optional
        What else is known and wanted, such as the offset, or the frame to be judged.
    channels : sequence of int, optional
        Of a recording with several channels those that are deconvolved, counted from 0; the others
        are left as they are. By default all of them.
    **settings
        As for `Pipeline`: ``preset``, ``steps``, ``seed``, ``device``, ``judged``, ...

    Returns
    -------
    Pipeline or ChannelRuns
        An iterator of steps. Its `result` has `denoised`, `deconvolved`, `report` and `record`.
        Of a recording with several channels that is `ChannelResults`: all channels in one
        image, and what came of each of them.

    Raises
    ------
    InputError
        If the recording cannot be read or is of no mode; while iterated, if a step cannot be done.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> cell = zs.simulate("filaments", shape=(96, 96), pixel_size=0.0626).raw
    >>> run = zs.run(
    ...     cell, voxel_size=0.0626, microscope=zs.Microscope(1.3, 0.525), steps=2, judged=False
    ... )
    >>> result = run.finish()
    >>> result.deconvolved.data.shape, result.deconvolved.voxel_size
    ((192, 192), (0.0313, 0.0313))
    """
    image = opened(recording, axes, voxel_size)
    given = known or Known()
    if isinstance(psf, str | os.PathLike):
        psf = PSF.read(psf)
    given = replace(given, psf=psf or given.psf, camera=camera or given.camera)
    if isinstance(model, str | os.PathLike):
        model = Model.load(model)
    count = channel_count(image)
    scopes = _one_for_each(microscope, count)

    def begin(channel: int, image: Image) -> Pipeline:
        kind, _ = find_mode(image, mode, given)
        scope = scopes[channel] or given.microscope
        if scope is None and given.psf is None:
            scope = microscope_of(image, kind)
        return Pipeline(kind(image, replace(given, microscope=scope)), model=model, **settings)

    kind, _ = find_mode(image, mode, given)
    if count == 1 or kind.takes_channels:
        return begin(0, image)
    return ChannelRuns(image, begin, channels)


def _one_for_each(
    microscope: Microscope | Sequence[Microscope] | None, count: int
) -> Sequence[Microscope | None]:
    """Give each channel its microscope."""
    if microscope is None or isinstance(microscope, Microscope):
        return [microscope] * count
    if len(microscope) != count:
        raise InputError(
            "microscopes-for-channels",
            f"{len(microscope)} microscopes are given for {count} channels: give one for each.",
        )
    return microscope


def opened(
    recording: str | os.PathLike[str] | ArrayLike | Image,
    axes: str | None = None,
    voxel_size: float | Sequence[float] | None = None,
) -> Image:
    """Open a recording, with the axes and the voxel size that are given in place of its own."""
    if isinstance(recording, str | os.PathLike):
        recording = read_image(recording)
    if not isinstance(recording, Image):
        data: Any = recording if is_lazy(recording) else np.asarray(recording)
        if data.ndim not in _USUAL:
            raise InputError(
                "image-axes-count",
                f"The recording has {data.ndim} axes: give an image, or several.",
            )
        letters = axes or planes_by_step(data, voxel_size) or _USUAL[data.ndim]
        recording = Image(data, letters.upper(), name="image")
    else:
        letters = axes or planes_by_step(recording, voxel_size) or recording.axes
        if letters.upper() != recording.axes:
            recording = replace(recording, axes=letters.upper(), voxel_size=None)
    return recording if voxel_size is None else _sized(recording, voxel_size)


def _sized(image: Image, voxel_size: Any) -> Image:
    """Give an image a voxel size; of planes whose step is not given no more than the pixel."""
    sizes = [float(size) for size in np.ravel(np.asarray(voxel_size, dtype=float))]
    if len(sizes) not in (1, 2, 3) or not all(np.isfinite(sizes)) or min(sizes) <= 0:
        raise InputError(
            "voxel-size-wrong",
            f"The voxel size is {voxel_size}",
            Remedy("voxel-size", ", ".join(image.axes.lower().lstrip("tc"))),
        )
    sizes = sizes * 2 if len(sizes) == 1 else sizes
    step = sizes[0] if len(sizes) == 3 else None
    steps = (step, sizes[-2], sizes[-1])
    if "Z" not in image.axes:
        return replace(image, voxel_size=steps[1:], steps=steps)
    size = None if step is None else (step, sizes[-2], sizes[-1])
    return replace(image, voxel_size=size, steps=steps)


def microscope_of(image: Image, kind: type[Mode]) -> Microscope | None:
    """Take from a file what it says of the optics; None where aperture or emission is missing."""
    if len(image.optics) != 1:
        return None
    wanted = kind.needs()
    values = {name: getattr(image.optics[0], name) for name in _FROM_THE_FILE if name in wanted}
    if values["na"] is None or values["wavelength"] is None:
        return None
    return Microscope(**values)
