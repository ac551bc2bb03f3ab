"""Repeating a run from its record: the same images, settings, seed and threads."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...io.image import Image, PixelRule
from ...model.provenance import Source, weights_fingerprint
from ...utils.errors import InputError
from .prediction import Prediction
from .run_record import RunRecord

if TYPE_CHECKING:
    from ...model.model import Model
    from ...training.trainer import Progress, TrainingRun


def check_same(source: Source, image: Image) -> None:
    """Refuse an image that has other pixels than the one in the record.

    Raises
    ------
    InputError
        With both fingerprints.
    """
    if not source.is_of(image):
        have = Source.of(image)
        raise InputError(
            "record-other-image",
            f"{image.name} is not the {source.name} of the record: its pixels, "
            f"{_shape(have)}, have the fingerprint {have.sha256[:12]} and those of the record, "
            f"{_shape(source)}, {source.sha256[:12]}; name the file that the record was made from.",
        )


def as_ruled(source: Source, image: Image) -> Image:
    """Give an image what was said of its bad and saturated pixels in the run."""
    try:
        rule = PixelRule.from_dict(source.pixel_rule)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            "record-damaged", f"The record of {source.name} is damaged ({error})."
        ) from error
    return replace(image, pixel_rule=rule)


def _shape(source: Source) -> str:
    return f"{source.axes} {' x '.join(map(str, source.shape))} {source.dtype}"


def differences(record: RunRecord) -> tuple[str, ...]:
    """Say which versions here are other than those of the run, one sentence each."""
    from ...model.provenance import installed_versions

    here = installed_versions()
    there = record.stretches[-1].versions if record.stretches else record.versions
    return tuple(
        f"{name} is {here.get(name, 'not known')} here and was {version} in the run."
        for name, version in there.items()
        if here.get(name) != version
    )


def check_first(record: RunRecord, model: Model | None) -> None:
    """Refuse another model to begin with than that of the run.

    Raises
    ------
    InputError
        If it is another, is missing, or there was none.
    """
    began = record.beginning
    if began is None:
        if model is not None:
            raise InputError(
                "record-other-start", "The run of the record did not begin with a model: give none."
            )
        return
    if model is None:
        raise InputError(
            "record-other-start",
            f"The run began with the weights of {began.name}: give that model.",
        )
    have = weights_fingerprint(model.network.state_dict())
    if have != began.weights_sha256:
        raise InputError(
            "record-other-start",
            f"The run began with the weights of {began.name}, whose fingerprint is "
            f"{began.weights_sha256[:12]}, and those given have {have[:12]}: give that model.",
        )


def is_of_repeat(record: RunRecord, model: Model) -> bool:
    """Tell whether a model is what some steps of repeating a run come to."""
    other = RunRecord.of(model)
    same = ("seed", "settings", "upsampling", "scale", "out_of_focus", "reconstruction")
    return (
        0 < model.steps_trained <= record.steps
        and [one.sha256 for one in other.sources] == [one.sha256 for one in record.sources]
        and all(getattr(other, name) == getattr(record, name) for name in same)
        and other.psf.array.shape == record.psf.array.shape
        and bool((other.psf.array == record.psf.array).all())
        and other.noise.to_dict() == record.noise.to_dict()
    )


def iter_training(
    record: RunRecord,
    images: Sequence[Image],
    first: Model | None = None,
    checkpoint: Path | None = None,
) -> Generator[Progress, None, Model]:
    """Train again as the record says; yields `Progress`, returns the `Model`.

    A run that was stopped, or went on with another number of steps, is stopped and goes on at
    the same steps. The CPU's thread count is that of the run meanwhile.

    Parameters
    ----------
    record : RunRecord
        Of the run.
    images : sequence of Image
        Its training images in the same order, ([T,] [Z,] Y, X), or raw SIM frames
        (T, C, Y, X).
    first : Model, optional
        The model whose weights it began with, if it did.
    checkpoint : path, optional
        Where the training is saved while it goes on, see `Autosave`, and when it ends. It goes
        on from there if that is of the same run (`is_of_repeat`); the caller removes it.

    Raises
    ------
    InputError
        If an image has other pixels, that model other weights, or the record lacks what is
        needed.
    """
    if not record.sources or not (record.stretches or record.planned == 0):
        raise InputError(
            "record-not-repeatable", f"The run cannot be repeated. {record.obstacles[0]}"
        )
    if len(images) != len(record.sources):
        raise InputError(
            "record-image-count",
            f"The run was trained on {len(record.sources)} recordings and {len(images)} are given: "
            "give all of them, in the order of the record.",
        )
    for source, image in zip(record.sources, images, strict=True):
        check_same(source, image)
    images = [as_ruled(*pair) for pair in zip(record.sources, images, strict=True)]
    check_first(record, first)

    from ...model.model import Model
    from ...training.autosave import Autosave

    done, resume = 0, None
    if checkpoint is not None and checkpoint.is_file():
        model = Model.load(checkpoint)
        if is_of_repeat(record, model):
            done, resume = model.steps_trained, checkpoint
        if done == record.steps:
            return model
    run = _begin(record, images, steps=0, start=first) if record.planned == 0 else None
    with ExitStack() as saving:
        for part in record.stretches:
            if part.last <= done:
                continue
            with threads(part.threads):
                if run is None:
                    beginning = {"start": first} if resume is None else {"resume": resume}
                    run = _begin(record, images, steps=part.planned, **beginning)
                elif part.planned != run.steps:
                    run = _resumed(record, images, run, part.planned)
                run.go_on()  # it ends where the run ended, not where it would by itself
                if checkpoint is not None:
                    saving.close()
                    saving.enter_context(Autosave(run, checkpoint, at_end=True))
                for progress in run:
                    yield progress
                    if run.step == part.last:
                        break
    assert run is not None  # a record has a stretch at least, as asked above
    return run.model


def _begin(record: RunRecord, images: Sequence[Image], **options: Any) -> TrainingRun:
    """Make the run, or go on with one from a file."""
    from ...model.presets import Preset
    from ...sim.reconstruction import Reconstruction
    from ...training.trainer import train

    try:
        preset = Preset(**record.settings)
    except TypeError as error:
        raise InputError(
            "record-other-preset",
            f"The preset of the run has other settings than those of this version ({error}): "
            f"install napari-zsdeconvnet {record.versions.get('napari-zsdeconvnet')}.",
        ) from error
    # Only a CPU repeats itself to the bit; a run of another device goes to the best one here.
    on_cpu = all(part.device.startswith("CPU") for part in record.stretches[:1])
    device = "cpu" if on_cpu else "auto"
    options = {
        "preset": preset,
        "seed": record.seed,
        "device": device,
        "preview_every": 0,
        **options,
    }
    if record.reconstruction is not None:
        assert record.camera is not None  # every record of raw frames has it
        operator = Reconstruction.from_dict(record.reconstruction)
        options.pop("start", None)
        return train(list(images), noise=record.camera, reconstruction=operator, **options)
    return train(
        list(images),
        record.psf,
        record.noise if record.camera is None else record.camera,
        upsample=record.upsampling == 2,
        out_of_focus=record.out_of_focus,
        **options,
    )


def _resumed(
    record: RunRecord, images: Sequence[Image], run: TrainingRun, steps: int
) -> TrainingRun:
    """Let a run go on with another number of steps, through a file as it once did."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        run.save(path)
        return _begin(record, images, steps=steps, resume=path)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with so many threads on the CPU, whose number has a say in the last bits."""
    from ...utils.devices import fixed_threads

    with fixed_threads(number):
        yield


def settings_of(prediction: Prediction) -> dict[str, Any]:
    """Give the settings of `iter_recorded` that make a prediction again."""
    return {
        "device": "cpu" if prediction.device.startswith("CPU") else "auto",
        "tile": prediction.tile,
        "repeats": prediction.repeats,
        "damping": prediction.damping,
        "camera": prediction.camera,
    }
