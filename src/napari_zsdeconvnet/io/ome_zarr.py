"""OME-Zarr 0.4 and 0.5 as images: axes, scales, units, channels and levels of their metadata."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..utils.errors import InputError
from .acquisition import recorded
from .axes import ORDER, Note, about, check_axes, check_kind
from .image import Display, Image, Origin
from .lazy import LazyArray
from .ome_xml import of_image
from .scenes import scene_number
from .tiff_tags import possible_steps, voxel_size_of
from .units import micrometres_in, number_in, seconds_in
from .zarr_stores import ZarrPixels, is_address, name_of, open_group, text_beside

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

_VERSIONS = ("0.4", "0.5")
_RANKS = {"T": 0, "C": 1, "Z": 2, "Y": 2, "X": 2}
_SAME_RATIO = 0.1  # relative difference up to which the scales of two levels suit their shapes


def read_ome_zarr(
    path: str | os.PathLike[str], level: int = 0, scene: int | str | None = None
) -> Image:
    """Read one image of an OME-Zarr; its pixels are read where they are cut.

    Parameters
    ----------
    path
        Folder, zip file (.ozx, .zarr.zip) or address; of a plate or a well, or of one field of it,
        such as ``plate.ome.zarr/A/1/0``.
    level
        Of the pyramid, 0 is the finest.
    scene
        Of what bioformats2raw wrote, the image by its number, counted from 0; None for the first.
        Of a plate or a well the field, by its number or as `images_in` names it.

    Returns
    -------
    Image
        As `read_image` gives it.

    Raises
    ------
    InputError
        If there is no image, a plate or well is named without a field, or it is of another version.
    """
    name = name_of(path)
    group = open_group(path)
    ome, found, prefix = _ome(group), recorded(None), ""
    notes: list[str] = []
    chosen: int | None = None
    if scene is not None and _holds_fields(ome):
        field = scene
        if not _is_there(group, scene):
            fields = _fields(group, ome, name)
            field = fields[scene_number(scene, fields, path)]
        return read_ome_zarr(f"{str(path).rstrip('/')}/{field}", level)
    if "bioformats2raw.layout" in ome and "multiscales" not in ome:
        series = _series(group)
        if not series:
            raise _no_image(ome, name, path)
        number = scene_number(scene, series, path)
        text = text_beside(path, "OME/METADATA.ome.xml")
        found = recorded(of_image(text, number)) if text else found
        if len(series) > 1 and scene is None:
            notes.append(f"{name} holds {len(series)} images; the first is read.")
        chosen = number if len(series) > 1 else None
        prefix, group = f"{series[number]}/", cast("zarr.Group", group[series[number]])
        ome = _ome(group)
    else:
        scene_number(scene, (name,), path)
    if "image-label" in ome:
        raise InputError(
            "zarr-labels",
            f"{name} holds labels of a segmentation, not counts; name the image that they lie in.",
        )
    described = _multiscales(ome, name, path)
    if len(ome["multiscales"]) > 1:
        notes.append(f"{name} holds {len(ome['multiscales'])} pyramids; the first is read.")
    place = _Level.of(described, level, name)
    try:
        array: Any = group[place.key]
        pixels: Any = ZarrPixels(path, prefix + place.key, array)
    except (KeyError, AttributeError, ValueError) as error:
        raise InputError(
            "zarr-level-missing",
            f"{name} names level {level} as {place.key}, and there is none; choose another level, "
            "or export it again.",
        ) from error
    check_kind(pixels, name)
    letters, axis_notes = _letters(described["axes"], pixels.shape, name)
    order = "".join(letter for letter in ORDER if letter in letters)
    said = [*axis_notes, *place.problems(group, pixels.shape, letters)]
    sizes, interval, position, size_notes = _sizes(place, described["axes"], letters)
    steps, impossible = possible_steps(sizes)
    voxel_size, missing = voxel_size_of(steps, order)
    said += [*size_notes, *impossible, *missing, *_missing_chunks(pixels)]
    channels = pixels.shape[letters.index("C")] if "C" in letters else 1
    names, display, channel_notes = _channels(ome.get("omero"), channels)
    optics = found.channels or recorded({"channels": _omero_channels(ome.get("omero"))}).channels
    notes += [Note(f"{name}: {note}", about(note)) for note in [*said, *channel_notes]]
    lazily = LazyArray(pixels, _with_fillers(letters), order)
    where = str(path) if is_address(path) else str(Path(path).resolve())
    return Image(
        cast("NDArray[Any]", lazily),
        order,
        voxel_size,
        name,
        names or found.channel_names[:channels],
        interval,
        tuple(notes),
        optics,
        Origin(where, level=level or None, scene=chosen),
        steps=steps,
        display=display,
        position=position,
    )


def read_pyramid(path: str | os.PathLike[str]) -> list[Image]:
    """Read all levels of an OME-Zarr, the finest first, as `read_ome_zarr` reads one.

    Of what bioformats2raw wrote it is the first image. A coarser level that is damaged ends it.

    Raises
    ------
    InputError
        As from `read_ome_zarr`, for the finest.
    """
    levels = [read_ome_zarr(path)]
    with suppress(InputError):
        while _suits(level := read_ome_zarr(path, len(levels)), levels[-1]):
            levels.append(level)
    return levels


def _suits(coarse: Image, fine: Image) -> bool:
    """Tell whether an image can be the next level of another."""
    return coarse.axes == fine.axes and all(
        one <= other for one, other in zip(coarse.data.shape, fine.data.shape, strict=True)
    )


def images_in(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """List the images of an OME-Zarr.

    Of bioformats2raw by number; of a plate or a well the fields, such as ``A/1/0``, those that
    could not be acquired included; of any other its name.
    """
    group = open_group(path)
    ome = _ome(group)
    if _holds_fields(ome):
        return _fields(group, ome, name_of(path))
    several = "bioformats2raw.layout" in ome and "multiscales" not in ome
    return tuple(_series(group)) if several else (name_of(path),)


def is_plate(path: str | os.PathLike[str]) -> bool:
    """Tell whether an OME-Zarr is a plate or a well, which has fields in place of an image."""
    return _holds_fields(_ome(open_group(path)))


def _is_there(group: zarr.Group, scene: int | str) -> bool:
    """Tell whether a field is named that is there; to list those of a plate opens all wells."""
    if not isinstance(scene, str) or not all(part.strip(".") for part in scene.split("/")):
        return False
    return scene in group


def _holds_fields(ome: Mapping[str, Any]) -> bool:
    return "multiscales" not in ome and ("plate" in ome or "well" in ome)


def _fields(group: zarr.Group, ome: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """List the fields of a plate or a well by their paths in it, of which there is one at least."""
    try:
        _check_version(ome, ome["well" if "well" in ome else "plate"], name)
        found: list[str] = []
        if "well" in ome:
            found = [str(one["path"]) for one in ome["well"]["images"]]
            return _some(found, name, "fields")
        for well in (str(one["path"]) for one in ome["plate"]["wells"]):
            there = _ome(cast("zarr.Group", group[well])) if well in group else {}
            # A well that is named and not there is one of which there should be a field.
            images = there["well"]["images"] if "well" in there else [{"path": "0"}]
            found += [f"{well}/{one['path']}" for one in images]
        return _some(found, name, "wells")
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            "zarr-metadata",
            f"{name} has damaged OME metadata of its wells "
            f"({type(error).__name__} {error}); export it again.",
        ) from error


def _some(fields: Sequence[str], name: str, what: str) -> tuple[str, ...]:
    if not fields:
        raise InputError("zarr-plate-empty", f"{name} names no {what}; choose another one.")
    return tuple(fields)


def _series(group: zarr.Group) -> list[str]:
    """List the images of what bioformats2raw wrote, in the order of its OME-XML."""
    stated = _ome(cast("zarr.Group", group["OME"])).get("series") if "OME" in group else None
    if isinstance(stated, list) and stated and all(str(key) in group for key in stated):
        return [str(key) for key in stated]
    return sorted((key for key in group.group_keys() if key.isdecimal()), key=int)


def _ome(group: zarr.Group) -> dict[str, Any]:
    """Return the OME metadata of a group: in 0.5 under a name of their own."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    return dict(ome) if isinstance(ome, Mapping) else {}


def _multiscales(ome: Mapping[str, Any], name: str, path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the description of the first pyramid, or say what there is in its place."""
    if "multiscales" not in ome:
        raise _no_image(ome, name, path)
    try:
        described = dict(ome["multiscales"][0])
        _check_version(ome, described, name)
        axes, datasets = described["axes"], described["datasets"]
        described["axes"] = [
            dict(axis) if isinstance(axis, Mapping) else {"name": str(axis)} for axis in axes
        ]
        described["datasets"] = [{**one, "path": str(one["path"])} for one in datasets]
        if not datasets:
            raise ValueError("it names no level")
    except InputError:
        raise
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            "zarr-metadata",
            f"{name} has damaged OME metadata (multiscales: {type(error).__name__} {error}); "
            "export it again.",
        ) from error
    return described


def _check_version(ome: Mapping[str, Any], described: Mapping[str, Any], name: str) -> None:
    """Refuse a version that is not known, as the group or a description in it states it."""
    version = str(ome.get("version", described.get("version", "0.4")))
    if version in _VERSIONS:
        return
    known = " and ".join(_VERSIONS)
    update = "update napari-zsdeconvnet, or " if _numbers(version) > _numbers(_VERSIONS[-1]) else ""
    raise InputError(
        "zarr-version",
        f"{name} is OME-Zarr {version}, and {known} can be read here; {update}export it as 0.5.",
        version=version,
    )


def _numbers(version: str) -> list[int]:
    """Return the numbers of a version, as 0.10 is newer than 0.5."""
    parts = version.split("-")[0].split(".")
    return [int(part) if part.isdecimal() else 0 for part in parts]


def _no_image(ome: Mapping[str, Any], name: str, path: str | os.PathLike[str]) -> InputError:
    try:
        if "plate" in ome:
            _check_version(ome, ome["plate"], name)
            wells = _some([str(one["path"]) for one in ome["plate"]["wells"]], name, "wells")
            return InputError(
                "zarr-plate",
                f"{name} is a plate of {len(wells)} wells; name one field of it, as in "
                f"{path}/{wells[0]}/0.",
            )
        if "well" in ome:
            _check_version(ome, ome["well"], name)
            fields = _some([str(one["path"]) for one in ome["well"]["images"]], name, "fields")
            return InputError(
                "zarr-plate",
                f"{name} is a well of {len(fields)} fields; name one, as in {path}/{fields[0]}.",
            )
    except (KeyError, IndexError, TypeError, AttributeError):
        pass
    return InputError(
        "zarr-metadata",
        f"{name} is Zarr without the metadata of an OME-Zarr image (multiscales); name the folder "
        "of the image, or export it as OME-Zarr.",
    )


def _letters(
    axes: Sequence[Mapping[str, Any]], shape: tuple[int, ...], name: str
) -> tuple[list[str], list[str]]:
    """Return a letter for each axis, empty for one of length one that is no axis of an image."""
    names = [str(axis.get("name", "")) for axis in axes]
    said = ", ".join(names)
    if len(axes) != len(shape):
        raise InputError(
            "axes-wrong",
            f"{name} names {len(axes)} axes ({said}) and its pixels have {len(shape)}; export it "
            "again.",
            axes=said,
        )
    kinds = {"time": "T", "channel": "C"}
    letters = []
    for axis, word, length in zip(axes, names, shape, strict=True):
        letter = kinds.get(str(axis.get("type", "")), word.upper())
        letters.append("" if letter not in ORDER and length == 1 else letter)
    kept = [letter for letter in letters if letter]
    if any(len(letter) != 1 for letter in kept):
        raise InputError(
            "axes-wrong",
            f"{name} has the axes {said}; those of an image are t, c, z, y and x.",
            axes=said,
        )
    check_axes("".join(kept), len(kept), name)
    ranks = [_RANKS[letter] for letter in kept]
    if ranks == sorted(ranks):
        return letters, []
    return letters, [
        Note(
            f"its axes are {said}, an order that OME-Zarr does not allow (time, channel, space); "
            "they are taken by their names.",
            "axes-reordered",
        )
    ]


def _with_fillers(letters: Sequence[str]) -> str:
    """Give axes without a letter one that no image has."""
    return "".join(letter or chr(ord("a") + number) for number, letter in enumerate(letters))


@dataclass(frozen=True)
class _Level:
    """One level of a pyramid, as the metadata describe it."""

    key: str
    scale: tuple[float, ...] | None
    translation: tuple[float, ...]
    number: int
    finest: _Level | None = None

    @classmethod
    def of(cls, described: Mapping[str, Any], number: int, name: str) -> _Level:
        """Find a level; InputError if there is none of that number."""
        datasets = described["datasets"]
        if not 0 <= number < len(datasets):
            raise InputError(
                "zarr-level",
                f"{name} has {len(datasets)} level{'s' if len(datasets) > 1 else ''}, counted from "
                f"0, so there is none of number {number}; choose another level.",
            )
        axes = len(described["axes"])
        whole = _transform(described, axes)
        scale, translation = _transform(datasets[number], axes)
        if scale is not None and whole[0] is not None:
            scale = tuple(map(math.prod, zip(scale, whole[0], strict=True)))
            moved = map(math.prod, zip(translation, whole[0], strict=True))
            translation = tuple(map(sum, zip(moved, whole[1], strict=True)))
        finest = cls.of(described, 0, name) if number else None
        return cls(datasets[number]["path"], scale, translation, number, finest)

    def problems(
        self, group: zarr.Group, shape: tuple[int, ...], letters: Sequence[str]
    ) -> list[str]:
        """Say where a level does not suit the finest one, by its scale or type."""
        first: Any = None if self.finest is None else group.get(self.finest.key)
        said = []
        if first is not None and self._misfits(group, shape, letters):
            said.append(
                f"the scale of level {self.number} does not suit its size beside that of level 0; "
                "its pixel size may be wrong."
            )
        own: Any = group[self.key]
        if first is not None and first.dtype != own.dtype:
            said.append(
                f"level {self.number} holds {own.dtype} and level 0 {first.dtype}: its counts may "
                "be scaled; take level 0 to train."
            )
        return said

    def _misfits(self, group: zarr.Group, shape: tuple[int, ...], letters: Sequence[str]) -> bool:
        """Tell whether its scale differs from that of the finest level otherwise than its shape."""
        first = self.finest
        if first is None or first.scale is None or self.scale is None or first.key not in group:
            return False
        whole: Any = group[first.key]
        for letter, length, own, scale, full in zip(
            letters, whole.shape, shape, self.scale, first.scale, strict=True
        ):
            if letter and letter in "ZYX":
                expected = length / own
                slack = _SAME_RATIO * expected + 1 / own
                if abs(scale / full - expected) > slack:
                    return True
        return False


def _transform(
    described: Mapping[str, Any], axes: int
) -> tuple[tuple[float, ...] | None, tuple[float, ...]]:
    """Return scale and translation along each axis; None for a scale that is not given."""
    scale: tuple[float, ...] | None = None
    translation = (0.0,) * axes
    steps = described.get("coordinateTransformations") or ()
    for one in steps if isinstance(steps, Sequence) else ():
        kind = one.get("type") if isinstance(one, Mapping) else None
        values = one.get(kind) if kind in ("scale", "translation") else None
        if not isinstance(values, Sequence) or len(values) != axes:
            continue
        numbers = [number_in(value) for value in values]
        if kind == "scale":
            scale = tuple(0.0 if number is None else number for number in numbers)
        else:
            translation = tuple(number or 0.0 for number in numbers)
    return scale, translation


def _sizes(
    place: _Level, axes: Sequence[Mapping[str, Any]], letters: Sequence[str]
) -> tuple[dict[str, float | None], float | None, tuple[float, float, float], list[str]]:
    """Return micrometres along Z, Y, X, seconds between frames, where it begins, and notes."""
    if place.scale is None:
        words = "it gives no scale, hence no pixel size, for level "
        return {}, None, (0.0, 0.0, 0.0), [f"{words}{place.number}."]
    sizes: dict[str, float | None] = {}
    begins: dict[str, float] = {}
    interval = None
    unknown = []
    along = zip(axes, letters, place.scale, place.translation, strict=True)
    for axis, letter, scale, start in along:
        unit = str(axis.get("unit") or "")
        if letter == "T":
            seconds = seconds_in(unit)
            interval = scale * seconds if seconds is not None and scale > 0 else None
        elif letter and letter in "ZYX":
            length = micrometres_in(unit)
            if length is None:
                unknown.append(letter)
                continue
            sizes[letter] = scale * length
            begins[letter] = start * length
    notes = []
    if unknown:
        numbers = dict(zip(letters, place.scale, strict=True))
        if any(numbers[letter] != 1 for letter in unknown):
            said = ", ".join(f"{numbers[letter]:g}" for letter in unknown)
            notes.append(
                f"its scale {said} along {', '.join(unknown)} has no unit of length; it is not "
                "used: give the pixel size."
            )
    z, y, x = (begins.get(letter, 0.0) for letter in "ZYX")
    return sizes, interval, (z, y, x), notes


def _missing_chunks(pixels: ZarrPixels) -> list[str]:
    """Say which chunks are not there; a reader gives the fill value in their place."""
    count, gone, names = pixels.missing_chunks()
    if not gone:
        return []
    more = ", ..." if gone > len(names) else ""
    return [
        f"{gone} of {count} chunk files are missing ({', '.join(names)}{more}); their pixels are "
        "read as the fill value. If they were recorded, copy it again."
    ]


def _omero_channels(omero: Any) -> list[Mapping[str, Any]]:
    listed = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(listed, Sequence) or not all(isinstance(one, Mapping) for one in listed):
        return []
    return list(listed)


def _channels(omero: Any, count: int) -> tuple[tuple[str, ...], tuple[Display, ...], list[str]]:
    """Return names and display of the channels, if all of them are described."""
    listed = _omero_channels(omero)
    if not listed:
        return (), (), []
    if len(listed) != count:
        words = f"its metadata describe {len(listed)} channels and it has {count}; "
        return (), (), [f"{words}their names and colours are not used."]
    labels = [str(one.get("label") or "") for one in listed]
    names = tuple(label or f"Channel {number}" for number, label in enumerate(labels))
    return names if any(labels) else (), tuple(_display(one) for one in listed), []


def _display(channel: Mapping[str, Any]) -> Display:
    window = channel.get("window")
    ends = window if isinstance(window, Mapping) else {}
    low, high = number_in(ends.get("start")), number_in(ends.get("end"))
    colour = str(channel.get("color") or "").lstrip("#").upper()[:6]
    plausible = low is not None and high is not None and low < high
    return Display(
        colour if len(colour) == 6 and set(colour) <= set("0123456789ABCDEF") else "",
        (low, high) if plausible and low is not None and high is not None else None,
    )
