"""How long something takes, the way people say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...training.trainer import Progress


def time_left(progress: Progress, *, ends_early: bool = True) -> str:
    """Say how long a training will go on: at most so long where it may end by itself."""
    left = in_words(progress.seconds_left)
    if not ends_early:
        return f"About {left} left on {progress.device}"
    return f"At most {left} left on {progress.device}; it ends by itself once it gains nothing"


def in_words(seconds: float) -> str:
    """Say a duration the way people do, such as "1 min 20 s"."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
