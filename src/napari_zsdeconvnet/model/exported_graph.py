"""A model as one graph of plain operations: counts in, denoised and deconvolved counts out."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..inference.light_correction import blurred, coarse_step, coarse_weights
from ..networks.base import PublishedNetwork, UnrolledNetwork, psf_core
from ..networks.informed import InformedNetwork, binned
from ..networks.informed_sim import InformedSIMNetwork
from ..physics.direct_blur import DirectBlurAndBin, mirrored
from ..physics.forward import bin_down, enlarge
from ..physics.row_blocks import undivided
from ..utils.errors import InputError

if TYPE_CHECKING:
    from .model import Model

_EXPORTED = (PublishedNetwork, UnrolledNetwork, InformedNetwork)


def check_exportable(model: Model) -> None:
    """Refuse a model that is more than a network at a fixed PSF, camera and grid.

    Raises
    ------
    InputError
        With what cannot leave this program.
    """
    reasons = {
        "volumes are computed with Fourier transforms, and images alone can be exported": (
            model.axes == "ZYX"
        ),
        "raw SIM frames are reconstructed first, which no graph holds": (
            model.reconstruction is not None
        ),
        "the out-of-focus background is estimated for each image, which no graph holds": (
            model.out_of_focus
        ),
        "the maps of its camera belong to one part of the chip": model.maps is not None,
        f"the network {model.settings.get('network')} is not known to export": not isinstance(
            model.network, _EXPORTED
        )
        or isinstance(model.network, InformedSIMNetwork),
    }
    reason = next((said for said, holds in reasons.items() if holds), None)
    if reason is not None:
        raise InputError(
            "export-unsupported",
            f"This model cannot be exported: {reason}. Use it by its own file.",
        )


class ExportedGraph(nn.Module):
    """What `Model.predict` computes of one image, for any size that is a multiple of `multiple`.

    Offset and scale, the rim by reflection, both stages of the network with the physics at the
    model's PSF, and the coarse light are in it; the search for hot pixels is not.

    Parameters
    ----------
    model : Model
        Of images; see `check_exportable`.
    """

    weights: Tensor

    def __init__(self, model: Model) -> None:
        super().__init__()
        check_exportable(model)
        network = copy.deepcopy(model.network).cpu().eval()
        factor = network.upsampling
        if isinstance(network, UnrolledNetwork | InformedNetwork):
            core = psf_core(model.psf)
            network.sharpen.microscope = DirectBlurAndBin(core, factor)  # type: ignore[assignment]
            if isinstance(network, InformedNetwork):
                own = binned(core, factor)
                network.smooth = DirectBlurAndBin(own, 1)  # type: ignore[assignment]
        for weight in network.parameters():
            weight.requires_grad_(False)
        self.network = network
        self.offset, self.scale = float(model.noise.offset), float(model.scale)
        self.step = coarse_step(network.multiples)
        self.register_buffer("weights", coarse_weights(self.step))
        reach = min((network.border or network.reach)[-1], network.receptive_field)
        self.rim = network.multiple * math.ceil(reach / network.multiple)

    @property
    def multiple(self) -> int:
        """What Y and X must be divisible by."""
        return self.network.multiple

    @property
    def smallest(self) -> int:
        """Pixels along Y and X, at least: reflections must not exceed the image."""
        least = max(self.rim, self._coarse_reach * self.step, self._sight) + self.multiple
        return self.multiple * math.ceil(least / self.multiple)

    @property
    def halo(self) -> int:
        """Raw pixels at the borders of a tile that depend on what lies outside of it."""
        reach = self.network.receptive_field + (self._coarse_reach + 1) * self.step
        return self.multiple * math.ceil(reach / self.multiple)

    @property
    def _coarse_reach(self) -> int:
        return int(self.weights.shape[-1]) // 2

    @property
    def _sight(self) -> int:
        """Raw pixels that a convolution of the physics continues an image by, at most."""
        parts = [part for part in self.network.modules() if isinstance(part, DirectBlurAndBin)]
        return max((max(part.radius) for part in parts), default=0)

    def forward(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Give the denoised and the deconvolved image, counts above the offset.

        Parameters
        ----------
        raw : Tensor
            Camera counts, float32, (N, 1, Y, X).
        """
        image = (raw - self.offset) / self.scale
        rim, factor = self.rim, self.network.upsampling
        with undivided():
            fine, sharp = self.network(mirrored(image, (rim, rim)))
        fine = fine[..., rim:-rim, rim:-rim]
        sharp = sharp[..., factor * rim : -factor * rim, factor * rim : -factor * rim]
        light = bin_down(image, self.step)
        return self.scale * self._lit(light, fine, 1), self.scale * self._lit(light, sharp, factor)

    def _lit(self, light: Tensor, result: Tensor, factor: int) -> Tensor:
        """Give a result the coarse light of the image, as `CoarseLight` does."""
        missing = light - bin_down(result, factor * self.step)
        missing = blurred(mirrored(missing, (self._coarse_reach,) * 2), self.weights)
        step = factor * self.step
        added = enlarge(mirrored(missing, (1, 1)), step, "linear")
        return result + added[..., step:-step, step:-step]


def example_of(model: Model, size: int) -> NDArray[np.float32]:
    """Make an image as the camera of a model records one: spots of its PSF in noise.

    Parameters
    ----------
    model : Model
        Of images.
    size : int
        Pixels along Y and X.

    Returns
    -------
    ndarray
        Counts, (Y, X), the same each time.
    """
    random = np.random.default_rng(0)
    factor = model.upsampling
    spots = torch.zeros(1, 1, factor * size, factor * size)
    places = random.integers(0, factor * size, (2, max(size * size // 64, 1)))
    spots[0, 0, places[0], places[1]] = torch.from_numpy(random.random(places.shape[1])).float()
    core = psf_core(model.psf)
    signal = DirectBlurAndBin(core, factor)(spots)[0, 0].numpy().astype(np.float64)
    signal *= model.scale / signal.max()
    slope = model.noise.slope or 1.0
    counts = slope * random.poisson(np.maximum(signal, 0) / slope)
    read = np.sqrt(model.noise.read_variance) * random.standard_normal(counts.shape)
    return np.asarray(counts + read + model.noise.offset, np.float32)
