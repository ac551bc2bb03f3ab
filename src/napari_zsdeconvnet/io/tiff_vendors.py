"""What the programs of microscopes write into tags of their own: sizes, times and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .units import is_no_unit, micrometres_in, number_in

if TYPE_CHECKING:
    import tifffile


_MICROMANAGER = 51123  # tag of each image


@dataclass(frozen=True)
class Vendor:
    """What such tags say; nothing where they do not.

    Attributes
    ----------
    sizes
        Micrometres along Z, Y, X, by letter.
    interval
        Seconds between frames.
    channel_names
        Of all channels.
    """

    sizes: Mapping[str, float] = field(default_factory=dict)
    interval: float | None = None
    channel_names: tuple[str, ...] = ()


def said_by_vendor(tiff: tifffile.TiffFile) -> Vendor:
    """Read the tags of MetaMorph, Micro-Manager, Zeiss LSM and Olympus; empty for other files.

    Tags that are damaged say nothing.
    """
    for name, read in _READERS.items():
        try:
            if getattr(tiff, f"is_{name}"):
                return read(_tags(tiff, name))
        except Exception:  # each has a parser of its own, which fails in its own ways
            continue
    return Vendor()


def _tags(tiff: tifffile.TiffFile, name: str) -> Mapping[str, Any]:
    tags = dict(getattr(tiff, f"{name}_metadata") or {})
    if name == "micromanager":
        tags["Page"] = tiff.pages.first.tags.valueof(_MICROMANAGER)
    return tags


def _stk(tags: Mapping[str, Any]) -> Vendor:
    """Read the UIC tags of a MetaMorph stack; its steps are in micrometres, whatever the unit."""
    unit = str(tags.get("CalibrationUnits", ""))
    sizes = _in_unit({"X": tags.get("XCalibration"), "Y": tags.get("YCalibration")}, unit)
    steps = np.abs(np.atleast_1d(tags.get("ZDistance", 0)))
    times = np.atleast_1d(tags.get("TimeCreated", 0)).astype(float) / 1000
    if np.median(steps) > 0:
        sizes["Z"] = float(f"{np.median(steps):.6g}")
    return Vendor(sizes, None if "Z" in sizes else _even(times))


def _metaseries(tags: Mapping[str, Any]) -> Vendor:
    """Read the XML of MetaXpress and later MetaMorph."""
    plane = {**tags, **tags.get("PlaneInfo", {})}
    if not plane.get("spatial-calibration-state", True):
        return Vendor()
    said = {letter: plane.get(f"spatial-calibration-{letter.lower()}") for letter in "XY"}
    return Vendor(_in_unit(said, str(plane.get("spatial-calibration-units", "um"))))


def _micromanager(tags: Mapping[str, Any]) -> Vendor:
    """Read the summary of a Micro-Manager acquisition, and what it says of its first image."""
    summary, page = tags.get("Summary") or {}, tags.get("Page") or {}
    pixel = summary.get("PixelSize_um") or page.get("PixelSizeUm")
    sizes = _in_unit({"Z": summary.get("z-step_um"), "Y": pixel, "X": pixel}, "um")
    interval = number_in(summary.get("Interval_ms"))
    names = summary.get("ChNames")
    return Vendor(
        sizes,
        interval / 1000 if interval and interval > 0 else None,
        tuple(str(name) for name in names) if isinstance(names, list) else (),
    )


def _lsm(tags: Mapping[str, Any]) -> Vendor:
    """Read the structure of a Zeiss LSM file, in metres and seconds."""
    sizes = _in_unit({letter: tags.get(f"VoxelSize{letter}") for letter in "ZYX"}, "m")
    interval = number_in(tags.get("TimeIntervall"))
    names = tags.get("ChannelColors", {}).get("ColorNames", ())
    return Vendor(
        sizes, interval if interval and interval > 0 else None, tuple(str(name) for name in names)
    )


def _sis(tags: Mapping[str, Any]) -> Vendor:
    """Read the structure of Olympus' programs, in metres."""
    return Vendor(_in_unit({"X": tags.get("pixelsizex"), "Y": tags.get("pixelsizey")}, "m"))


def _fluoview(tags: Mapping[str, Any]) -> Vendor:
    """Read the axes of a FluoView file, each with its name, length, origin, step and unit."""
    sizes: dict[str, float] = {}
    interval = None
    for name, _, _, step, unit, *_ in tags["Dimensions"]:
        if name in ("X", "Y", "Z"):
            sizes |= _in_unit({name: step}, str(unit))
        elif name == "T" and number_in(step):
            interval = number_in(step)
    return Vendor(sizes, interval)


_READERS = {
    "stk": _stk,
    "metaseries": _metaseries,
    "micromanager": _micromanager,
    "lsm": _lsm,
    "fluoview": _fluoview,
    "sis": _sis,
}


def _in_unit(said: Mapping[str, Any], unit: str) -> dict[str, float]:
    """Bring what can be read of sizes to micrometres."""
    scale = None if is_no_unit(unit) else micrometres_in(unit)
    numbers = {letter: number_in(value) for letter, value in said.items()}
    if scale is None:
        return {}
    return {letter: float(f"{scale * abs(n):.6g}") for letter, n in numbers.items() if n}


def _even(times: Any) -> float | None:
    """Return the usual step of times that rise; None where they do not."""
    steps = np.diff(times)
    if not len(steps) or not (steps > 0).all():
        return None
    return float(f"{np.median(steps):.6g}")
