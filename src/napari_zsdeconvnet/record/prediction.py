"""What a model was put to, how, and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from ..damping import Damping
from ..provenance import Source


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
        From beginning to end, writing included.
    tile
        Raw pixels ([Z,] Y, X) computed at a time; None where it was not kept.
    repeats, seed
        Re-corruptions that were averaged over, and the seed of their noise.
    damping
        Of stripes; None for none.
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

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what `to_dict` returned."""
        tile, damping = values["tile"], values["damping"]
        return cls(
            **{
                **values,
                "source": Source.from_dict(values["source"]),
                "outputs": {what: Output(**entry) for what, entry in values["outputs"].items()},
                "tile": None if tile is None else tuple(tile),
                "damping": None if damping is None else Damping(**damping),
            }
        )
