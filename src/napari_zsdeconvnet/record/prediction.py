"""What a model was put to, how, and what came out."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ..damping import Damping
from ..images import Image
from ..provenance import Source, now
from .packing import packed, unpacked

if TYPE_CHECKING:
    from ..inference import Result, TileProgress
    from ..model import Model


@dataclass(frozen=True)
class Output:
    """A result.

    Attributes
    ----------
    file
        Name of the file or layer.
    sha256
        Of its pixels with their shape and type, as `provenance.fingerprint` makes it.
    """

    file: str
    sha256: str

    @classmethod
    def of(cls, file: str, pixels: Any, axes: str) -> Self:
        """Describe pixels, axes out of "TZYX", that went to a file or layer of that name."""
        return cls(file, Source.of(Image(pixels, axes)).sha256)


@dataclass(frozen=True)
class Prediction:
    """One image through a model.

    Attributes
    ----------
    source
        The image.
    outputs
        By what they are: "deconvolved", "denoised".
    device
        What computed, in words.
    threads
        Of the CPU.
    versions
        Of what the result depends on.
    started
        Date and time in UTC.
    seconds
        From the first tile to the last.
    tile
        Raw pixels ([Z,] Y, X) computed at a time; None where it was not kept.
    repeats, seed
        Re-corruptions that were averaged over, and the seed of their noise.
    damping
        Of stripes; None for none.
    offset
        Counts without light that were taken from raw SIM frames, one number or (Y, X); None
        where there were none.
    """

    source: Source
    outputs: Mapping[str, Output]
    device: str
    threads: int
    versions: Mapping[str, str]
    started: str
    seconds: float
    tile: tuple[int, ...] | None = None
    repeats: int = 0
    seed: int = 0
    damping: Damping | None = None
    offset: float | NDArray[np.float32] | None = None

    @classmethod
    def now(cls, image: Image, device: str, **known: Any) -> Self:
        """Describe a prediction that was just made, inside its block of `steady_threads`.

        Parameters
        ----------
        image
            What was put to the model; read once more, for its fingerprint.
        device
            As for `Model.predict`.
        **known
            `started`, `seconds` and whatever differs from its default.
        """
        import torch

        from ..devices import describe_device, resolve_device
        from ..model import installed_versions

        return cls(
            source=Source.of(image),
            outputs=known.pop("outputs", {}),
            device=describe_device(resolve_device(device)),
            threads=torch.get_num_threads(),
            versions=installed_versions(),
            **known,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, ready for JSON."""
        offset = packed(self.offset) if isinstance(self.offset, np.ndarray) else self.offset
        return {**asdict(self), "offset": offset}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what `to_dict` returned."""
        tile, damping, offset = values["tile"], values["damping"], values["offset"]
        return cls(
            **{
                **values,
                "source": Source.from_dict(values["source"]),
                "outputs": {what: Output(**entry) for what, entry in values["outputs"].items()},
                "tile": None if tile is None else tuple(tile),
                "damping": None if damping is None else Damping(**damping),
                "offset": unpacked(offset) if isinstance(offset, Mapping) else offset,
            }
        )


def iter_recorded(
    model: Model,
    image: Image,
    *,
    device: str = "auto",
    tile: int | tuple[int, ...] | None = None,
    repeats: int = 0,
    damping: Damping | None = None,
    into: Result | None = None,
) -> Generator[TileProgress, None, tuple[Result, Prediction]]:
    """Predict as `Model.iter_predict`, and keep what a record needs.

    Parameters
    ----------
    model, device, tile, repeats, damping, into
        As for `Model.predict`.
    image : Image
        Read once more, for its fingerprint.

    Returns
    -------
    Result, Prediction
        The latter without its outputs, whose names are the caller's.
    """
    from ..devices import resolve_device, steady_threads

    started, begun = now(), time.perf_counter()
    settings: dict[str, Any] = {"repeats": repeats, "damping": damping}
    tiles = model.iter_predict(image, device=device, tile=tile, into=into, **settings)
    used: tuple[int, ...] | None = None
    with steady_threads(resolve_device(device)), closing(tiles):
        while True:
            try:
                state = next(tiles)
            except StopIteration as end:
                result: Result = end.value
                break
            used = state.tile
            yield state
        known = {"started": started, "seconds": time.perf_counter() - begun, "tile": used}
        return result, Prediction.now(image, device, **known, **settings)
