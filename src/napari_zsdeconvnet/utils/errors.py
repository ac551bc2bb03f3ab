"""What goes wrong on the user's side, said in one sentence."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used.

    The message is a single sentence that names the file or argument, the value that was
    found and the remedy. The command line prints it to stderr and exits with code 2; the
    napari widgets show it as a notification.
    """
