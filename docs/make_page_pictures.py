"""Picture every page of the dock *All steps*, in both themes, at the size of a small laptop.

    python tests/with_display.py docs/make_page_pictures.py [--scale 2] [--folder FOLDER]

The window has 1366x768 pixels, times the scale. A short run on a simulated image comes first, so
that the pages have something to show. All pages of a theme come into one picture,
docs/images/pages_THEME.png; the whole window of each is kept in FOLDER where one is named.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtpy.QtGui import QImage

# Neither what was typed on this machine before nor what its user has set.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "napari.yaml")

IMAGES = Path(__file__).parent / "images"
WINDOW = (1366, 768)
THEMES = ("dark", "light")
PER_ROW = 5
STEPS = 40


def parsed() -> argparse.Namespace:
    """Read the command line, before Qt reads what the scale is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    return parser.parse_args()


def main() -> None:
    """Take all pictures."""
    options = parsed()
    os.environ["QT_SCALE_FACTOR"] = str(options.scale)
    from make_screenshots import Tutorial
    from qtpy.QtWidgets import QScrollArea, QWidget

    from napari_zsdeconvnet._qt.widgets.main_widget import PAGES
    from napari_zsdeconvnet.model import presets

    presets.PRESETS["fast"] = replace(presets.PRESETS["fast"], steps=STEPS)

    class Pages(Tutorial):
        """The tutorial's window, at the size of a small laptop."""

        def make_a_result(self) -> QWidget:
            """Open the sample and the dock, and press Deconvolve."""
            self.window.resize(*WINDOW)
            self.viewer.open_sample("napari-zsdeconvnet", "filaments")
            self.raw = self.viewer.layers["Filaments"]
            self.viewer.layers.selection.active = self.raw
            dock = self.open("All steps")
            page = dock.page
            page.start_button.click()
            self.wait_for(lambda: page.asking or not page.running, "the form")
            if page.asking:
                page.start_button.click()
            self.wait_for(lambda: not page.running, "the result")
            self.look_at_raw()
            return dock

        def picture_pages(self, theme: str, dock: QWidget) -> None:
            """Show one page after the other."""
            self.viewer.theme = theme
            parts = []
            for name in PAGES:
                page = dock.show_page(name)
                self.wait(0.7)
                if options.folder:
                    options.folder.mkdir(parents=True, exist_ok=True)
                    file = f"{theme}_{options.scale}_{name.strip('…').replace(' ', '_')}.png"
                    self.window.grab().save(str(options.folder / file))
                parts.append(dock.grab().toImage())
                area = page.findChild(QScrollArea)
                beyond = 0 if area is None else area.verticalScrollBar().maximum()
                if beyond:
                    print(f"{theme}, {name}: {beyond} px to be scrolled")
            if options.scale == 1:
                beside(parts).save(str(IMAGES / f"pages_{theme}.png"))

    pages = Pages(IMAGES)
    dock = pages.make_a_result()
    for theme in THEMES:
        pages.picture_pages(theme, dock)
    pages.viewer.close()


def beside(parts: list[QImage]) -> QImage:
    """Lay pictures out in rows."""
    from qtpy.QtGui import QImage, QPainter

    wide, high = max(one.width() for one in parts), max(one.height() for one in parts)
    rows = -(-len(parts) // PER_ROW)
    sheet = QImage(wide * PER_ROW, high * rows, QImage.Format.Format_RGB32)
    painter = QPainter(sheet)
    for number, part in enumerate(parts):
        painter.drawImage(number % PER_ROW * wide, number // PER_ROW * high, part)
    painter.end()
    return sheet


if __name__ == "__main__":
    main()
