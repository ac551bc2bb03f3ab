"""The weights that a training begins with: learned once, on simulation, and brought along.

`benchmarks/prior/` draws the scenes and trains; neither a real recording nor one of the
benchmark's phantoms is among them.
"""

from __future__ import annotations

from pathlib import Path

import safetensors.torch

from .base import TwoStageNetwork

FILES = {"informed": "prior_2d.safetensors"}
"""By the name of the network, see `registry.NETWORKS`."""


PRIOR_UPSAMPLING = 2
"""The output grid that it learned on, in pixels side by side in a raw one."""


def load_prior(network: TwoStageNetwork, name: str) -> None:
    """Give a fresh network the weights of its prior.

    Parameters
    ----------
    network : TwoStageNetwork
        As `registry.build_network` makes it.
    name : str
        Its name there.
    """
    file = Path(__file__).parent / "weights" / FILES[name]
    network.load_state_dict(safetensors.torch.load_file(file))
