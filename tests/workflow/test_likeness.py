"""Which recordings one model may serve: noise, light and structure, against known answers."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.modes.base import Known
from napari_zsdeconvnet.modes.image_2d import Image2D
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.microscope import Microscope
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.workflow.likeness import Likeness, SharedModels

PIXEL = 0.0626
CAMERA = NoiseModel(100, 1.0, 4.0)


def mode(kind="filaments", camera=CAMERA, seed=0, photons=50):
    sample = simulate(
        kind, shape=(128, 128), pixel_size=PIXEL, seed=seed, photons=photons, noise=camera
    )
    image = Image(sample.raw, "YX", (PIXEL, PIXEL), kind)
    made = Image2D(image, Known(Microscope(1.3, 0.525), camera=camera))
    for step in (made.prepare, made.calibrate):
        list(step())
    return made


@pytest.fixture(scope="module")
def likeness():
    return Likeness.of(mode())


@pytest.mark.parametrize("kind", ["filaments", "vesicles"])
def test_other_fields_of_the_same_sample_are_alike(kind):
    one = Likeness.of(mode(kind))
    for seed in range(1, 5):
        assert Likeness.of(mode(kind, seed=seed)).differs(one) == ""


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"camera": NoiseModel(100, 2.0, 4.0)}, "its gain is 2 counts"),
        ({"camera": NoiseModel(100, 1.0, 40.0)}, "its read variance is 40 counts squared"),
        ({"camera": NoiseModel(130, 1.0, 4.0)}, "its offset is 130 counts"),
        ({"photons": 500}, "its light is 1?[0-9.]+ times"),
    ],
)
def test_what_is_not_alike_is_said(likeness, other, why):
    assert re.search(why, Likeness.of(mode(**other)).differs(likeness))


def test_a_gain_that_is_not_known_yet_is_not_compared(likeness):
    """As a box on empty background leaves it: offset and read variance alone."""
    made = mode()
    made.camera = NoiseModel(100, None, 4.0)
    other = Likeness.of(made)
    assert other.differs_in_noise(CAMERA) == ""
    assert "gain" not in other.differs(likeness)


def test_pixels_that_were_not_recorded_do_not_count(likeness):
    made = mode(seed=1)
    pixels = made.image.data.astype(np.float32)
    pixels[:, :4] = np.nan
    made.image = Image(pixels, "YX", (PIXEL, PIXEL), "deskewed")
    assert Likeness.of(made).differs(likeness) == ""


def test_structure_of_other_sizes_is_not_alike(likeness):
    """Light without any fine detail, of the same brightness."""
    made = mode()
    y, x = np.mgrid[:128, :128]
    smooth = 100 + 60 * np.exp(-((y - 64) ** 2 + (x - 64) ** 2) / 2 / 30**2)
    rng = np.random.default_rng(0)
    made.image = Image(rng.poisson(smooth - 100) + rng.normal(100, 2, (128, 128)), "YX", name="a")
    assert "other sizes" in Likeness.of(made).differs(likeness)


def test_memory_stays_the_same_however_many_recordings_there_are():
    shared = SharedModels(most=3)
    made = mode()
    models = [SimpleNamespace(noise=CAMERA) for _ in range(10)]
    for model in models:
        shared.add(model, made)
    assert list(shared.models) == models[:-4:-1]
    assert shared.unlike(made, models[-1]) == ""
    other = mode(camera=NoiseModel(100, 3.0, 4.0))
    assert shared.unlike(other, models[-1]).startswith("The model at hand is not used: its gain")
