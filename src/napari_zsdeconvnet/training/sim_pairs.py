"""Pairs for 2D-SIM: raw frames re-corrupted, both halves reconstructed (equations 2, 3, 10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from torch import Tensor
from torch.nn import functional as F

from ..model.presets import Preset
from ..noise.camera_maps import CameraMaps, signal_of
from ..noise.noise_model import NoiseModel
from ..noise.pixel_mask import mask_of
from ..noise.recorruption import MEAN_RADIUS, local_mean, noise_variance, recorrupt
from ..utils.errors import InputError
from .pairs import Pair, drawn_between
from .patches import Patches

if TYPE_CHECKING:
    from ..sim.reconstruction import Reconstruction


_REACH = 2  # pixels of a frame that one of them has a say in when it is reconstructed


@dataclass(frozen=True, eq=False)
class RawSIM:
    """Raw recordings with what turns them into images.

    Attributes
    ----------
    recordings
        Each (T, N, Y, X) in counts, N frames for every image.
    camera
        Its gain must be known.
    reconstruction
        The linear operator, the same for all of them.
    """

    recordings: Sequence[NDArray[Any]]
    camera: NoiseModel | CameraMaps
    reconstruction: Reconstruction

    def reconstructed(self, index: int, frame: int, device: torch.device) -> Tensor:
        """Reconstruct a frame as it is, (2Y, 2X) in counts."""
        signal = signal_of(self.recordings[index][frame], self.camera)
        with torch.no_grad():
            image: Tensor = self.reconstruction(torch.from_numpy(signal.values).to(device))
        return image

    @property
    def masked(self) -> bool:
        """Whether pixels of any recording must not be used."""
        return any(mask_of(recording) is not None for recording in self.recordings)

    def left_out(self, index: int, frame: int) -> Tensor:
        """Mark the pixels of a reconstruction that masked ones reach, (2Y, 2X), 1 there."""
        mask = mask_of(self.recordings[index])
        if mask is None:
            height, width = self.recordings[index].shape[-2:]
            return torch.zeros(2 * height, 2 * width)
        reached = maximum_filter(mask[frame].any(axis=0), 2 * _REACH + 1)
        return torch.from_numpy(reached.repeat(2, 0).repeat(2, 1)).float()


def recorrupted_reconstructions(
    raw: RawSIM,
    index: int,
    frame: int,
    device: torch.device,
    *,
    magnitude: float,
    shot: float = 1.0,
    read: float = 1.0,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Re-corrupt every raw frame and reconstruct both halves: :math:`\hat Y` and :math:`\tilde Y`.

    The reconstruction is linear, so that the noises of the results, (2Y, 2X) counts above the
    offset, have zero mean and are as independent as those of the frames.

    Parameters
    ----------
    raw, index, frame
        The recordings; which of them, and which of its images.
    device, generator
        Where it is computed, and the random numbers of it.
    magnitude
        alpha of equation 2.
    shot, read
        beta1 over the gain, and beta2 over the read variance.

    Raises
    ------
    InputError
        If the camera's gain is not known.
    """
    signal = signal_of(raw.recordings[index][frame], raw.camera)
    if signal.slope is None:
        raise InputError("gain-unknown", "The noise model has no gain: measure it or type it.")
    frames = torch.from_numpy(signal.values).to(device)
    read_variance = torch.as_tensor(signal.read_variance, device=device)
    around = F.pad(frames[:, None], (MEAN_RADIUS,) * 4, mode="reflect")
    variance = noise_variance(local_mean(around)[:, 0], shot * signal.slope, read * read_variance)
    alpha = torch.tensor(magnitude, device=device)
    pair = torch.stack(recorrupt(frames, variance, alpha, generator))
    with torch.no_grad():
        both: Tensor = raw.reconstruction(pair)
    return both[0], both[1]


@dataclass(frozen=True)
class _Entry:
    """A reconstructed pair in waiting, and the random state that it was drawn with."""

    index: int
    frame: int
    excess: float
    """Variance of the input's noise over that of a recording."""
    pair: Tensor
    """Normalised, (2, Y, X); where pixels must not be used, these are marked in a third layer."""
    state: dict[str, Tensor]


class ReconstructedPatches(Patches):
    """Patches out of a few reconstructed pairs, of which the oldest is replaced now and then.

    The recordings are the reconstructions as they are, (T, 2Y, 2X), with an offset of 0: where
    patches are cut follows their signal. The preset has the ranges of alpha, beta1 and beta2; pairs
    come from the raw frames.
    """

    WAITING = 4
    """Pairs to choose from."""
    DRAWS = 10
    """Batches between two fresh pairs."""

    def __init__(
        self,
        recordings: Sequence[NDArray[Any]],
        noise: NoiseModel,
        scale: float,
        preset: Preset,
        raw: RawSIM,
        **options: Any,
    ) -> None:
        super().__init__(recordings, noise, scale, **options)
        self.preset = preset
        self.raw = raw
        self._entries: list[_Entry] = []
        self._drawn = 0

    def draw(self) -> Pair:
        """Make the next batch of pairs."""
        if self._drawn % self.DRAWS == 0:
            self._entries = [*self._entries, self._fresh()][-self.WAITING :]
        self._drawn += 1
        chosen, patches = zip(*(self._cut_of_both() for _ in range(self.batch)), strict=True)
        cuts = torch.stack(patches)
        left_out = cuts[:, 2:] > 0 if self.raw.masked else None
        excess = torch.tensor([entry.excess for entry in chosen], device=cuts.device)
        return Pair(cuts[:, :1], cuts[:, 1:2], excess[:, None, None, None], left_out)

    def _cut_of_both(self) -> tuple[_Entry, Tensor]:
        """Choose a pair, and cut the same patch out of both of its images, (2, Y, X)."""
        chosen = int(torch.randint(len(self._entries), (), generator=self.choices))
        entry = self._entries[chosen]
        _, _, cell = self._place((entry.index, entry.frame))
        start = self._start(entry.index, cell)
        where = tuple(slice(first, first + n) for first, n in zip(start, self.patch, strict=True))
        return entry, self._turned(entry.pair[(slice(None), *where)])

    def _fresh(self) -> _Entry:
        state = super().random_state()
        index, frame, _ = self._place()
        shot, read, magnitude = (
            float(drawn_between(limits, self.choices))
            for limits in (self.preset.shot_noise, self.preset.read_noise, self.preset.magnitude)
        )
        pair = recorrupted_reconstructions(
            self.raw,
            index,
            frame,
            self.device,
            magnitude=magnitude,
            shot=shot,
            read=read,
            generator=self.noise,
        )
        layers = torch.stack(pair) / self.scale
        if self.raw.masked:
            layers = torch.cat([layers, self.raw.left_out(index, frame).to(layers)[None]])
        return _Entry(index, frame, 1 + shot * magnitude**2, layers, state)

    def random_state(self) -> dict[str, Tensor]:
        """State of all random draws; pairs in waiting are not kept but made again."""
        state = super().random_state()
        for number, entry in enumerate(self._entries):
            state |= {f"pair{number}.{name}": value for name, value in entry.state.items()}
        return state | {"drawn": torch.tensor(self._drawn)}

    def set_random_state(self, state: dict[str, Tensor]) -> None:
        """Go on exactly where `random_state` was taken."""
        self._drawn = int(state["drawn"])
        self._entries = []
        while f"pair{len(self._entries)}.choices" in state:
            prefix = f"pair{len(self._entries)}."
            super().set_random_state({name: state[prefix + name] for name in ("choices", "noise")})
            self._entries.append(self._fresh())
        super().set_random_state(state)
