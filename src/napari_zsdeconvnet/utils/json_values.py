"""JSON in files: dataclasses as JSON, and JSON as dataclasses.

A dataclass is the schema: `entries` gives its fields as plain values, `built` checks plain values
against the types of its fields. A class with ``to_dict`` and ``from_dict`` writes itself.

Not pydantic, which was tried on `provenance.Source`: importing it and building its schemas takes
0.14 s, and without an annotation on each field it takes "1" and True for numbers, and numbers of
any size.
"""

from __future__ import annotations

import json
import math
import os
import sys
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import InputError

T = TypeVar("T")

_MOST_BYTES = 2**28  # of a file; records of large PSFs have a few million
_LARGEST_WHOLE = 2**63


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no JSON, too large or too deep.
    """
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("it is too large for a file of this kind")
    return parse_json(path.read_text(encoding="utf-8"))


def read_from(
    path: str | os.PathLike[str], make: Callable[[Any], T], what: str, *remedies: str
) -> T:
    """Make what a JSON file describes.

    Raises
    ------
    InputError
        If the file cannot be read, is no JSON, or describes something else.
    """
    try:
        return make(read_json(Path(path)))
    except OSError as error:
        raise InputError(
            "file-unreadable",
            f"{path} cannot be read ({error.strerror or error}); check the name and the folder.",
        ) from error
    except InputError as error:
        raise error.within(path) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            "file-kind", f"{path} is not {what} in JSON", *remedies or ("choose another file",)
        ) from error


def parse_json(text: str) -> Any:
    """Parse JSON; ValueError if it is none, or deeper than can be followed."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def entries(value: Any, *without: str) -> dict[str, Any]:
    """Give the fields of a dataclass, except some, as values that JSON has."""
    names = (field.name for field in fields(value) if field.name not in without)
    return {name: plain(getattr(value, name)) for name in names}


def plain(value: Any) -> Any:
    """Give a value as JSON has it: dataclasses as objects, tuples and arrays as lists."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if is_dataclass(value):
        return entries(value)
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") else value


def refuse_infinite(values: Any, name: str = "a number") -> None:
    """Raise ValueError, naming the entry, if any number in JSON is NaN or infinite."""
    if isinstance(values, float) and not math.isfinite(values):
        raise ValueError(f"{name} is {values}")
    if isinstance(values, Mapping):
        for key, entry in values.items():
            refuse_infinite(entry, str(key))
    elif isinstance(values, list | tuple):
        for entry in values:
            refuse_infinite(entry, name)


def built(cls: Callable[..., T], values: Any, **made: Any) -> T:
    """Build a dataclass of what JSON holds, each entry of the type that its field declares.

    Lists become tuples, and mappings the dataclasses in their place.

    Parameters
    ----------
    cls
        The dataclass.
    values
        By the names of its fields.
    **made
        Fields that are ready.

    Raises
    ------
    ValueError
        If an entry is missing, unknown or of another type.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{cls.__name__} is {_shown(values)} and no JSON object")
    hints = _hints(cls, frozenset(made))
    unknown = sorted(str(name) for name in set(values) - set(hints) - set(made))
    if unknown:
        raise ValueError(f"{cls.__name__} has the unknown entry {unknown[0]}")
    missing = []
    for field in fields(cls):  # type: ignore[arg-type]
        name = field.name
        if name in made:
            continue
        if name in values:
            made[name] = fitting(values[name], hints[name], name)
        elif field.default is MISSING and field.default_factory is MISSING:
            missing.append(name)
    if missing:
        raise ValueError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    return cls(**made)


def known_of(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Pick the entries that are fields of a dataclass; a newer version may have written others."""
    return {field.name: values[field.name] for field in fields(cls) if field.name in values}


@cache
def _hints(cls: Any, made: frozenset[str]) -> dict[str, Any]:
    """Resolve the types of the fields that are not made yet; those of others may be unknown."""
    written = {field.name: field.type for field in fields(cls) if field.name not in made}
    annotated = types.SimpleNamespace(__annotations__=written)
    return get_type_hints(annotated, vars(sys.modules[cls.__module__]))


def fitting(value: Any, hint: Any, name: str) -> Any:
    """Give a value as the type that is asked for; ValueError, naming it, if it is another."""
    if hint is Any:
        return value
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        return fitting(value, next(kind for kind in inner if kind is not type(None)), name)
    if origin is Literal:
        if value in inner:
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        if inner[-1] is Ellipsis:
            return tuple(fitting(entry, inner[0], name) for entry in value)
        if len(value) == len(inner):
            return tuple(map(fitting, value, inner, [name] * len(inner)))
    elif origin is not None and issubclass(origin, Mapping):
        if isinstance(value, Mapping):
            return {str(key): fitting(value[key], inner[1], f"{name}.{key}") for key in value}
    elif hasattr(hint, "from_dict"):
        return hint.from_dict(value)
    elif is_dataclass(hint):
        return built(hint, value)  # type: ignore[arg-type]
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        if abs(value) < 1e300 or (isinstance(value, float) and not math.isfinite(value)):
            return value
    elif hint is int and isinstance(value, int) and not isinstance(value, bool):
        if abs(value) < _LARGEST_WHOLE:
            return value
    elif hint in (str, bool) and isinstance(value, hint) and "\0" not in str(value):
        return value
    raise ValueError(f"{name} is {_shown(value)}")


def _shown(value: Any) -> str:
    words = repr(value) if not isinstance(value, int) or abs(value) < 1e30 else "out of range"
    return words if len(words) <= 60 else f"{words[:60]}…"
