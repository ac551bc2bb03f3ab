"""Can a result be believed? `judge` asks in several ways, and answers in plain words.

None of the measures knows the truth, so none can prove a result right. Each can prove one thing
wrong: the noise, the PSF, the training, the light.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from ..inference.out_of_focus import out_of_focus_advice
from ..inference.predict import Result, TileProgress, exhaust
from ..io.image import Image, PixelRule, as_frames
from ..model.model import Model
from ..noise.camera_maps import CameraMaps
from ..noise.pixel_mask import mask_of_filled
from ..noise.usable_pixels import with_mask
from ..physics.open_field import margins, quick_part, room_of
from ..psf.psf import PSF
from ..utils.errors import InputError
from ..utils.memory import available_memory, check_room
from . import checks as measures
from .checks import Measure, not_judged
from .decorrelation import decorrelation_resolution
from .recording_statistics import Evidence, RecordedImage
from .reference_metrics import fourier_ring_correlation
from .spectra import Sharpening
from .stability import Spread, background_level, iter_blank, iter_spread, scaled, with_psf

PSF_CHANGE = 0.1
"""Relative change of the PSF's width whose effect is measured."""

REGION = {2: (256, 256), 3: (32, 128, 128)}
"""Part of an image on which the effect of the PSF is measured, by the number of axes; of a volume,
which would take minutes as a whole, that of other noise too. Of a volume with a large PSF the part
is smaller: see `quick_part`."""

JUDGING_SHARE = 0.6
"""Part of the free memory that judging may take; of an image that needs more a part is judged."""

BYTES_TO_JUDGE = {2: 340, 3: 100}
"""Memory for a raw pixel, by the number of axes, measured."""

T = TypeVar("T")

Exposure: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.uint8] | None]"
"""Counts, ([Z,] Y, X), filled where pixels are not used, and why those are not; None if all are."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """What was measured, and what came of it.

    Attributes
    ----------
    measures
        In the order in which they are to be read.
    notes
        Further findings, one sentence each, that nothing is judged by.
    maps
        ``z_map`` on the grid of the image, float32; ``spread`` and ``mean`` on the output grid,
        counts, of a volume NaN beyond the part that was measured. Not kept in JSON.
    spectrum
        For a plot, or None; not kept in JSON either.
    """

    measures: tuple[Measure, ...]
    notes: tuple[str, ...] = ()
    maps: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    spectrum: Sharpening | None = None

    def __getitem__(self, name: str) -> Measure:
        """Give the measure of a name; KeyError if there is none."""
        for measure in self.measures:
            if measure.name == name:
                return measure
        raise KeyError(name)

    @property
    def passed(self) -> bool:
        """Whether no measure failed, and at least one was judged."""
        outcomes = [measure.passed for measure in self.measures]
        return False not in outcomes and True in outcomes

    @property
    def failed(self) -> tuple[Measure, ...]:
        """Those that did not pass."""
        return tuple(measure for measure in self.measures if measure.passed is False)

    def headline(self) -> str:
        """Say in one sentence how many measures passed, and which failed."""
        judged = [measure for measure in self.measures if measure.passed is not None]
        if not judged:
            return "Nothing could be judged."
        if self.failed:
            names = ", ".join(measure.name for measure in self.failed)
            return f"{len(self.failed)} of {len(judged)} measures failed: {names}."
        if len(judged) == 1:
            return f"The one measure that applies passed: {judged[0].name}."
        return f"All {len(judged)} measures passed."

    def summary(self) -> str:
        """Say whether the result can be believed, and if not, why and what to do."""
        reasons = [measure.sentence for measure in self.failed]
        if self.passed:
            reasons = [m.sentence for m in self.measures if m.name == "sharpening" and m.passed]
        return " ".join([self.headline(), *reasons])

    def to_dict(self) -> dict[str, Any]:
        """Return everything but maps and spectrum, ready for JSON."""
        return {
            "passed": self.passed,
            "measures": [measure.to_dict() for measure in self.measures],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild what `to_dict` returned."""
        return cls(
            tuple(Measure.from_dict(entry) for entry in values["measures"]),
            tuple(map(str, values.get("notes", ()))),
        )


def judge(
    model: Model,
    image: ArrayLike | Image,
    *,
    axes: str | None = None,
    frame: int = 0,
    result: Result | None = None,
    second: ArrayLike | Image | None = None,
    repeats: int = 4,
    device: str = "auto",
    camera: CameraMaps | None = None,
    progress: Callable[[TileProgress], None] | None = None,
) -> Verdict:
    """Measure how far the result of a model on an image can be believed.

    Parameters
    ----------
    model : Model
        What made, or is to make, the result.
    image : array_like or Image
        Counts, ([T,] Y, X) or ([T,] Z, Y, X).
    axes : str, optional
        Letters for the axes of an array, as for `Model.predict`.
    frame : int
        Which frame of a series is judged.
    result : Result, optional
        Of this image, with its axes; by default it is made.
    second : array_like or Image, optional
        Another exposure of the same scene, for an honest Fourier ring correlation; without one
        two re-corruptions of the image stand in.
    repeats : int
        Re-corruptions for the spread, an even number; 0 leaves spread and resolution out.
    device : str
        See `devices.resolve_device`.
    camera : CameraMaps, optional
        As for `Model.predict`.
    progress : callable, optional
        Called after every tile; what it raises ends the judging.

    Returns
    -------
    Verdict

    Raises
    ------
    InputError
        If the image does not suit the model, or the result or the second exposure the image.
    """
    steps = iter_judge(
        model,
        image,
        axes=axes,
        frame=frame,
        result=result,
        second=second,
        repeats=repeats,
        device=device,
        camera=camera,
    )
    return exhaust(steps, progress)


def iter_judge(
    model: Model,
    image: ArrayLike | Image,
    *,
    axes: str | None = None,
    frame: int = 0,
    result: Result | None = None,
    second: ArrayLike | Image | None = None,
    repeats: int = 4,
    device: str = "auto",
    camera: CameraMaps | None = None,
) -> Generator[TileProgress, None, Verdict]:
    """Judge step by step: yields `TileProgress`, returns the `Verdict`.

    The parameters are those of `judge`; close the generator to cancel.
    """
    maps = model.maps_for(camera, as_frames(image, axes, spatial=model.axes))
    raw, kinds, said = _one_frame(model, image, axes, frame, maps)
    other = None if second is None else _one_frame(model, second, axes, frame, maps)[:2]
    whole, place = raw.shape, _part_within_memory(model, raw)
    if place is not None:
        result = _cut_result(model, result, frame, place)
        raw, kinds, maps = raw[place], _cut(kinds, place), _at(maps, place)
        if other is not None:
            other = other[0][place], _cut(other[1], place)
        size = " x ".join(map(str, raw.shape))
        said = (*said, f"Judged is the brightest part, {size} pixels, as memory holds no more.")
    evidence = RecordedImage(model, raw, maps, kinds)
    verdict = yield from iter_judge_by(model, evidence, frame, result, other, repeats, device)
    verdict = replace(verdict, notes=(*verdict.notes, *said))
    if place is not None:
        verdict = replace(verdict, maps=_spread_out(verdict.maps, place, whole, model.upsampling))
    if model.axes == "ZYX" or model.out_of_focus or evidence.unknown:
        return verdict
    advice = out_of_focus_advice(evidence.image, model.psf, model.noise, model.upsampling)
    return replace(verdict, notes=(*verdict.notes, *([advice] if advice else [])))


def iter_judge_by(
    model: Model,
    evidence: Evidence,
    frame: int,
    result: Result | None,
    other: Exposure | None,
    repeats: int,
    device: str,
) -> Generator[TileProgress, None, Verdict]:
    """Judge by what a recording can say, whatever it is of; as `iter_judge` otherwise.

    Parameters
    ----------
    model, frame, result, repeats, device
        As for `judge`.
    evidence
        Of that frame.
    other
        Another exposure, as the model takes it, and why its pixels are not used.
    """
    raw, pixels = evidence.image, evidence.maps
    if pixels is not None:  # the image is evened, and needs no maps of another recording
        model = replace(model, camera=None)
    if other is not None and other[0].shape != raw.shape:
        raise InputError(
            f"The second exposure has the shape {other[0].shape} and the image {raw.shape}: give "
            "two exposures of one scene."
        )
    if repeats < 0 or repeats % 2:
        raise InputError(f"repeats is {repeats}: give an even number, or 0 for none.")
    if result is None:
        exposure = raw, evidence.kinds
        sharp, fine = yield from _predicted(model, exposure, device, "the result", pixels)
    else:
        sharp, fine = _given(model, raw.shape, result, frame)

    found: list[Measure] = []
    maps: dict[str, NDArray[Any]] = {}
    spectrum = None
    if not evidence.unknown:
        left = evidence.residual(sharp)
        maps["z_map"] = left.z
        noise, brightness = evidence.camera, evidence.brightness
        spectrum = evidence.sharpening(sharp)
        length, unit = _length(model.psf)
        found += [
            measures.noise_level(left, noise, brightness),
            measures.noise_correlation(left),
            measures.reblur(left, noise, brightness),
            measures.sharper(spectrum, length, unit),
            measures.extrapolation(spectrum),
            measures.flux(evidence.flux(sharp), raw.ndim),
        ]
    else:
        names = (
            "noise level",
            "residual correlation",
            "re-blur",
            "sharpening",
            "extrapolation",
            "flux",
        )
        found += [not_judged(name, evidence.unknown) for name in names]

    found += yield from _stability(model, evidence, other, sharp, repeats, device, maps)
    found.append((yield from _sensitivity(model, evidence, device)))
    if spectrum is not None:
        level = background_level(fine)
        background, deviation = evidence.background(level)
        shown = yield from _marked(
            iter_blank(model, background, level, deviation, device), "Showing background alone"
        )
        found.append(measures.blank(shown, spectrum.raised, float(sharp.std())))
    else:
        found.append(not_judged("blank", evidence.unknown))
    notes = [
        *_decorrelation(model, evidence.signal, sharp),
        *_measured_part(model, raw.shape, repeats),
    ]
    return Verdict(tuple(found), tuple(notes), maps, spectrum)


def _marked(steps: Generator[TileProgress, None, T], what: str) -> Generator[TileProgress, None, T]:
    """Pass progress on with a word on what is under way."""
    while True:
        try:
            state = next(steps)
        except StopIteration as end:
            value: T = end.value
            return value
        yield TileProgress(state.done, state.total, state.message or what)


# Images


def _one_frame(
    model: Model, image: ArrayLike | Image, axes: str | None, frame: int, maps: CameraMaps | None
) -> tuple[NDArray[np.float32], NDArray[np.uint8] | None, tuple[str, ...]]:
    """Take one frame of an image, ([Z,] Y, X) counts, evened and filled where it is masked.

    Beside it stands why its pixels are masked, None where none is, and what is said of them.
    """
    name, rule = "image", PixelRule()
    if isinstance(image, Image):
        model.check_voxel_size(image.voxel_size, image.name)
        name, rule = image.name or name, image.pixel_rule
    frames = as_frames(image, axes, spatial=model.axes)
    if not 0 <= frame < len(frames):
        raise InputError(
            f"frame is {frame} and the image has {len(frames)}: give an index from 0 to "
            f"{len(frames) - 1}."
        )
    if maps is not None:
        frames = maps.evened(frames, name)
    if model.reconstruction is not None:
        rule = PixelRule(outliers=False)
    mask = model.pixel_mask(frames, rule, name)
    check_room(
        8 * math.prod(frames.shape[1:]),
        f"Judging {name}",
        "cut it into smaller files, or use a machine with more memory.",
    )
    raw = np.asarray(with_mask(frames, mask)[frame], dtype=np.float32)
    if mask is None:
        return raw, None, ()
    kinds = mask.kinds(frame)
    return raw, kinds if kinds.any() else None, mask.sentences


def _predicted(
    model: Model,
    exposure: Exposure,
    device: str,
    what: str,
    camera: CameraMaps | None = None,
) -> Generator[TileProgress, None, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Make the deconvolved and the denoised image."""
    raw, mask = exposure[0], mask_of_filled(*exposure)
    steps = model.iter_predict(raw, axes=model.axes, device=device, camera=camera, mask=mask)
    result = yield from _marked(steps, f"Predicting {what}")
    return result.deconvolved, result.denoised


def _given(
    model: Model, shape: tuple[int, ...], result: Result, frame: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Take the same frame of a result that is there already."""
    pictures = []
    for given, wanted in zip(
        (result.deconvolved, result.denoised), reversed(model.output_shapes(shape)), strict=True
    ):
        picture = given if given.ndim == len(shape) else given[frame]
        if picture.shape != wanted:
            raise InputError(
                f"The result has the shape {given.shape} where {wanted} is wanted: give the "
                "result of this model on this image, with the same axes."
            )
        pictures.append(np.asarray(picture, dtype=np.float32))
    return pictures[0], pictures[1]


def _part_within_memory(model: Model, raw: NDArray[np.float32]) -> tuple[slice, ...] | None:
    """Choose the part of an image that can be judged in the memory there is; None for all.

    Raises
    ------
    InputError
        If not even the part that is always judged can be.
    """
    free, width = JUDGING_SHARE * available_memory(), max(raw.shape[-2:])
    if memory_to_judge(model, raw.shape) <= free:
        return None
    least = min(_region(model)[-1], width)
    size = raw.shape
    while width > least and memory_to_judge(model, size) > free:
        width = max(width * 7 // 8, least)
        size = (*raw.shape[:-2], *(min(width, length) for length in raw.shape[-2:]))
    check_room(
        memory_to_judge(model, size),
        "Judging the result",
        "close other programs, use a machine with more memory, or go without a verdict.",
    )
    return _brightest(raw, size)


def memory_to_judge(model: Model, shape: tuple[int, ...]) -> int:
    """Give the memory that judging an image ([Z,] Y, X) takes, in bytes; as measured."""
    if len(shape) == 2:
        return 2**27 + BYTES_TO_JUDGE[2] * math.prod(shape)
    fine = (*shape[:-2], *(model.upsampling * length for length in shape[-2:]))
    psf = model.psf.array.shape
    room = math.prod(room_of(fine, margins(psf), psf))
    part = tuple(min(pair) for pair in zip(shape, _region(model), strict=True))
    repeats = model.network.memory_of(part, torch.device("cpu"))
    # Measured for 0.4 to 3.5 million voxels.
    return 5 * 2**25 + repeats + max(24 * room, BYTES_TO_JUDGE[3] * math.prod(fine))


def _cut(values: NDArray[Any] | None, place: tuple[slice, ...]) -> Any:
    return None if values is None else values[place]


def _cut_result(
    model: Model, result: Result | None, frame: int, place: tuple[slice, ...]
) -> Result | None:
    if result is None:
        return None
    fine = _on_output_grid(place, model.upsampling)
    several = result.denoised.ndim > len(place)
    denoised, sharp = (
        picture[frame] if several else picture for picture in (result.denoised, result.deconvolved)
    )
    return Result(denoised[place], sharp[fine])


def _spread_out(
    maps: Mapping[str, NDArray[Any]],
    place: tuple[slice, ...],
    shape: tuple[int, ...],
    upsampling: int,
) -> dict[str, NDArray[Any]]:
    """Put maps of a part where it lies, with NaN around them; of large ones nothing but z."""
    large = {}
    for name, pixels in maps.items():
        where, size = place, shape
        if name != "z_map":
            where = _on_output_grid(place, upsampling)
            size = (*shape[:-2], *(upsampling * length for length in shape[-2:]))
        if 4 * math.prod(size) > JUDGING_SHARE * available_memory():
            continue
        large[name] = np.full(size, np.nan, np.float32)
        large[name][where] = pixels
    return large


def _region(model: Model) -> tuple[int, ...]:
    """Give the largest part on which other PSFs are tried."""
    most = REGION[len(model.axes)]
    if len(most) == 2:
        return most
    return quick_part(most, model.psf.array.shape, model.upsampling)


def _brightest(raw: NDArray[np.float32], most: tuple[int, ...]) -> tuple[slice, ...]:
    """Choose the part of an image with most light, at most so large."""
    place = []
    for axis, (length, largest) in enumerate(zip(raw.shape, most, strict=True)):
        others = tuple(other for other in range(raw.ndim) if other != axis)
        light = np.cumsum(np.r_[0.0, raw.mean(axis=others, dtype=float)])
        size = min(length, largest)
        start = int(np.argmax(light[size:] - light[: len(light) - size]))
        place.append(slice(start, start + size))
    return tuple(place)


def _on_output_grid(place: tuple[slice, ...], upsampling: int) -> tuple[slice, ...]:
    """Give the place of a part in the result."""
    lateral = [
        slice(*(None if end is None else upsampling * end for end in (axis.start, axis.stop)))
        for axis in place[-2:]
    ]
    return (*place[:-2], *lateral)


def _measured_part(model: Model, shape: tuple[int, ...], repeats: int) -> list[str]:
    """Say which part of a large volume other noise and other PSFs were tried on."""
    most = _region(model)
    if len(shape) == 2 or all(length <= size for length, size in zip(shape, most, strict=True)):
        return []
    what = "Spread, resolution and PSF sensitivity are" if repeats else "PSF sensitivity is"
    size = " x ".join(str(min(pair)) for pair in zip(shape, most, strict=True))
    return [f"{what} of the brightest part of the stack, {size} voxels."]


def _length(psf: PSF) -> tuple[float, str]:
    """Say by what a length is multiplied to be shown, and its unit."""
    return (1.0, "output pixels") if psf.voxel_size is None else (1000.0, "nm")


# Steps


def _stability(
    model: Model,
    evidence: Evidence,
    other: Exposure | None,
    sharp: NDArray[np.float32],
    repeats: int,
    device: str,
    maps: dict[str, NDArray[Any]],
) -> Generator[TileProgress, None, list[Measure]]:
    """Measure resolution and spread; adds the spread to the maps."""
    spread: Spread | None = None
    raw = evidence.image
    place = _brightest(raw, _region(model)) if raw.ndim == 3 else (slice(None),) * 2
    fine = _on_output_grid(place, model.upsampling)
    if repeats and not evidence.unknown:
        pairs = evidence.pairs(place, repeats // 2)
        steps = iter_spread(
            model,
            pairs,
            evidence.followed(place),
            device,
            _at(evidence.maps, place),
            mask_of_filled(*_part(evidence, place)),
        )
        spread = yield from _marked(steps, "Repeating with other noise")
        for name, found_there in (("spread", spread.deviation), ("mean", spread.mean)):
            maps[name] = np.full(sharp.shape, np.nan, dtype=np.float32)
            maps[name][fine] = found_there
    why = evidence.unknown or "no repeats were asked for."
    pixel = model.psf.steps[-1]
    length, unit = _length(model.psf)
    cutoff = 1 / model.psf.otf_cutoff
    if other is not None:
        sharp_other, _ = yield from _predicted(
            model, other, device, "the second exposure", evidence.maps
        )
        before = fourier_ring_correlation(raw, other[0], model.upsampling * pixel)
        after = fourier_ring_correlation(sharp, sharp_other, pixel)
        source = "two exposures"
    elif spread is not None:
        # Either half of a pair has twice the noise: a correlation c of the two stands for
        # 2 c / (1 + c) of two exposures, and 1/13 for 1/7. Results are compared as they are.
        (pair,) = evidence.pairs(place, 1)
        before = fourier_ring_correlation(*pair, model.upsampling * pixel, threshold=1 / 13)
        after = fourier_ring_correlation(spread.first, spread.second, pixel)
        source = "two re-corruptions of the one recording"
    else:
        return [not_judged(name, why) for name in ("resolution", "spread", "noise followed")]
    found = [
        measures.resolution(
            length * before.resolution, length * after.resolution, length * cutoff, unit, source
        )
    ]
    if spread is None:
        return [*found, not_judged("spread", why), not_judged("noise followed", why)]
    contrast = max(float(sharp[fine].std()), 1e-12)
    moved = float(np.sqrt(np.mean(spread.deviation**2))) / contrast
    return [
        *found,
        measures.spread(moved),
        measures.noise_followed(spread.followed, spread.beyond),
    ]


def _at(camera: CameraMaps | None, place: tuple[slice, ...]) -> CameraMaps | None:
    return None if camera is None else camera.cut(place)


def _part(evidence: Evidence, place: tuple[slice, ...]) -> Exposure:
    """Cut a part of the image, with why its pixels are not used."""
    kinds = evidence.kinds
    return evidence.image[place], None if kinds is None else kinds[place]


def _sensitivity(
    model: Model, evidence: Evidence, device: str
) -> Generator[TileProgress, None, Measure]:
    """Measure what a wider and a narrower PSF in the same network change."""
    place = _brightest(evidence.image, _region(model))
    part, there = _part(evidence, place), _at(evidence.maps, place)
    results = []
    for factor in (1 - PSF_CHANGE, 1 + PSF_CHANGE):
        changed = with_psf(model, scaled(model.psf, factor))
        if changed is None:
            return not_judged(
                "PSF sensitivity",
                "the PSF is in the weights of this network; train it again with another PSF.",
            )
        sharp, _ = yield from _predicted(changed, part, device, "with another PSF", there)
        results.append(sharp)
    change = float(np.sqrt(np.mean(np.subtract(*results) ** 2))) / 2
    contrast = max(float(np.add(*results).std()) / 2, 1e-12)
    return measures.sensitivity(change / contrast)


def _decorrelation(
    model: Model, signal: NDArray[np.float32], sharp: NDArray[np.float32]
) -> list[str]:
    """Say the resolution by decorrelation analysis, of a volume in its brightest plane."""
    length, unit = _length(model.psf)
    pixel = length * model.psf.steps[-1]
    if signal.ndim == 3:
        plane = int(np.argmax(signal.mean(axis=(1, 2))))
        signal, sharp = signal[plane], sharp[plane]
    before = decorrelation_resolution(signal, pixel * model.upsampling)
    after = decorrelation_resolution(sharp, pixel)
    if not (np.isfinite(before) and np.isfinite(after)):
        return ["Decorrelation analysis found no resolution in image or result."]
    return [
        f"By decorrelation analysis, the resolution goes from {before:.0f} to {after:.0f} {unit}; "
        "of a result this is how fine its structure looks, not how fine it is known."
    ]
