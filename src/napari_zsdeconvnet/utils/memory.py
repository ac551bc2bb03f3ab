"""How much memory this process may still take, by the machine and by every limit set on it."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

from .errors import InputError

_CONTROL_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def available_memory() -> int:
    """Bytes that this process may still take.

    The least of what the machine has, what its control groups leave (Linux containers, batch
    systems; versions 1 and 2) and what a limit on its address space leaves.
    """
    rooms = [int(psutil.virtual_memory().available), *control_group_rooms()]
    room = _address_space()
    if room is not None:
        rooms.append(room)
    return max(min(rooms), 0)


def control_group_rooms(
    root: Path = _CONTROL_GROUPS, membership: Path = _OWN_GROUPS
) -> Iterator[int]:
    """Bytes that each control group above this process leaves; none where there are no limits.

    `membership` is the file that names those of this process, a line for each hierarchy.
    """
    with suppress(OSError, ValueError):
        for line in membership.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                yield from _rooms_along(root, path, "memory.max", "memory.current", "")
            elif "memory" in controllers.split(","):
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
                yield from _rooms_along(root / "memory", path, *names)


def _rooms_along(root: Path, path: str, limit: str, usage: str, prefix: str) -> Iterator[int]:
    """Follow a group up to the root: each of those above limits it, too.

    In a container the path may be that of the host; the root is the container's own then.
    """
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for count in range(len(parts), -1, -1):
        group = root.joinpath(*parts[:count])
        with suppress(OSError, ValueError):  # "max", or a group without a limit
            most = int((group / limit).read_text())
            used = int((group / usage).read_text())
            yield max(most - max(used - _given_back(group, prefix), 0), 0)


def _given_back(group: Path, prefix: str) -> int:
    """Bytes of files kept in memory, which the kernel gives back where they are needed."""
    kept = 0
    with suppress(OSError, ValueError):
        for line in (group / "memory.stat").read_text().splitlines():
            name, value = line.split()
            if name in (f"{prefix}inactive_file", f"{prefix}active_file"):
                kept += int(value)
    return kept


def _address_space() -> int | None:
    """Bytes that a limit on the address space (`ulimit -v`) leaves; None where there is none."""
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    return int(limit) - int(psutil.Process().memory_info().vms)


_MMAP_THRESHOLD = -3
"""Of glibc's mallopt: bytes from which a block has pages of its own, which go when it is freed."""


def give_back() -> None:
    """Let the system have the memory that is free by now, where the C library keeps it (glibc).

    From now on blocks of 1 MiB and more are given back as soon as they are freed, so that small
    ones beside them hold none of that memory.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(_MMAP_THRESHOLD, 2**20)
            library.malloc_trim(0)


def check_room(
    needed: int,
    what: str,
    remedy: str = "cut it into smaller files, save it uncompressed, or use a machine with more "
    "memory.",
) -> None:
    """Refuse what cannot be held in memory, before anything is allocated for it.

    `what` begins the sentence, such as a file's name, and `remedy` ends it: what to do.
    """
    free = available_memory()
    if needed > free:
        raise InputError(
            "memory-too-small",
            f"{what} needs {in_bytes(needed)} of memory and {in_bytes(free)} are free; {remedy}",
        )


def in_bytes(number: float) -> str:
    """Say a number of bytes in the unit that suits it."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:.3g} {unit}" if number < 1e6 else f"{number:.1e} {unit}"
