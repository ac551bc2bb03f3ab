"""What JSON has no words for, in its own: arrays to the bit, cameras and verdicts."""

from __future__ import annotations

import base64
import hashlib
import math
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...noise.camera_maps import NAMES, CameraMaps
from ...noise.noise_model import NoiseModel
from ...utils.json_values import fitting

if TYPE_CHECKING:
    from ...quality.verdict import Verdict

_MOST_EXPANDED = 1032  # bytes that come of a compressed one at most
_QUICK = 1  # a level of zlib; higher ones are many times slower and gain next to nothing


def packed(array: NDArray[Any]) -> dict[str, Any]:
    """Write an array as text: its float32 numbers, compressed (zlib) and in base64."""
    numbers = np.ascontiguousarray(array, dtype="<f4")
    content = zlib.compress(numbers.tobytes(), _QUICK)
    return {
        "shape": list(numbers.shape),
        "sha256": _checksum(numbers),
        "float32_zlib_base64": base64.b64encode(content).decode("ascii"),
    }


def unpacked(values: Mapping[str, Any]) -> NDArray[np.float32]:
    """Read what `packed` wrote; ValueError if it is damaged.

    Records of before they were kept have no checksums.
    """
    shape = fitting(values["shape"], tuple[int, ...], "shape")
    content = base64.b64decode(fitting(values["float32_zlib_base64"], str, "an array"))
    size = math.prod(shape) * 4
    if min(shape, default=1) < 1 or size > _MOST_EXPANDED * len(content):
        raise ValueError(f"an array declares the shape {shape} and holds {len(content)} bytes")
    try:
        numbers = zlib.decompressobj().decompress(content, size)
    except zlib.error as error:
        raise ValueError(f"an array is damaged: {error}") from error
    array = np.frombuffer(numbers, "<f4").reshape(shape)
    if values.get("sha256", checksum := _checksum(array)) != checksum:
        raise ValueError("an array has another checksum than it was written with")
    return array.astype(np.float32)


def _checksum(numbers: NDArray[Any]) -> str:
    return hashlib.sha256(numbers.tobytes()).hexdigest()


def packed_camera(camera: NoiseModel | CameraMaps | None) -> dict[str, Any] | None:
    """Write a camera: its numbers, or its maps by the same names."""
    if isinstance(camera, CameraMaps):
        maps = {name: packed(pixels) for name, pixels in camera.to_arrays().items()}
        return {**maps, "typical": camera.typical.to_dict(), "of_image": camera.of_image}
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
        return CameraMaps.from_arrays(maps, values.get("typical"), values.get("of_image", False))
    return NoiseModel.from_dict(values)
