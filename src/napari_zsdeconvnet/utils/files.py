"""Writing files whole or not at all, and saying in words why a file cannot be written."""

from __future__ import annotations

import errno
import math
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

_MARK = ".zsdeconvnet-part-"  # begins the name of what is being written
_FOLDER_MARK = ".zsdeconvnet-folder-"
_LONGEST_SUFFIX = 16
_A_DAY = 86_400  # seconds
_SELDOM = 20  # times as long as looking takes until the next look

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_KNOWN = {errno.EINVAL, errno.EOPNOTSUPP}  # to the file system
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def refuse_address(path: str | os.PathLike[str]) -> None:
    """Refuse an address, such as ``s3://bucket/out.ome.zarr``, where a file is to be written.

    A `Path` of one has lost a slash, and would be a folder with the name ``s3:``.

    Raises
    ------
    InputError
        If it is one.
    """
    first, *others = str(path).split("/")
    if others and first.endswith(":") and len(first) > len("C:"):
        address = f"{first}//{'/'.join(others).lstrip('/')}"
        raise InputError(
            "output-address",
            f"{address} is an address, and results are written to this machine; name a folder or a "
            "file here.",
        )


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Make a folder unless it exists; InputError if it cannot be made."""
    refuse_address(path)
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            "folder-not-made",
            f"The folder {folder} cannot be made ({error.strerror}); choose another one.",
        ) from error
    return folder


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path` that takes its place once the block has succeeded.

    A reader therefore sees the old file or the new one and never half of it, also after a crash
    of the machine, and a failure leaves nothing behind. Inside `replaced_together` it takes its
    place at the end of that.

    Raises
    ------
    InputError
        If `path` is no ordinary file, if the folder is missing or cannot be written, or if the
        disk is full.
    """
    refuse_address(path)
    with _replacing(Path(path).resolve(), _Part) as part:
        yield part


@contextmanager
def folder_written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary folder beside `path` that takes its place once the block has succeeded.

    Inside `replaced_together` it takes its place at the end of that.

    Raises
    ------
    InputError
        If the folder above is missing or cannot be written, or if the disk is full.
    """
    refuse_address(path)
    with _replacing(Path(path).resolve(), _FolderPart) as part:
        yield part


@contextmanager
def _replacing(target: Path, make: type[_Part | _FolderPart]) -> Iterator[Path]:
    """Give a part that takes the place of a target, at once or at the end of a set."""
    part = together = None
    try:
        part = make(target)
        yield part.path
        part.finish()
        together = _set.get()
        if together is None:
            part.replace()
        else:
            together.append(part)
    except OSError as error:
        raise refusal(error, target) from error
    finally:
        if part is not None and (together is None or part not in together):
            part.discard()


_set: ContextVar[list[_Part | _FolderPart] | None] = ContextVar(
    "files that are replaced together", default=None
)


@contextmanager
def replaced_together() -> Iterator[None]:
    """Let all files that are written whole in this block take their places at its end.

    The last of them, a file, describes the others: its old version goes before they come, so
    that whenever it is there it belongs to them. After a failure all old files are as they were. Of
    two processes that write the same files at a time, all are those of one of them.

    Raises
    ------
    InputError
        If one of them cannot be replaced.
    """
    parts: list[_Part | _FolderPart] = []
    outer = _set.set(parts)
    try:
        yield
        try:
            with _in_turn({part.target.parent for part in parts}):
                if len(parts) > 1:
                    parts[-1].target.unlink(missing_ok=True)
                for part in parts:
                    part.replace()
        except OSError as error:
            raise refusal(error, part.target) from error
    finally:
        _set.reset(outer)
        for part in parts:
            part.discard()


@contextmanager
def _in_turn(folders: Iterable[Path]) -> Iterator[None]:
    """Have no other process replace files in these folders meanwhile, where the system can."""
    with ExitStack() as open_folders:
        for folder in sorted(folders):  # all in the same order, so that no two wait for each other
            with suppress(OSError):
                descriptor = os.open(folder, os.O_RDONLY)
                open_folders.callback(os.close, descriptor)
                if fcntl is not None:
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


class _Part:
    """A file that is being written, under a name that nobody can foresee.

    Its writer holds a lock on it for as long as it lives, on systems that have such locks. So
    another process, in another container even, can tell what a dead one has left.
    """

    def __init__(self, target: Path) -> None:
        _check_kind(target)
        self.target = target
        _remove_stale(target.parent)
        suffix = target.suffix if len(target.suffix) < _LONGEST_SUFFIX else ""
        self._held: int | None = None
        while self._held is None:
            self.path = target.with_name(f"{_MARK}{secrets.token_hex(8)}{suffix}")
            # Made here, the file has the permissions the user wants new files to have; some
            # writers would let nobody else read it.
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
            if _locked(descriptor) and _is_at(descriptor, self.path):
                self._held = descriptor
            else:  # taken for stale before it was locked
                os.close(descriptor)
        self._permissions = self.path.stat().st_mode

    def finish(self) -> None:
        """Bring all that was written to the disk."""
        with self.path.open("r+b") as file:
            os.fsync(file.fileno())
        self.path.chmod(self._permissions)

    def replace(self) -> None:
        """Take the place of the target."""
        if fcntl is None:
            self._release()  # Windows renames nothing that is open
        os.replace(self.path, self.target)
        _sync_folder(self.target.parent)

    def discard(self) -> None:
        """Remove what has not taken its place."""
        self._release()
        with suppress(OSError):
            self.path.unlink()

    def _release(self) -> None:
        if self._held is not None:
            os.close(self._held)
        self._held = None


class _FolderPart:
    """A folder that is being written, with a lock on it as `_Part` has one."""

    def __init__(self, target: Path) -> None:
        self.target = target
        _remove_stale_folders(target.parent)
        self.path = target.with_name(f"{_FOLDER_MARK}{secrets.token_hex(8)}")
        self.path.mkdir()
        self._held = None if fcntl is None else os.open(self.path, os.O_RDONLY)
        if self._held is not None:
            _locked(self._held)

    def finish(self) -> None:
        """Leave the files in it to whoever wrote them."""

    def replace(self) -> None:
        """Take the place of the target."""
        self._release()
        replace_folder(self.path, self.target)

    def discard(self) -> None:
        """Remove what has not taken its place."""
        self._release()
        shutil.rmtree(self.path, ignore_errors=True)

    def _release(self) -> None:
        if self._held is not None:
            os.close(self._held)
        self._held = None


def _remove_stale_folders(folder: Path) -> None:
    """Remove the folders that processes which are dead have left in a folder."""
    for path in folder.glob(f"{_FOLDER_MARK}*"):
        with suppress(OSError):
            if fcntl is None:
                if time.time() - path.stat().st_mtime > _A_DAY:
                    shutil.rmtree(path, ignore_errors=True)
                continue
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def replace_folder(part: Path, target: Path) -> None:
    """Let a finished folder take the place of another one, or of none.

    Raises
    ------
    InputError
        If it cannot; the old one is where it was.
    """
    old = target.with_name(f"{_MARK}{secrets.token_hex(8)}")
    try:
        there = target.exists()
        if there:
            os.rename(target, old)
        try:
            os.rename(part, target)
        except OSError:
            if there:
                os.rename(old, target)
            raise
        _sync_folder(target.parent)
    except OSError as error:
        raise refusal(error, target) from error
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Let no other process work in a folder meanwhile, where the system can.

    Raises
    ------
    InputError
        If another one does.
    """
    descriptor = os.open(folder, os.O_RDONLY) if fcntl is not None else None
    try:
        if descriptor is not None and not _locked(descriptor):
            raise InputError(
                "output-busy", f"Another process is writing {folder}; wait until it has ended."
            )
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    """Lock an open file, unless another process has; file systems without locks count as done."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file still has that name."""
    with suppress(OSError):
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    return False


_next_look: dict[Path, float] = {}
"""When the folder that was looked through last is so again."""


def _remove_stale(folder: Path) -> None:
    """Remove what processes that are dead have left in a folder.

    Of a folder with many files only now and then, since all of them are looked through.
    """
    began = time.monotonic()
    if began < _next_look.get(folder, began):
        return
    with suppress(OSError), os.scandir(folder) as entries:
        left = [Path(entry.path) for entry in entries if entry.name.startswith(_MARK)]
        now = time.monotonic()
        _next_look.clear()  # results go to one folder for long
        _next_look[folder] = now + _SELDOM * (now - began)
        for path in left:
            with suppress(OSError):
                if fcntl is None:
                    if time.time() - path.stat().st_mtime > _A_DAY:
                        path.unlink()
                    continue
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Bring a new name to the disk, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _check_kind(target: Path) -> None:
    """Refuse to put a file in the place of a device, a pipe or a folder."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "a device or a pipe"
        raise InputError(
            "not-an-ordinary-file", f"{target} is {what}; name an ordinary file to write."
        )


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


def disk_is_free(needed: int) -> bool:
    """Tell whether the folder for temporary files lies on a disk with so many bytes free.

    Not on Windows, where a file that is in use cannot go.
    """
    import psutil

    if os.name == "nt":
        return False
    folder = Path(tempfile.gettempdir()).resolve()
    kinds = {Path(one.mountpoint): one.fstype for one in psutil.disk_partitions(all=True)}
    mounted = next((place for place in (folder, *folder.parents) if place in kinds), None)
    if mounted is not None and kinds[mounted] in ("tmpfs", "ramfs"):
        return False  # that is memory, too
    return shutil.disk_usage(folder).free > needed


def in_file(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Make an array in a temporary file that goes with it; its pages need not stay in memory."""
    import numpy as np

    with tempfile.NamedTemporaryFile(prefix="zsdeconvnet-") as file:
        file.truncate(max(4 * math.prod(shape), 1))
        reserve(Path(file.name))
        return np.memmap(file.name, np.float32, "r+", shape=shape)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out before a long computation whether `path` can be written after it.

    Raises
    ------
    InputError
        If `path` is a folder, a device or a pipe, its name is too long, or its folder is missing
        or cannot be written.
    """
    refuse_address(path)
    target = Path(path).resolve()
    try:
        if target.is_dir():
            raise InputError("file-is-folder", f"{path} is a folder; name the file to write in it.")
        _check_kind(target)
        _Part(target).discard()
    except OSError as error:
        raise refusal(error, target) from error


def refusal(error: OSError, target: Path) -> InputError:
    """Turn a failure of the file system into bad input."""
    if error.errno in _FULL:
        code = "disk-full"
        fact = f"The disk is full while writing {target}; free some space or choose another folder."
    elif error.errno == errno.ENAMETOOLONG:
        code = "name-too-long"
        fact = f"The name {target.name:.40}… is too long for this system; choose a shorter one."
    elif not target.parent.is_dir():
        code = "folder-missing"
        fact = f"The folder {target.parent} does not exist; create it or choose another one."
    else:
        code = "file-not-written"
        why = "no permission" if error.errno in _FORBIDDEN else error.strerror or error
        fact = f"{target} cannot be written ({why}); choose another folder."
    return InputError(code, fact, path=target)
