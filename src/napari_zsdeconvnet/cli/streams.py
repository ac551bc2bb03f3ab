"""stdout and stderr that never end the work: closed, broken or on a full disk, words are lost."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO


class Lasting:
    """A stream that goes silent where it cannot be written any more."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure = ""
        """Why not all was written; empty where it was, or nobody was there to read it."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or be silent from now on."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._silence(error)
        except UnicodeEncodeError:
            known = text.encode(self._stream.encoding, "backslashreplace")
            return self._stream.write(known.decode(self._stream.encoding))
        return len(text)

    def flush(self) -> None:
        """Write what waits, or be silent from now on."""
        try:
            self._stream.flush()
        except OSError as error:
            self._silence(error)

    def _silence(self, error: OSError) -> None:
        """Let what waits and all that follows go nowhere, also when Python itself ends."""
        if error.errno not in (errno.EPIPE, errno.EIO):  # a reader, or a terminal, that has gone
            self.failure = self.failure or error.strerror or str(error)
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def open_closed_streams() -> None:
    """Open stdin, stdout and stderr where the caller has closed them.

    A file that is opened later would get their numbers, and the words that libraries print.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r", encoding="utf-8"))  # noqa: SIM115


@contextmanager
def lasting_streams() -> Iterator[Lasting]:
    """Let stdout and stderr of this block be lasting ones; gives stdout."""
    open_closed_streams()
    usual = sys.stdout, sys.stderr
    out, err = Lasting(usual[0]), Lasting(usual[1])
    sys.stdout, sys.stderr = out, err
    try:
        yield out
    finally:
        for stream in (out, err):
            stream.flush()
        sys.stdout, sys.stderr = usual
