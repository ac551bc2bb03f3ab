"""Work that nobody sees, in napari's activity dock, with a button that ends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.utils import cancelable_progress
from qtpy.QtCore import QTimer

from .connections import alive
from .notifications import show_info

if TYPE_CHECKING:
    from ..forms.panel import Panel

PARTS = 1000
"""Of the bar."""

INTERVAL = 300  # milliseconds between two looks; what ends within the first one shows no bar
LONGEST = 70  # letters that stand beside the bar


class _Cancelable(cancelable_progress):  # type: ignore[misc]
    """Cancels at once, and not at the next turn of a loop; shows no rate of steps."""

    def cancel(self) -> None:
        super().cancel()
        if self.cancel_callback is not None:
            self.cancel_callback()

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        self.events.eta(value="")


class Activity:
    """One bar for all work whose widgets are closed or hidden.

    One, as napari 0.9.2 can crash when one of several bars goes. It is painted from a timer:
    napari has Qt work off its events while it paints one.
    """

    def __init__(self) -> None:
        self._shown: list[Any] = []
        self._told: list[Any] = []
        self._bar: Any = None
        self._timer: QTimer | None = None

    @property
    def words(self) -> str:
        """What stands beside the bar; empty where there is none."""
        return "" if self._bar is None else str(self._bar.desc).removesuffix(": ")

    @property
    def share(self) -> float:
        """How far the bar has come, from 0 to 1."""
        return 0.0 if self._bar is None else self._bar.n / PARTS

    def look_at(self, panel: Panel) -> None:
        """Show the work of a widget if it has any that is not seen."""
        if panel.at_work and self._is_for(panel) and panel not in self._shown:
            self._shown.append(panel)
            self._start()

    def cancel(self) -> None:
        """End all that the bar stands for."""
        for panel in list(self._shown):
            if alive(panel):
                panel.stop_work()

    @staticmethod
    def _is_for(panel: Panel) -> bool:
        return panel.always_in_activity or not panel.seen

    def _start(self) -> None:
        if self._timer is None:
            self._timer = QTimer()
            self._timer.setSingleShot(True)
            self._timer.timeout.connect(self._look)
        if not self._timer.isActive():
            self._timer.start(INTERVAL)

    def _look(self) -> None:
        for panel in list(self._shown):
            if not alive(panel):
                self._forget(panel)
            elif not panel.at_work:
                self._on_ended(panel)
            elif not self._is_for(panel):
                self._forget(panel)
        if not self._shown:
            self._close()
            return
        self._tell()
        # Each may have Qt work off its events, in which the bar may go.
        for step in (self._open, self._describe, self._advance):
            step()
        self._start()

    def _forget(self, panel: Panel) -> None:
        for panels in (self._shown, self._told):
            if panel in panels:
                panels.remove(panel)

    def _on_ended(self, panel: Panel) -> None:
        unseen = not panel.seen
        self._forget(panel)
        if not unseen:
            return
        if panel.asks:
            show_info(f"{panel.title} needs an answer to go on: open it again.")
        elif panel.how_it_ended():
            show_info(f"{panel.title}: {panel.how_it_ended()}")
        panel.end_unseen()

    def _tell(self) -> None:
        """Say once where work has gone whose widget was closed."""
        for panel in self._shown:
            if panel.seen and panel in self._told:
                self._told.remove(panel)
            elif not panel.seen and panel not in self._told:
                self._told.append(panel)
                show_info(
                    f"{panel.title} goes on: 'activity' at the bottom right of the window shows "
                    f"how far it is and cancels it. Open {panel.title} again to see all of it."
                )

    # ------------------------------------------------------------------ the bar

    def _open(self) -> None:
        if self._bar is None:
            self._bar = _Cancelable(
                total=PARTS, desc=self._words_now(), cancel_callback=self.cancel
            )

    def _describe(self) -> None:
        words = self._words_now()
        if self._bar is not None and self.words != words:
            self._bar.set_description(words)

    def _advance(self) -> None:
        if self._bar is None:
            return
        shares = [panel.doing()[0] for panel in self._shown if alive(panel)]
        done = round(PARTS * sum(shares) / max(len(shares), 1))
        if done != self._bar.n:
            self._bar.n = done
            self._bar.events.value(value=done)

    def _words_now(self) -> str:
        words = "; ".join(
            f"{panel.title}: {panel.doing()[1]}" for panel in self._shown if alive(panel)
        )
        return without_html(words if len(words) <= LONGEST else f"{words[: LONGEST - 1]}…")

    def _close(self) -> None:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()


activity = Activity()
"""That of the application: its bar stands in the activity dock of every viewer."""


def without_html(text: str) -> str:
    """Write text such that napari's bar, which may show HTML, does not take it for any."""
    return text.replace("<", "‹").replace(">", "›").replace("&", "+")
