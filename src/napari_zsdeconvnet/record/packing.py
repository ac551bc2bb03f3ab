"""What JSON has no words for, in its own: arrays to the bit, cameras and verdicts."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..camera_maps import NAMES, CameraMaps
from ..noise import NoiseModel

if TYPE_CHECKING:
    from ..verdict import Verdict

_QUICK = 1  # a level of zlib; higher ones are many times slower and gain next to nothing


def packed(array: NDArray[Any]) -> dict[str, Any]:
    """Write an array as text: its float32 numbers, compressed (zlib) and in base64."""
    numbers = np.ascontiguousarray(array, dtype="<f4")
    content = zlib.compress(numbers.tobytes(), _QUICK)
    return {
        "shape": list(numbers.shape),
        "float32_zlib_base64": base64.b64encode(content).decode("ascii"),
    }


def unpacked(values: Mapping[str, Any]) -> NDArray[np.float32]:
    """Read what `packed` wrote; ValueError if it is damaged."""
    try:
        numbers = zlib.decompress(base64.b64decode(values["float32_zlib_base64"]))
    except zlib.error as error:
        raise ValueError(f"an array is damaged: {error}") from error
    return np.frombuffer(numbers, "<f4").reshape(values["shape"]).astype(np.float32)


def packed_camera(camera: NoiseModel | CameraMaps | None) -> dict[str, Any] | None:
    """Write a camera: its numbers, or its maps by the same names."""
    if isinstance(camera, CameraMaps):
        maps = {name: packed(pixels) for name, pixels in camera.to_arrays().items()}
        return {**maps, "typical": camera.typical.to_dict()}
    return None if camera is None else camera.to_dict()


def packed_verdict(verdict: Verdict) -> dict[str, Any]:
    """Write a verdict, with what it says in a few sentences."""
    return {**verdict.to_dict(), "summary": verdict.summary()}


def unpacked_camera(values: Mapping[str, Any] | None) -> NoiseModel | CameraMaps | None:
    """Read what `packed_camera` wrote."""
    if values is None:
        return None
    if isinstance(values["offset"], Mapping):
        maps = {name: unpacked(values[name]) for name in NAMES}
        return CameraMaps.from_arrays(maps, values.get("typical"))
    return NoiseModel.from_dict(values)
