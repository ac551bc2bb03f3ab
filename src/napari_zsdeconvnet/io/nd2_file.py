"""ND2 of Nikon: positions as scenes, frames read one by one with all their channels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import InputError
from .acquisition import Recorded, recorded
from .axes import rgb_error
from .scenes import Scene, SceneFile, check_extra_axes, display_of, in_file_order, seconds

_WORDS = {"U": "an axis of its own making"}


class ND2(SceneFile):
    """An ND2 file, opened by nd2."""

    package = "nd2"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        import nd2

        self._file: Any = nd2.ND2File(path)
        try:
            self._frames = {
                tuple(sorted(place.items())): number
                for number, place in enumerate(self._file.loop_indices)
            }
        except BaseException:
            self._file.close()
            raise

    @property
    def names(self) -> tuple[str, ...]:
        """Of the positions."""
        count = self._file.sizes.get("P", 1)
        names: list[str] = []
        for loop in self._file.experiment:
            if loop.type == "XYPosLoop":
                names = [str(point.name or "") for point in loop.parameters.points]
        return tuple(
            name or f"position {n}" for n, name in enumerate([*names, *[""] * count][:count])
        )

    def scene(self, number: int) -> Scene:
        """Describe a position."""
        sizes = dict(self._file.sizes)
        if self._file.is_rgb:
            raise rgb_error(self.path.name)
        sizes.pop("P", None)
        check_extra_axes(sizes, _WORDS, self.path.name)
        axes, shape = in_file_order(sizes, "TZCYX")
        self._check_frames()
        inside = 3 if "C" in axes else 2
        channels = tuple(getattr(self._file.metadata, "channels", None) or ())
        colours = [channel.channel.color for channel in channels]
        return Scene(
            axes,
            shape,
            inside,
            self._file.dtype,
            lambda place: self._frame(number, place),
            recorded=self._recorded(channels),
            display=tuple(display_of(colour.r, colour.g, colour.b) for colour in colours if colour),
        )

    def _frame(self, position: int, place: Mapping[str, int]) -> NDArray[Any]:
        wanted = {"P": position, **place}
        key = tuple(sorted((letter, wanted.get(letter, 0)) for letter in self._loops))
        return np.asarray(self._file.read_frame(self._frames[key]))

    @property
    def _loops(self) -> tuple[str, ...]:
        first = self._file.loop_indices[0] if self._frames else {}
        return tuple(first)

    def _check_frames(self) -> None:
        """Refuse a file that lacks frames, in whose place the library gives zeros."""
        there = getattr(getattr(self._file, "_rdr", None), "_frame_offsets", None)
        if not isinstance(there, Mapping):  # of files before 2010, and of other versions
            return
        missing = [number for number in self._frames.values() if number not in there]
        if missing:
            raise InputError(
                "scene-incomplete",
                f"{self.path} is incomplete: {len(missing)} of its {len(self._frames)} frames are "
                f"missing, the first is number {missing[0]} from 0; copy it again, or export the "
                "frames that there are as OME-TIFF.",
            )

    def _recorded(self, channels: tuple[Any, ...]) -> Recorded:
        found = recorded(self._file.metadata)
        names = tuple(str(channel.channel.name or "") for channel in channels)
        steps = found.steps
        if channels:
            volume = channels[0].volume
            along = zip(volume.axesCalibration, volume.axesCalibrated, strict=True)
            x, y, z = (float(step) if calibrated else None for step, calibrated in along)
            steps = (z, y, x)
        return replace(
            found,
            channel_names=names if all(names) else (),
            steps=steps,
            frame_interval=self._interval(),
        )

    def _interval(self) -> float | None:
        """Give the mean time between frames as it was measured, else as it was planned."""
        for loop in self._file.experiment:
            if loop.type == "TimeLoop":
                times = loop.parameters
                return seconds(times.periodDiff.avg) or seconds(times.periodMs)
        return None

    def close(self) -> None:
        """Close the file."""
        self._file.close()
