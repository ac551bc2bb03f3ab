"""What a result came from: images told apart by their pixels, and stretches of training.

A model keeps both, so that a run can be repeated and a record of it written.
"""

from __future__ import annotations

import hashlib
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Self

import numpy as np

from ..io.excerpts import Excerpt
from ..io.image import Image, Origin, as_frames, spatial_axes
from ..noise.pixel_mask import as_recorded
from ..utils.each import Each

LARGE = 2**30
"""Bytes of a recording from which on planes have fingerprints of their own, which several processes
can make."""


@dataclass(frozen=True)
class Source:
    """A recording that a network was trained on or put to.

    Attributes
    ----------
    name
        Of its file or layer.
    sha256
        Of its pixels with their shape and type, as `fingerprint` makes it.
    shape
        Along `axes`.
    axes
        (T, [Z,] Y, X), or (T, C, Y, X) of raw SIM.
    dtype
        Name of the pixels' type.
    voxel_size
        ([Z,] Y, X) in micrometres, as it was taken; None where not known.
    origin
        The file; None where the pixels came from elsewhere.
    pixel_rule
        What was said of bad and saturated pixels, as `PixelRule.to_dict` gives it; empty where
        nothing was.
    parts
        First element (T, [Z,] Y, X) of each part that stood for a large recording, `shape` being
        (parts, [Z,] Y, X) then; empty where all of it was taken.
    """

    name: str
    sha256: str
    shape: tuple[int, ...]
    axes: str
    dtype: str
    voxel_size: tuple[float, ...] | None = None
    origin: Origin | None = None
    pixel_rule: Mapping[str, Any] = field(default_factory=dict)
    parts: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, image: Image, each: Each = map) -> Self:
        """Describe an image; all of it is read once.

        Parameters
        ----------
        image
            Axes ([T,] [Z,] Y, X), or ([T,] C, Y, X) of raw SIM frames.
        each
            Reads the planes of a large one, as `map` does.
        """
        data, axes = image.data, image.axes
        if "C" in axes:
            data, axes = data if "T" in axes else data[np.newaxis], "TCYX"
        else:
            spatial = spatial_axes(image)
            data, axes = as_frames(image, spatial=spatial), f"T{spatial}"
        return cls(
            image.name,
            fingerprint([replace(image, data=data, axes=axes)], each),
            tuple(int(length) for length in data.shape),
            axes,
            np.dtype(data.dtype).name,
            image.voxel_size,
            image.origin,
            image.pixel_rule.to_dict(),
            part.starts if isinstance(part := as_recorded(data), Excerpt) else (),
        )

    def is_of(self, image: Image) -> bool:
        """Tell whether an image has the pixels that were taken."""
        if self.parts:
            spatial = spatial_axes(image)
            whole = as_frames(image, spatial=spatial)
            size = (1, *self.shape[1:])
            if len(size) != whole.ndim or (np.add(self.parts, size) > whole.shape).any():
                return False
            part: Any = Excerpt(whole, self.parts, self.shape[1:])
            image = replace(image, data=part, axes=f"T{spatial}")
        return type(self).of(image).sha256 == self.sha256


@dataclass(frozen=True)
class Beginning:
    """The model whose weights a training began with.

    Attributes
    ----------
    name
        Of its file, or what it was trained on.
    weights_sha256
        Of what it had learned, as `weights_fingerprint` makes it.
    path
        The file; None where it came from memory.
    lattice_seed
        Seed of the pixels that were held out from its training.
    """

    name: str
    weights_sha256: str
    path: str | None = None
    lattice_seed: int | None = None


@dataclass(frozen=True)
class Stretch:
    """Steps of a training that were done in one go, under the same conditions.

    Attributes
    ----------
    first, last
        Steps, counted from 1.
    planned
        Steps of the whole run as planned then, which the learning rate depends on.
    batch, patch
        Patches in a step and their size.
    reduced
        Whether those are less than was wanted, since memory had run out.
    device
        What computed, in words.
    threads
        Of the CPU, on which the order of sums and so the last bits depend.
    versions
        Of what the result depends on.
    started
        Date and time in UTC.
    seconds
        Spent on these steps, previews left out.
    """

    first: int
    last: int
    planned: int
    batch: int
    patch: tuple[int, ...]
    reduced: bool
    device: str
    threads: int
    versions: Mapping[str, str]
    started: str
    seconds: float = 0.0


def with_step(
    stretches: Sequence[Stretch], step: int, seconds: float, *, anew: bool, **conditions: Any
) -> tuple[Stretch, ...]:
    """Add a step that was done to the stretch it continues, or to a new one after a pause.

    Conditions are `planned`, `batch`, `patch`, `reduced`, `device`, `threads` and `versions`.
    """
    earlier = tuple(stretches)
    if earlier and not anew:
        current = earlier[-1]
        grown = replace(current, last=step, seconds=current.seconds + seconds)
        if replace(grown, **conditions) == grown:
            return (*earlier[:-1], grown)
    return (*earlier, Stretch(step, step, started=now(), seconds=seconds, **conditions))


def now() -> str:
    """Give the date and time in UTC, to the second, as ISO 8601 has them."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def fingerprint(recordings: Sequence[Image], each: Each = map) -> str:
    """Fingerprint of images by their pixels, read a plane at a time.

    It is the SHA-256 of shape, type and pixels, and where these take `LARGE` bytes or more that of
    shape, type and the SHA-256 of each plane.

    Parameters
    ----------
    recordings
        With an axis of time or frames first, (T, [Z,] Y, X).
    each
        Reads the planes of large ones, as `map` does.
    """
    digest = hashlib.sha256()
    for recording in recordings:
        data = as_recorded(recording.data)
        digest.update(f"{data.shape} {data.dtype.name}".encode())
        inner = data.shape[1 : 1 + (data.ndim > 3)]
        planes = [(frame, *rest) for frame in range(len(data)) for rest in np.ndindex(inner)]
        plane = _Plane(data)
        large = math.prod(data.shape) * data.dtype.itemsize >= LARGE
        for part in each(plane.digest, planes) if large else map(plane.pixels, planes):
            digest.update(part)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class _Plane:
    """Reads planes of a recording, or of raw SIM all that there are of a frame."""

    data: Any

    def pixels(self, place: tuple[int, ...]) -> memoryview:
        """Give the bytes of a plane."""
        pixels = np.asarray(self.data[place])
        # The same pixels are the same in whichever order of bytes a file has them.
        return np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")).data

    def digest(self, place: tuple[int, ...]) -> bytes:
        """Give the SHA-256 of a plane."""
        return hashlib.sha256(self.pixels(place)).digest()


def weights_fingerprint(weights: Mapping[str, Any]) -> str:
    """Fingerprint of everything that a network has learned, to the bit.

    Parameters
    ----------
    weights
        Tensors by name, its ``state_dict()``.
    """
    digest = hashlib.sha256()
    for name, values in sorted(weights.items()):
        array = values.detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.shape} {array.dtype.name}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def installed_versions() -> dict[str, str]:
    """Versions of what a result depends on, to its last bits."""
    import torch

    versions = {"python": platform.python_version()}
    for name in ("napari-zsdeconvnet", "numpy", "scipy", "torch"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    # torch computes in another order with wider vectors.
    vectors = torch.backends.cpu.get_cpu_capability()
    return {**versions, "platform": platform.platform(), "processor": vectors}
