"""`zsdeconvnet run` of many recordings: by this process or a cluster, with a table at the end."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...utils.errors import InputError
from ...workflow.result_files import run_files
from ..console import Console, Interrupted, worded
from .interruption import came
from .one_recording import check_files, run_one
from .run_channels import with_channels
from .running import mode_of
from .scenes import title_of

if TYPE_CHECKING:
    from tqdm import tqdm

    from ...workflow.grouping import Traits
    from ...workflow.screen import Row, Screen
    from ...workflow.screen_table import ScreenTable

_LISTED = 40
"""Recordings that are named in the terminal; the table has all of them."""

_NOT_OF_RESULTS = {
    *("command", "shown", "images", "output", "force", "skip_done", "workers", "scheduler"),
    *("json", "quiet", "verbose", "debug", "resume", "device"),
}


@dataclass
class _Unheard(Console):
    """Keeps the warnings of a recording that another process does."""

    quiet: bool = True
    json: bool = True  # so that nobody is asked anything

    def warn(self, text: str) -> None:
        """Keep a warning."""
        if text not in self.warnings:
            self.warnings.append(text)


@dataclass(frozen=True)
class CommandWork:
    """What the command does with a recording, a name and its files, in whichever process.

    Attributes
    ----------
    arguments
        Of the command.
    details
        Whether all that JSON says is wanted of each recording.
    console
        Of this process where it does everything; None for silence.
    """

    arguments: argparse.Namespace
    details: bool = False
    console: Console | None = field(default=None, compare=False)

    def name(self, recording: tuple[str, Path]) -> str:
        """Name a recording by its file and scene."""
        return title_of(recording[0])

    def look(self, recording: tuple[str, Path]) -> Traits | None:
        """Calibrate a recording; None of one whose channels have models of their own."""
        from ...workflow.grouping import Traits

        if with_channels(recording[0], self.arguments) is not None:
            return None
        return Traits.of(mode_of(recording[0], self.arguments, _Unheard()))

    def do(self, recording: tuple[str, Path], model: str | None) -> Row:
        """Take a recording to its result."""
        from ...workflow.screen import DONE, STOPPED, Row

        path, output = recording
        console = self.console or _Unheard()
        before = len(console.warnings)
        made = run_one(path, run_files(output), self.arguments, console, model)
        several = made.get("channels")
        parts = [made] if several is None else several
        failed = [
            f"{name} of channel {part['channel']}" if several else name
            for part in parts
            for name in part["failed_measures"]
        ]
        files = ("deconvolved", "denoised", "background", "record", "model")
        return Row(
            title_of(path),
            STOPPED if made.get("stopped") else DONE,
            parts[0]["mode"],
            str(made.get("model", "")),
            title_of(path) if several or made["trained"] else "",
            failed_measures=None if self.arguments.no_verdict else tuple(failed),
            files={name: str(made[name]) for name in files if name in made},
            warnings=tuple(console.warnings[before:]),
            details=made if self.details else {},
        )

    def worded(self, error: Exception) -> str:
        """Say what went wrong in the words of the shell."""
        if isinstance(error, InputError):
            return worded(error)
        return f"{type(error).__name__}: {error}".strip(": ")


def run_screen(
    paths: Sequence[str],
    files: Sequence[Mapping[str, Path]],
    arguments: argparse.Namespace,
    console: Console,
) -> None:
    """Take many recordings to their results, each as `run_one` does it, and write a table.

    Raises
    ------
    InputError
        If some of them could not be done, for whatever reason: the others are.
    """
    from ...workflow.distributed.running import cluster
    from ...workflow.screen import Screen
    from ...workflow.screen_table import ScreenTable

    recordings = [(path, names["deconvolved"]) for path, names in zip(paths, files, strict=True)]
    titles = [title_of(path) for path in paths]
    settings = {
        name: value for name, value in vars(arguments).items() if name not in _NOT_OF_RESULTS
    }
    folder = recordings[0][1].parent
    table = ScreenTable(folder, {**settings, "version": __version__})
    earlier = table.earlier(titles) if arguments.skip_done else {}
    _check(recordings, arguments, table, earlier)
    plain = {name: value for name, value in vars(arguments).items() if name != "shown"}
    plain["force"] |= arguments.skip_done  # found out above
    with cluster(arguments.workers, arguments.scheduler) as client:
        work = CommandWork(
            argparse.Namespace(**plain), console.json, console if client is None else None
        )
        shared = not (arguments.train_each or arguments.model)
        screen = Screen(recordings, work, client=client, shared=shared, earlier=earlier)
        if earlier:
            console.say(f"{len(earlier)} of {len(paths)} recordings are done already.")
        bar = console.bar(len(titles), "images", "image") if client is not None else None
        with closing(screen), bar or nullcontext():
            if bar is not None:
                bar.update(len(earlier))
            ended = _followed(screen, table, titles, len(earlier), console, bar)
    _tell({**earlier, **ended}, titles, table, console)


def _check(
    recordings: Sequence[tuple[str, Path]],
    arguments: argparse.Namespace,
    table: ScreenTable,
    earlier: Mapping[str, Row],
) -> None:
    """See to it that results can be written, and that none is replaced unasked.

    Writing is tried for one recording of each folder; of the others the names are looked up.
    """
    others = table.with_other_settings() if arguments.skip_done else set()
    tried: set[Path] = set()
    for path, output in recordings:
        if title_of(path) in earlier:
            continue
        # Files of a recording that is in no line were being written when a run was ended.
        begun = arguments.skip_done and title_of(path) not in others
        own = argparse.Namespace(**{**vars(arguments), "force": arguments.force or begun})
        check_files(path, run_files(output), own, written=output.parent not in tried)
        tried.add(output.parent)


def _followed(
    screen: Screen,
    table: ScreenTable,
    titles: Sequence[str],
    before: int,
    console: Console,
    bar: tqdm[Any] | None,
) -> dict[str, Row]:
    """Do all recordings, with a line for each that has ended; gives their rows by name."""
    from ...workflow.screen import Looked

    ended: dict[str, Row] = {}
    total, looked = len(titles), 0
    try:
        for event in screen:
            if isinstance(event, Looked):
                looked += 1
                if bar is not None:
                    bar.set_postfix_str(f"{looked} calibrated")
                continue
            row = event.row
            ended[row.recording] = row
            table.add(row)
            if bar is not None:
                bar.update()
                bar.clear()
                for warning in row.warnings:
                    console.warn(f"{row.recording}: {warning}")
            console.say(f"[{before + len(ended)}/{total}] {row.recording}: {_ending(row)}")
            if came and before + len(ended) < total:
                raise Interrupted
    except KeyboardInterrupt as error:
        table.write(titles)
        why = f"; {error}" if str(error) else ""
        raise Interrupted(
            f"{before + len(ended)} of {total} images are done, and --skip-done goes on with the "
            f"others{why or '.'}"
        ) from None
    return ended


def _ending(row: Row) -> str:
    """Say what came of a recording."""
    if row.failed:
        return "failed."
    said = f"{row.state} in {row.seconds:.1f} s"
    if row.trained and row.why:
        said += f", by a model of its own: {row.why}"
    elif row.trained_on and not row.trained:
        said += f", by the model of {row.trained_on}"
    return f"{said}; needs a look." if row.needs_a_look else f"{said}."


def _tell(
    rows: Mapping[str, Row], titles: Sequence[str], table: ScreenTable, console: Console
) -> None:
    """Say what came of all: the table, what needs a look, and last what failed."""
    written = table.write(titles)
    ordered = [rows[title] for title in titles]
    failed = [row for row in ordered if row.failed]
    done = [row for row in ordered if not row.failed]
    look = [row for row in done if row.needs_a_look]
    shown = done if len(done) <= _LISTED else look[:_LISTED]
    if shown:
        console.table(
            ("recording", "model of", "verdict", "seconds"),
            [(row.recording, row.trained_on, _verdict(row), f"{row.seconds:.1f}") for row in shown],
        )
    models = len({row.trained_on for row in done if row.trained})
    console.say(f"{len(done)} of {len(ordered)} images done. Models trained: {models}.")
    console.say(f"The table of all images: {written}.")
    for row in look[:_LISTED]:
        console.say(f"Needs a look: {row.recording} ({', '.join(row.failed_measures or ())}).")
    if len(look) > _LISTED:
        console.say(f"{len(look)} images need a look; the table names all of them.")
    names = [row.recording for row in failed]
    console.result(
        {
            "images": [dict(row.details) or _of_before(row) for row in done],
            "failed": names,
            "table": str(written),
        }
    )
    if failed:
        for row in failed[:_LISTED]:
            console.warn(f"{row.recording}: {row.error}")
        more = ", ..." if len(names) > _LISTED else ""
        raise InputError(
            "images-failed",
            f"{len(failed)} of {len(ordered)} images could not be done, for the reasons above: "
            f"{', '.join(names[:_LISTED])}{more}.",
        )


def _verdict(row: Row) -> str:
    if row.failed_measures is None:
        return ""
    return ", ".join(row.failed_measures) or "passed"


def _of_before(row: Row) -> dict[str, Any]:
    """Give what JSON says of a recording that was done by an earlier command."""
    failed = list(row.failed_measures or ())
    return {"image": row.recording, "mode": row.mode, **row.files, "failed_measures": failed}
