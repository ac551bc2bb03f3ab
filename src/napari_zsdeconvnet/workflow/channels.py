"""A recording with channels: one run for each of them, and results with all of them.

Channels differ in wavelength, and so in PSF, and often in noise. Each has its own calibration,
PSF, model and report, as if it had been recorded alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..io.image import Image
from ..io.selection import channel_count, one_of
from ..quality.chromatic_shift import ChannelShift, channel_shifts
from ..utils.errors import InputError
from .pipeline import Pipeline, RunResult, Step


@dataclass(frozen=True, eq=False)
class ChannelStep:
    """A step of the run of one channel.

    Attributes
    ----------
    channel
        Counted from 0.
    name
        As the file calls it, or "channel 0".
    step
        What was done.
    """

    channel: int
    name: str
    step: Step


@dataclass(frozen=True, eq=False)
class ChannelResults:
    """What comes of a recording with channels.

    Attributes
    ----------
    denoised, deconvolved : Image
        All channels, axes ([T,] C, [Z,] Y, X), with the names and the display of the recording.
        Counts above the offset; a channel that was left as it is has its counts as recorded, each
        pixel repeated on the finer grid.
    channels : tuple of RunResult or None
        What came of each channel, with its report, record and model; None where it was left as it
        is.
    shifts : tuple of ChannelShift
        Of each further channel against the first, as recorded. Nothing is moved.
    """

    denoised: Image
    deconvolved: Image
    channels: tuple[RunResult | None, ...]
    shifts: tuple[ChannelShift, ...] = ()


class ChannelRuns(Iterator[ChannelStep]):
    """Takes the channels of a recording from start to finish, one after the other.

    Parameters
    ----------
    image : Image
        With an axis C.
    begin : callable
        ``begin(channel, image)`` makes the run of one channel, whose image has no axis C.
    channels : sequence of int, optional
        Which are deconvolved, counted from 0; the others are left as they are. By default all.

    Raises
    ------
    InputError
        If there is no channel of that number, or none is left to deconvolve; while iterated, if
        a step of a channel cannot be done.
    """

    def __init__(
        self,
        image: Image,
        begin: Callable[[int, Image], Pipeline],
        channels: Sequence[int] | None = None,
    ) -> None:
        self._image = image
        count = channel_count(image)
        wanted = range(count) if channels is None else sorted(set(channels))
        if not wanted:
            raise InputError("channels-none", "No channel is chosen: name one at least.")
        # All are begun before the first is computed, so that what is missing shows at once.
        self._runs = {number: begin(number, one_of(image, "C", number)) for number in wanted}
        self._stopped = False
        self._steps = self._all_steps()

    def __next__(self) -> ChannelStep:
        """Go on to the next step."""
        return next(self._steps)

    def name(self, channel: int) -> str:
        """Return how the file calls a channel."""
        names = self._image.channel_names
        return names[channel] if channel < len(names) else f"channel {channel}"

    @property
    def runs(self) -> dict[int, Pipeline]:
        """The run of each channel that is deconvolved."""
        return dict(self._runs)

    @cached_property
    def shifts(self) -> tuple[ChannelShift, ...]:
        """Where the further channels lie against the first, measured on the recording."""
        return channel_shifts(self._image)

    def stop(self) -> None:
        """End what is under way as `Pipeline.stop` does; no further channel is begun."""
        self._stopped = True
        for run in self._runs.values():
            run.stop()

    def close(self) -> None:
        """End at once."""
        self._steps.close()
        for run in self._runs.values():
            run.close()

    @property
    def result(self) -> ChannelResults | None:
        """All results together; None until each channel has one."""
        made = {number: run.result for number, run in self._runs.items()}
        there = {number: one for number, one in made.items() if one is not None}
        if len(there) < len(made):
            return None
        return ChannelResults(
            self._together("denoised", there),
            self._together("deconvolved", there),
            tuple(made.get(number) for number in range(channel_count(self._image))),
            self.shifts,
        )

    def finish(self) -> ChannelResults:
        """Do all steps that are left, and return the results.

        Raises
        ------
        InputError
            If a step cannot be done, or the run was stopped before all channels had a result.
        """
        for _ in self:
            pass
        if self.result is None:
            raise InputError(
                "run-stopped",
                "The run was stopped before all channels had a result: start it again.",
            )
        return self.result

    def _all_steps(self) -> Generator[ChannelStep, None, None]:
        for number, run in self._runs.items():
            if self._stopped:
                return
            for step in run:
                yield ChannelStep(number, self.name(number), step)

    def _together(self, what: str, made: Mapping[int, RunResult]) -> Image:
        """Put one kind of result of all channels into one image."""
        given: dict[int, Image] = {n: getattr(one, what) for n, one in made.items()}
        first = next(iter(given.values()))
        if len({(one.data.shape, one.axes) for one in given.values()}) > 1:
            raise InputError(
                "channels-differ",
                "The results of the channels differ in size: deconvolve each channel by itself.",
            )
        place = first.axes.index("T") + 1 if "T" in first.axes else 0
        layers = [
            given[number].data if number in given else self._as_it_is(number, first)
            for number in range(channel_count(self._image))
        ]
        axes = first.axes[:place] + "C" + first.axes[place:]
        return replace(
            first,
            data=np.stack(layers, axis=place),
            axes=axes,
            channel_names=self._image.channel_names,
            optics=self._image.optics,
            display=self._image.display,
        )

    def _as_it_is(self, number: int, like: Image) -> np.ndarray:
        """Give a channel as recorded, on the grid of a result."""
        image = one_of(self._image, "C", number)
        data = np.asarray(image.data)
        kept = tuple(
            slice(None) if letter in like.axes else 0
            for letter in image.axes  # an axis of one element that results do not have
        )
        data = data[kept].astype(np.float32)
        for axis, (wanted, there) in enumerate(zip(like.data.shape, data.shape, strict=True)):
            data = np.repeat(data, wanted // there, axis=axis)
        return data
