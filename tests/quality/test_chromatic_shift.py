"""The shift of channels: known ones under noise, and none where nothing is shared."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import fourier_shift, gaussian_filter

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.quality.chromatic_shift import channel_shifts, shift_between

PIXEL = 0.0626
STEPS = (None, PIXEL, PIXEL)
KINDS = ("filaments", "vesicles", "rings")


def recorded(rng, photons, most):
    """Return counts of a camera of offset 100 and read noise 2."""
    light = photons / np.percentile(photons, 99.9) * most
    return rng.poisson(light) + rng.normal(0, 2, light.shape) + 100


def seen(structure, width, shift=(0, 0)):
    """Shift a structure of half pixels, blur it and bin it to pixels."""
    moved = np.fft.ifftn(fourier_shift(np.fft.fftn(structure), 2 * np.asarray(shift))).real
    blurred = gaussian_filter(np.maximum(moved, 0), width)
    rows, columns = blurred.shape
    return blurred.reshape(rows // 2, 2, columns // 2, 2).mean((1, 3))


@pytest.fixture(scope="module")
def structures():
    return {kind: zs.simulate(kind, shape=(192, 200), pixel_size=PIXEL).truth for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.4, -1.3), (-2.6, 3.2)])
def test_a_known_shift_under_noise(structures, kind, shift):
    rng = np.random.default_rng(1)
    first = recorded(rng, seen(structures[kind], 2.6), 30)
    second = recorded(rng, seen(structures[kind], 3.4, shift), 30)
    pixels, errors = shift_between(first, second, STEPS)
    np.testing.assert_allclose(pixels, shift, atol=0.12)
    assert (np.abs(np.subtract(pixels, shift)) < 4 * np.array(errors)).all()
    assert max(errors) < 0.12


def test_errors_are_those_of_repeated_recordings(structures):
    shift = np.array((0.7, 0.2))
    one, other = seen(structures["rings"], 2.6), seen(structures["rings"], 3.4, shift)
    off = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        found, errors = shift_between(recorded(rng, one, 10), recorded(rng, other, 10), STEPS)
        off.append((found - shift) / errors)
    assert 0.3 < np.sqrt(np.mean(np.square(off))) < 2.0


@pytest.mark.parametrize("seed", range(6))
def test_channels_that_share_nothing_cannot_be_measured(structures, seed):
    """Not even where hot pixels of the camera lie in both."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(KINDS, 2)
    one = recorded(rng, seen(structures[kinds[0]], 2.6), 200)
    other = recorded(rng, seen(np.roll(structures[kinds[1]], 150, axis=(0, 1)), 3.4), 200)
    hot = rng.random(one.shape) < 1e-3
    one[hot] += 300
    other[hot] += 300
    assert shift_between(one, other, STEPS) == ((), ())


def test_little_light_and_small_images_cannot_be_measured(structures):
    rng = np.random.default_rng(0)
    structure = structures["vesicles"]
    dark = [recorded(rng, seen(structure, width), 1) for width in (2.6, 3.4)]
    assert shift_between(*dark, STEPS) == ((), ())
    assert shift_between(np.ones((20, 20)), np.ones((20, 20))) == ((), ())
    assert shift_between(np.ones((80, 80)), np.ones((80, 80))) == ((), ())


def test_volumes_are_shifted_along_z_too():
    rng = np.random.default_rng(2)
    beads = np.zeros((36, 128, 128))
    beads[tuple(rng.integers(0, length, 250) for length in beads.shape)] = rng.uniform(1, 4, 250)
    shift = (1.4, -0.6, 0.3)
    moved = np.fft.ifftn(fourier_shift(np.fft.fftn(gaussian_filter(beads, (2, 1.6, 1.6))), shift))
    first = recorded(rng, gaussian_filter(beads, (1.6, 1.3, 1.3)), 100)[6:-6]
    second = recorded(rng, np.maximum(moved.real, 0), 100)[6:-6]
    image = zs.Image(
        np.stack([first, second]), "CZYX", channel_names=("GFP", "RFP"), steps=(0.3, 0.1, 0.1)
    )
    (found,) = channel_shifts(image)
    assert found.axes == "ZYX"
    np.testing.assert_allclose(found.pixels, shift, atol=0.1)
    np.testing.assert_allclose(found.micrometres, np.multiply(shift, (0.3, 0.1, 0.1)), atol=0.03)
    assert found.sentence.startswith("Channel 1 (RFP) lies beside Channel 0 (GFP) by Z +1.")
    assert "planes (+0.4" in found.sentence
    assert found.sentence.endswith("Nothing was moved.")


def test_one_is_the_reference_for_all(structures):
    rng = np.random.default_rng(3)
    same, other = structures["filaments"], structures["vesicles"]
    channels = [seen(same, 2.6), seen(other, 3.0), seen(same, 3.4, (0.5, 0.5))]
    pixels = np.stack([recorded(rng, one, 50) for one in channels])
    image = zs.Image(np.stack([pixels] * 2), "TCYX", steps=STEPS)
    unlike, like = channel_shifts(image)
    assert unlike.sentence == (
        "Channel 1 and Channel 0 share too little structure to measure their shift."
    )
    assert unlike.micrometres is None
    assert like.to_dict()["pixels"] == pytest.approx([0.5, 0.5], abs=0.1)
    assert [one.channel for one in channel_shifts(image, reference=2)] == [0, 1]
    assert channel_shifts(image, reference=2)[0].pixels == pytest.approx((-0.5, -0.5), abs=0.1)


def test_pixels_that_were_not_recorded_do_not_count(structures):
    rng = np.random.default_rng(4)
    both = [recorded(rng, seen(structures["rings"], 2.6, (0, s)), 50) for s in (0, 1)]
    for one in both:
        one[40:60, 40:60] = np.nan
    (found,) = channel_shifts(zs.Image(np.stack(both), "CYX"))
    assert found.pixels == pytest.approx((0, 1), abs=0.1)
    assert "µm" not in found.sentence
