"""A generator in a thread: nothing lost, nothing after the end, failures told."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref

import pytest
from napari.qt.threading import WorkerBase
from qtpy.QtCore import QThread, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_zsdeconvnet._qt.workers.workers import INTERVAL, Job, once, spare_cores
from napari_zsdeconvnet.utils.errors import InputError


class Listener:
    """Keeps what a job says, and says when it has ended."""

    def __init__(self):
        self.batches, self.times, self.results, self.failures = [], [], [], []
        self.threads = set()
        self.ended = 0

    def on_values(self, values):
        self.batches.append(values)
        self.times.append(time.monotonic())
        self.threads.add(QThread.currentThread())

    def on_end(self):
        self.ended += 1

    def job(self, source, owner, **kwargs):
        return Job(
            source,
            owner=owner,
            on_values=self.on_values,
            on_result=self.results.append,
            on_failure=self.failures.append,
            on_end=self.on_end,
            **kwargs,
        )


@pytest.fixture
def owner(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    return widget


def count(until, pause=0.0, closed=None):
    try:
        for value in range(until):
            time.sleep(pause)
            yield value
        return "done"
    finally:
        if closed is not None:
            closed.set()


def test_no_value_is_lost_and_the_window_hears_ten_times_a_second(qtbot, owner):
    listener = Listener()
    listener.job(count(300, pause=0.002), owner).start()
    qtbot.waitUntil(lambda: listener.ended == 1, timeout=5000)
    assert [value for batch in listener.batches for value in batch] == list(range(300))
    assert listener.results == ["done"]
    # The last batch comes as soon as the generator ends, the others keep their distance.
    first, *_, last_but_one, _ = listener.times
    assert (last_but_one - first) / (len(listener.times) - 2) > 0.8 * INTERVAL
    assert listener.threads == {QApplication.instance().thread()}


def test_a_quick_generator_is_heard(qtbot, owner):
    listener = Listener()
    listener.job(once(pow, 2, 10), owner).start()
    qtbot.waitUntil(lambda: listener.ended == 1, timeout=5000)
    assert listener.results == [1024]
    assert listener.batches == []


def test_a_slow_listener_is_never_sent_more_than_it_has_shown(qtbot, owner):
    listener, shown = Listener(), []

    def clock():
        for _ in range(100):
            time.sleep(0.005)
            yield time.monotonic()

    def slow(values):
        listener.on_values(values)
        time.sleep(0.15)
        shown.append(time.monotonic())

    Job(clock(), owner=owner, on_values=slow, on_end=listener.on_end).start()
    qtbot.waitUntil(lambda: listener.ended == 1, timeout=20_000)
    assert sum(map(len, listener.batches)) == 100
    # All but the last, which comes as soon as the generator ends, wait for the one before.
    waited = list(zip(listener.batches[1:-1], shown, strict=False))
    assert waited
    assert all(batch[-1] >= before for batch, before in waited)


def test_a_failure_is_told_after_the_last_values(qtbot, owner):
    def failing():
        yield 1
        yield 2
        raise ValueError("the reason")

    listener = Listener()
    listener.job(failing(), owner).start()
    qtbot.waitUntil(lambda: listener.ended == 1, timeout=5000)
    assert [value for batch in listener.batches for value in batch] == [1, 2]
    assert [str(error) for error in listener.failures] == ["the reason"]
    assert listener.results == []


def test_stop_closes_the_generator_in_its_own_thread(qtbot, owner):
    closed = threading.Event()
    listener = Listener()
    job = listener.job(count(10_000, pause=0.01, closed=closed), owner)
    job.start()
    qtbot.waitUntil(lambda: len(listener.batches) > 0, timeout=5000)
    assert job.running
    job.stop()
    qtbot.waitUntil(lambda: listener.ended == 1, timeout=5000)
    assert closed.is_set()
    assert not job.running
    assert listener.results == listener.failures == []


def test_a_job_ends_with_its_owner_and_says_no_more(qtbot):
    closed = threading.Event()
    listener = Listener()
    widget = QWidget()
    listener.job(count(10_000, pause=0.01, closed=closed), widget).start()
    qtbot.waitUntil(lambda: len(listener.batches) > 0, timeout=5000)
    widget.deleteLater()
    qtbot.waitUntil(closed.is_set, timeout=5000)
    heard = len(listener.batches)
    qtbot.wait(300)
    assert len(listener.batches) == heard
    assert listener.ended == 0


def test_a_worker_asked_to_quit_does_not_wait_for_a_window_that_is_gone(qtbot, owner):
    closed = threading.Event()
    job = Job(count(10_000, pause=0.01, closed=closed), owner=owner)
    job.start()
    time.sleep(0.3)  # no event is processed meanwhile: nobody says that the first batch is shown
    WorkerBase.await_workers(2000)
    assert closed.is_set()


def test_nothing_holds_the_listener_once_the_work_is_over(qtbot, owner):
    listener = Listener()
    listener.job(count(3), owner).start()
    qtbot.waitUntil(lambda: listener.ended == 1, timeout=5000)
    qtbot.wait(50)
    gone = weakref.ref(listener)
    listener = None
    gc.collect()
    assert gone() is None


def test_one_core_is_left_to_the_window(qtbot, owner):
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    listener = Listener()
    listener.job(once(torch.get_num_threads), owner, uses_torch=True).start()
    qtbot.waitUntil(lambda: listener.ended == 1, timeout=30_000)
    torch.set_num_threads(before)
    assert listener.results == [spare_cores()]


def test_torch_that_cannot_be_loaded_after_qt_is_told_with_a_remedy(qtbot, owner, monkeypatch):
    class Refuse:
        def find_spec(self, name, path=None, target=None):
            if name == "torch":
                raise OSError("[WinError 1114] A dynamic link library failed to initialise")

    monkeypatch.setattr(sys, "meta_path", [Refuse(), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    listener = Listener()
    listener.job(once(pow, 2, 2), owner, uses_torch=True).start()
    qtbot.waitUntil(lambda: listener.ended == 1, timeout=5000)
    (failure,) = listener.failures
    assert isinstance(failure, InputError)
    assert "import torch" in str(failure)


class TestTurns:
    """What a handler does in parts."""

    def test_the_window_answers_between_them_and_the_end_waits(self, qtbot, owner):
        said = []
        timer = QTimer()
        timer.timeout.connect(lambda: said.append("answers"))
        timer.start(1)

        def on_result(result):
            for part in "abc":
                said.append(part)
                time.sleep(0.01)
                assert job.running
                yield

        job = Job(
            once(pow, 2, 2),
            owner=owner,
            on_result=on_result,
            on_end=lambda: said.append("end"),
        )
        job.start()
        qtbot.waitUntil(lambda: not job.running, timeout=5000)
        assert [word for word in said if word != "answers"] == ["a", "b", "c", "end"]
        assert "answers" in said[said.index("a") : said.index("b")]
        assert "answers" in said[said.index("b") : said.index("c")]

    def test_later_values_wait_for_their_turn(self, qtbot, owner):
        said = []

        def on_values(values):
            for value in values:
                said.append(value)
                yield
                said.append(value)

        listener = Listener()
        Job(
            count(40, pause=0.01),
            owner=owner,
            on_values=on_values,
            on_result=said.append,
            on_end=listener.on_end,
        ).start()
        qtbot.waitUntil(lambda: listener.ended == 1, timeout=5000)
        assert said == [*(value for value in range(40) for _ in (0, 1)), "done"]

    def test_nothing_more_is_done_once_the_owner_is_gone(self, qtbot):
        widget, turns = QWidget(), []

        def on_result(result):
            while True:
                turns.append(result)
                yield

        job = Job(once(pow, 2, 2), owner=widget, on_result=on_result)
        job.start()
        qtbot.waitUntil(lambda: len(turns) > 2, timeout=5000)
        assert job.running
        widget.deleteLater()
        qtbot.waitUntil(lambda: not job.running, timeout=5000)

    def test_nor_once_the_viewer_is_closed(self, qtbot, make_napari_viewer):
        viewer, widget, turns = make_napari_viewer(), QWidget(), []
        viewer.window.add_dock_widget(widget, name="owner")

        def on_result(result):
            while True:
                turns.append(viewer.window._qt_viewer is not None)
                yield

        job = Job(once(pow, 2, 2), owner=widget, on_result=on_result)
        job.start()
        qtbot.waitUntil(lambda: len(turns) > 2, timeout=5000)
        viewer.close()
        told = len(turns)
        qtbot.waitUntil(lambda: not job.running, timeout=5000)
        assert len(turns) == told

    def test_one_that_fails_does_not_keep_the_end_from_being_told(self, qtbot, owner):
        def on_result(result):
            yield
            raise ValueError("in the second turn")

        listener = Listener()
        with qtbot.captureExceptions() as raised:
            Job(once(pow, 2, 2), owner=owner, on_result=on_result, on_end=listener.on_end).start()
            qtbot.waitUntil(lambda: listener.ended == 1, timeout=5000)
        assert [str(error) for _, error, _ in raised] == ["in the second turn"]
