"""The measures of a verdict, taken one after the other on whatever a recording can say."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..inference.predict import Result, TileProgress
from ..model.model import Model
from ..noise.camera_maps import CameraMaps
from ..noise.pixel_mask import mask_of_filled
from ..psf.psf import PSF
from ..utils.errors import InputError
from . import checks as measures
from .checks import Measure, not_judged
from .decorrelation import decorrelation_resolution
from .judged_part import brightest, maps_at, measured_part, on_output_grid, region_of
from .recording_statistics import Evidence
from .report import Verdict
from .ring_correlation import fourier_ring_correlation
from .stability import Spread, background_level, iter_blank, iter_spread, scaled, with_psf

PSF_CHANGE = 0.1
"""Relative change of the PSF's width whose effect is measured."""

T = TypeVar("T")

Exposure: TypeAlias = "tuple[NDArray[np.float32], NDArray[np.uint8] | None]"
"""Counts, ([Z,] Y, X), filled where pixels are not used, and why those are not; None if all are."""


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
            "second-exposure-shape",
            f"The second exposure has the shape {other[0].shape} and the image {raw.shape}: give "
            "two exposures of one scene.",
        )
    if repeats < 0 or repeats % 2:
        raise InputError(
            "repeats-wrong", f"repeats is {repeats}: give an even number, or 0 for none."
        )
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
        *measured_part(model, raw.shape, repeats),
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
                "result-shape",
                f"The result has the shape {given.shape} where {wanted} is wanted: give the "
                "result of this model on this image, with the same axes.",
            )
        pictures.append(np.asarray(picture, dtype=np.float32))
    return pictures[0], pictures[1]


def _length(psf: PSF) -> tuple[float, str]:
    """Say by what a length is multiplied to be shown, and its unit."""
    return (1.0, "output pixels") if psf.voxel_size is None else (1000.0, "nm")


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
    place = brightest(raw, region_of(model)) if raw.ndim == 3 else (slice(None),) * 2
    fine = on_output_grid(place, model.upsampling)
    if repeats and not evidence.unknown:
        pairs = evidence.pairs(place, repeats // 2)
        steps = iter_spread(
            model,
            pairs,
            evidence.followed(place),
            device,
            maps_at(evidence.maps, place),
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
    elif spread is not None:
        # Either half of a pair has twice the noise: a correlation c of the two stands for
        # 2 c / (1 + c) of two exposures, and 1/13 for 1/7. Results are compared as they are.
        (pair,) = evidence.pairs(place, 1)
        before = fourier_ring_correlation(*pair, model.upsampling * pixel, threshold=1 / 13)
        after = fourier_ring_correlation(spread.first, spread.second, pixel)
    else:
        return [not_judged(name, why) for name in ("resolution", "spread", "noise followed")]
    found = [
        measures.resolution(
            length * before.resolution,
            length * after.resolution,
            length * cutoff,
            unit,
            independent=other is not None,
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


def _part(evidence: Evidence, place: tuple[slice, ...]) -> Exposure:
    """Cut a part of the image, with why its pixels are not used."""
    kinds = evidence.kinds
    return evidence.image[place], None if kinds is None else kinds[place]


def _sensitivity(
    model: Model, evidence: Evidence, device: str
) -> Generator[TileProgress, None, Measure]:
    """Measure what a wider and a narrower PSF in the same network change."""
    place = brightest(evidence.image, region_of(model))
    part, there = _part(evidence, place), maps_at(evidence.maps, place)
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
