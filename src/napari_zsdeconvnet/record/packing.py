"""Arrays inside JSON, to the bit."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def packed(array: NDArray[Any]) -> dict[str, Any]:
    """Write an array as text: its float32 numbers, compressed (zlib) and in base64."""
    numbers = np.ascontiguousarray(array, dtype="<f4")
    return {
        "shape": list(numbers.shape),
        "float32_zlib_base64": base64.b64encode(zlib.compress(numbers.tobytes())).decode("ascii"),
    }


def unpacked(values: Mapping[str, Any]) -> NDArray[np.float32]:
    """Read what `packed` wrote; ValueError if it is damaged."""
    try:
        numbers = zlib.decompress(base64.b64decode(values["float32_zlib_base64"]))
    except zlib.error as error:
        raise ValueError(f"an array is damaged: {error}") from error
    return np.frombuffer(numbers, "<f4").reshape(values["shape"]).astype(np.float32)
