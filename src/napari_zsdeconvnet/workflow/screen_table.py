"""The table of a screen: written line by line as recordings end, and as CSV for a spreadsheet."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..utils.errors import InputError
from ..utils.files import refusal, written_whole
from .screen import DONE, Row

JOURNAL, CSV = "screen.jsonl", "screen.csv"

_COLUMNS = (
    "recording",
    "state",
    "mode",
    "verdict",
    "failed_measures",
    "trained_on",
    "why",
    "model",
    "seconds",
    "deconvolved",
    "record",
    "error",
)


class ScreenTable:
    """The recordings that were done into a folder, by all commands, with their settings.

    Lines are added to `JOURNAL` one by one, so that nothing is lost when a run is ended. Of a
    recording that was done several times the last line holds.

    Parameters
    ----------
    folder : path
        Of the results.
    settings : mapping
        What the results depend on; what JSON does not know counts by its `repr`.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._journal, self._csv = folder / JOURNAL, folder / CSV
        self._settings = json.loads(json.dumps(settings, sort_keys=True, default=repr))
        self._begun = False

    def earlier(self, names: Iterable[str]) -> dict[str, Row]:
        """Return those of the named recordings that are done with these settings and still there.

        Raises
        ------
        InputError
            If the journal cannot be read.
        """
        last = {row.recording: (settings, row) for settings, row in self._lines()}
        found = {name: last[name] for name in names if name in last}
        return {
            name: row
            for name, (settings, row) in found.items()
            if settings == self._settings and _complete(row)
        }

    def with_other_settings(self) -> set[str]:
        """Return the names of the recordings whose last line is of other settings."""
        last = {row.recording: settings for settings, row in self._lines()}
        return {name for name, settings in last.items() if settings != self._settings}

    def add(self, row: Row) -> None:
        """Write the line of a recording that has ended.

        Raises
        ------
        InputError
            If it cannot be written.
        """
        lines = [] if self._begun else [{"settings": self._settings}]
        lines.append({**_plain(row), "kind": "recording"})
        text = "".join(json.dumps(line) + "\n" for line in lines)
        try:
            with self._journal.open("a", encoding="utf-8") as file:
                # A line that a process could not end is left alone in a line of its own.
                file.write(text if self._begun else f"\n{text}")
        except OSError as error:
            raise refusal(error, self._journal) from error
        self._begun = True

    def write(self, names: Sequence[str]) -> Path:
        """Write all rows as CSV, in the order of names, those that failed last; gives its name."""
        place = {name: number for number, name in enumerate(names)}
        rows = list({row.recording: row for _, row in self._lines()}.values())
        rows.sort(key=lambda row: (row.state != DONE, place.get(row.recording, -1)))
        with (
            written_whole(self._csv) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            table = csv.DictWriter(file, _COLUMNS)
            table.writeheader()
            table.writerows(map(_cells, rows))
        return self._csv

    def _lines(self) -> Iterator[tuple[Any, Row]]:
        """Read settings and row of each line, the oldest first."""
        settings: Any = None
        try:
            with self._journal.open(encoding="utf-8") as file:
                for line in file:
                    try:
                        values = json.loads(line)
                    except ValueError:  # broken off, or the empty line before a run
                        continue
                    if "settings" in values:
                        settings = values["settings"]
                    elif values.pop("kind", None) == "recording":
                        row = _row(values)
                        yield settings, row
        except FileNotFoundError:
            return
        except (OSError, UnicodeDecodeError, TypeError, KeyError) as error:
            raise InputError(
                "screen-table-damaged",
                f"{self._journal} is no list of recordings that were done ({error}); move it away.",
            ) from error


def _plain(row: Row) -> dict[str, Any]:
    values = dict(vars(row))
    del values["warnings"], values["details"]
    return values


def _row(values: dict[str, Any]) -> Row:
    failed = values["failed_measures"]
    return Row(**{**values, "failed_measures": None if failed is None else tuple(failed)})


def _complete(row: Row) -> bool:
    """Tell whether all files of a recording that is done are there, and it is no newer than they.

    Of one in a folder, or a scene of a file, it is not known when it was recorded.
    """
    files, recording = [Path(file) for file in row.files.values()], Path(row.recording)
    if row.state != DONE or not all(file.exists() for file in files):
        return False
    if not recording.is_file() or not files:
        return True
    return recording.stat().st_mtime <= min(file.stat().st_mtime for file in files)


def _cells(row: Row) -> dict[str, Any]:
    values = _plain(row)
    files = values.pop("files")
    judged = ""
    if row.state == DONE and row.failed_measures is not None:
        judged = "needs a look" if row.needs_a_look else "passed"
    return {
        **values,
        "verdict": judged,
        "failed_measures": ", ".join(row.failed_measures or ()),
        "seconds": f"{row.seconds:.1f}",
        "deconvolved": files.get("deconvolved", ""),
        "record": files.get("record", ""),
    }
