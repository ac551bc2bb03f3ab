"""What a command says: words, warnings, progress and, for scripts, one JSON object."""

from __future__ import annotations

import json
import math
import platform
import sys
import time
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from ..utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tqdm import tqdm


_LOG_INTERVAL = 10  # seconds between two lines of progress in a log
_TOLD = ("napari-zsdeconvnet", "torch", "numpy")
_OBEYED = ("Cc", "Cf", "Cs", "Zl", "Zp")  # categories: controls, directions, broken halves, breaks

REMEDIES = {
    "allow-saturated": "allow saturation with --allow-saturated",
    "axial-step": "give --axial-step in micrometres",
    "camera-part": "give the maps (--offset-map and its like) with the first row and column that "
    "were read out (--map-start)",
    "excitation-wavelength": "give --excitation-wavelength in micrometres, such as 0.488",
    "finish-psf": "read it with zsdeconvnet psf read",
    "frame-counts": "say how many orientations and phases there are (--orientations, --phases)",
    "frame-order": "give --order {}",
    "frame-sets": "say --sets consecutive where the frames of a plane stand together, or "
    "--sets interleaved where all planes of a frame do",
    "measure-gain": "measure it with zsdeconvnet calibrate",
    "modality": "choose --modality {}",
    "pixel-size": "give --pixel-size in micrometres",
    "begin-anew": "begin anew with --force",
    "replace": "replace it with --force",
    "resume": "go on with --resume",
    "psf-plane": "take one plane (--psf-focus, --psf-plane N, or zsdeconvnet psf read --focus)",
    "psf-voxel-size": "give it when the PSF is read (--psf-voxel-size, in micrometres)",
    "result-arrays": "write to another file",
    "series": "say --axes TYX",
    "sheet-thickness": "give --sheet-thickness in micrometres, such as 1.5",
    "volume": "say --axes ZYX",
    "voxel-size": "give --voxel-size in micrometres ({})",
}
"""What to do about an error, as the shell words it."""


def worded(error: InputError) -> str:
    """Say what went wrong with the remedies of the shell, and what was noted on the way up."""
    return " ".join([error.worded(REMEDIES), *getattr(error, "__notes__", ())])


def printable(text: str) -> str:
    """Write control characters, which a terminal would obey, as escapes; lines stay lines.

    Names of files and words in records are made by others.
    """
    return "".join(
        letter
        if letter in "\n\t" or unicodedata.category(letter) not in _OBEYED
        else letter.encode("unicode_escape").decode()
        for letter in text
    )


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, with a sentence on what has been kept."""


class NotPassed(Exception):
    """A strict verdict in which a measure failed; all has been printed."""


@dataclass
class Console:
    """Where a command's words go.

    Plain words go to stdout, or to stderr where stdout belongs to JSON; warnings and progress
    always go to stderr.

    Attributes
    ----------
    json
        Whether stdout is for one JSON object.
    quiet
        Whether words and progress are left out.
    verbose
        Whether versions and time are told.
    warnings
        Everything warned of so far.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    warnings: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Print a line for a person."""
        if self.quiet:
            return
        print(printable(text), file=sys.stderr if self.json else sys.stdout, flush=True)

    def warn(self, text: str) -> None:
        """Print a warning, each only once."""
        if text not in self.warnings:
            self.warnings.append(text)
            print(f"Warning: {printable(text)}", file=sys.stderr, flush=True)

    def result(self, values: dict[str, Any]) -> None:
        """Print the JSON object, if one was asked for."""
        if self.json:
            plain = _plain({**values, "warnings": self.warnings})
            print(json.dumps(plain, indent=2, allow_nan=False), flush=True)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Tell, where it is asked for, which versions do the work and how long they take."""
        begun = time.monotonic()
        if self.verbose:
            versions = ", ".join(f"{name} {version(name)}" for name in _TOLD)
            self.say(f"{versions}, Python {platform.python_version()}, {platform.platform()}.")
        try:
            yield
        finally:
            if self.verbose:
                self.say(f"Ended after {time.monotonic() - begun:.1f} s.")

    def bar(self, total: int, what: str, unit: str = "step") -> tqdm[Any]:
        """Make a progress bar on stderr; in a log file it is a line every 10 seconds."""
        from tqdm import tqdm

        shown = sys.stderr.isatty()
        return tqdm(
            total=total,
            desc=printable(what),
            unit=unit,
            file=sys.stderr if shown else _LogLines(sys.stderr),
            disable=self.quiet,
            mininterval=0.1 if shown else _LOG_INTERVAL,
            dynamic_ncols=shown,
        )

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print aligned columns, the first to the left and all others to the right."""
        rows = [[printable(text).replace("\n", " ") for text in row] for row in rows]
        widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
        for row in (header, ["-" * width for width in widths], *rows):
            first, *others = row
            cells = [first.ljust(widths[0])]
            cells += [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
            self.say("  ".join(cells).rstrip())


class _LogLines:
    """A stream that gives a log lines in place of a bar that is drawn over and over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._next = 0.0

    def write(self, text: str) -> None:
        """Write what is not empty as a line, unless the last one was just written."""
        line, now = text.strip(), time.monotonic()
        if line and now >= self._next:
            self._stream.write(f"{line}\n")
            self._next = now + _LOG_INTERVAL

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()


def _plain(value: Any) -> Any:
    """Turn mappings, numpy values and paths into what JSON knows; NaN and infinity into null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int | str) else str(value)
