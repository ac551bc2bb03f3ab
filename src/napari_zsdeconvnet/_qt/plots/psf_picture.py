"""Two views of a PSF through focus, XY and XZ, in proportion and with its widths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QImage, QPainter
from qtpy.QtWidgets import QWidget

if TYPE_CHECKING:
    from ...psf.psf import PSF

GAMMA = 0.5
"""Brings out the faint rings and the haze."""

SMALL = 0.002
"""Part of the peak below which there is nothing to see, so that the views need not show it."""

_GAP = 8
_CAPTION = 34  # pixels for two lines of text
_HEIGHT = 190


class PSFPicture(QWidget):
    """The plane in focus and the cut along the optical axis, side by side at one scale."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._views: list[tuple[QImage, float, float, str]] = []
        self.setToolTip(
            "The PSF in focus (XY) and along the optical axis (XZ, z downwards), at one scale; "
            "the square root of its brightness, which brings out faint light."
        )
        self.hide()

    @property
    def captions(self) -> tuple[str, ...]:
        """What stands under the views."""
        return tuple(caption for *_, caption in self._views)

    def show_psf(self, psf: PSF | None) -> None:
        """Draw a PSF of three axes; nothing is shown for any other."""
        self._views = []
        if psf is not None and psf.array.ndim == 3:
            unit = "µm" if psf.voxel_size else "voxels"
            z, y, x = psf.steps
            middle = tuple(n // 2 for n in psf.array.shape)
            widths = dict(zip("zyx", (_width(w, unit) for w in psf.fwhm), strict=True))
            for name, plane, steps in (
                ("xy", psf.array[middle[0]], (y, x)),
                ("xz", psf.array[:, middle[1]], (z, x)),
            ):
                shown = _cut_to_light(plane, float(psf.array.max()))
                height, width = (n * step for n, step in zip(shown.shape, steps, strict=True))
                caption = f"{name.upper()}\n" + ", ".join(
                    f"{axis} {widths[axis]}" for axis in reversed(name)
                )
                self._views.append((_grey(shown), height, width, caption))
        self.setVisible(bool(self._views))
        self.update()

    def sizeHint(self) -> QSize:
        """Return the size that suits a dock widget."""
        return QSize(300, _HEIGHT + _CAPTION)

    def minimumSizeHint(self) -> QSize:
        """Return the size below which the captions are cut off."""
        return QSize(240, 120 + _CAPTION)

    def paintEvent(self, event: Any) -> None:
        """Draw both views, each in its half."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        half = (self.width() - _GAP) / 2
        room = self.height() - _CAPTION
        scale = min(
            (min(half / width, room / height) for _, height, width, _ in self._views), default=1.0
        )
        for index, (image, height, width, caption) in enumerate(self._views):
            left = index * (half + _GAP)
            size = scale * width, scale * height
            painter.drawImage(
                QRectF(left + (half - size[0]) / 2, (room - size[1]) / 2, *size), image
            )
            painter.setPen(self.palette().text().color())
            painter.drawText(
                QRectF(left, room, half, _CAPTION), Qt.AlignmentFlag.AlignHCenter, caption
            )
        painter.end()


def _cut_to_light(plane: NDArray[np.float32], peak: float) -> NDArray[np.float32]:
    """Cut off what is dark on all sides, as far on one side as on the other."""
    light = plane > SMALL * peak
    window = []
    for axis in (0, 1):
        middle = plane.shape[axis] // 2
        lit = np.flatnonzero(light.any(axis=1 - axis))
        reach = int(np.abs(lit - middle).max()) if lit.size else middle
        window.append(slice(max(middle - reach, 0), middle + reach + 1))
    return plane[tuple(window)]


def _grey(plane: NDArray[np.float32]) -> QImage:
    levels = np.clip(255 * (plane / plane.max()) ** GAMMA, 0, 255).astype(np.uint8)
    height, width = levels.shape
    image = QImage(levels.tobytes(), width, height, width, QImage.Format.Format_Grayscale8)
    return QImage(image.copy())  # Qt does not keep the bytes alive


def _width(width: float, unit: str) -> str:
    if math.isnan(width):
        return "cut off"
    return f"{1000 * width:.0f} nm" if unit == "µm" else f"{width:.1f} {unit}"
