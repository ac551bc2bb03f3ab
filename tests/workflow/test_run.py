"""What `run` opens, which mode it chooses, and what comes out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.acquisition import Optics
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model.presets import VOLUME_PRESETS
from napari_zsdeconvnet.modes.base import Known
from napari_zsdeconvnet.modes.image_2d import Image2D
from napari_zsdeconvnet.modes.registry import find_mode
from napari_zsdeconvnet.simulation.raw_sim import simulate_sim
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.run import microscope_of, opened

PIXEL = 0.0626


def counts(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).poisson(100, shape).astype(np.uint16)


def image(axes: str, *shape: int, size: tuple[float, ...] | None = None) -> Image:
    return Image(counts(*shape), axes, size)


class TestOpening:
    @pytest.mark.parametrize(
        ("shape", "size", "axes", "voxel_size"),
        [
            ((64, 64), 0.1, "YX", (0.1, 0.1)),
            ((3, 64, 64), (0.2, 0.1), "TYX", (0.2, 0.1)),
            ((3, 64, 64), (0.3, 0.1, 0.1), "ZYX", (0.3, 0.1, 0.1)),
            ((2, 3, 64, 64), None, "TZYX", None),
        ],
    )
    def test_arrays_have_the_axes_that_their_sizes_say(self, shape, size, axes, voxel_size):
        found = opened(counts(*shape), None, size)
        assert (found.axes, found.voxel_size) == (axes, voxel_size)

    def test_what_is_given_goes_before_what_the_file_says(self, tmp_path):
        zs.write_image(tmp_path / "a.tif", counts(3, 64, 64), axes="TYX", voxel_size=(0.2, 0.2))
        found = opened(tmp_path / "a.tif", "ZYX", (0.3, 0.1, 0.1))
        assert (found.axes, found.voxel_size) == ("ZYX", (0.3, 0.1, 0.1))

    def test_planes_without_a_step_keep_their_pixel(self):
        found = opened(image("ZYX", 3, 64, 64), None, 0.1)
        assert found.voxel_size is None
        assert found.steps == (None, 0.1, 0.1)

    @pytest.mark.parametrize(
        ("recording", "size", "words"),
        [
            (np.ones(5), None, "has 1 axes"),
            (np.ones((64, 64)), (0.1, 0.1, 0.1, 0.1), "voxel size is"),
            (np.ones((64, 64)), -0.1, "voxel size is"),
        ],
    )
    def test_what_is_no_recording_is_refused(self, recording, size, words):
        with pytest.raises(InputError, match=words):
            opened(recording, None, size)

    def test_optics_come_from_the_file_where_it_says_both_numbers(self):
        said = Optics(na=1.4, wavelength=0.525, refractive_index=1.5)
        one = Image(counts(64, 64), "YX", optics=(said,))
        assert microscope_of(one, Image2D) == zs.Microscope(1.4, 0.525)
        unsaid = Image(counts(64, 64), "YX", optics=(Optics(na=1.4),))
        assert microscope_of(unsaid, Image2D) is None


class TestModes:
    @pytest.mark.parametrize(
        ("recording", "name"),
        [
            (image("YX", 64, 64), "image"),
            (image("TYX", 9, 64, 64), "image"),
            (image("ZYX", 9, 64, 64), "volume"),
            (image("TZYX", 2, 8, 64, 64), "volume"),
        ],
    )
    def test_images_and_volumes_are_recognised(self, recording, name):
        mode, why = find_mode(recording)
        assert mode.name == name
        assert why

    @pytest.mark.parametrize("axes", ["TYX", "ZYX", "CYX"])
    def test_raw_frames_are_recognised_by_their_fringes(self, axes):
        sample = simulate_sim("mesh", shape=(128, 128), photons=300, seed=3)
        mode, why = find_mode(Image(sample.raw, axes, name="raw"))
        assert mode.name == "sim"
        assert why.startswith("The 9 frames of raw are striped")
        assert "mode=" not in why

    @pytest.mark.parametrize(
        ("recording", "name"),
        [
            (image("ZYX", 12, 64, 64), "sim-stack"),
            (image("TYX", 18, 64, 64), "sim"),
            (image("ZCYX", 2, 9, 64, 64), "sim"),
        ],
    )
    def test_a_family_is_the_first_of_it_that_fits(self, recording, name):
        assert find_mode(recording, "sim")[0].name == name

    def test_an_unknown_name_is_refused_with_those_there_are(self):
        with pytest.raises(InputError, match="'confocl': choose one of image, sim, sim-stack"):
            find_mode(image("YX", 64, 64), "confocl")

    def test_planes_of_raw_frames_become_planes_of_the_result(self):
        raw = image("ZCYX", 2, 9, 64, 64, size=(0.2, PIXEL, PIXEL))
        recording = find_mode(raw, "sim")[0](raw, Known())
        placed = recording.placed(np.zeros((2, 128, 128), np.float32))
        assert placed.axes == "ZYX"
        assert placed.voxel_size == (0.2, PIXEL / 2, PIXEL / 2)

    def test_the_psf_of_a_reconstructed_stack_is_half_as_wide_as_that_of_a_volume(self):
        stack = image("ZYX", 8, 64, 64, size=(0.15, 0.05, 0.05))
        known = Known(zs.Microscope(1.2, 0.525, refractive_index=1.33))
        psfs = []
        for name in ("volume", "sim-stack"):
            recording = find_mode(stack, name)[0](stack, known)
            list(recording.prepare())
            psfs.append(recording.psf)
        wide, narrow = psfs
        assert narrow.voxel_size == wide.voxel_size
        np.testing.assert_allclose(2 * np.array(narrow.fwhm), wide.fwhm, rtol=0.07)

    @pytest.mark.slow
    def test_a_reconstructed_stack_goes_all_the_way_below_zero(self, monkeypatch):
        small = replace(VOLUME_PRESETS["sim"], patch=32, planes=8, batch=1, steps=2)
        monkeypatch.setitem(VOLUME_PRESETS, "sim", small)
        sample = zs.sim.simulate_sim_volume("filaments", shape=(8, 64, 64))
        assert sample.raw.min() < 0
        result = zs.run(
            Image(sample.raw, "ZYX", sample.voxel_size),
            microscope=zs.Microscope(1.4, 0.525, refractive_index=1.515),
            mode="sim-stack",
            device="cpu",
        ).finish()
        assert result.model.preset == "sim"
        assert result.deconvolved.axes == "ZYX"
        assert result.deconvolved.voxel_size == sample.voxel_size
        assert result.report["PSF sensitivity"].passed is not None
        assert result.report["noise level"].passed is None

    def test_a_stopped_run_has_no_result(self):
        run = zs.run(counts(64, 64), voxel_size=PIXEL, microscope=zs.Microscope(1.3, 0.525))
        next(run)
        run.stop()
        assert run.result is None
        with pytest.raises(InputError, match="stopped before there was a result"):
            run.finish()


@pytest.mark.parametrize(
    ("old", "today"),
    [("train_sim", r"train\(raw, noise=noise"), ("predict_sim", r"model.predict\(raw, camera")],
)
def test_names_of_before_say_what_they_are_called_today(old, today):
    with pytest.warns(DeprecationWarning, match=today), pytest.raises(Exception, match=r".+"):
        getattr(zs, old)(None, None, None)
