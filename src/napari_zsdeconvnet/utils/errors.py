"""What goes wrong on the user's side, said in one sentence."""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used.

    The message is a single sentence that names the file or argument, the value that was
    found and the remedy. The command line prints it to stderr and exits with code 2; the
    napari widgets show it as a notification.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> try:
    ...     zs.read_image("missing.tif")
    ... except zs.InputError as error:
    ...     print(str(error).partition(":")[0].partition(";")[0])
    missing.tif does not exist
    """
