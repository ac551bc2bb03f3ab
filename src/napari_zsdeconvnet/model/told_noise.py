"""What a model's network is told of the noise in the images that it takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..networks.base import TwoStageNetwork
from ..noise.camera_maps import Camera, typical_of
from ..noise.noise_model import NoiseModel
from ..sim.reconstruction import Reconstruction


def tell_noise(
    network: TwoStageNetwork,
    noise: NoiseModel,
    scale: float,
    camera: Camera | None,
    reconstruction: Mapping[str, Any] | None,
) -> None:
    """Tell a network of the noise of recordings, or of what raw SIM frames are reconstructed to.

    Parameters
    ----------
    network : TwoStageNetwork
        Changed in place.
    noise, scale, camera, reconstruction
        Of the model, see `Model`.
    """
    if reconstruction is None or not network.takes_spectrum:
        network.expect_noise(noise, scale)
        return
    spectrum = Reconstruction.from_dict(reconstruction).noise_spectrum()
    network.expect_noise(typical_of(camera or noise), scale, spectrum)
