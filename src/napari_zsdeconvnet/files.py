"""Writing files whole or not at all, and saying in words why a file cannot be written."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_KNOWN = {errno.EINVAL, errno.EOPNOTSUPP}  # to the file system
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder unless it exists; InputError if it cannot be made."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder {folder} cannot be made ({error.strerror}); choose another one."
        ) from error
    return folder


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path` that takes its place once the block has succeeded.

    A reader therefore sees the old file or the new one and never half of it, and a failure
    leaves nothing behind.

    Parameters
    ----------
    path
        The file to be written; its folder must exist.

    Yields
    ------
    Path
        The temporary file to write, in the same folder.

    Raises
    ------
    InputError
        If the folder is missing or cannot be written, or if the disk is full.
    """
    target = Path(path).resolve()
    temporary = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        # Made here, the file has the permissions the user wants new files to have; some
        # writers would let nobody else read it.
        temporary.touch()
        permissions = temporary.stat().st_mode
        yield temporary
        temporary.chmod(permissions)
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(_reason(error, target)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def reserve(path: Path) -> None:
    """Take the disk space of a file that is about to be mapped and filled.

    Files begin sparse. A map of one on a full disk would end the whole program where it is
    filled, whereas this raises the OSError that a written file would.
    """
    size = path.stat().st_size
    if not hasattr(os, "posix_fallocate"):
        if shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in _NOT_KNOWN:
                raise


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out before a long computation whether `path` can be written after it.

    Parameters
    ----------
    path
        The file that is going to be written.

    Raises
    ------
    InputError
        If `path` is a folder, or its folder is missing or cannot be written.
    """
    target = Path(path).resolve()
    if target.is_dir():
        raise InputError(f"{path} is a folder; name the file to write in it.")
    probe = target.with_name(f".{os.getpid()}.{target.name}")
    try:
        probe.touch()
    except OSError as error:
        raise InputError(_reason(error, target)) from error
    finally:
        with suppress(OSError):
            probe.unlink()


def _reason(error: OSError, target: Path) -> str:
    """Turn a failure of the file system into one sentence with a remedy."""
    if error.errno in _FULL:
        return f"The disk is full while writing {target}; free some space or choose another folder."
    if not target.parent.is_dir():
        return f"The folder {target.parent} does not exist; create it or choose another one."
    if error.errno in _FORBIDDEN:
        return f"{target} cannot be written (no permission); choose another folder."
    return f"{target} cannot be written ({error.strerror or error}); choose another folder."
