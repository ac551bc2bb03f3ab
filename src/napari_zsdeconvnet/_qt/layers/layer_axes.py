"""How a layer is read: as an image, a time series, a volume or a time series of volumes.

The layer's axis labels, units and scale say what they can; what they leave open is taken in
the usual way, and the user may correct all of it. A reading is made on the main thread and is
all that a worker needs beside the layer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from napari import layers
from numpy.typing import NDArray

from ...io.axes import ORDER
from ...io.units import checked_length
from ...utils.errors import InputError
from .shown_pixels import ShownPixels

IMAGE, SERIES = "image", "time series"
VOLUME, VOLUMES = "volume", "time series of volumes"

READINGS = {IMAGE: "YX", SERIES: "TYX", VOLUME: "ZYX", VOLUMES: "TZYX"}
"""The words of the user's choice, and the axes that they stand for."""

_LABELS = {"time": "T", "frame": "T", "channel": "C", "slice": "Z", "plane": "Z"}


@dataclass(frozen=True)
class Reading:
    """A layer's axes and voxel size, as they are taken."""

    axes: str
    """A letter for each axis of the layer, out of "TCZYX"."""
    voxel_size: tuple[float, ...] | None = None
    """Micrometres along Z, Y, X, or Y, X; None where one of them is not known."""
    channel: int | None = None
    """Which channel, where the layer has several."""
    lacks_step: bool = False
    """Whether only the step between planes is missing in the voxel size."""
    every: int = 1
    """Frames along the layer's first axis that make one image."""

    grid: ClassVar[int] = 1
    """Pixels along Y and X that the network sees per pixel of the layer."""

    @property
    def spatial(self) -> Literal["YX", "ZYX"]:
        """Axes of a single image or volume."""
        return "ZYX" if "Z" in self.axes else "YX"

    @property
    def kind(self) -> str:
        """The reading in words."""
        letters = self.axes.replace("C", "")
        return next(words for words, axes in READINGS.items() if axes == letters)

    def pixels(self, layer: layers.Image) -> tuple[Any, str]:
        """Return what is processed of the layer, lazy pixels unread, and its axes."""
        pixels = pixels_of(layer)
        if self.channel is not None:
            pixels = pixels[(slice(None),) * self.axes.index("C") + (self.channel,)]
        return pixels, self.axes.replace("C", "")

    def index(self, place: tuple[int, ...]) -> int | None:
        """Return which image lies at a place along the time axes; None where there are none."""
        return place[0] // self.every if place else None

    def placed(self, results: NDArray[Any]) -> NDArray[Any]:
        """Lay out what was made of each image along the layer's own axes."""
        return results

    def in_a_row(self, placed: NDArray[Any]) -> NDArray[Any]:
        """Undo `placed`."""
        return placed


def read_as(
    layer: layers.Image,
    kind: str | None = None,
    *,
    channel: int | None = None,
    axial_step: float | None = None,
) -> Reading:
    """Read a layer as one of `READINGS`, by default as it says itself.

    The first channel is taken if none is given, and the layer's own step between planes if the user
    has typed none (micrometres). Raises InputError if the layer is an RGB picture, cannot be read
    so, has its planes before its time points, is measured in what is no length, or has a scale that
    no microscope has.
    """
    axes = layer_axes(layer, kind)
    if "T" in axes and "Z" in axes and axes.index("Z") < axes.index("T"):
        raise InputError(
            "layer-axes-order",
            f"Layer {layer.name!r} has its planes before its time points; open it with time first "
            "(axes T, Z, Y, X).",
        )
    count = channels(layer, axes)
    voxel_size = layer_voxel_size(layer, axes, axial_step=axial_step)
    for step in voxel_size or ():
        checked_length(step, f"The scale of layer {layer.name!r}")
    return Reading(
        axes,
        voxel_size,
        min(channel or 0, count - 1) if "C" in axes else None,
        lacks_step="Z" in axes
        and voxel_size is None
        and layer_voxel_size(layer, axes, axial_step=1.0) is not None,
    )


def possible_readings(layer: layers.Image) -> tuple[str, ...]:
    """Return the readings that the number of axes allows; one axis more is for channels."""
    leading = _leading(layer)
    return tuple(kind for kind, axes in READINGS.items() if leading - (len(axes) - 2) in (0, 1))


def usual_reading(layer: layers.Image, *, otherwise: str = SERIES) -> str:
    """Return the reading that the layer itself suggests, `otherwise` where three axes tell nothing.

    Labels such as "t" or "slice" tell, as does an axis measured in seconds or in steps of a length
    other than one. Raises InputError if the layer is an RGB picture or its axes cannot be told.
    """
    letters = [_letter(layer, axis) for axis in range(_leading(layer))]
    others = [letter for letter in letters if letter != "C"]
    if not others:
        return IMAGE
    if len(others) > 1:
        return VOLUMES
    return {"T": SERIES, "Z": VOLUME}.get(others[0], otherwise)


def layer_axes(layer: layers.Image, kind: str | None = None) -> str:
    """Return a letter for each axis of the layer, such as "TYX", read as one of `READINGS`.

    Axes keep the letter of their label where the reading has it; the others get what is left in the
    order T, C, Z. Raises InputError if the layer is an RGB picture or cannot be read so.
    """
    leading = _leading(layer)
    kind = kind or usual_reading(layer)
    wanted = READINGS[kind][:-2]
    if leading - len(wanted) not in (0, 1):
        raise InputError(
            "layer-axes-wrong",
            f"Layer {layer.name!r} has {layer.ndim} axes and cannot be read as "
            f"{_article(kind)}; read it as {_either(possible_readings(layer))}.",
        )
    free = [*wanted, *("C" * (leading - len(wanted)))]
    letters = [""] * leading
    for axis in range(leading):
        said = _letter(layer, axis)
        if said in free:
            free.remove(said)
            letters[axis] = said
    free.sort(key=ORDER.index)
    return "".join(letter or free.pop(0) for letter in letters) + "YX"


def channels(layer: layers.Image, axes: str) -> int:
    """Return how many channels the layer has, 1 where it has no channel axis."""
    return int(pixels_of(layer).shape[axes.index("C")]) if "C" in axes else 1


def pixels_of(layer: layers.Image) -> Any:
    """Return the layer's array, of a multiscale layer the full resolution."""
    pixels = layer.data[0] if layer.multiscale else layer.data
    return pixels.strict if isinstance(pixels, ShownPixels) else pixels


def layer_voxel_size(
    layer: layers.Image, axes: str | None = None, *, axial_step: float | None = None
) -> tuple[float, ...] | None:
    """Return micrometres along the layer's Z, Y, X, or None where one is not known.

    A scale other than 1 on a layer without units is taken to be in micrometres, as most readers
    write it. A scale of exactly 1 along Z beside another laterally is what readers write that know
    no step. A step that the user has typed goes before it.
    """
    axes = axes or layer_axes(layer)
    lateral = (_length(layer, -2), _length(layer, -1))
    if lateral == (1.0, 1.0) and all(str(unit) == "pixel" for unit in layer.units[-2:]):
        return None
    if "Z" not in axes:
        return lateral
    step = axial_step or said_step(layer, axes)
    return None if step is None else (step, *lateral)


def said_step(layer: layers.Image, axes: str) -> float | None:
    """Return micrometres between planes as the layer says them, or None where it does not."""
    axis = axes.index("Z")
    own, unit = abs(float(layer.scale[axis])), str(layer.units[axis])
    if own == 1 and (unit == "pixel" or abs(float(layer.scale[-1])) != 1):
        return None
    return _length(layer, axis)


def set_step(layer: layers.Image, axes: str, step: float) -> None:
    """Write the step between planes into the layer's scale, so that it is seen in proportion."""
    axis = axes.index("Z")
    scale = list(layer.scale)
    # In the unit of the lateral axes: a unit of its own, such as pixels, would be no length.
    scale[axis] = step / _micrometres(layer.units[-1], layer.name)
    layer.scale = scale
    if layer.units[axis] != layer.units[-1]:
        units = list(layer.units)
        units[axis] = units[-1]
        layer.units = units


def set_pixel(layer: layers.Image, pixel: float) -> None:
    """Write the lateral pixel size into the layer's scale, which all widgets go by."""
    layer.scale = (*layer.scale[:-2], pixel, pixel)
    layer.units = (*layer.units[:-2], "micrometer", "micrometer")


def says_its_axes(layer: layers.Image) -> bool:
    """Tell whether labels, units or scale of the layer say what the axes before Y and X are."""
    return all(_letter(layer, axis) for axis in range(_leading(layer)))


def what_is_there(layer: layers.Image, reading: Reading) -> str:
    """Say in words what the layer is taken for."""
    lengths = dict(zip(reading.axes, pixels_of(layer).shape, strict=True))
    parts = []
    if "T" in lengths:
        parts.append(_count(lengths["T"], "time point"))
    if "Z" in lengths:
        parts.append(_count(lengths["Z"], "plane"))
    field = f"{lengths['Y']} x {lengths['X']} pixels"
    words = f"{' of '.join([*parts, field])}"
    if reading.voxel_size is not None:
        *step, _, pixel = reading.voxel_size
        words += f" of {1000 * pixel:.4g} nm"
        words += f", {1000 * step[0]:.4g} nm from plane to plane" if step else ""
    return f"{words}."


def _leading(layer: layers.Image) -> int:
    """Return how many axes come before Y and X."""
    if layer.rgb:
        raise InputError(
            "layer-rgb",
            f"Layer {layer.name!r} is an RGB picture; split it into channels first "
            "(right-click the layer, Split RGB) and choose one of them.",
        )
    if not 2 <= layer.ndim <= len(ORDER):
        raise InputError(
            "layer-axes-wrong",
            f"Layer {layer.name!r} has {layer.ndim} axes, which cannot be told apart; choose a "
            "layer with Y and X, and before them planes, time and channels at most.",
        )
    return int(layer.ndim) - 2


def _letter(layer: layers.Image, axis: int) -> str:
    """Return what an axis before Y and X says that it is, or "" where it says nothing."""
    label = str(layer.axis_labels[axis]).strip().lower()
    if label in _LABELS:
        return _LABELS[label]
    if label in ("t", "c", "z"):
        return label.upper()
    unit = layer.units[axis]
    if (1 * unit).check("[time]"):
        return "T"
    # A step of one may be no more than what stands where nothing is known.
    return "Z" if abs(float(layer.scale[axis])) != 1 else ""


def _length(layer: layers.Image, axis: int) -> float:
    return abs(float(layer.scale[axis])) * _micrometres(layer.units[axis], layer.name)


def _micrometres(unit: Any, name: str) -> float:
    if str(unit) == "pixel":
        return 1.0
    try:
        return float((1 * unit).to("micrometer").magnitude)
    except Exception as error:  # pint raises a family of its own for what is not a length
        raise InputError(
            "layer-units-wrong",
            f"Layer {name!r} is measured in {unit} along Z, Y or X, which is not a length; "
            "set its units to micrometre.",
        ) from error


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _article(kind: str) -> str:
    return f"an {kind}" if kind == IMAGE else f"a {kind}"


def _either(kinds: tuple[str, ...]) -> str:
    return " or ".join(_article(kind) for kind in kinds)
