"""Messages to the user, as napari notifications."""

from __future__ import annotations

import logging

from napari.utils import notifications

from ...utils.errors import InputError
from .window_text import in_window_words

_log = logging.getLogger(__name__)


def show_error(problem: BaseException | str) -> None:
    """Show what went wrong; anything but bad input also leaves its traceback in the log."""
    if isinstance(problem, BaseException) and not isinstance(problem, InputError):
        _log.error("%s", problem, exc_info=problem)
        notifications.show_error(f"{type(problem).__name__}: {problem}")
    else:
        notifications.show_error(in_window_words(str(problem)))


def show_warning(message: str) -> None:
    """Show something the user should know before trusting the result."""
    notifications.show_warning(in_window_words(message))


def show_info(message: str) -> None:
    """Show that something was done."""
    notifications.show_info(in_window_words(message))
