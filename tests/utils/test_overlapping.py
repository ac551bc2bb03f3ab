from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from napari_zsdeconvnet.utils.prefetch import WriteBehind, read_ahead

SOON = 10.0
"""Seconds that a test waits for another thread at most."""


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # One of an earlier test may have ended meanwhile.
    assert set(threading.enumerate()) <= before


class TestReadAhead:
    def test_gives_every_value_in_order(self):
        assert list(read_ahead(lambda item: 2 * item, range(5))) == [0, 2, 4, 6, 8]
        assert list(read_ahead(lambda item: item, [])) == []

    def test_the_next_is_read_while_one_is_in_use_and_no_other(self):
        read = [threading.Event() for _ in range(4)]
        values = read_ahead(lambda item: read[item].set() or item, range(4))
        assert next(values) == 0
        assert read[1].wait(SOON)
        assert not read[2].wait(0.05)
        assert next(values) == 1
        assert read[2].wait(SOON)
        assert not read[3].wait(0.05)
        values.close()
        assert not read[3].is_set()

    def test_an_error_comes_in_the_place_of_its_value(self):
        values = read_ahead(lambda item: 1 / (2 - item), range(4))
        assert [next(values), next(values)] == [0.5, 1]
        with pytest.raises(ZeroDivisionError):
            next(values)


class TestWriteBehind:
    def test_does_everything_in_order_by_the_end_of_the_block(self):
        done: list[int] = []
        with WriteBehind() as behind:
            for number in range(5):
                behind(done.append, number)
        assert done == [0, 1, 2, 3, 4]

    def test_the_caller_goes_on_until_there_is_a_second_thing(self):
        may_end, done = threading.Event(), []
        with WriteBehind() as behind:
            behind(lambda: done.append(may_end.wait(SOON)))
            assert done == []
            may_end.set()
            behind(done.append, "second")
            assert done[0] is True
        assert done == [True, "second"]

    def test_an_error_is_raised_by_the_next_call(self):
        done: list[int] = []
        with WriteBehind() as behind:
            behind(lambda: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                behind(done.append, 1)
        assert done == []

    def test_an_error_of_the_last_is_raised_at_the_end(self):
        with pytest.raises(ZeroDivisionError), WriteBehind() as behind:
            behind(lambda: 1 / 0)

    def test_an_error_of_the_caller_prevails(self):
        def fail_too() -> None:
            with WriteBehind() as behind:
                behind(lambda: 1 / 0)
                raise KeyError

        with pytest.raises(KeyError):
            fail_too()
