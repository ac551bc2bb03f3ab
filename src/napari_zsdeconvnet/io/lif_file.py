"""LIF of Leica: images and the tiles of mosaics as scenes, planes read one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..utils.errors import InputError
from .acquisition import Recorded, recorded
from .axes import rgb_error
from .image import Display
from .scenes import Scene, SceneFile, check_extra_axes, display_of, in_file_order
from .units import number_in

_WORDS = {
    "H": "the arrival time of photons",
    "λ": "emission wavelength",
    "Λ": "excitation wavelength",
    "A": "rotation",
    "N": "slices over time",
    "Q": "slices over time",
    "L": "a loop",
}
_LETTERS = {"1": "X", "2": "Y", "3": "Z", "4": "T"}
_COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "yellow": (255, 255, 0),
    "gray": (255, 255, 255),
    "grey": (255, 255, 255),
}
_DESCRIPTION = "./Data/Image/ImageDescription"


class LIF(SceneFile):
    """A LIF file, opened by liffile."""

    package = "liffile"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        import liffile

        self._file: Any = liffile.LifFile(path)
        self._scenes = list(self._listed())
        if not self._scenes:
            self._file.close()
            raise ValueError("it holds no image")

    def _listed(self) -> Iterator[tuple[Any, int | None]]:
        """Give each image, and each tile of one that has several."""
        for image in self._file.images:
            tiles = image.sizes.get("M", 1) if not image.is_flim else 1
            yield from [(image, tile) for tile in range(tiles)] if tiles > 1 else [(image, None)]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the images, with the folders that they lie in, and of tiles their number."""
        return tuple(
            image.path if tile is None else f"{image.path}/{tile}" for image, tile in self._scenes
        )

    def scene(self, number: int) -> Scene:
        """Describe an image."""
        image, tile = self._scenes[number]
        name = f"{self.path.name} ({image.path})"
        if image.is_flim:
            raise InputError(
                "scene-axes",
                f"{name} is a recording of fluorescence lifetimes; export its intensity as "
                "OME-TIFF.",
            )
        sizes = {letter: length for letter, length in image.sizes.items() if letter != "M"}
        if sizes.get("S", 1) > 1:
            raise rgb_error(name)
        check_extra_axes(sizes, _WORDS, name)
        if tuple(image.frames.frame_dims) != ("Y", "X"):
            raise InputError(
                "scene-axes",
                f"{name} was scanned along {' and '.join(image.frames.frame_dims)} first, and "
                "along Y and X can be read; export it as OME-TIFF.",
            )
        axes, shape = in_file_order(sizes, "TZCYX")
        fixed = {} if tile is None else {"M": tile}

        def page(place: Mapping[str, int]) -> NDArray[Any]:
            pixels: NDArray[Any] = image.frame(**fixed, **place)
            return pixels

        return Scene(
            axes,
            shape,
            2,
            image.dtype,
            page,
            recorded=_recorded(image),
            display=_display(image),
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _recorded(image: Any) -> Recorded:
    found = recorded(_optics(image))
    steps = {}
    for one in image.xml_element.findall(f"{_DESCRIPTION}/Dimensions/DimensionDescription"):
        letter = _LETTERS.get(one.get("DimID", ""))
        length, count = number_in(one.get("Length", "")), int(one.get("NumberOfElements", 0))
        unit = {"m": 1e6, "s": 1.0}.get(one.get("Unit", ""))
        if letter and unit and length and count > 1:
            steps[letter] = float(f"{abs(length) * unit / (count - 1):.6g}")
    return Recorded(
        found.channels,
        found.channel_names,
        (steps.get("Z"), steps.get("Y"), steps.get("X")),
        frame_interval=steps.get("T"),
    )


def _optics(image: Any) -> dict[str, Any]:
    """Collect what the hardware settings say: of a camera's channels each, else of all."""
    root = image.xml_element
    said: dict[str, Any] = {}
    for one in root.iter():
        for key, name in (
            ("NumericalAperture", "LensNA"),
            ("RefractionIndex", "RefractiveIndex"),
            ("Immersion", "Immersion"),
        ):
            if one.get(key) and name not in said:
                said[name] = one.get(key)
    count = len(root.findall(f"{_DESCRIPTION}/Channels/ChannelDescription"))
    infos = [*root.iter("WideFieldChannelInfo")]
    if infos and len(infos) == count:
        said["channels"] = [_of_camera(one.attrib) for one in infos]
        said["AcquisitionMode"] = "widefield"
    elif root.find(".//ATLConfocalSettingDefinition") is not None:
        said["AcquisitionMode"] = "confocal"
    return said


def _of_camera(info: Mapping[str, str]) -> dict[str, str]:
    name = info.get("UserDefName") or info.get("FluoCubeName") or ""
    return {
        "Name": name,
        "EmissionWavelength": info.get("EmissionWavelength", ""),
        "ExcitationWavelength": info.get("ExcitationWavelength", ""),
    }


def _display(image: Any) -> tuple[Display, ...]:
    listed = image.xml_element.findall(f"{_DESCRIPTION}/Channels/ChannelDescription")
    colours = [_COLOURS.get(one.get("LUTName", "").lower()) for one in listed]
    known = [display_of(*colour) for colour in colours if colour is not None]
    return tuple(known) if len(known) == len(colours) else ()
