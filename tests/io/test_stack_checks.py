from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.stack_checks import (
    channels_taken_for_planes,
    frames_taken_for_planes,
    planes_taken_for_frames,
)

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@lru_cache
def stack(planes: int = 24, fineness: int = 1) -> np.ndarray:
    """Blurred points, 1 at the 99.9th percentile; planes as far apart as two pixels or finer."""
    rng = np.random.default_rng(3)
    volume = np.zeros((planes, 128, 128))
    places = rng.integers(0, volume.shape, (planes * 16 // fineness, 3))
    np.add.at(volume, tuple(places.T), rng.uniform(0.3, 1, len(places)))
    volume = gaussian_filter(volume, (2.0 * fineness, 1.4, 1.4), mode="wrap")
    return volume / np.percentile(volume, 99.9)


def exposed(electrons: np.ndarray, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    counts = 100 + rng.poisson(electrons) + rng.normal(0, 2, electrons.shape)
    return np.round(counts).astype(np.uint16)


def repeated(frames: int = 20) -> np.ndarray:
    return np.repeat(stack()[12:13], frames, axis=0)


class TestFramesTakenForPlanes:
    @pytest.mark.parametrize("photons", [20, 50, 1000])
    def test_repeated_exposures_are_noticed_and_a_stack_is_not(self, photons: float):
        words = frames_taken_for_planes(exposed(photons * repeated()), "ZYX")
        assert words is not None
        assert "read them as a time series (axes TYX)" in words
        assert frames_taken_for_planes(exposed(photons * stack()), "ZYX") is None

    @pytest.mark.parametrize("photons", [0, 0.3, 1, 3])
    def test_what_noise_leaves_open_is_not_said_of_a_stack(self, photons: float):
        for seed in range(20):
            assert frames_taken_for_planes(exposed(photons * stack(), seed), "ZYX") is None

    def test_bleaching_is_no_change(self):
        bleaching = np.exp(-0.1 * np.arange(20))[:, None, None]
        assert frames_taken_for_planes(exposed(200 * repeated() * bleaching), "ZYX") is not None

    def test_unrelated_planes_are_no_repeats(self):
        unrelated = stack().reshape(24, 4, 32, 128).transpose(1, 0, 2, 3).reshape(-1, 32, 128)
        assert frames_taken_for_planes(exposed(100 * unrelated[::7]), "ZYX") is None

    def test_fine_steps_are_judged_by_the_voxel_size(self):
        # Eight planes to the step of others: they hardly differ, and that was to be expected.
        fine = exposed(200 * stack(48, 8))
        assert frames_taken_for_planes(fine, "ZYX") is not None
        assert frames_taken_for_planes(Image(fine, "ZYX", (0.025, 0.1, 0.1))) is None
        named = Image(exposed(200 * repeated()), "ZYX", (0.2, 0.1, 0.1), "cells.tif")
        words = frames_taken_for_planes(named)
        assert words is not None
        assert "cells.tif" in words

    def test_the_first_of_several_volumes_is_looked_at(self):
        series = np.stack([exposed(100 * repeated()), exposed(100 * repeated(), 1)])
        assert frames_taken_for_planes(series) is not None
        assert frames_taken_for_planes(exposed(100 * repeated())[:2], "ZYX") is None


class TestPlanesTakenForFrames:
    @pytest.mark.parametrize("photons", [10, 50, 1000])
    def test_a_stack_is_noticed_and_repeated_exposures_are_not(self, photons: float):
        words = planes_taken_for_frames(exposed(photons * stack()))
        assert words is not None
        assert "read them as a volume (axes ZYX)" in words
        for seed in range(10):
            assert planes_taken_for_frames(exposed(photons * repeated(), seed)) is None

    def test_single_images_are_no_stack(self):
        assert planes_taken_for_frames(exposed(100 * stack()[12])) is None
        unrelated = stack().reshape(24, 4, 32, 128).transpose(1, 0, 2, 3).reshape(-1, 32, 128)
        assert planes_taken_for_frames(exposed(100 * unrelated[::7])) is None


class TestChannelsTakenForPlanes:
    @pytest.mark.parametrize("planes", [2, 3, 4])
    def test_unrelated_planes_are_noticed_and_neighbours_are_not(self, planes: int):
        assert channels_taken_for_planes(exposed(50 * stack()[8 : 8 + planes]), "ZYX") is None
        other = np.array([np.rot90(stack()[8], turns) for turns in range(planes)])
        words = channels_taken_for_planes(exposed(50 * other), "ZYX")
        assert words is not None
        assert "choose one" in words

    def test_neighbours_in_much_noise_are_left_open(self):
        for seed in range(20):
            assert channels_taken_for_planes(exposed(0.5 * stack()[:3], seed), "ZYX") is None

    def test_five_planes_are_a_stack(self):
        assert channels_taken_for_planes(exposed(50 * stack()[::5]), "ZYX") is None


@pytest.mark.skipif(not DATA.is_dir(), reason="the folder with recordings is absent")
class TestRecordings:
    def test_telomeres_are_a_time_series(self):
        series = read_image(DATA / "widefield2d" / "telomeres_timelapse.tif")
        assert frames_taken_for_planes(series, "ZYX") is not None
        assert planes_taken_for_frames(series) is None

    @pytest.mark.parametrize("name", ["volume/lls_cell_deskewed.tif", "reference3d/raw.tif"])
    def test_stacks_are_stacks(self, name: str):
        volume = read_image(DATA / name).data
        assert frames_taken_for_planes(volume, "ZYX") is None
        assert planes_taken_for_frames(volume, "TYX") is not None
        assert channels_taken_for_planes(volume[20:24], "ZYX") is None
