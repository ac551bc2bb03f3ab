"""JSON and dataclasses: what is written comes back, and hostile values are refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest

from napari_zsdeconvnet.utils.json_values import (
    built,
    entries,
    known_of,
    parse_json,
    read_json,
    refuse_infinite,
)


@dataclass(frozen=True)
class Lens:
    na: float
    name: str = ""


@dataclass(frozen=True)
class Setup:
    kind: Literal["wide", "light sheet"]
    lenses: tuple[Lens, ...]
    size: tuple[int, int] | None = None
    cooled: bool = False
    factors: Mapping[str, float] = field(default_factory=dict)
    other: Any = None


SETUP = Setup("wide", (Lens(1.4, "oil"), Lens(0.5)), (3, 4), True, {"a": 0.5})


def test_what_is_written_comes_back():
    assert built(Setup, json.loads(json.dumps(entries(SETUP)))) == SETUP


def test_numbers_of_numpy_become_plain():
    written = entries(Setup("wide", (), other={"a": np.float32(0.5), "b": np.arange(3)}))
    assert json.loads(json.dumps(written))["other"] == {"a": 0.5, "b": [0, 1, 2]}


def test_without_some_fields():
    assert set(entries(SETUP, "lenses", "other")) == {"kind", "size", "cooled", "factors"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "confocal"}, "kind is 'confocal'"),
        ({"lenses": 3}, "lenses is 3"),
        ({"lenses": [{"name": "oil"}]}, "na is missing"),
        ({"lenses": [{"na": "1.4"}]}, "na is '1.4'"),
        ({"lenses": [{"na": 1.4, "brand": "x"}]}, "Lens has the unknown entry brand"),
        ({"size": [3, 4, 5]}, r"size is \[3, 4, 5\]"),
        ({"size": [3, 4.5]}, "size is 4.5"),
        ({"size": [True, 4]}, "size is True"),
        ({"size": [10**400, 4]}, "size is out of range"),
        ({"cooled": 1}, "cooled is 1"),
        ({"factors": {"a": 1e305}}, r"factors\.a is 1e\+305"),
        ({"lenses": [{"na": 1.4, "name": "a\0b"}]}, "name is"),
        ({"extra": 1}, "unknown entry extra"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(change: dict, words: str):
    with pytest.raises(ValueError, match=words):
        built(Setup, {**entries(SETUP), **change})


def test_what_is_no_object_is_refused():
    for values in ([], "text", None, 3):
        with pytest.raises(ValueError, match="no JSON object"):
            built(Setup, values)


def test_entries_of_a_newer_version_are_left_out():
    assert known_of(Lens, {"na": 1.4, "coating": "new"}) == {"na": 1.4}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused_where_none_may_be(bad: float):
    refuse_infinite({"a": [1.0, 2], "b": "text"})
    with pytest.raises(ValueError, match="phases is"):
        refuse_infinite({"a": 1.0, "b": [{"phases": [0.0, bad]}]})


def test_what_is_nested_too_deep_or_too_large_is_refused(tmp_path):
    with pytest.raises(ValueError, match="too deep"):
        parse_json("[" * 10**6)
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(ValueError, match="too large"):
        read_json(path)
