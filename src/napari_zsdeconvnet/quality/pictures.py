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

from ..utils.errors import InputError
from ..utils.files import written_whole

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
    one); each is drawn to the same size, enlarged without interpolation.

    Parameters
    ----------
    panels
        Images (Y, X) of the same field of view.
    labels
        A caption for each; a second line after a line break is drawn smaller.
    path
        File to write, usually .png.
    pixel_sizes
        Micrometres per pixel of each panel, or one number for all; None draws no scale bar.
    percentiles
        The percentiles of each panel that become black and white.
    zoom
        Top, left and height of a square region as fractions of the panel; it is framed in the panel
        and magnified in a second row, at equal contrast.
    panel_width
        Width of a panel in pixels of the picture.

    Raises
    ------
    InputError
        If there is not one label and pixel size for each panel, a panel is no image, or the
        file cannot be written.
    """
    images = _checked(panels, labels, 2)
    sizes = _one_each(pixel_sizes, len(images))
    height = max(1, round(panel_width * images[0].shape[0] / images[0].shape[1]))
    canvas = _Canvas(labels, panel_width, [height, panel_width] if zoom else [height])
    for column, (image, size) in enumerate(zip(images, sizes, strict=True)):
        grey = _grey(image, *np.percentile(image, percentiles))
        canvas.paste(grey, column, 0, size)
        if zoom:
            region = _region(image.shape, zoom)
            canvas.frame(region, image.shape, column, 0)
            canvas.paste(grey[region], column, 1, size)
    canvas.save(path)


def orthogonal_cuts(
    volumes: Sequence[ArrayLike],
    labels: Sequence[str],
    path: str | os.PathLike[str],
    *,
    voxel_sizes: Sequence[Sequence[float]] | Sequence[float],
    at: tuple[float, float] = (0.5, 0.5),
    percentiles: tuple[float, float] = (1.0, 99.8),
    panel_width: int = 300,
) -> None:
    """Write one picture with a plane (XY) of each volume and below it a cut along z (XZ).

    Both have one scale: a micrometre is as long along z as along x. Voxels are drawn without
    interpolation. Lines mark in each picture where the other one cuts.

    Parameters
    ----------
    volumes
        (Z, Y, X) of the same field of view, on any grids.
    labels, path, percentiles, panel_width
        As for `side_by_side`.
    voxel_sizes
        Micrometres (z, y, x) of each volume, or three numbers for all.
    at
        Where to cut: plane and row as fractions of the number of planes and of rows.

    Raises
    ------
    InputError
        As `side_by_side` does.
    """
    stacks = _checked(volumes, labels, 3)
    steps = np.atleast_2d(np.asarray(voxel_sizes, dtype=np.float64))
    if steps.shape not in ((1, 3), (len(stacks), 3)):
        raise InputError(
            "panels-wrong",
            f"{len(stacks)} volumes come with voxel sizes of shape {steps.shape}; give (z, y, x) "
            "for each, or once for all.",
        )
    sizes = np.broadcast_to(steps, (len(stacks), 3))
    if not all(0 <= place < 1 for place in at):
        raise InputError(
            "panels-wrong", f"The cuts at {at} do not lie within 0 to 1; give fractions."
        )
    depth, height, width = np.array(stacks[0].shape) * sizes[0]
    heights = [max(1, round(panel_width * length / width)) for length in (height, depth)]
    canvas = _Canvas(labels, panel_width, heights)
    for column, (stack, size) in enumerate(zip(stacks, sizes, strict=True)):
        plane, row = (int(place * length) for place, length in zip(at, stack.shape, strict=False))
        cuts = stack[plane], stack[:, row]
        levels = np.percentile(np.concatenate([cut.ravel() for cut in cuts]), percentiles)
        for number, (cut, place) in enumerate(zip(cuts, at[::-1], strict=True)):
            canvas.paste(_grey(cut, *levels), column, number, float(size[-1]))
            canvas.mark_row(column, number, place)
    canvas.save(path)


def grey_picture(values: ArrayLike, path: str | os.PathLike[str]) -> None:
    """Write values (Y, X) from 0, black, to 1, white, as a picture, a pixel each."""
    from PIL import Image

    picture = Image.fromarray(_grey(np.asarray(values, dtype=np.float64), 0.0, 1.0))
    with written_whole(path) as temporary:
        picture.save(temporary, format="PNG")


def _checked(
    panels: Sequence[ArrayLike], labels: Sequence[str], axes: int
) -> list[NDArray[np.float64]]:
    """Return what is to be drawn, if it can be and each part has its label."""
    images = [np.asarray(panel, dtype=np.float64) for panel in panels]
    if not images or len(labels) != len(images):
        raise InputError(
            "panels-wrong",
            f"{len(images)} panels come with {len(labels)} labels; give one for each.",
        )
    for image, label in zip(images, labels, strict=True):
        if image.ndim != axes or image.size == 0:
            wanted = "an image (Y, X)" if axes == 2 else "a volume (Z, Y, X)"
            raise InputError(
                "panels-wrong", f"The panel {label!r} has shape {image.shape}; give {wanted}."
            )
    return images


def _one_each(values: Sequence[float] | float | None, count: int) -> list[float | None]:
    if values is None or isinstance(values, int | float):
        return [values] * count
    if len(values) != count:
        raise InputError(
            "panels-wrong",
            f"{count} panels come with {len(values)} pixel sizes; give one for each.",
        )
    return list(values)


def _grey(image: NDArray[np.float64], black: float, white: float) -> NDArray[np.uint8]:
    """Turn what lies between two levels into grey values."""
    scaled = (image - black) / max(white - black, np.finfo(np.float64).tiny)
    grey: NDArray[np.uint8] = np.rint(255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    return grey


def _region(shape: tuple[int, ...], zoom: tuple[float, float, float]) -> tuple[slice, slice]:
    """Pixels of a square region given as fractions of the image's height and width."""
    top, left, side = zoom
    if not (0 <= top < 1 and 0 <= left < 1 and 0 < side <= 1):
        raise InputError(
            "panels-wrong", f"The zoom region {zoom} does not lie within 0 to 1; give fractions."
        )
    length = max(1, min(round(side * shape[0]), *shape))
    y = min(round(top * shape[0]), shape[0] - length)
    x = min(round(left * shape[1]), shape[1] - length)
    return slice(y, y + length), slice(x, x + length)


class _Canvas:
    """A picture of panels in columns, each with its caption, and in rows.

    Parameters
    ----------
    labels
        A caption for each column.
    width
        Of a panel, in pixels of the picture.
    heights
        Of the panels of each row.
    """

    def __init__(self, labels: Sequence[str], width: int, heights: Sequence[int]) -> None:
        from PIL import Image

        caption = _CAPTION if all("\n" not in label for label in labels) else 2 * _CAPTION - 8
        self._width, self._heights = width, heights
        self._tops = [caption + sum(heights[:row]) + row * _GAP for row in range(len(heights))]
        size = (len(labels) * (width + _GAP) - _GAP, self._tops[-1] + heights[-1])
        self._picture = Image.new("RGB", size, (0, 0, 0))
        for column, label in enumerate(labels):
            _write_caption(self._picture, label, (self._corner(column)[0], 0), width)

    def paste(
        self, grey: NDArray[np.uint8], column: int, row: int, pixel_size: float | None
    ) -> None:
        """Draw an image, with a scale bar if its pixel size is known."""
        from PIL import Image

        size = (self._width, self._heights[row])
        enlarging = self._width >= grey.shape[1]
        method = Image.Resampling.NEAREST if enlarging else Image.Resampling.LANCZOS
        self._picture.paste(Image.fromarray(grey).resize(size, method), self._corner(column, row))
        if pixel_size:
            width = grey.shape[1] * pixel_size
            _draw_scale_bar(self._picture, self._corner(column, row), size, width)

    def frame(
        self, region: tuple[slice, slice], shape: tuple[int, ...], column: int, row: int
    ) -> None:
        """Draw a frame about a region of an image of this shape."""
        from PIL import ImageDraw

        (left, top), (y, x) = self._corner(column, row), region
        across, down = self._width / shape[1], self._heights[row] / shape[0]
        box = (
            left + x.start * across,
            top + y.start * down,
            left + x.stop * across - 1,
            top + y.stop * down - 1,
        )
        ImageDraw.Draw(self._picture).rectangle(box, outline=_FRAME, width=2)

    def mark_row(self, column: int, row: int, place: float) -> None:
        """Mark a row of an image, given as a fraction, by a dash at either side."""
        from PIL import ImageDraw

        left, top = self._corner(column, row)
        height = top + place * self._heights[row]
        right, dash = left + self._width - 1, self._width // 20
        draw = ImageDraw.Draw(self._picture)
        for ends in ((left, left + dash), (right - dash, right)):
            draw.line([(end, height) for end in ends], fill=_FRAME, width=2)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture, whole or not at all."""
        with written_whole(path) as temporary:
            self._picture.save(temporary, format="PNG", optimize=True)

    def _corner(self, column: int, row: int = 0) -> tuple[int, int]:
        return column * (self._width + _GAP), self._tops[row]


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
    number, unit = (f"{length:g} ", "um") if length >= 1 else (f"{1000 * length:g} ", "nm")
    font = _font(_TEXT)
    start, baseline = (left + right - font.getlength(number + unit)) / 2, bottom - 12
    place = (start, baseline)
    draw.text(place, number + unit, _INK, font, "ls", stroke_width=2, stroke_fill=(0, 0, 0))
    if unit == "um":
        # Pillow's own font has no Greek letters: a tail makes a micro sign of the u.
        stem = round(start + font.getlength(number)) + 1
        draw.rectangle((stem - 1, baseline, stem + 3, baseline + 5), fill=(0, 0, 0))
        draw.rectangle((stem, baseline - 3, stem + 1, baseline + 4), fill=_INK)


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


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
