"""Break a run in every way that docs/believe.md speaks of, and show what the verdict says.

    python docs/make_verdict_pictures.py

The pictures go to docs/images/, and the table of that page is printed. About five minutes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_zsdeconvnet import Model, train
from napari_zsdeconvnet.model.presets import FROM_SCRATCH, PRESETS, Preset
from napari_zsdeconvnet.quality.pictures import side_by_side
from napari_zsdeconvnet.quality.reference_metrics import truth_at_resolution
from napari_zsdeconvnet.quality.stability import scaled
from napari_zsdeconvnet.quality.verdict import Verdict, judge
from napari_zsdeconvnet.simulation.sample import Sample, simulate

IMAGES = Path(__file__).parent / "images"
DEFAULT = replace(PRESETS["fast"], patch=64, batch=2)
# The weights that come with the package are not bad enough after three steps.
SCRATCH = replace(FROM_SCRATCH, patch=64, batch=2)
NO_NOISE = (0.0, 0.02)


def main() -> None:
    """Train, judge, print and draw."""
    sample = simulate(shape=(128, 128), photons=50, seed=1)
    good = trained(sample)
    interpolated = (sample.raw + np.roll(sample.raw, 1, 0).astype(float)) / 2
    cases: dict[str, tuple[Model, NDArray]] = {
        "Good": (good, sample.raw),
        "PSF 1.6x too wide": (trained(sample, widen=1.6), sample.raw),
        "PSF half as wide": (trained(sample, widen=0.5), sample.raw),
        "3 steps of training": (trained(sample, 3, SCRATCH), sample.raw),
        "Over-fitted": (
            trained(sample, 800, replace(SCRATCH, patch=32, margin=4), loud=False),
            sample.raw,
        ),
        "Gain 2.5x too high": (replace(good, noise=replace(good.noise, gain=2.5)), sample.raw),
        "Interpolated rows": (good, interpolated),
    }
    results, verdicts = {}, {}
    for name, (model, raw) in cases.items():
        result = model.predict(raw, device="cpu")
        verdicts[name] = judge(model, raw, result=result, device="cpu")
        results[name] = result.deconvolved
    show(verdicts)
    draw(sample, results, verdicts)


def trained(
    sample: Sample,
    steps: int = 250,
    preset: Preset = DEFAULT,
    *,
    widen: float = 1.0,
    loud: bool = True,
) -> Model:
    """Train on the sample, rightly or not; a quiet one adds next to no noise to its pairs."""
    if not loud:
        preset = replace(preset, shot_noise=NO_NOISE, read_noise=NO_NOISE)
    run = train(
        sample.raw,
        scaled(sample.psf, widen),
        sample.noise,
        voxel_size=sample.voxel_size,
        preset=preset,
        steps=steps,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    return run.model


def show(verdicts: dict[str, Verdict]) -> None:
    """Print the table of the page, failures in bold."""
    names = [measure.name for measure in verdicts["Good"].measures]
    print("|", " | ".join(["", *names]), "|")
    print("|---" * (len(names) + 1) + "|")
    for name, verdict in verdicts.items():
        cells = [
            f"**{m.value:.3g}**" if m.passed is False else f"{m.value:.3g}"
            for m in verdict.measures
        ]
        print("|", " | ".join([name, *cells]), "|")


def draw(sample: Sample, results: dict[str, NDArray], verdicts: dict[str, Verdict]) -> None:
    """Draw results, their z-maps, and the spread beside the true error."""
    shown = ["Good", "PSF 1.6x too wide", "PSF half as wide", "3 steps of training", "Over-fitted"]
    width = 260
    side_by_side(
        [results[name] for name in shown],
        shown,
        IMAGES / "verdict_results.png",
        percentiles=(1, 99.5),
        panel_width=width,
    )
    side_by_side(
        [on_one_scale(verdicts[name].maps["z_map"]) for name in shown],
        ["z-map, -6 to 6", *["the same"] * 4],
        IMAGES / "verdict_z_maps.png",
        percentiles=(0, 100),
        panel_width=width,
    )
    truth = truth_at_resolution(sample.truth, 0.1, sample.truth_voxel_size)
    error = np.abs(results["Good"] - truth)
    side_by_side(
        [results["Good"], verdicts["Good"].maps["spread"], error],
        ["Result", "Spread", "True error"],
        IMAGES / "verdict_spread.png",
        percentiles=(1, 99.5),
    )


def on_one_scale(z_map: NDArray) -> NDArray:
    """Cut a z-map at 6 standard deviations, and show both in a corner so that panels compare."""
    cut = np.clip(z_map, -6, 6)
    cut[0, 0], cut[0, 1] = -6, 6
    return cut


if __name__ == "__main__":
    main()
