"""Measure how soon the windows end what is cancelled, with real clicks of the mouse.

    python tests/with_display.py benchmarks/cancel_latency.py [--clicks 3] [--only volume]

For an image of 1024 x 1024 pixels and a volume of 24 x 256 x 256 voxels, One click, Train,
Deconvolve and Quality are cancelled at random moments of each phase. The table says, in seconds,
how long it takes until the window says so and until the work has ended and can be begun again; and
the longest stretch of the phase, in seconds of one core and without any click, in which the
computation does not ask whether to go on, with the place where it begins. Needs xdotool and an X
display, which `with_display.py` starts. About ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, thread_time
from types import FrameType

# Neither what was typed on this machine before nor what its user has set.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "napari.yaml")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "qt"))

import napari
from qtpy.QtCore import QEventLoop, QTimer
from qtpy.QtWidgets import QWidget
from real_events import AVAILABLE, MISSING, User

from napari_zsdeconvnet._qt.forms.step_list import ACTIVE, DONE
from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.deconvolve_widget import DeconvolveWidget
from napari_zsdeconvnet._qt.widgets.one_click_widget import OneClickWidget
from napari_zsdeconvnet._qt.widgets.quality_widget import QualityWidget
from napari_zsdeconvnet._qt.widgets.train_widget import TrainWidget
from napari_zsdeconvnet._qt.workers.workers import Job
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.simulation.sample import simulate, simulate_volume

PIXEL, VOXEL = 0.0626, (0.2, 0.09, 0.09)  # micrometres
OPTICS = {
    "image": {"NumericalAperture": 1.3, "EmissionWavelength": "525 nm"},
    "volume": {
        "NumericalAperture": 1.1,
        "EmissionWavelength": "525 nm",
        "RefractiveIndex": 1.33,
    },
}
FEW, MANY = 12, 5000
"""Steps of a training that is to end, and of one that is to be stopped."""
PATIENCE = 1800  # seconds
LOOK = 15  # milliseconds between two looks at the window
HEADER = ("", "window", "phase", "clicks", "said", "ended", "at most", "longest stretch", "after")


class Turns:
    """Lets the window work while something is waited for, as pytest-qt does for the tests."""

    def wait(self, milliseconds: int) -> None:
        """Let the window work for a time."""
        loop = QEventLoop()
        QTimer.singleShot(milliseconds, loop.quit)
        loop.exec()

    def waitUntil(self, condition: Callable[[], object], timeout: int = 1000 * PATIENCE) -> None:
        """Let the window work until something has come about; the timeout is in milliseconds."""
        end = monotonic() + timeout / 1000
        while not condition():
            if monotonic() > end:
                raise TimeoutError(f"waited {timeout} ms")
            self.wait(LOOK)


class Questions:
    """Notes for each phase the longest time in which no computation asked whether to go on."""

    def __init__(self) -> None:
        self.phase = ""
        self.longest: dict[str, tuple[float, str]] = {}
        self._last: dict[int, tuple[float, str]] = {}
        asked = Job._told_to_stop

        def noted(job: Job) -> bool:
            self._note()
            return asked(job)

        Job._told_to_stop = noted

    def _note(self) -> None:
        now, thread = thread_time(), threading.get_ident()
        before, where = self._last.get(thread, (now, ""))
        if self.phase and now - before > self.longest.get(self.phase, (0.0, ""))[0]:
            self.longest[self.phase] = now - before, where
        self._last[thread] = now, place(sys._getframe(2))

    def begin(self, phase: str) -> None:
        """Note what follows for a phase; an empty one notes nothing."""
        if phase != self.phase:
            self.phase, self._last = phase, {}


def place(frame: FrameType | None) -> str:
    """Name the place in the package that asked, below what only passes questions on."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.name not in ("phases.py", "workers.py", "cancel_latency.py"):
            return f"{path.stem}.{frame.f_code.co_name}:{frame.f_lineno}"
        frame = frame.f_back
    return "a step"


@dataclass
class Cancelled:
    """What the clicks of one phase came to, in seconds."""

    kind: str
    window: str
    phase: str
    said: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    def row(self, questions: Questions) -> tuple[str, ...]:
        """Return what the table says of it."""
        stretch, where = questions.longest.get(f"{self.window} {self.phase}", (0.0, ""))
        said, ended = sorted(self.said), sorted(self.ended)
        if not ended:
            return (self.kind, self.window, self.phase, "0", "", "", "", f"{stretch:.2f}", where)
        middle = len(ended) // 2
        return (
            *(self.kind, self.window, self.phase, str(len(ended))),
            *(f"{said[middle]:.2f}", f"{ended[middle]:.2f}", f"{ended[-1]:.2f}"),
            *(f"{stretch:.2f}", where),
        )


class Windows:
    """A viewer with one recording, and the windows that work on it."""

    def __init__(self, kind: str, questions: Questions) -> None:
        self.kind, self.questions = kind, questions
        self.turns = Turns()
        self.user = User(self.turns)
        self.viewer = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(1400, 950)
        self.state = ViewerState.of(self.viewer)
        if kind == "image":
            raw, scale = simulate(shape=(1024, 1024), pixel_size=PIXEL).raw, (PIXEL, PIXEL)
        else:
            raw, scale = simulate_volume(shape=(24, 256, 256), voxel_size=VOXEL).raw, VOXEL
        self.layer = self.viewer.add_image(
            raw, name="cell", scale=scale, units=("um",) * raw.ndim,
            axis_labels=tuple("zyx")[-raw.ndim :], metadata=OPTICS[kind],
        )  # fmt: skip
        self.user.use(self.viewer.window._qt_window)
        self._docks: dict[type, QWidget] = {}

    def open(self, kind: type) -> QWidget:
        """Show a window in front of the others."""
        if kind not in self._docks:
            widget = kind(self.viewer)
            dock = self.viewer.window.add_dock_widget(widget, name=widget.title, tabify=True)
            self._docks[kind] = dock
        self._docks[kind].show()
        self._docks[kind].raise_()
        self.turns.wait(300)
        return self._docks[kind].widget()

    def learn(self) -> None:
        """Keep what is known of the recording now."""
        self._known = self.state.noise, self.state.psf, self.state.model

    def remember(self, *, anew: bool = False) -> None:
        """Let the next run begin with that, or with nothing known."""
        known = (None, None, None) if anew else self._known
        self.state.noise, self.state.psf, self.state.model = known

    def run(self, widget: QWidget, phase_now: Callable[[], str]) -> Iterator[str]:
        """Click on a window's button and give each phase as it begins, until all is done."""
        self.user.click(widget.start_button)
        phase = ""
        while widget.running:
            now = phase_now()
            self.questions.begin(f"{widget.title} {now}" if now else "")
            if now and now != phase:
                phase = now
                yield phase
            self.turns.wait(LOOK)
        self.questions.begin("")

    def cancel(
        self, found: Cancelled, widget: QWidget, delay: float, ended: Callable[[], object]
    ) -> bool:
        """Click on the other button after a while; says whether there was still work to end."""
        end = monotonic() + delay
        button = widget.cancel_button
        self.turns.waitUntil(lambda: monotonic() >= end or not widget.running)
        before = widget.status_label.text()
        if not widget.running or not button.isEnabled():
            return False
        center = button.mapToGlobal(button.rect().center())
        words = ["xdotool", "mousemove", str(center.x()), str(center.y()), "click", "1"]
        clicked = monotonic()
        sent = subprocess.Popen(words)

        def answered() -> bool:
            return widget.status_label.text().startswith(("Cancelled", "Stopp"))

        self.turns.waitUntil(lambda: answered() or not widget.running)
        if not answered() and before != widget.status_label.text():
            sent.wait()
            return False  # it had ended by itself
        found.said.append(monotonic() - clicked)
        self.turns.waitUntil(ended)
        found.ended.append(monotonic() - clicked)
        sent.wait()
        self.turns.waitUntil(lambda: not widget.running)
        return True


def of_one_click(widget: OneClickWidget) -> Callable[[], str]:
    """Return what says the phase that One click is in."""
    names = {"result": "predicting", "verdict": "judging"}

    def now() -> str:
        active = [step for step, state in widget.steps.states.items() if state == ACTIVE]
        if "model" in active:
            return "training" if widget._training else "preparing"
        return names.get(active[0], "preparing") if active else ""

    return now


def of_train(widget: TrainWidget) -> Callable[[], str]:
    """Return what says the phase that Train is in."""
    return lambda: "training" if widget._stepped else "preparing"


PHASES = (
    (OneClickWidget, of_one_click, ("preparing", "training", "predicting", "judging")),
    (TrainWidget, of_train, ("preparing", "training")),
    (DeconvolveWidget, lambda _: lambda: "predicting", ("predicting",)),
    (QualityWidget, lambda _: lambda: "judging", ("judging",)),
)
"""Each window, what says its phase, and the phases in which it is cancelled."""


def measured(
    windows: Windows, clicks: int, rng: random.Random, only: str | None
) -> Iterator[Cancelled]:
    """Click in every phase of every window; One click makes what the others need."""
    for kind, phase_of, phases in PHASES:
        if only not in (None, kind.title) and kind is not OneClickWidget:
            continue
        widget = windows.open(kind)
        now = phase_of(widget)
        steps(FEW)
        lasts = durations(windows, widget, now)
        windows.learn()
        if only not in (None, kind.title):
            continue
        for phase in phases:
            found = Cancelled(windows.kind, widget.title, phase)
            steps(MANY if phase == "training" else FEW)
            for _ in range(clicks):
                windows.remember(anew=kind is OneClickWidget and phase in phases[:2])
                delay = rng.uniform(0.05, 0.95) * lasts.get(phase, 1.0)
                for reached in windows.run(widget, now):
                    if reached == phase:
                        windows.cancel(found, widget, delay, ends(widget, phase))
            yield found
        windows.remember()


def durations(windows: Windows, widget: QWidget, now: Callable[[], str]) -> dict[str, float]:
    """Return how long each phase takes that nobody ends, in seconds."""
    began: list[tuple[str, float]] = []
    for phase in windows.run(widget, now):
        began.append((phase, monotonic()))
    began.append(("", monotonic()))
    return {phase: end - start for (phase, start), (_, end) in itertools.pairwise(began)}


def ends(widget: QWidget, phase: str) -> Callable[[], object]:
    """Return what says that a phase has ended; One click makes a result of what it has trained."""
    if phase == "training" and isinstance(widget, OneClickWidget):
        return lambda: widget.steps.states.get("model") == DONE
    return lambda: not widget.running and widget.start_button.isEnabled()


def steps(number: int) -> None:
    """Set the steps of all trainings that follow."""
    for group in (presets.PRESETS, presets.VOLUME_PRESETS):
        group["fast"] = replace(group["fast"], steps=number)


def table(rows: list[tuple[str, ...]]) -> str:
    """Return rows of a table for a page."""
    lines = [f"| {' | '.join(row)} |" for row in (HEADER, ("---",) * len(HEADER), *rows)]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clicks", type=int, default=3, help="in each phase")
    parser.add_argument("--only", choices=list(OPTICS))
    parser.add_argument("--window", choices=[row[0].title for row in PHASES])
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    if not AVAILABLE:
        print(MISSING)
        return 1
    rng, rows = random.Random(arguments.seed), []
    for kind in OPTICS:
        if arguments.only not in (None, kind):
            continue
        questions = Questions()
        windows = Windows(kind, questions)
        for found in measured(windows, arguments.clicks, rng, arguments.window):
            rows.append(found.row(questions))
            print(*rows[-1], sep="  ", flush=True)
        windows.viewer.close()
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
