"""What a training reports after each step: how far it is, and what its model shows by now."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..inference.predict import exhaust, infer
from ..io.excerpts import Excerpt
from ..io.image import Image
from ..model.model import Model
from ..networks.base import TwoStageNetwork
from ..noise.camera_maps import Evened
from ..noise.pixel_mask import as_recorded
from .data import planes_around, preview_region
from .objectives import Setting


class NonFiniteLossError(RuntimeError):
    """The loss became NaN or infinite; the run keeps the last good weights."""


@dataclass(frozen=True)
class Preview:
    """A region as the model of the moment renders it, float32 counts above the offset."""

    raw: NDArray[np.float32]
    """([Z,] Y, X); of a volume a few planes."""
    denoised: NDArray[np.float32]
    deconvolved: NDArray[np.float32]
    """On the output grid."""
    origin: tuple[int, ...]
    """Raw pixel ([Z,] Y, X) of the region's first corner."""
    image: int
    """Which of the training images."""
    frame: int
    """Which of its frames."""


@dataclass(frozen=True)
class Progress:
    """State of a run after a step."""

    step: int
    steps: int
    losses: Mapping[str, float]
    """``total``, ``denoising``, ``deconvolution`` and ``hessian``, in normalised units squared;
    a run that trains the denoiser first has no others until that is done."""
    learning_rate: float
    seconds_elapsed: float
    seconds_left: float
    device: str
    """What computes, in words."""
    message: str = ""
    """What the user must be told, such as that the batch was made smaller."""
    preview: Preview | None = None
    finished: bool = False
    """Whether the run has done all its steps."""


class Previews:
    """Renders one region of the recordings with the network of the moment."""

    def __init__(self, recordings: Sequence[Image], model: Model, setting: Setting) -> None:
        self._model = model
        self._setting = setting
        image, frame, region = preview_region(recordings, model.noise.offset)
        self._shown: list[Any] = []
        for number, one in enumerate(recordings):
            part, maps = as_recorded(one.data), model.maps
            evened = isinstance(part, Evened)
            part = part.source if evened else part
            if not isinstance(part, Excerpt):
                self._shown.append(one.data)
                continue
            # All of the recording, wherever the preview is moved to.
            whole = part.source
            self._shown.append(maps.evened(whole) if evened and maps is not None else whole)
            if number == image:
                frame, region = part.place(frame, region)
        self._region = image, frame, region
        self._haze: NDArray[np.float32] | None = None
        self.plane: int | None = None
        """Of a volume; None shows the brightest."""
        self.centre: tuple[int, int] | None = None
        """Raw pixel (y, x) in the middle; None shows where the signal is strongest."""
        self.seconds = 0.0
        """That rendering has taken so far."""

    def of(self, network: TwoStageNetwork, device: torch.device) -> Preview:
        """Render the region."""
        begun = time.perf_counter()
        image, frame, region = self._region
        data = self._shown[image]
        if self.plane is not None and len(region) == 3:
            plane = min(max(self.plane, 0), data.shape[1] - 1)
            region = (planes_around(plane, data.shape[1]), *region[1:])
        if self.centre is not None:
            region = (*region[:-2], *self._around(self.centre))
        where: tuple[Any, ...] = (frame, *region)
        raw = np.asarray(data[where])
        model, own, haze = self._model, self._setting.read_variance, self._background(image, frame)
        result = exhaust(
            infer(
                *(network, raw[None], model.noise, model.scale, device),
                read_variance=None if own is None else own[region[-2:]],
                background=None if haze is None else lambda _: haze[region],
            )
        )
        self.seconds += time.perf_counter() - begun
        return Preview(
            raw=raw.astype(np.float32) - np.float32(model.noise.offset),
            denoised=result.denoised[0],
            deconvolved=result.deconvolved[0],
            origin=tuple(part.start for part in region),
            image=image,
            frame=frame,
        )

    def _around(self, centre: tuple[int, int]) -> tuple[slice, ...]:
        """Move the window along Y and X as near to a pixel as the image allows."""
        image, _, region = self._region
        parts = []
        for pixel, part, length in zip(
            centre, region[-2:], self._shown[image].shape[-2:], strict=True
        ):
            width = part.stop - part.start
            start = min(max(pixel - width // 2, 0), length - width)
            parts.append(slice(start, start + width))
        return tuple(parts)

    def _background(self, image: int, frame: int) -> NDArray[np.float32] | None:
        """Give the background of the whole frame that is shown in part, if it has one."""
        if self._haze is None and self._model.out_of_focus:
            self._haze = self._model.background(self._shown[image][frame])
        return self._haze
