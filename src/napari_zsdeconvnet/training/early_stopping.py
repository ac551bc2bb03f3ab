"""When a training has nothing more to gain."""

from __future__ import annotations


class Plateau:
    r"""Notices that a loss on held-out pairs has stopped falling.

    The pairs are the same at every check, so the difference of two checks is known far better
    than either: where the noise of a pair is high it is so in both. Most of the loss is noise of
    the targets, which no network can take away, so that a thousandth of it can be a fiftieth of
    what is wrong with a result.

    Parameters
    ----------
    patience : int
        Steps that must bring something.
    least : float
        What counts as something, as a part of the loss.
    """

    def __init__(self, patience: int, least: float) -> None:
        self.patience = patience
        self.least = least
        self.checks: list[tuple[int, float]] = []

    def reached(self, step: int, loss: float) -> bool:
        """Take the held-out loss after a step; True when the last steps have gained too little."""
        self.checks.append((step, loss))
        since = step - self.patience
        before = [found for then, found in self.checks if then <= since]
        after = [found for then, found in self.checks if then > since]
        return bool(before) and min(after) > (1 - self.least) * min(before)
