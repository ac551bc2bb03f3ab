"""Make the table of raw SIM for docs/believe.md: `python docs/make_sim_verdict_table.py`.

One simulated recording, a good run, and the same broken on purpose; prints the table.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from make_verdict_pictures import NO_NOISE, show

from napari_zsdeconvnet import train
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import SIM_PRESETS, Preset
from napari_zsdeconvnet.quality.stability import scaled, with_psf
from napari_zsdeconvnet.quality.verdict import judge
from napari_zsdeconvnet.sim import Reconstruction, SIMSample, simulate_sim

DEFAULT = replace(SIM_PRESETS["fast"], patch=64, batch=2)
OVER_FITTING = replace(
    SIM_PRESETS["fast"],
    patch=48,
    batch=1,
    learning_rate=6e-3,
    shot_noise=NO_NOISE,
    read_noise=NO_NOISE,
)


def main() -> None:
    """Train, judge and print."""
    sample = simulate_sim("filaments", shape=(96, 96), photons=30, seed=4)
    good = trained(sample)
    wide_psf = with_psf(good, scaled(good.psf, 1.5))
    narrow_psf = with_psf(good, scaled(good.psf, 0.45))
    assert wide_psf is not None
    assert narrow_psf is not None
    interpolated = (sample.raw + np.roll(sample.raw, 1, 1).astype(float)) / 2
    dim = simulate_sim("filaments", shape=(96, 96), photons=3, seed=4)
    cases = {
        "Good": judge(good, sample.raw),
        "SIM PSF 1.5x too wide": judge(wide_psf, sample.raw),
        "SIM PSF less than half as wide": judge(narrow_psf, sample.raw),
        "Microscope's PSF 1.4x too wide": judge(trained(sample, widen=1.4), sample.raw),
        "3 steps of training": judge(trained(sample, 3), sample.raw),
        "Over-fitted": judge(trained(sample, 400, OVER_FITTING), sample.raw),
        "Gain 4x too low": judge(good, sample.raw, camera=replace(sample.noise, gain=0.25)),
        "Gain 4x too high": judge(good, sample.raw, camera=replace(sample.noise, gain=4.0)),
        "Interpolated columns": judge(good, interpolated),
        "A tenth of the light": judge(good, dim.raw),
    }
    show(cases)


def trained(
    sample: SIMSample, steps: int = 250, preset: Preset = DEFAULT, *, widen: float | None = None
) -> Model:
    """Train on the sample, rightly or not."""
    psf = None if widen is None else scaled(sample.psf, widen)
    run = train(
        sample.raw,
        reconstruction=Reconstruction(sample.patterns, psf=psf),
        noise=sample.noise,
        preset=preset,
        steps=steps,
        seed=1,
        device="cpu",
        preview_every=0,
    )
    for _ in run:
        pass
    return run.model


if __name__ == "__main__":
    main()
