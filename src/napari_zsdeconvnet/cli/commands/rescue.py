"""What was learned is kept somewhere else where it cannot be written to its place."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...utils.errors import InputError


@contextmanager
def rescued(
    save: Callable[[Path], Any], output: Path, checkpoint: Path | None = None, then: str = ""
) -> Iterator[None]:
    """Save a model in the folder for temporary files if the block that writes it fails.

    Parameters
    ----------
    save : callable
        Writes the model to a path.
    output : Path
        Where it was to go.
    checkpoint : Path, optional
        Where the training may be as a whole, which is as good.
    then : str
        What goes on from there.

    Raises
    ------
    InputError
        That of the block, with a note on where the model is.
    """
    try:
        yield
    except InputError as error:
        error.add_note(_where(save, output, checkpoint, then))
        raise


def _where(save: Callable[[Path], Any], output: Path, checkpoint: Path | None, then: str) -> str:
    from ...training.autosave import is_complete

    if checkpoint is not None and is_complete(checkpoint):
        return f"What was learned is in {checkpoint}, and {then} goes on from there."
    try:
        refuge = Path(tempfile.mkdtemp(prefix="zsdeconvnet-")) / output.name
        save(refuge)
    except (InputError, OSError):
        return "Nor could the model be saved in the folder for temporary files."
    return f"So the model was saved as {refuge}."
