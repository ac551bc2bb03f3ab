"""What a model's file says of itself, without its weights."""

from __future__ import annotations

import os
from dataclasses import dataclass

from ..psf.psf import PSF
from ..utils.json_values import built, known_of, parse_json
from .model_file import PSF_TENSOR, check_format, read_file, understood
from .provenance import Source, Stretch


@dataclass(frozen=True, eq=False)
class ModelFacts:
    """What a model's file says of itself, for lists of models.

    Attributes
    ----------
    preset, axes, voxel_size, psf, sources, stretches
        As in `Model`.
    upsampling, steps_trained, ending
        As in `Model`.
    """

    preset: str
    axes: str
    voxel_size: tuple[float, ...] | None
    upsampling: int
    psf: PSF
    steps_trained: int
    ending: str = ""
    sources: tuple[Source, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    raw_sim: bool = False
    """Whether it was trained on raw SIM frames."""

    @property
    def planned(self) -> int:
        """Steps of the training as planned last; 0 where that was not kept."""
        return self.stretches[-1].planned if self.stretches else 0

    @property
    def complete(self) -> bool:
        """Whether the training did all its steps or ended by itself."""
        return bool(self.ending) or 0 < self.planned <= self.steps_trained

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> ModelFacts:
        """Read them without the weights.

        Raises
        ------
        InputError
            If the file is no model, or not one of this version.
        """
        described, tensors = read_file(path, PSF_TENSOR)
        with understood(path):
            header = parse_json(described)
            check_format(header)
            history = header["history"]
            return built(
                cls,
                known_of(cls, header),
                psf=PSF.from_metadata(tensors[PSF_TENSOR].numpy(), header["psf"]),
                steps_trained=int(history[-1]["step"]) if history else 0,
                raw_sim=header.get("reconstruction") is not None,
            )
