"""What was typed of each channel's optics, kept from one session to the next.

It lies in a small JSON file beside napari's own settings; napari's preferences have no place for
what grows with the names of channels.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...utils.errors import InputError
from ...utils.files import written_whole

_FILE = "napari-zsdeconvnet-channels.json"
_log = logging.getLogger(__name__)


def memory_file() -> Path | None:
    """Return where it is kept; None where napari keeps nothing either."""
    from napari.settings import get_settings

    path = get_settings().config_path
    return None if path is None else Path(path).with_name(_FILE)


def remembered(channel: str) -> dict[str, Any]:
    """Return what was typed last for a channel of this name."""
    entry = _read().get("channels", {}).get(_key(channel), {})
    return dict(entry) if channel and isinstance(entry, dict) else {}


def last_typed() -> dict[str, Any]:
    """Return what was typed last for whichever channel: a suggestion, no more."""
    entry = _read().get("last", {})
    return dict(entry) if isinstance(entry, dict) else {}


def remember(channel: str, values: Mapping[str, Any]) -> None:
    """Keep what was typed, in micrometres; of a channel without a name as a suggestion."""
    path = memory_file()
    if path is None or not values:
        return
    memory = _read()
    if channel:
        memory.setdefault("channels", {})[_key(channel)] = {**remembered(channel), **values}
    memory["last"] = {**last_typed(), **values}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as temporary:
            temporary.write_text(json.dumps(memory, indent=2) + "\n", encoding="utf-8")
    except (OSError, InputError) as error:
        _log.warning("what was typed is not kept for next time: %s", error)


def _read() -> dict[str, Any]:
    path = memory_file()
    try:
        memory = {} if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return memory if isinstance(memory, dict) else {}


def _key(channel: str) -> str:
    return channel.strip().lower()
