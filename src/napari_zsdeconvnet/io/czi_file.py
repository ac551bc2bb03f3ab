"""CZI of Zeiss: scenes, whose tiles are put together, read in parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from ..utils.errors import InputError
from .acquisition import Recorded, recorded
from .axes import rgb_error
from .image import Display
from .scenes import Scene, SceneFile, check_extra_axes, display_of, in_file_order
from .units import number_in

_WORDS = {
    "R": "rotation",
    "I": "illumination",
    "H": "phase",
    "V": "view",
    "B": "block",
}
_TYPES = {"Gray8": np.uint8, "Gray16": np.uint16, "Gray32Float": np.float32}


class CZI(SceneFile):
    """A CZI file, opened by pylibCZIrw."""

    package = "pylibCZIrw"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        from pylibCZIrw import czi

        self._file: Any = czi.CziReader(str(path))
        self._whole = {
            letter: stop - start
            for letter, (start, stop) in self._file.total_bounding_box_no_pyramid.items()
        }
        self._boxes = dict(sorted(self._file.scenes_bounding_rectangle_no_pyramid.items()))
        try:
            self._metadata = ElementTree.fromstring(self._file.raw_metadata)
        except ElementTree.ParseError:  # the pixels can be read without
            self._metadata = ElementTree.Element("none")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the scenes; those that none is given are numbered."""
        listed = self._metadata.findall(".//Information/Image/Dimensions/S/Scenes/Scene")
        named = {one.get("Index"): one.get("Name", "") for one in listed}
        scenes = list(self._boxes) or [0]
        return tuple(named.get(str(number)) or f"scene {number}" for number in scenes)

    def scene(self, number: int) -> Scene:
        """Describe a scene."""
        name = self.path.name
        kinds = set(self._file.pixel_types.values())
        if any(kind.startswith("Bgr") for kind in kinds):
            raise rgb_error(name)
        if len(kinds) != 1 or not kinds <= set(_TYPES):
            raise InputError(
                "scene-pixel-types",
                f"{name} has channels of the types {', '.join(sorted(kinds))}, and one type for "
                "all can be read; export one channel as OME-TIFF.",
            )
        check_extra_axes(self._whole, _WORDS, name)
        box = list(self._boxes.values())[number] if self._boxes else None
        if box is None:
            box = self._file.total_bounding_rectangle_no_pyramid
        index = list(self._boxes)[number] if self._boxes else None
        left, top, width, height = box.x, box.y, box.w, box.h
        axes, shape = in_file_order({**self._whole, "Y": height, "X": width}, "TZCYX")
        tiles = self._check_planes(index, axes, shape)
        notes = []
        if tiles > 1:
            notes.append(
                f"each plane is put together of {tiles} tiles; where they overlap, one of them is "
                "taken."
            )

        def part(place: Mapping[str, int], rows: slice, columns: slice) -> NDArray[Any]:
            part = (
                left + columns.start,
                top + rows.start,
                columns.stop - columns.start,
                rows.stop - rows.start,
            )
            pixels: NDArray[Any] = self._file.read(roi=part, plane=dict(place), scene=index)
            return pixels[..., 0]

        return Scene(
            axes,
            shape,
            2,
            _TYPES[kinds.pop()],
            lambda place: part(place, slice(0, height), slice(0, width)),
            part,
            recorded=self._recorded(),
            display=self._display(),
            notes=tuple(notes),
        )

    def _check_planes(self, scene: int | None, axes: str, shape: tuple[int, ...]) -> int:
        """Refuse a scene that lacks planes, and give the tiles that most planes have."""
        counts: dict[tuple[int, ...], int] = {}

        def count(_: int, block: Any) -> bool:
            place = block.coordinate.to_dict()
            if scene is None or place.get("S", 0) == scene:
                key = tuple(int(place.get(letter, 0)) for letter in axes[:-2])
                counts[key] = counts.get(key, 0) + 1
            return True

        self._file.enumerate_subblocks_subset(count, only_layer0=True)
        wanted = math.prod(shape[:-2])
        if len(counts) < wanted:
            raise InputError(
                "scene-incomplete",
                f"{self.path} is incomplete: {wanted - len(counts)} of the {wanted} planes of the "
                "scene are missing; copy it again, or export the planes that there are as "
                "OME-TIFF.",
            )
        return max(counts.values())

    def _recorded(self) -> Recorded:
        """Collect what holds for the image: of the rest there is much that was set and not used."""
        root = self._metadata
        channels = root.findall(".//Information/Image/Dimensions/Channels/Channel")
        said: dict[str, Any] = {
            "channels": [
                {"Name": one.get("Name", ""), **{child.tag: child.text or "" for child in one}}
                for one in channels
            ],
        }
        distances = {one.get("Id"): one.findtext("Value") for one in root.iter("Distance")}
        metres = {letter: number_in(distances.get(letter) or "") for letter in "ZYX"}
        used = root.find(".//Information/Image/ObjectiveSettings/ObjectiveRef")
        for one in root.findall(".//Information/Instrument/Objectives/Objective"):
            if used is None or one.get("Id") == used.get("Id"):
                said["LensNA"] = one.findtext("LensNA") or ""
                said["Immersion"] = one.findtext("Immersion") or ""
                break
        index = root.findtext(".//Information/Image/ObjectiveSettings/RefractiveIndex")
        said["RefractiveIndex"] = index or ""
        found = recorded(said)
        steps = tuple(
            None if value is None or value <= 0 else float(f"{1e6 * value:.6g}")
            for value in (metres[letter] for letter in "ZYX")
        )
        interval = root.findtext(".//Information/Image/Dimensions/T/Positions/Interval/Increment")
        every = number_in(interval or "")
        return Recorded(
            found.channels,
            found.channel_names,
            (steps[0], steps[1], steps[2]),
            frame_interval=every if every and every > 0 else None,
        )

    def _display(self) -> tuple[Display, ...]:
        listed = self._metadata.findall(".//DisplaySetting/Channels/Channel/Color")
        texts = [(one.text or "").strip().lstrip("#") for one in listed]
        if not texts or any(len(text) != 8 for text in texts):  # alpha, red, green, blue
            return ()
        try:
            parts = [bytes.fromhex(text) for text in texts]
        except ValueError:
            return ()
        return tuple(display_of(*part[1:]) for part in parts)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
