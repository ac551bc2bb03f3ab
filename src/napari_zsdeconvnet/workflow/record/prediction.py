"""What a model was put to, how, and what came out."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from ...io.image import Image
from ...model.provenance import Source, now
from ...noise.camera_maps import Camera, CameraMaps
from ...noise.noise_model import NoiseModel
from ...physics.stripe_filter import Damping
from ...utils.each import Each
from ...utils.json_values import built, entries
from .serialization import packed_camera, unpacked_camera

if TYPE_CHECKING:
    from ...inference.predict import Result, TileProgress
    from ...model.model import Model


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
    def of(cls, file: str, pixels: Any, axes: str, each: Each = map) -> Self:
        """Describe pixels, axes out of "TZYX", that went to a file or layer of that name.

        ``each`` reads the planes of large ones, as `map` does.
        """
        return cls(file, Source.of(Image(pixels, axes), each).sha256)


@dataclass(frozen=True)
class Prediction:
    """One image through a model.

    Attributes
    ----------
    source
        The image.
    outputs
        By what they are: "deconvolved", "denoised", "background".
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
    camera
        Of raw SIM frames, or the maps of an image where they are not those of the training; None
        where there was none.
    reconstruction
        What made an image out of such frames where it is not the model's own, as
        `sim.Reconstruction.to_dict` gives it.
    warnings
        What of the image was not used, one sentence each.
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
    camera: NoiseModel | CameraMaps | None = None
    reconstruction: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()

    @classmethod
    def now(cls, image: Image, device: str, *, each: Each = map, **known: Any) -> Self:
        """Describe a prediction that was just made, inside its block of `steady_threads`.

        The image is read once more, for its fingerprint, by `each` where it is large. `known` has
        `started`, `seconds` and whatever differs from its default.
        """
        import torch

        from ...model.provenance import installed_versions
        from ...utils.devices import describe_device, resolve_device

        return cls(
            source=Source.of(image, each),
            outputs=known.pop("outputs", {}),
            device=describe_device(resolve_device(device)),
            threads=torch.get_num_threads(),
            versions=installed_versions(),
            **known,
        )

    def with_outputs(self, result: Result, names: Mapping[str, str]) -> Self:
        """Describe the results too, with the names of the files or layers that they went to.

        Their pixels have the axes of the source or those without time. A name of what the result
        does not hold is passed over.
        """
        axes = self.source.axes.replace("C", "")
        outputs = {}
        for what, name in names.items():
            pixels = getattr(result, what)
            if pixels is None:
                continue
            outputs[what] = Output.of(name, pixels, axes[-pixels.ndim :])
        return replace(self, outputs=outputs)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, ready for JSON."""
        return {**entries(self, "camera"), "camera": packed_camera(self.camera)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what `to_dict` returned."""
        return built(cls, values, camera=unpacked_camera(values.get("camera")))


def iter_recorded(
    model: Model,
    image: Image,
    *,
    device: str = "auto",
    tile: int | tuple[int, ...] | None = None,
    repeats: int = 0,
    damping: Damping | None = None,
    into: Result | None = None,
    camera: Camera | None = None,
    reconstruction: Mapping[str, Any] | None = None,
) -> Generator[TileProgress, None, tuple[Result, Prediction]]:
    """Predict as `Model.iter_predict`, and keep what a record needs.

    The image is read once more, for its fingerprint. Returns the result and its `Prediction`
    without the outputs, whose names are the caller's.
    """
    settings: dict[str, Any] = {"repeats": repeats, "damping": damping, "camera": camera}
    settings["reconstruction"] = reconstruction
    tiles = model.iter_predict(image, device=device, tile=tile, into=into, **settings)
    return (yield from iter_recorded_by(tiles, image, device, **settings))


def iter_recorded_by(
    tiles: Generator[TileProgress, None, Result], image: Image, device: str, **settings: Any
) -> Generator[TileProgress, None, tuple[Result, Prediction]]:
    """Pass the tiles of a prediction on, and keep what a record needs.

    Settings are those of the prediction, as `Prediction` names them.
    """
    from ...utils.devices import resolve_device, steady_threads

    started, begun = now(), time.perf_counter()
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
        known: dict[str, Any] = {"started": started, "seconds": time.perf_counter() - begun}
        known |= {"tile": used, "warnings": result.warnings}
        return result, Prediction.now(image, device, **known, **settings)
