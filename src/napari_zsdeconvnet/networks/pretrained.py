"""The weights that a training begins with: learned once, on simulation, and brought along.

`benchmarks/prior/` draws the scenes and trains; neither a real recording nor one of the
benchmark's phantoms is among them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import safetensors.torch

from .base import TwoStageNetwork


class Pretrained(NamedTuple):
    """Weights that the package brings along."""

    file: str
    upsampling: int
    """The output grid that they are for, in pixels side by side in a raw one."""


PRETRAINED = {
    "informed": Pretrained("prior_2d.safetensors", 2),
    "informed-sim": Pretrained("prior_sim.safetensors", 1),
    "informed-volume": Pretrained("prior_3d.safetensors", 1),
}
"""By the name of the network, see `registry.NETWORKS`."""


def has_pretrained(network: str, upsampling: int) -> bool:
    """Tell whether there are weights for a network on this output grid."""
    return network in PRETRAINED and PRETRAINED[network].upsampling == upsampling


def load_pretrained(network: TwoStageNetwork, name: str) -> None:
    """Give a fresh network its pretrained weights, which are kept in half precision or single.

    Parameters
    ----------
    network : TwoStageNetwork
        As `registry.build_network` makes it.
    name : str
        Its name there.
    """
    file = Path(__file__).parent / "weights" / PRETRAINED[name].file
    weights = safetensors.torch.load_file(file)
    network.load_state_dict({name: weight.float() for name, weight in weights.items()})
