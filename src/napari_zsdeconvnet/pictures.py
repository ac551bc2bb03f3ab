"""Pictures that put results side by side, with labels, scale bars and a magnified region.

Only Pillow is needed, which napari brings along, so a picture can be made on a machine
without a display and without a plotting library.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .errors import InputError
from .files import written_whole

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray
    from PIL import Image as PillowImage
    from PIL import ImageFont

_GAP = 6
_CAPTION = 30
_TEXT = 17
_FRAME = (255, 200, 60)
_INK = (235, 235, 235)


def side_by_side(
    panels: Sequence[ArrayLike],
    labels: Sequence[str],
    path: str | os.PathLike[str],
    *,
    pixel_sizes: Sequence[float] | float | None = None,
    percentiles: tuple[float, float] = (1.0, 99.8),
    zoom: tuple[float, float, float] | None = None,
    panel_width: int = 420,
) -> None:
    """Write one picture with the panels in a row, all showing the same field of view.

    Panels may lie on different grids (a raw image and its deconvolution on the doubled
    one); each is drawn to the same size, enlarged without interpolation so that its pixels
    remain what they are.

    Parameters
    ----------
    panels
        Images (Y, X) of the same field of view.
    labels
        A caption for each; a second line after a line break is drawn smaller.
    path
        File to write, usually .png.
    pixel_sizes
        Micrometres per pixel of each panel, or one number for all; draws the scale bar.
        None draws none.
    percentiles
        The percentiles of each panel that become black and white.
    zoom
        Top, left and height of a square region as fractions of the panel's height and
        width; it is framed in the panel and magnified in a second row, at equal contrast.
    panel_width
        Width of a panel in pixels of the picture.

    Raises
    ------
    InputError
        If there is not one label and pixel size for each panel, a panel is no image, or the
        file cannot be written.
    """
    from PIL import Image

    images = [np.asarray(panel, dtype=np.float64) for panel in panels]
    sizes = _one_each(pixel_sizes, len(images))
    if not images or len(labels) != len(images):
        raise InputError(f"{len(images)} panels come with {len(labels)} labels; give one for each.")
    for image, label in zip(images, labels, strict=True):
        if image.ndim != 2 or image.size == 0:
            raise InputError(f"The panel {label!r} has shape {image.shape}; give an image (Y, X).")

    height = max(1, round(panel_width * images[0].shape[0] / images[0].shape[1]))
    caption = _CAPTION if all("\n" not in label for label in labels) else 2 * _CAPTION - 8
    rows = 2 if zoom else 1
    zoom_height = panel_width if zoom else 0
    canvas = Image.new(
        "RGB",
        (
            len(images) * (panel_width + _GAP) - _GAP,
            caption + height + zoom_height + (rows - 1) * _GAP,
        ),
        (0, 0, 0),
    )
    for index, (image, label, size) in enumerate(zip(images, labels, sizes, strict=True)):
        left = index * (panel_width + _GAP)
        grey = _grey(image, percentiles)
        _write_caption(canvas, label, (left, 0), panel_width)
        _paste(canvas, grey, (left, caption), (panel_width, height), size)
        if zoom:
            region = _region(image.shape, zoom)
            _frame(canvas, region, image.shape, (left, caption), (panel_width, height))
            below = caption + height + _GAP
            _paste(canvas, grey[region], (left, below), (panel_width, zoom_height), size)
    with written_whole(path) as temporary:
        canvas.save(temporary, format="PNG")


def _one_each(values: Sequence[float] | float | None, count: int) -> list[float | None]:
    if values is None or isinstance(values, int | float):
        return [values] * count
    if len(values) != count:
        raise InputError(f"{count} panels come with {len(values)} pixel sizes; give one for each.")
    return list(values)


def _grey(image: NDArray[np.float64], percentiles: tuple[float, float]) -> NDArray[np.uint8]:
    black, white = np.percentile(image, percentiles)
    scaled = (image - black) / max(white - black, np.finfo(np.float64).tiny)
    grey: NDArray[np.uint8] = np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return grey


def _region(shape: tuple[int, ...], zoom: tuple[float, float, float]) -> tuple[slice, slice]:
    """Pixels of a square region given as fractions of the image's height and width."""
    top, left, side = zoom
    if not (0 <= top < 1 and 0 <= left < 1 and 0 < side <= 1):
        raise InputError(f"The zoom region {zoom} does not lie within 0 to 1; give fractions.")
    length = max(1, min(round(side * shape[0]), *shape))
    y = min(round(top * shape[0]), shape[0] - length)
    x = min(round(left * shape[1]), shape[1] - length)
    return slice(y, y + length), slice(x, x + length)


def _paste(
    canvas: PillowImage.Image,
    grey: NDArray[np.uint8],
    corner: tuple[int, int],
    size: tuple[int, int],
    pixel_size: float | None,
) -> None:
    from PIL import Image

    enlarging = size[0] >= grey.shape[1]
    method = Image.Resampling.NEAREST if enlarging else Image.Resampling.LANCZOS
    canvas.paste(Image.fromarray(grey).resize(size, method), corner)
    if pixel_size:
        _draw_scale_bar(canvas, corner, size, grey.shape[1] * pixel_size)


def _draw_scale_bar(
    canvas: PillowImage.Image,
    corner: tuple[int, int],
    size: tuple[int, int],
    width: float,
) -> None:
    """Draw a bar of a round length at the lower right of a panel `width` micrometres wide."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    length = round_length(width / 4)
    right, bottom = corner[0] + size[0] - 12, corner[1] + size[1] - 12
    left = right - round(size[0] * length / width)
    # The dark rim keeps bar and text readable on a bright structure.
    draw.rectangle((left - 1, bottom - 5, right + 1, bottom + 1), fill=(0, 0, 0))
    draw.rectangle((left, bottom - 4, right, bottom), fill=_INK)
    # Pillow's own font has no Greek letters.
    text = f"{length:g} um" if length >= 1 else f"{1000 * length:g} nm"
    middle = ((left + right) / 2, bottom - 8)
    draw.text(middle, text, _INK, _font(_TEXT), "mb", stroke_width=2, stroke_fill=(0, 0, 0))


def round_length(longest: float) -> float:
    """Return the longest of 1, 2 and 5 times a power of ten that is not above `longest`."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9))


def _write_caption(
    canvas: PillowImage.Image, label: str, corner: tuple[int, int], width: int
) -> None:
    from PIL import ImageDraw

    draw = ImageDraw.Draw(canvas)
    first, _, second = label.partition("\n")
    middle = corner[0] + width / 2
    draw.text((middle, corner[1] + _CAPTION / 2), first, _INK, _font(_TEXT), "mm")
    if second:
        below = corner[1] + _CAPTION + 4
        draw.text((middle, below), second, (170, 170, 170), _font(_TEXT - 3), "mm")


def _frame(
    canvas: PillowImage.Image,
    region: tuple[slice, slice],
    shape: tuple[int, ...],
    corner: tuple[int, int],
    size: tuple[int, int],
) -> None:
    from PIL import ImageDraw

    y, x = region
    across, down = size[0] / shape[1], size[1] / shape[0]
    box = (
        corner[0] + x.start * across,
        corner[1] + y.start * down,
        corner[0] + x.stop * across - 1,
        corner[1] + y.stop * down - 1,
    )
    ImageDraw.Draw(canvas).rectangle(box, outline=_FRAME, width=2)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
