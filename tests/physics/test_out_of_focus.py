"""The smooth background of thick samples: estimated, left out, its light accounted for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_zsdeconvnet.inference.out_of_focus import (
    MOST_FRAMES,
    RECOMMENDED,
    Backgrounds,
    few_frames,
    haze_share,
    out_of_focus_advice,
    out_of_focus_background,
)
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.quality.data_consistency import reblurred
from napari_zsdeconvnet.quality.verdict import judge
from napari_zsdeconvnet.simulation.sample import PHANTOMS, simulate
from napari_zsdeconvnet.training.trainer import TrainingRun, train
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.workflow.record import RunRecord, iter_training

NUCLEUS = NoiseModel(offset=100.0, gain=2.0, read_variance=16.0)
MIDDLE, SIDES = 21, (17, 25)
QUICK = replace(PRESETS["fast"], patch=64, batch=2)


def linear_psnr(image: np.ndarray, truth: np.ndarray) -> float:
    """PSNR after one linear fit, 8 pixels of the border left out."""
    a, b = (values[8:-8, 8:-8].ravel() for values in (image, truth))
    fitted = np.polyval(np.polyfit(a, b, 1), a)
    return float(10 * np.log10(b.max() ** 2 / np.mean((fitted - b) ** 2)))


def binned(image: np.ndarray) -> np.ndarray:
    rows, columns = (length // 2 for length in image.shape)
    return image.reshape(rows, 2, columns, 2).mean(axis=(1, 3))


@pytest.fixture(scope="module")
def nucleus(cases: Path) -> np.ndarray:
    return tifffile.imread(cases / "nucleus.tif")


@pytest.fixture(scope="module")
def in_focus(cases: Path) -> np.ndarray:
    """What lies within the depth of field of each plane, as finely as a result states it."""
    truth = tifffile.imread(cases / "nucleus_truth.tif").astype(float)
    return ndimage.gaussian_filter(ndimage.uniform_filter1d(truth, 3, axis=0), (0, 0.7, 0.7))


@pytest.fixture(scope="module")
def psf() -> PSF:
    return PSF.simulate(1.4, 0.461, (0.065, 0.065))


@pytest.fixture(scope="module")
def models(nucleus: np.ndarray, psf: PSF) -> dict[bool, Model]:
    """Trained for a step on the middle plane, with and without the background."""
    return {wanted: trained(nucleus[MIDDLE], psf, out_of_focus=wanted) for wanted in (True, False)}


def begun(image: np.ndarray, psf: PSF, **settings: object) -> TrainingRun:
    settings = {"preset": QUICK, "steps": 1, "seed": 1, "preview_every": 0, **settings}
    return train(image, psf, NUCLEUS, voxel_size=(0.13, 0.13), device="cpu", **settings)


def trained(image: np.ndarray, psf: PSF, **settings: object) -> Model:
    run = begun(image, psf, **settings)
    for _ in run:
        pass
    return run.model


class TestEstimate:
    def test_finds_smooth_light_behind_thin_lines(self):
        psf = PSF.simulate(1.2, 0.525, (0.05, 0.05))
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:128, :128]
        haze = 60 * np.exp(-((y - 60) ** 2 + (x - 70) ** 2) / (2 * 35**2))
        lines = sum(np.abs(x - place - 3 * np.sin(y / 9)) < 1 for place in range(8, 128, 24))
        light = haze + ndimage.gaussian_filter(80.0 * lines, 1)
        camera = NoiseModel(offset=100, gain=0.5, read_variance=2)
        image = 0.5 * rng.poisson(light) + rng.normal(100, 2**0.5, light.shape)
        found = out_of_focus_background(image, psf, camera, 2)
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert np.corrcoef(found.ravel(), haze.ravel())[0, 1] > 0.97
        # It begins with 70 % of the smooth light, and takes none of the lines.
        assert 0.6 < found.mean() / (0.5 * haze.mean()) < 1

    @pytest.mark.parametrize("kind", sorted(PHANTOMS))
    @pytest.mark.parametrize("photons", [10, 200])
    def test_thin_samples_have_little_and_raise_no_alarm(self, kind: str, photons: float):
        sample = simulate(kind, shape=(160, 160), photons=photons, seed=3)
        known = (sample.psf, sample.noise, 2)
        found = out_of_focus_background(sample.raw, *known)
        share = found.mean() / (sample.raw.mean() - sample.noise.offset)
        # The inside of a cell is smooth light that is in focus.
        assert share < (0.35 if kind == "cell" else 0.02)
        assert out_of_focus_advice(sample.raw, *known) == ""

    @pytest.mark.parametrize("plane", [MIDDLE, *SIDES])
    @pytest.mark.parametrize("dimmed", [1, 50])
    def test_planes_of_a_nucleus_are_told_at_any_brightness(
        self, nucleus: np.ndarray, psf: PSF, plane: int, dimmed: int
    ):
        image = nucleus[plane]
        if dimmed > 1:  # photons of the image itself, thinned out
            electrons = np.maximum((image - 100.0) / 2, 0).astype(int)
            rng = np.random.default_rng(0)
            thinned = rng.binomial(electrons, 1 / dimmed)
            image = 2 * thinned + rng.normal(100, 4, thinned.shape)
        found = out_of_focus_background(image, psf, NUCLEUS, 2)
        # By the truth 71 % in the middle plane and 79 and 80 % in the others.
        assert RECOMMENDED < haze_share(found, image, 100.0) < 0.8
        assert "above and below" in out_of_focus_advice(image, psf, NUCLEUS, 2)

    def test_what_is_in_focus_of_the_nucleus_alone_raises_no_alarm(
        self, in_focus: np.ndarray, psf: PSF
    ):
        rng = np.random.default_rng(0)
        for plane in (MIDDLE, *SIDES):
            image = 2 * rng.poisson(in_focus[plane] / in_focus[plane].max() * 400) + 100
            assert out_of_focus_advice(image, psf, NUCLEUS, 2) == ""

    def test_even_light_and_none_raise_no_alarm(self, psf: PSF):
        rng = np.random.default_rng(0)
        for light in (0, 5, 500):
            image = 2 * rng.poisson(light, (96, 96)) + rng.normal(100, 4, (96, 96))
            assert out_of_focus_advice(image, psf, NUCLEUS, 2) == ""

    def test_it_goes_with_the_scale_of_the_counts(self, nucleus: np.ndarray, psf: PSF):
        image = nucleus[MIDDLE, :90, :84].astype(float)
        one = out_of_focus_background(image, psf, NUCLEUS, 2)
        three = out_of_focus_background(
            3 * (image - 100) + 40, psf, NoiseModel(offset=40, gain=6, read_variance=144), 2
        )
        np.testing.assert_allclose(three, 3 * one, rtol=1e-3, atol=0.1)

    def test_the_offset_is_part_of_what_is_cut_beside_an_image(self, nucleus: np.ndarray, psf: PSF):
        series = nucleus[20:22, :64, :64]
        cut = Backgrounds([series], psf, NUCLEUS, 2).window(0, 1, (-3, 4), (40, 30)).numpy()
        whole = out_of_focus_background(series[1], psf, NUCLEUS, 2) + 100
        np.testing.assert_allclose(cut[3:], whole[:37, 4:34], rtol=1e-6)
        np.testing.assert_allclose(cut[:3], cut[4:7][::-1], rtol=1e-6)

    def test_of_a_long_series_a_few_frames_are_enough(self):
        series = np.arange(100).reshape(100, 1, 1) + np.zeros((1, 4, 4))
        taken = few_frames(series)
        assert len(taken) <= MOST_FRAMES
        assert taken[0, 0, 0] == 0
        assert taken[-1, 0, 0] > 85
        assert few_frames(series[:16]) is not taken
        assert few_frames(series[:16]).base is few_frames(series[:16]).base


class TestModel:
    def test_the_nucleus_gains_contrast(
        self, models: dict[bool, Model], nucleus: np.ndarray, in_focus: np.ndarray
    ):
        """At least 2 dB in each plane; 2.5 to 4.0 were measured."""
        for plane in (MIDDLE, *SIDES):
            with_it, without = (
                linear_psnr(
                    binned(models[wanted].predict(nucleus[plane], device="cpu").deconvolved),
                    in_focus[plane],
                )
                for wanted in (True, False)
            )
            assert with_it > without + 2

    def test_all_light_is_accounted_for(self, models: dict[bool, Model], nucleus: np.ndarray):
        image = nucleus[MIDDLE]
        result = models[True].predict(image, device="cpu")
        assert result.background is not None
        expected = models[True].background(image)
        np.testing.assert_allclose(result.background, expected, rtol=1e-5, atol=1e-3)
        light = image - 100.0
        whole = result.deconvolved.mean() + result.background.mean()
        assert whole == pytest.approx(light.mean(), rel=2e-3)
        # And coarsely in every region, blurred again, within 2 % of the brightest.
        model = models[True]
        again = reblurred(result.deconvolved, model.psf, 2, model.network.stated_width)
        left = ndimage.gaussian_filter(light - again - result.background, 12)
        assert np.abs(left).max() < 0.02 * ndimage.gaussian_filter(light, 12).max()

    def test_the_denoised_image_is_of_the_whole_recording(
        self, models: dict[bool, Model], nucleus: np.ndarray
    ):
        one, other = (
            models[wanted].predict(nucleus[MIDDLE], device="cpu").denoised
            for wanted in (True, False)
        )
        assert np.abs(one - other).mean() < 0.01 * other.mean()

    def test_without_it_there_is_no_background(
        self, models: dict[bool, Model], nucleus: np.ndarray
    ):
        assert models[False].predict(nucleus[MIDDLE], device="cpu").background is None
        assert models[False].background(nucleus[MIDDLE]) is None

    def test_tiles_and_series_give_what_frames_do(
        self, models: dict[bool, Model], nucleus: np.ndarray
    ):
        model, series = models[True], nucleus[[17, 21]]
        whole = model.predict(series, device="cpu")
        tiled = model.predict(series, device="cpu", tile=168)
        alone = model.predict(series[1], device="cpu")
        for name in ("denoised", "deconvolved", "background"):
            scale = np.abs(getattr(whole, name)).max()
            for part, same in (
                (getattr(tiled, name), getattr(whole, name)),
                (getattr(alone, name), getattr(whole, name)[1]),
            ):
                assert np.abs(part - same).max() < 2e-4 * scale

    def test_a_thin_sample_costs_next_to_nothing(self):
        """0.1 dB at most, of a sample where there is nothing to be taken out."""
        sample = simulate("mesh", shape=(160, 160), photons=100, seed=5)
        truth = ndimage.gaussian_filter(sample.truth, 0.0425 / 0.0313)
        psnr = {}
        for wanted in (True, False):
            run = train(
                sample.raw,
                sample.psf,
                sample.noise,
                voxel_size=sample.voxel_size,
                preset=QUICK,
                steps=1,
                seed=0,
                device="cpu",
                preview_every=0,
                out_of_focus=wanted,
            )
            next(run)
            psnr[wanted] = linear_psnr(run.model.predict(sample.raw).deconvolved, truth)
        assert psnr[True] > psnr[False] - 0.1


class TestSetting:
    def test_without_it_nothing_of_a_training_changes(self, nucleus: np.ndarray, psf: PSF):
        default = begun(nucleus[MIDDLE], psf, out_of_focus=False)
        said = begun(nucleus[MIDDLE], psf)
        assert next(default).losses == next(said).losses
        assert default._objective.pairs.draw().background is None

    def test_it_is_learned_with(self, nucleus: np.ndarray, psf: PSF):
        losses = [
            next(begun(nucleus[MIDDLE], psf, out_of_focus=wanted)).losses
            for wanted in (True, False)
        ]
        # The same draws and the same denoiser; the second stage has another task.
        assert losses[0]["denoising"] == pytest.approx(losses[1]["denoising"], rel=1e-5)
        assert losses[0]["deconvolution"] != losses[1]["deconvolution"]
        # Re-blurred structure and background explain as much as structure alone.
        assert losses[0]["deconvolution"] < 1.1 * losses[1]["deconvolution"]

    def test_a_pair_has_its_background_beside_it(self, nucleus: np.ndarray, psf: PSF):
        run = begun(nucleus[MIDDLE], psf, out_of_focus=True)
        pair = run._objective.pairs.draw()
        assert pair.background.shape == pair.input.shape
        assert 0 < float(pair.background.mean()) < float(pair.input.mean())

    def test_file_and_record_keep_it(
        self, models: dict[bool, Model], nucleus: np.ndarray, tmp_path: Path
    ):
        for wanted, model in models.items():
            path = tmp_path / f"{wanted}.safetensors"
            model.save(path)
            again = Model.load(path)
            assert again.out_of_focus is wanted
            record = RunRecord.from_dict(RunRecord.of(again).to_dict())
            assert record.out_of_focus is wanted
            assert ("background" in again.describe()) is wanted
        predicted = Model.load(tmp_path / "True.safetensors").predict(nucleus[MIDDLE], device="cpu")
        expected = models[True].predict(nucleus[MIDDLE], device="cpu")
        assert np.array_equal(predicted.deconvolved, expected.deconvolved)

    def test_a_record_repeats_it_to_the_bit(self, models: dict[bool, Model], nucleus: np.ndarray):
        record = RunRecord.of(models[True])
        image = Image(nucleus[MIDDLE], "YX", (0.13, 0.13))
        steps = iter_training(record, [image])
        while True:
            try:
                next(steps)
            except StopIteration as end:
                model = end.value
                break
        assert RunRecord.of(model).weights_sha256 == record.weights_sha256

    def test_the_network_from_scratch_takes_it_too(self, nucleus: np.ndarray, psf: PSF):
        model = trained(nucleus[MIDDLE], psf, out_of_focus=True, start="scratch")
        result = model.predict(nucleus[MIDDLE], device="cpu")
        light = nucleus[MIDDLE].mean() - 100.0
        assert result.deconvolved.mean() + result.background.mean() == pytest.approx(
            light, rel=0.01
        )

    def test_volumes_and_the_published_preset_refuse_it(self, nucleus: np.ndarray, psf: PSF):
        with pytest.raises(InputError, match="images of one plane"):
            train(
                nucleus[:16, :64, :64],
                PSF.simulate(1.4, 0.461, (0.13, 0.13), axial_step=0.3),
                NUCLEUS,
                axes="ZYX",
                voxel_size=(0.3, 0.13, 0.13),
                out_of_focus=True,
            )
        with pytest.raises(InputError, match="choose 'fast'"):
            begun(nucleus[MIDDLE], psf, preset="paper", out_of_focus=True)


class TestVerdict:
    def test_the_measures_count_the_background(
        self, models: dict[bool, Model], nucleus: np.ndarray
    ):
        verdict = judge(models[True], nucleus[MIDDLE], device="cpu", repeats=0)
        for name in ("flux", "re-blur", "noise level"):
            assert verdict[name].passed, verdict[name].sentence
        assert verdict["flux"].value == pytest.approx(1, abs=0.01)
        assert not any("above and below" in note for note in verdict.notes)

    def test_a_note_recommends_it_where_it_is_off(
        self, models: dict[bool, Model], nucleus: np.ndarray
    ):
        verdict = judge(models[False], nucleus[MIDDLE], device="cpu", repeats=0)
        assert any("above and below the focal plane" in note for note in verdict.notes)


class TestShell:
    @pytest.fixture
    def plane(self, nucleus: np.ndarray, tmp_path: Path) -> Path:
        path = tmp_path / "plane.tif"
        tifffile.imwrite(path, nucleus[MIDDLE])
        return path

    def optics(self) -> list[str]:
        numbers = {"--pixel-size": "0.13", "--na": "1.4", "--wavelength": "0.461", "--steps": "1"}
        return [word for pair in numbers.items() for word in pair] + ["--device", "cpu"]

    def test_run_recommends_it_and_writes_it_where_asked(self, run, plane: Path, tmp_path: Path):
        common = ["run", plane, *self.optics(), "--no-verdict", "--json"]
        without = run(*common, "-o", tmp_path / "without")
        assert without.code == 0, without.err
        assert "Add --out-of-focus" in without.err
        assert "background" not in without.json
        done = run(*common, "-o", tmp_path / "with", "--out-of-focus")
        assert done.code == 0, done.err
        assert "--out-of-focus" not in done.err
        background = tifffile.imread(done.json["background"])
        sharp = tifffile.imread(done.json["deconvolved"])
        light = tifffile.imread(plane).mean()
        record = RunRecord.read(done.json["record"])
        assert set(record.prediction.outputs) == {"deconvolved", "denoised", "background"}
        assert record.out_of_focus
        offset = record.noise.offset
        assert background.mean() + sharp.mean() == pytest.approx(light - offset, rel=5e-3)

        again = run("predict", done.json["model"], plane, "-o", tmp_path / "again", "--json")
        assert again.code == 0, again.err
        (image,) = again.json["images"]
        np.testing.assert_allclose(tifffile.imread(image["background"]), background, rtol=1e-4)

    def test_train_takes_it(self, run, plane: Path, tmp_path: Path):
        output = tmp_path / "model.safetensors"
        camera = ("--offset", "100", "--gain", "2", "--read-variance", "16")
        done = run("train", plane, "-o", output, *self.optics(), *camera, "--out-of-focus")
        assert done.code == 0, done.err
        assert Model.load(output).out_of_focus
        refused = run("train", plane, "-o", output, "--resume", output, "--out-of-focus")
        assert refused.code == 2
        assert "--out-of-focus does not go with --resume" in refused.err
