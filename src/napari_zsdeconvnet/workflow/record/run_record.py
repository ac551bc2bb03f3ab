"""`RunRecord`: a JSON of everything that made a model and its result."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from ...io.zarr_stores import names_zarr
from ...model.best_weights import Choice
from ...model.presets import MOST_STEPS, read_settings
from ...model.provenance import Beginning, Source, Stretch, weights_fingerprint
from ...noise.camera_maps import CameraMaps
from ...noise.noise_model import NoiseModel
from ...psf.psf import PSF
from ...sim.patterns import check_reconstruction
from ...utils.errors import InputError
from ...utils.files import written_whole
from ...utils.json_values import built, entries, known_of, read_from
from ..result_files import record_beside
from .prediction import Prediction
from .serialization import packed, packed_camera, packed_verdict, unpacked, unpacked_camera

if TYPE_CHECKING:
    from ...model.model import Model
    from ...networks.base import TwoStageNetwork
    from ...quality.verdict import Verdict

IN_ZARR = "zsdeconvnet.json"
"""Name of the record within a result that is OME-Zarr."""

KIND = "napari-zsdeconvnet run record"
FORMAT = 1
"""Layout of the file; raised when a reader of today would misread a file of tomorrow."""


@dataclass(frozen=True, eq=False)
class RunRecord:
    """Everything that is needed to repeat a run, and to say what it was.

    Make one with `of` or `read`.

    Attributes
    ----------
    sources
        The training images, or raw SIM frames.
    axes
        Of what the network takes, "YX" or "ZYX".
    voxel_size
        Raw pixel ([Z,] Y, X) in micrometres; None where it was not known.
    upsampling
        Output pixels side by side in a raw pixel.
    preset, settings
        Name of the preset, and all its settings as trained.
    noise
        The noise model that training used; of SIM that of the reconstructions.
    camera
        Of raw SIM frames; None where there were none.
    psf
        On the output grid.
    reconstruction
        What made images out of raw SIM frames; None where there were none.
    seed
        Of the weights and of every random draw.
    scale
        Counts above the offset that are 1 to the network.
    steps, planned
        Optimiser steps done, and planned when training ended.
    ending
        Why the training ended by itself, if it did.
    stretches
        What was trained when, on what, for how long.
    losses
        Terms of the loss at the last step.
    parameters
        Numbers that the network learned.
    richardson_lucy
        Steps of Richardson-Lucy within the network; 0 for none.
    weights_sha256
        Fingerprint of the network, by which a repeated one is compared to the bit.
    versions
        Of what the result depends on.
    warnings
        What was noticed about images, PSF and noise when training began.
    beginning
        The model whose weights training began with; None where it was the prior or chance.
    chosen
        Which weights were kept by the held-out pixels; None where there were none.
    prediction
        The result, if this is the record of one.
    verdict
        How far it can be believed, if that was asked.
    out_of_focus
        Whether images have a background that is out of focus.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> sample = zs.simulate("filaments", shape=(64, 64))
    >>> run = zs.train(sample.raw, sample.psf, sample.noise, steps=1, seed=3, device="cpu")
    >>> _ = list(run)
    >>> zs.RunRecord.of(run.model).write("run.json")
    >>> zs.RunRecord.read("run.json").seed
    3
    """

    sources: tuple[Source, ...]
    axes: Literal["YX", "ZYX"]
    voxel_size: tuple[float, ...] | None
    upsampling: int
    preset: str
    settings: Mapping[str, Any]
    noise: NoiseModel
    camera: NoiseModel | CameraMaps | None
    psf: PSF
    reconstruction: Mapping[str, Any] | None
    seed: int
    scale: float
    steps: int
    planned: int
    ending: str
    stretches: tuple[Stretch, ...]
    losses: Mapping[str, float]
    parameters: int
    richardson_lucy: int
    weights_sha256: str
    versions: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    beginning: Beginning | None = None
    chosen: Choice | None = None
    prediction: Prediction | None = None
    verdict: Verdict | None = None
    out_of_focus: bool = False

    @classmethod
    def of(
        cls,
        model: Model,
        *,
        prediction: Prediction | None = None,
        verdict: Verdict | None = None,
    ) -> Self:
        """Make the record of a model, and of a result of it.

        Parameters
        ----------
        model : Model
            As trained or loaded.
        prediction : Prediction, optional
            What it was put to.
        verdict : Verdict, optional
            On that result.
        """
        last = dict(model.history[-1]) if model.history else {}
        steps, _ = int(last.pop("step", 0)), last.pop("learning_rate", None)
        return cls(
            sources=model.sources,
            axes=model.axes,
            voxel_size=model.voxel_size,
            upsampling=model.upsampling,
            preset=model.preset,
            settings=dict(model.settings),
            noise=model.noise,
            camera=model.camera,
            psf=model.psf,
            reconstruction=model.reconstruction,
            seed=model.seed,
            scale=model.scale,
            steps=steps,
            planned=model.stretches[-1].planned if model.stretches else steps,
            ending=model.ending,
            stretches=model.stretches,
            losses=last,
            parameters=sum(weight.numel() for weight in model.network.parameters()),
            richardson_lucy=_richardson_lucy(model.network),
            weights_sha256=weights_fingerprint(model.network.state_dict()),
            versions=dict(model.versions),
            warnings=model.warnings,
            beginning=model.beginning,
            chosen=model.chosen,
            prediction=prediction,
            verdict=verdict,
            out_of_focus=model.out_of_focus,
        )

    @property
    def seconds(self) -> float:
        """Time of all training steps."""
        return sum(stretch.seconds for stretch in self.stretches)

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Why the run cannot be repeated to the bit, one sentence each; empty where it can be."""
        found = []
        if not self.sources or not (self.stretches or self.planned == 0):
            found.append(
                "The model was saved by a version that did not keep what it was trained on."
            )
        # Two kinds of device differ in the last bits, and so do a GPU's own sums.
        found += [
            f"Steps {part.first} to {part.last} were computed on {part.device}: only a CPU "
            "repeats its sums in the same order."
            for part in self.stretches
            if not part.device.startswith("CPU")
        ]
        found += [
            f"Memory ran out before step {part.first}, and what it left depends on the machine."
            for part in self.stretches
            if part.reduced
        ]
        if any(part.versions != self.stretches[0].versions for part in self.stretches):
            found.append("The training went on under other versions than it began with.")
        return tuple(found)

    def describe(self) -> str:
        """Say in a few lines what was run, and whether it can be repeated to the bit."""
        names = ", ".join(source.name for source in self.sources) or "images that were not kept"
        lines = [
            f"{self.preset} model, axes {self.axes}, {self.steps} of {self.planned} steps, "
            f"seed {self.seed}, on {names}",
            *(
                f"steps {part.first} to {part.last} on {part.device}, from {part.started}, "
                f"{part.seconds:.0f} s"
                for part in self.stretches
            ),
            f"PSF: {self.psf.describe()}",
        ]
        if self.beginning is not None:
            lines.append(f"Began with the weights of {self.beginning.name}")
        if self.out_of_focus:
            lines.append("With a smooth out-of-focus background")
        if self.prediction is not None:
            files = ", ".join(output.file for output in self.prediction.outputs.values())
            lines.append(f"{self.prediction.source.name} -> {files}")
        if self.verdict is not None:
            lines.append(self.verdict.headline())
        obstacles = self.obstacles or ("It can be repeated to the bit on such a CPU.",)
        return "\n".join((*lines, *obstacles))

    # ------------------------------------------------------------------ the file

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dictionaries, ready for JSON."""
        return {
            "kind": KIND,
            "format": FORMAT,
            **entries(self, "camera", "psf", "prediction", "verdict"),
            "camera": packed_camera(self.camera),
            "psf": {
                **self.psf.to_metadata(),
                "fwhm": [None if width != width else width for width in self.psf.fwhm],
                "array": packed(self.psf.array),
            },
            "prediction": self.prediction and self.prediction.to_dict(),
            "verdict": self.verdict and packed_verdict(self.verdict),
            "obstacles": list(self.obstacles),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a record from what `to_dict` returned.

        Raises
        ------
        InputError
            If it is something else, from a newer version, or damaged.
        """
        if not isinstance(values, Mapping) or values.get("kind") != KIND:
            raise InputError(
                "no-run-record",
                "This is no run record: give a JSON that was written beside a result.",
            )
        form = values.get("format", 0)
        if not isinstance(form, int) or form > FORMAT:
            raise InputError(
                "format-too-new",
                f"The run record has format {form!r:.60} and this version reads up to "
                f"{FORMAT}: update napari-zsdeconvnet.",
            )
        try:
            return cls._assembled(_migrated(values))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            words = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise InputError(
                "record-damaged",
                f"The run record is incomplete or damaged ({words.rstrip('.')}): copy it again.",
            ) from error

    @classmethod
    def _assembled(cls, values: Mapping[str, Any]) -> Self:
        if values["reconstruction"] is not None:
            check_reconstruction(values["reconstruction"])
        verdict = values["verdict"]
        if verdict is not None:
            from ...quality.verdict import Verdict

            verdict = Verdict.from_dict(verdict)
        made = {
            "camera": unpacked_camera(values["camera"]),
            "psf": PSF.from_metadata(unpacked(values["psf"]["array"]), values["psf"]),
            "prediction": values["prediction"] and Prediction.from_dict(values["prediction"]),
            "verdict": verdict,
            "settings": read_settings(values["settings"]),
        }
        record = built(cls, known_of(cls, values), **made)
        numbers = [record.steps, record.planned]
        numbers += [n for part in record.stretches for n in (part.last, part.planned)]
        if not 0 <= min(numbers) <= max(numbers) <= MOST_STEPS:
            raise ValueError(f"{max(numbers)} steps are more than any run has")
        return record

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a JSON file, whole or not at all.

        Raises
        ------
        InputError
            If the file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=2) + "\n"
        with written_whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a record, or make that of a model out of the model's file.

        Of an OME-Zarr it is the record within, or the one beside it.

        Raises
        ------
        InputError
            If the file cannot be read, or is neither.
        """
        path = Path(path)
        if path.suffix.lower() == ".safetensors":
            from ...model.model import Model

            return cls.of(Model.load(path))
        if names_zarr(path) and path.is_dir():
            within = path / IN_ZARR
            path = within if within.is_file() else record_beside(path)
        return read_from(path, cls.from_dict, "a run record")


def _richardson_lucy(network: TwoStageNetwork) -> int:
    """Count the steps of Richardson-Lucy that a network takes, in whichever part of it."""
    return max((int(getattr(part, "iterations", 0)) for part in network.modules()), default=0)


def _migrated(values: Mapping[str, Any]) -> dict[str, Any]:
    """Bring a record of before 29 November 2026 into today's layout."""
    maps = values.get("camera_maps")
    return {"ending": "", **values, **({"camera": maps} if maps else {})}
