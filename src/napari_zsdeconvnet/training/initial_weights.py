"""What a training begins with: the prior's weights, random ones, or those of another model."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from ..model.model import Model
from ..model.presets import Preset, from_scratch
from ..model.provenance import Beginning, weights_fingerprint
from ..networks.base import TwoStageNetwork
from ..networks.pretrained import has_pretrained, load_pretrained
from ..utils.errors import InputError

Start = str | os.PathLike[str] | Model
"""``"prior"``, ``"scratch"``, a model, or its file."""

_WORDS = ("prior", "scratch")


@dataclass(frozen=True, eq=False)
class First:
    """A model to begin with, and what is kept of it in the one that it becomes."""

    model: Model
    described: Beginning


def beginning(
    preset: Preset, start: Start | None, upsampling: int, axes: str
) -> tuple[Preset, First | None]:
    """Let a run begin as it is asked to, and from scratch where the prior does not fit.

    Parameters
    ----------
    preset : Preset
        As chosen.
    start : str, path, Model or None
        What was asked for.
    upsampling : int
        Output pixels side by side in a raw pixel.
    axes : str
        Of the images, "YX" or "ZYX".

    Returns
    -------
    preset : Preset
        As it is to be trained.
    first : First or None
        The model to begin with, if one was asked for.

    Raises
    ------
    InputError
        If there is no such beginning for this preset, grid or kind of image.
    """
    if isinstance(start, Model):
        return _from_model(preset, start, None, upsampling, axes)
    if start is not None and start not in _WORDS:
        path = Path(start)
        if not path.is_file():
            raise InputError(
                "start-unknown",
                f"start is {str(start)!r}: choose 'prior' or 'scratch', or name the file of a "
                "model; there is none of that name.",
            )
        return _from_model(preset, Model.load(path), path, upsampling, axes)
    fits = preset.start == "prior" and has_pretrained(preset.network, upsampling)
    if start == "prior" and not fits:
        raise InputError(
            "start-without-prior",
            f"There is no prior for the preset {preset.name!r} on this grid: it is made for the "
            "preset 'fast', for images with twice the pixels, for volumes with as many and for raw "
            "SIM. Choose start='scratch'.",
        )
    if start is None and preset.start == "model":
        raise InputError("start-missing", "The run began with a model: give that model as start.")
    return (preset if fits and start != "scratch" else from_scratch(preset)), None


def _from_model(
    preset: Preset, model: Model, path: Path | None, upsampling: int, axes: str
) -> tuple[Preset, First]:
    """Choose the preset's way of training this model's network on."""
    trained_on = ", ".join(source.name for source in model.sources) or "images"
    name = f"a model of {trained_on}" if path is None else path.name
    described = Beginning(
        name,
        weights_fingerprint(model.network.state_dict()),
        None if path is None else str(path.resolve()),
        _lattice_seed(model),
    )
    if model.axes != axes:
        have, want = ("images", "volumes") if model.axes == "YX" else ("volumes", "images")
        raise InputError(
            "start-other-images",
            f"{name} is for {have} and these are {want}: begin with another model.",
        )
    if model.upsampling != upsampling:
        raise InputError(
            "start-other-grid",
            f"The output grid of {name} is {model.upsampling} times as fine as the image and "
            f"{upsampling} is wanted: set upsample to {model.upsampling == 2}, or begin with "
            "another model.",
        )
    network = model.settings["network"]
    for candidate in (preset, from_scratch(preset)):
        if candidate.network == network:
            return replace(candidate, start="model"), First(model, described)
    raise InputError(
        "start-other-network",
        f"{name} holds a network {network!r} and the preset {preset.name!r} trains "
        f"{preset.network!r}: choose the preset {model.preset!r}, or begin with another model.",
    )


def _lattice_seed(model: Model) -> int:
    """Give the seed of the pixels that were held out from a model or from what it began with."""
    inherited = None if model.beginning is None else model.beginning.lattice_seed
    return model.seed if inherited is None else inherited


def load_first(network: TwoStageNetwork, preset: Preset, first: First | None) -> None:
    """Give a fresh network the weights that the run begins with, if those are not random."""
    if first is not None:
        network.load_state_dict(first.model.network.state_dict())
    elif preset.start == "prior":
        load_pretrained(network, preset.network)
