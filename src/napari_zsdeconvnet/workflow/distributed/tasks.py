"""The tasks of a prediction: each writes files of its own, and a mark once they are complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...inference.frame_result import FrameResult, Nowhere, coarse_light, put_tile
from ...inference.predict import Result
from ...inference.tile_computer import TileComputer
from ...io.lazy import whole_index
from ...io.ome_zarr_writing import NewOmeZarr, ZarrRoom
from ...noise.pixel_mask import Kind, PixelMask
from ...utils.devices import fixed_threads, move_network
from ...utils.errors import UnreadableError
from ...utils.files import written_whole
from ...utils.tiling import Tile

RESULTS = ("denoised", "deconvolved", "background")
FINAL, UNCORRECTED = "0", "uncorrected"
"""Keys of the arrays of a result: level 0, and what tiles give before light is given back."""

Failure = tuple[int, str]
"""Number of a task, and why it could not be done."""


@dataclass(frozen=True, eq=False)
class Work:
    """All that a process needs to do tasks of a prediction.

    Attributes
    ----------
    computer
        Computes tiles; in it is the recording, read where it is cut.
    cover
        The tiles of a frame.
    mask
        Of the recording; no light goes where nothing was recorded.
    folder
        Of the results while they are written, each in a folder of its name.
    outputs
        Results that are kept, out of `RESULTS`.
    threads
        Of the CPU, for each task.
    axes
        Of the results: those of the recording, and C.
    """

    computer: TileComputer
    cover: tuple[Tile, ...]
    mask: PixelMask | None
    folder: Path
    outputs: tuple[str, ...]
    threads: int
    axes: str

    @property
    def frames(self) -> int:
        """How many frames the recording has."""
        return int(self.computer.source.frames.shape[0])

    @property
    def tile_count(self) -> int:
        """How many tiles all frames have."""
        return self.frames * len(self.cover)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the recording, (T, [Z,] Y, X)."""
        return tuple(self.computer.source.frames.shape)

    @property
    def letters(self) -> str:
        """Axes of the recording."""
        return "TZYX" if len(self.shape) == 4 else "TYX"

    def result(self, name: str) -> NewOmeZarr:
        """Give one of the results."""
        return NewOmeZarr(self.folder / name, self.axes)

    @property
    def corrected(self) -> bool:
        """Tell whether frames are given light back once all their tiles are there."""
        nowhere: Any = Nowhere(self.shape)
        room = Result(nowhere, nowhere)
        return not FrameResult(self.computer.network, room, 0, self.computer.scale).is_final

    def missing(self) -> list[int]:
        """List the tiles that are not marked as done."""
        done = {path.stem for path in (self.folder / "tiles").glob("*.npz")}
        return [number for number in range(self.tile_count) if str(number) not in done]

    def tiles(self, numbers: Sequence[int]) -> Iterator[int | Failure]:
        """Compute tiles; gives the number of each that is done, and of each that cannot be."""
        move_network(self.computer.network, self.computer.device).eval()
        room = self._result(UNCORRECTED if self.corrected else FINAL)
        left = list(numbers)
        with fixed_threads(self.threads):
            while left:
                places = [(n // len(self.cover), self.cover[n % len(self.cover)]) for n in left]
                with closing(self.computer(places)) as computed:
                    try:
                        for tile in computed:
                            light = put_tile(
                                room, self.computer.network.upsampling, tile, self.computer.scale
                            )
                            lacking = None
                            if self.computer.network.axial_field is None:
                                lacking = coarse_light(self.computer.network, tile)
                            self._mark(left[0], light, lacking)
                            yield left.pop(0)
                    except UnreadableError as error:
                        yield left.pop(0), str(error)

    def finish_frame(self, frame: int) -> None:
        """Give a frame back the light that its tiles lack; all of them are done."""
        if not self.corrected:
            return
        here, there = self._result(UNCORRECTED), self._result(FINAL)
        room = FrameResult(self.computer.network, here, frame, self.computer.scale)
        for number, place in enumerate(self.cover, frame * len(self.cover)):
            with np.load(self._marked(number)) as mark:
                if "denoised" in mark:
                    lacking = (mark["denoised"], mark["deconvolved"])
                    room.take(place, (torch.from_numpy(lacking[0]), torch.from_numpy(lacking[1])))
                room.count((float(mark["light"][0]), float(mark["light"][1])))
        with fixed_threads(self.threads):
            room.finish(there)

    def fill_part(self, name: str, level: int, frame: int, part: Sequence[slice]) -> None:
        """Make a shard of a frame of a coarser level of a result."""
        self.result(name).fill_part(level, frame, part)

    def _result(self, key: str) -> Result:
        rooms: dict[str, Any] = {"background": None, "denoised": Nowhere(self.shape)}
        for name in self.outputs:
            # A background is not corrected.
            own = FINAL if name == "background" else key
            room: Any = self.result(name).room(own, self.letters)
            factor = self.computer.network.upsampling if name == "deconvolved" else 1
            if own == FINAL and self.mask is not None:
                room = _Emptied(room, self.mask, factor)
            rooms[name] = room
        return Result(**rooms)

    def _marked(self, number: int) -> Path:
        return self.folder / "tiles" / f"{number}.npz"

    def _mark(
        self,
        number: int,
        light: tuple[float, float],
        lacking: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> None:
        """Note that a tile is done, with what is needed of it to finish its frame."""
        found: dict[str, Any] = {"light": np.array(light)}
        if lacking is not None:
            found |= {"denoised": lacking[0].numpy(), "deconvolved": lacking[1].numpy()}
        with written_whole(self._marked(number)) as temporary, temporary.open("wb") as file:
            np.savez(file, **found)


class _Emptied:
    """Room that takes no light where nothing was recorded."""

    def __init__(self, room: ZarrRoom, mask: PixelMask, factor: int) -> None:
        self._room, self._mask, self._factor = room, mask, factor
        self.shape = room.shape
        self.rows_together = room.rows_together

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        return self._room[index]

    def __setitem__(self, index: Any, values: NDArray[np.float32]) -> None:
        *outer, rows, columns = whole_index(index, self.shape)
        raw = [
            slice(*(edge // self._factor for edge in span.indices(length)[:2]))
            for span, length in zip((rows, columns), self.shape[-2:], strict=True)
            if isinstance(span, slice)
        ]
        empty = self._mask.kinds((*outer, *raw)) == Kind.UNRECORDED
        if empty.any():
            fine = empty.repeat(self._factor, -2).repeat(self._factor, -1)
            values = np.where(fine, np.float32(0), values)
        self._room[index] = values
