"""Messages to the user, as napari notifications."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from napari.utils import notifications

from ...utils.errors import InputError
from .window_text import worded

_log = logging.getLogger(__name__)
Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def show_error(problem: BaseException | str) -> None:
    """Show what went wrong; anything but bad input also leaves its traceback in the log."""
    if isinstance(problem, BaseException) and not isinstance(problem, InputError):
        _log.error("%s", problem, exc_info=problem)
        notifications.show_error(f"{type(problem).__name__}: {problem}")
    else:
        notifications.show_error(problem if isinstance(problem, str) else worded(problem))


def errors_shown(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned | None]:
    """Decorate what the user asks for: bad input is shown, and then None returned."""

    @wraps(function)
    def shown(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned | None:
        try:
            return function(*args, **kwargs)
        except InputError as error:
            show_error(error)
            return None

    return shown


def show_warning(message: str) -> None:
    """Show something the user should know before trusting the result."""
    notifications.show_warning(message)


def show_info(message: str) -> None:
    """Show that something was done."""
    notifications.show_info(message)
