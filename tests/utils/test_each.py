"""The same work for many things by threads: in order, as many as memory and cores allow."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from napari_zsdeconvnet.io.image import PixelRule
from napari_zsdeconvnet.noise.usable_pixels import usable_pixels
from napari_zsdeconvnet.utils import each
from napari_zsdeconvnet.utils.cores import THREADS_VARIABLE, fixed, most
from napari_zsdeconvnet.utils.each import in_threads


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS_VARIABLE, "4")


class Counting:
    """Counts how many are at work at a time; the first of them takes longest."""

    def __init__(self) -> None:
        self.now = self.highest = 0
        self._lock = threading.Lock()

    def __call__(self, number: int) -> int:
        with self._lock:
            self.now += 1
            self.highest = max(self.highest, self.now)
        time.sleep(0.05 if number == 0 else 0.01)
        with self._lock:
            self.now -= 1
        if number == 13:
            raise ValueError("thirteen")
        return 2 * number


@pytest.mark.usefixtures("four")
def test_what_comes_of_it_is_in_order_and_an_error_is_raised_in_its_place():
    work = Counting()
    assert list(in_threads(1)(work, range(10))) == list(range(0, 20, 2))
    assert work.highest == 4
    coming = iter(in_threads(1)(work, range(20)))
    assert [next(coming) for _ in range(13)] == list(range(0, 26, 2))
    with pytest.raises(ValueError, match="thirteen"):
        next(coming)
    assert work.now == 0


@pytest.mark.usefixtures("four")
def test_no_more_at_a_time_than_half_of_the_memory_holds(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(each, "available_memory", lambda: 10 * 2**20)
    for needed, expected in ((2 * 2**20, 2), (6 * 2**20, 1)):
        work = Counting()
        list(in_threads(needed)(work, range(8)))
        assert work.highest == expected


def test_who_decides_how_many(monkeypatch: pytest.MonkeyPatch):
    def at_work() -> int:
        work = Counting()
        list(in_threads(1)(work, range(12)))
        return work.highest

    monkeypatch.delenv(THREADS_VARIABLE, raising=False)
    window = most.set(3)
    assert at_work() == 3
    monkeypatch.setenv(THREADS_VARIABLE, "2")
    assert at_work() == 2
    one = fixed.set(1)
    assert at_work() == 1
    fixed.reset(one)
    most.reset(window)


def test_a_mask_does_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    series = rng.poisson(50, (9, 64, 72)).astype(np.uint16)
    for number in range(9):
        series[number, 7 * number + 3, 5 * number + 2] = 4000
    masks = []
    for threads in ("1", "4"):
        monkeypatch.setenv(THREADS_VARIABLE, threads)
        masks.append(usable_pixels(series.copy(), PixelRule(), width=3.0))
    one, other = masks
    assert one is not None
    assert other is not None
    assert one.sentences == other.sentences
    for number in range(9):
        np.testing.assert_array_equal(one.kinds(number), other.kinds(number))
        assert one.kinds(number).any()
