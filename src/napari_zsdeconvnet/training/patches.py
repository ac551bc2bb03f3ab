"""Patches of recordings, cut where there is signal.

They are cut as they are asked for, so that a long series stays in its file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..inference.out_of_focus import Backgrounds
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import mask_of
from ..utils.phases import doing, go_on
from ..utils.tiling import window, window_of_map
from .held_out import Lattice, Window

CELL = 16
"""Patches are drawn around cells of this many pixels a side, weighted by their signal."""

CELL_DEPTH = 4
"""Planes of a cell."""

SIGNAL_SHARE = 0.7
"""Part of the patches that follow the signal; the rest fall anywhere, background included."""


ALIKE = 0.1
"""Part of its light by which a PSF may differ from its mirror image and pass as symmetric."""


def cell_size(dimensions: int) -> tuple[int, ...]:
    """Raw pixels of a cell along each spatial axis."""
    return (CELL_DEPTH, CELL, CELL)[-dimensions:]


def shared_symmetries(psf: NDArray[np.floating]) -> list[tuple[int, bool]]:
    """Quarter turns and flips in the plane that leave a centred PSF, ([Z,] Y, X), as it is.

    Only by these may pairs be turned: an image that is turned with its blur would teach the
    network to undo another PSF. Returns the number of quarter turns, and whether a flip along Y
    follows; the identity is first.
    """
    side = max(psf.shape[-2:])
    margins = [(0, 0)] * (psf.ndim - 2) + [((side - size) // 2,) * 2 for size in psf.shape[-2:]]
    square = np.pad(psf, margins)
    kept = []
    doing("comparing the PSF with itself turned and flipped")
    for turns in range(4):
        for flip in (False, True):
            go_on()
            turned = np.rot90(square, turns, axes=(-2, -1))
            turned = np.flip(turned, -2) if flip else turned
            if np.abs(turned - square).sum() <= ALIKE:
                kept.append((turns, flip))
    return kept


class Patches:
    """An endless source of patches, cut where there is signal.

    Parameters
    ----------
    recordings : sequence of ndarray
        Frames (T, Y, X) or volumes (T, Z, Y, X) in counts, of any real type, in memory or
        not: only the patches are read.
    noise : NoiseModel
        The camera.
    scale : float
        Counts above the offset that become 1.
    patch : tuple of int
        Size of a patch; it is cut down to the smallest recording.
    batch : int
        Patches in a draw.
    device : torch.device
        Where pairs are made.
    seed : int
        Two sources with the same seed give the same pairs.
    multiples : tuple of int
        What each axis of a patch must be divisible by.
    psf : ndarray, optional
        Patches are turned and flipped only as this PSF allows.
    lattice : Lattice, optional
        Pixels of images that take no part in the training.
    """

    rim: tuple[int, ...]
    """Voxels cut around a patch on each side, continued by reflection at the borders."""
    backgrounds: Backgrounds | None = None
    """Out-of-focus backgrounds that are cut beside the images, where there are some."""
    maps: tuple[NDArray[np.float32], ...] = ()
    """What is known of each pixel of the camera, (Y, X), and cut along with patches."""

    def __init__(
        self,
        recordings: Sequence[NDArray[Any]],
        noise: NoiseModel,
        scale: float,
        *,
        patch: tuple[int, ...],
        batch: int,
        device: torch.device,
        seed: int,
        multiples: tuple[int, ...],
        psf: NDArray[np.floating] | None = None,
        lattice: Lattice | None = None,
    ) -> None:
        self.recordings = recordings
        self.masks = [mask_of(recording) for recording in recordings]
        self.lattice = lattice
        self.scale = scale
        self.offset = noise.offset
        self.batch = batch
        shapes = [recording.shape[1:] for recording in recordings]
        *depth, height, width = (min(lengths) for lengths in zip(*shapes, strict=True))
        # Square, so that patches can be turned.
        smallest = (*depth, *(min(height, width),) * 2)
        self.patch = tuple(
            min(wanted, length) // multiple * multiple
            for wanted, length, multiple in zip(patch, smallest, multiples, strict=True)
        )
        self.rim = (0,) * len(self.patch)
        self.device = device
        self.choices = torch.Generator().manual_seed(seed)
        self.noise = torch.Generator(device).manual_seed(seed)
        self.symmetries = (
            [(turns, flip) for turns in range(4) for flip in (False, True)]
            if psf is None
            else shared_symmetries(psf)
        )
        self._weigh_cells()

    def _weigh_cells(self) -> None:
        """Give every cell of every frame its probability of a patch around it.

        The cells of all recordings stand in one row. Kept is the running sum of their
        probabilities, so that a draw is a search in it, however long the series.
        """
        cell = cell_size(len(self.patch))
        self._grids = [
            (
                recording.shape[0],
                *(max(n // c, 1) for n, c in zip(recording.shape[1:], cell, strict=True)),
            )
            for recording in self.recordings
        ]
        self._ends = np.cumsum([np.prod(grid) for grid in self._grids])
        signal = np.concatenate(
            [
                self._signal(recording, frame, grid[1:]).ravel()
                for recording, grid in zip(self.recordings, self._grids, strict=True)
                for frame in range(recording.shape[0])
            ]
        )
        total = signal.sum(dtype=np.float64)
        share = SIGNAL_SHARE if total > 0 else 0.0
        following = np.cumsum(signal, dtype=np.float64) / (total or 1.0)
        anywhere = np.arange(1, len(signal) + 1) / len(signal)
        self._chances = share * following + (1 - share) * anywhere

    def _signal(
        self, recording: NDArray[Any], frame: int, grid: tuple[int, ...]
    ) -> NDArray[np.float64]:
        """Mean signal of each cell of a frame; a volume is read a layer of cells at a time."""
        cell = cell_size(len(grid))
        layers = []
        for layer in range(grid[0]):
            go_on()
            first = layer * cell[0]
            part = np.asarray(recording[frame, first : first + cell[0]], np.float32)
            for axis, (count, size) in enumerate(zip(grid[1:], cell[1:], strict=True), 1):
                size = min(size, part.shape[axis])
                part = part.take(range(count * size), axis).reshape(
                    *part.shape[:axis], count, size, *part.shape[axis + 1 :]
                )
                part = part.mean(axis=axis + 1)
            layers.append(part.mean(axis=0))
        return np.maximum(np.stack(layers) - self.offset, 0.0)

    def cut(self, count: int) -> Tensor:
        """Cut normalised patches (N, 1, [Z,] Y, X) with their rim, turned and flipped at random.

        Right angles only: any other would average pixels and correlate their noise.
        """
        return self._normalised(self._cut_with_maps(count))

    def _cut_with_maps(self, count: int) -> Tensor:
        """Cut patches in counts and, behind them, the maps there, (N, 1 + maps, [Z,] Y, X).

        Where pixels of any recording must not be used, or are held out, they are marked behind
        the maps.
        """
        return torch.stack([self._cut(*self._place()) for _ in range(count)]).to(self.device)

    def _left_out(self, layers: Tensor) -> Tensor | None:
        """Give which of the pixels that were cut with maps must not be used, (N, 1, [Z,] Y, X)."""
        return layers[:, -1:] > 0 if self._marked else None

    @property
    def _marked(self) -> bool:
        return self.lattice is not None or any(mask is not None for mask in self.masks)

    def _marks(self, index: int, frame: int, start: Sequence[int], shape: Sequence[int]) -> Tensor:
        """Tell which voxels of a window must not be used or are held out."""
        held_out = None if self.lattice is None else self.lattice.left_out(start, shape)
        unusable = self._unusable(index, frame, start, shape)
        return unusable if held_out is None else unusable | held_out

    def _unusable(
        self, index: int, frame: int, start: Sequence[int], shape: Sequence[int]
    ) -> Tensor:
        """Tell which voxels of a window must not be used."""
        mask = self.masks[index]
        if mask is None:
            return torch.zeros(*shape, dtype=torch.bool)
        return window(mask, frame, start, shape) > 0

    def _normalised(self, cut: Tensor) -> Tensor:
        return (cut[:, :1] - self.offset) / self.scale

    def _place(self, within: tuple[int, int] | None = None) -> tuple[int, int, tuple[int, ...]]:
        """Draw a cell: the recording, the frame and the cell's first voxel.

        ``within`` names the recording and the frame where it must lie.
        """
        first, last = 0, len(self._chances)
        if within is not None:
            index, frame = within
            cells = int(np.prod(self._grids[index][1:]))
            first = int(self._ends[index]) - (self._grids[index][0] - frame) * cells
            last = first + cells
        least = self._chances[first - 1] if first else 0.0
        drawn = float(torch.rand((), dtype=torch.float64, generator=self.choices))
        drawn = least + drawn * (self._chances[last - 1] - least)
        number = int(np.searchsorted(self._chances, drawn, side="right"))
        number = min(max(number, first), last - 1)  # rounding may leave the sum just below 1
        index = int(np.searchsorted(self._ends, number, side="right"))
        grid = self._grids[index]
        frame, *cell = np.unravel_index(number - self._ends[index] + np.prod(grid), grid)
        size = cell_size(len(cell))
        return index, int(frame), tuple(int(n) * c for n, c in zip(cell, size, strict=True))

    def draw_place(self) -> tuple[int, int, list[int]]:
        """Draw where a patch lies: recording, frame and first voxel."""
        index, frame, cell = self._place()
        return index, frame, self._start(index, cell)

    def windows(
        self, pixels: int, multiples: Sequence[int], size: Sequence[int] = (256, 256)
    ) -> list[Window]:
        """Cut normalised windows ([Z,] Y, X) of no more pixels in all, one at least.

        All frames as they are where they are few, else windows of a size, drawn as patches are;
        their sides are divisible by `multiples`.
        """
        if sum(recording.size for recording in self.recordings) <= pixels:
            places = [
                (index, frame, [0] * len(size), recording.shape[1:])
                for index, recording in enumerate(self.recordings)
                for frame in range(len(recording))
            ]
        else:
            shapes = [recording.shape[1:] for recording in self.recordings]
            *depth, height, width = np.minimum(size, np.min(shapes, axis=0)).tolist()
            self.patch = (*depth, *(min(height, width),) * 2)
            count = max(pixels // math.prod(self.patch), 1)
            places = [(*self.draw_place(), self.patch) for _ in range(count)]
        cut = []
        for index, frame, start, shape in places:
            whole = [n // multiple * multiple for n, multiple in zip(shape, multiples, strict=True)]
            part = self._normalised_window(window(self.recordings[index], frame, start, whole))
            haze = None
            if self.backgrounds is not None:
                haze = self._normalised_window(self.backgrounds.window(index, frame, start, whole))
            unusable = self._unusable(index, frame, start, whole)
            cut.append(Window(part, unusable, start, haze))
        return cut

    def _normalised_window(self, part: Tensor) -> Tensor:
        return (part - self.offset) / self.scale

    def _start(self, index: int, cell: tuple[int, ...]) -> list[int]:
        """Draw the first voxel of a patch around a cell."""
        shape = self.recordings[index].shape[1:]
        start = []
        for first, size, length, full in zip(
            cell, cell_size(len(cell)), self.patch, shape, strict=True
        ):
            jitter = int(torch.randint(size, (), generator=self.choices))
            start.append(min(max(first + jitter - length // 2, 0), full - length))
        return start

    def _cut(self, index: int, frame: int, cell: tuple[int, ...]) -> Tensor:
        start = self._start(index, cell)
        place = (
            [first - rim for first, rim in zip(start, self.rim, strict=True)],
            [length + 2 * rim for length, rim in zip(self.patch, self.rim, strict=True)],
        )
        cut = window(self.recordings[index], frame, *place)
        layers = [cut, *(window_of_map(pixels, *place) for pixels in self.maps)]
        if self.backgrounds is not None:
            layers.append(self.backgrounds.window(index, frame, *place))
        if self._marked:
            layers.append(self._marks(index, frame, *place).to(cut))
        return self._turned(torch.stack(layers))

    def _turned(self, cut: Tensor) -> Tensor:
        """Turn and flip a patch, or several alike, by a draw of what the PSF allows."""
        chosen = int(torch.randint(len(self.symmetries), (), generator=self.choices))
        turns, flip = self.symmetries[chosen]
        cut = cut.rot90(turns, dims=(-2, -1))
        return cut.flip(-2) if flip else cut

    def random_state(self) -> dict[str, Tensor]:
        """State of both generators, for a checkpoint."""
        return {"choices": self.choices.get_state(), "noise": self.noise.get_state()}

    def set_random_state(self, state: dict[str, Tensor]) -> None:
        """Go on exactly where `random_state` was taken."""
        self.choices.set_state(state["choices"].cpu())
        self.noise.set_state(state["noise"].cpu())
