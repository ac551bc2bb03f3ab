"""`zsdeconvnet run` of a recording with channels: results with all of them, models for each."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io.image import Image
from ...io.selection import channel_count
from ...utils.errors import InputError
from ...workflow.result_files import channel_files, failed_measures, write_channels
from ..console import Console, Interrupted
from .files import check_output, opened
from .interruption import came, no_signal
from .records import check_record
from .rescue import rescued
from .running import followed, known_of, mode_of, pipeline_of

if TYPE_CHECKING:
    from ...modes.base import Mode
    from ...workflow.pipeline import Pipeline


@dataclass(frozen=True)
class _Channel:
    """One channel, and what is written for it beside the results of all.

    Attributes
    ----------
    number
        Counted from 0.
    title
        What the console calls it.
    wavelength
        Of its emission as typed, micrometres; None where the file decides.
    model, record
        Files.
    """

    number: int
    title: str
    wavelength: float | None
    model: Path
    record: Path


def with_channels(path: str, arguments: argparse.Namespace) -> Image | None:
    """Return a recording that has several channels of which none is chosen; else None."""
    from ...modes.registry import find_mode

    image = opened(path, arguments)
    kind, _ = find_mode(image, arguments.mode, known_of(arguments))
    return None if channel_count(image) == 1 or kind.takes_channels else image


def run_channels(
    path: str,
    image: Image,
    files: Mapping[str, Path],
    arguments: argparse.Namespace,
    console: Console,
) -> dict[str, Any]:
    """Take each channel from raw counts to its result; gives what JSON says of them.

    Raises
    ------
    InputError
        If an option is for one channel alone, or a channel cannot be done: nothing is written
        then.
    """
    from ...training.autosave import checkpoint_of
    from ...workflow.channels import ChannelRuns

    channels = _channels(path, image, files, arguments)
    modes: dict[int, Mode] = {}

    def begin(number: int, _: Image) -> Pipeline:
        channel = channels[number]
        chosen = {"channel": number, "wavelength": channel.wavelength}
        typed = argparse.Namespace(**{**vars(arguments), **chosen})
        modes[number] = mode_of(path, typed, console)
        return pipeline_of(modes[number], {**files, "model": channel.model}, typed, console)

    runs = ChannelRuns(image, begin, arguments.channels)
    for number, run in runs.runs.items():
        channel = channels[number]
        console.say(f"{channel.title}:")
        try:
            with console.bar(0, f"{Path(path).name}, {channel.title}") as bar:
                made = followed(run, channel.model, bar, console)
        except InputError as error:
            named = error.within(channel.title)
            others = ",".join(str(other) for other in runs.runs if other != number)
            if others:
                named.add_note(f"To leave this channel as it is, add --channels {others}.")
            raise named from error
        if made is None or came:
            raise Interrupted(
                f"{channel.title} was stopped, so no results were written; the same command goes "
                "on with the trainings."
            )
    for shift in runs.shifts:
        console.say(shift.sentence)
    made_of_all = runs.result
    assert made_of_all is not None
    results = {n: one for n, one in enumerate(made_of_all.channels) if one is not None}
    with ExitStack() as stack:
        stack.enter_context(no_signal())
        for number, one in results.items():
            checkpoint = checkpoint_of(channels[number].model)
            then = f"--channel {number} --resume {checkpoint}"
            rescue = rescued(one.model.save, channels[number].model, checkpoint, then=then)
            stack.enter_context(nullcontext() if arguments.model else rescue)
        own = [{"model": channel.model, "record": channel.record} for channel in channels]
        written = write_channels(made_of_all, files, own)
    for number in results:
        if not arguments.model:
            checkpoint_of(channels[number].model).unlink(missing_ok=True)
    for file in written.values():
        console.say(f"{path} -> {file}")
    return {
        "image": path,
        **{what: str(file) for what, file in written.items()},
        "channels": [
            {
                "channel": number,
                "mode": modes[number].name,
                "model": str(channels[number].model),
                "record": str(channels[number].record),
                "verdict": None if one.report is None else one.report.to_dict(),
                "failed_measures": failed_measures(one),
            }
            for number, one in results.items()
        ],
        "shifts": [shift.to_dict() for shift in runs.shifts],
    }


def _channels(
    path: str, image: Image, files: Mapping[str, Path], arguments: argparse.Namespace
) -> list[_Channel]:
    """Name what is written for each channel, and see to it that the options are for several."""
    count = channel_count(image)
    for option in ("psf", "resume", "out_of_focus"):
        if getattr(arguments, option):
            raise InputError(
                "option-for-one-channel",
                f"--{option.replace('_', '-')} is for one channel, and {image.name} has {count}: "
                "leave it out, or choose one with --channel.",
            )
    names = [*image.channel_names, *[""] * count][:count]
    wavelengths = _wavelengths(image, count, arguments)
    channels = []
    for number, (named, own) in enumerate(zip(names, channel_files(files, names), strict=True)):
        channel = _Channel(
            number,
            f"channel {number}" + (f" ({named})" if named else ""),
            wavelengths[number],
            own["model"],
            own["record"],
        )
        check_output(channel.model, [path], arguments)
        check_record(channel.record)
        channels.append(channel)
    return channels


def _wavelengths(image: Image, count: int, arguments: argparse.Namespace) -> Sequence[float | None]:
    """Give the emission wavelength of each channel as typed."""
    typed: Sequence[float] | None = arguments.wavelengths
    if typed is not None and arguments.wavelength is not None:
        raise InputError(
            "options-exclude-each-other",
            "--wavelength and --wavelengths are both given; leave one out.",
        )
    if typed is None and arguments.wavelength is not None:
        raise InputError(
            "option-for-one-channel",
            f"--wavelength is one, and {image.name} has {count} channels: give --wavelengths, one "
            "for each, as in 0.461,0.525.",
        )
    if typed is not None and len(typed) != count:
        raise InputError(
            "option-length-count",
            f"--wavelengths has {len(typed)} lengths, and {image.name} has {count} channels: give "
            "one for each, in micrometres.",
        )
    return [None] * count if typed is None else typed
