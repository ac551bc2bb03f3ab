"""What is no camera count, and lengths in the wrong unit: said before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refusals import refused

from napari_zsdeconvnet import Image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.io.units import checked_length
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.noise.processed_images import processed_words, refuse_below_offset
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.sim.estimation import estimate
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.training.trainer import train
from napari_zsdeconvnet.utils.errors import InputError

CAMERA = NoiseModel(offset=100, gain=1.0, read_variance=4.0)
QUICK = {"steps": 1, "device": "cpu", "preview_every": 0, "seed": 1}


@pytest.fixture(scope="module")
def sample():
    return simulate("filaments", shape=(96, 96), pixel_size=0.1, na=1.2, photons=200, seed=2)


def versions(raw: np.ndarray) -> dict[str, np.ndarray]:
    """The same recording as other programs leave it."""
    counts = raw.astype(np.float32)
    low, high = np.percentile(counts, [1, 99.8])
    return {
        "from 0 to 1": (counts - counts.min()) / np.ptp(counts),
        "from -1 to 1": 2 * (counts - counts.min()) / np.ptp(counts) - 1,
        "a share of 16 bit": counts / 65535,
        "standardised": (counts - counts.mean()) / counts.std(),
        "shifted": (counts.astype(np.int32) - 32768).astype(np.int16),
        "without its offset": counts - 100,
        "by percentiles": (counts - low) / (high - low),
    }


class TestWords:
    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            ("from 0 to 1", "from 0 to 1, so that it was normalised"),
            ("from -1 to 1", "from -1 to 1, so that it was normalised"),
            ("a share of 16 bit", "multiply by what it was divided by"),
            ("standardised", "standardised elsewhere"),
            ("shifted", "add what was subtracted"),
            ("by percentiles", "as by percentiles"),
        ],
    )
    def test_what_is_refused(self, sample: Any, kind: str, words: str):
        with pytest.raises(InputError, match=words):
            processed_words(versions(sample.raw)[kind], name="cell.tif")

    def test_an_offset_that_was_subtracted_is_said(self, sample: Any):
        (said,) = processed_words(versions(sample.raw)["without its offset"])
        assert "something was subtracted" in said

    def test_contrast_that_was_stretched_is_said(self, sample: Any):
        whole = (sample.raw - sample.raw.min()) / np.ptp(sample.raw).astype(float)
        for stretched in (
            (255 * whole).astype(np.float32),
            100 * whole,
            np.rint(65535 * whole).astype(np.uint16),
        ):
            (said,) = processed_words(stretched)
            assert "contrast was stretched" in said
        dark = np.clip(sample.raw.astype(int) - 100, 0, 65535)
        dark[3, 3] = 65535  # a cosmic ray, and an offset of zero
        assert processed_words(dark.astype(np.uint16)) == []

    def test_what_is_not_finite_says_nothing(self, sample: Any):
        holes = np.where(np.arange(96) == 5, np.nan, sample.raw)
        assert processed_words(holes) == []
        assert processed_words(np.full((9, 9), np.inf)) == []

    def test_counts_pass(self, sample: Any):
        sparse = np.zeros((64, 64), np.uint8)  # of a detector that counts single photons
        sparse[::9, ::7] = 1
        for sound in (sample.raw, sample.raw.astype(float), sparse, np.full((9, 9), 0.5)):
            assert processed_words(sound) == []

    def test_an_image_far_below_the_offset(self, sample: Any):
        refuse_below_offset(sample.raw, 100, 4)
        refuse_below_offset(sample.raw - 8.0, 100, 4)
        for kind in ("without its offset", "by percentiles"):
            with pytest.raises(InputError, match="another camera recorded it"):
                refuse_below_offset(versions(sample.raw)[kind], 100, 4)


@pytest.fixture(scope="module")
def model(sample: Any):
    psf = PSF.simulate(na=1.2, wavelength=0.525, pixel_size=0.05, size=21)
    run = train(Image(sample.raw, "YX", (0.1, 0.1)), psf, CAMERA, **QUICK)
    for _ in run:
        pass
    return run.model


class TestFrontEnds:
    @pytest.mark.parametrize("kind", ["from 0 to 1", "standardised", "shifted"])
    def test_before_calibration_training_and_prediction(
        self, sample: Any, model: Any, run: Any, tmp_path: Path, kind: str
    ):
        image = versions(sample.raw)[kind]
        words = "elsewhere"
        for use in (
            lambda: NoiseModel.from_image(image),
            lambda: NoiseModel.from_series(np.stack([image] * 3)),
            lambda: train(image, model.psf, CAMERA, **QUICK),
            lambda: model.predict(image, device="cpu"),
        ):
            with pytest.raises(InputError, match=words):
                use()
        write_image(tmp_path / "i.tif", image, axes="YX", voxel_size=(0.1, 0.1))
        model.save(tmp_path / "m.safetensors")
        camera = ("--offset", 100, "--gain", 1, "--read-variance", 4)
        optics = ("--na", 1.2, "--wavelength", 0.525)
        for arguments in (
            ("calibrate", tmp_path / "i.tif"),
            ("train", tmp_path / "i.tif", *optics, *camera, "-o", tmp_path / "n.safetensors"),
            ("predict", tmp_path / "m.safetensors", tmp_path / "i.tif", "-o", tmp_path / "o.tif"),
        ):
            answer = run(*arguments)
            assert answer.code == 2
            assert words in answer.err
        assert not (tmp_path / "o.tif").exists()

    def test_prediction_of_what_lost_its_offset(self, sample: Any, model: Any):
        with pytest.raises(InputError, match="the offset was subtracted"):
            model.predict(versions(sample.raw)["without its offset"], device="cpu")


class TestLengths:
    @pytest.mark.parametrize(
        ("length", "meant"),
        [(65, 0.065), (300.0, 0.3), (6.5e-8, 0.065), (6.5e-5, 0.065)],
    )
    def test_what_was_meant(self, length: float, meant: float):
        with refused("length-out-of-range", length=length, meant=pytest.approx(meant)) as told:
            checked_length(length, "The pixel size")
        assert f"did you mean {meant} µm ({1000 * meant:g} nm)" in str(told.value)

    def test_in_python(self, sample: Any):
        raw, psf = sample.raw, PSF.simulate(1.2, 0.525, 0.05, size=21)
        sized = Image(raw, "YX", (65.0, 65.0))
        sim = {"pixel_size": 0.06, "na": 1.4, "wavelength": 0.525}
        for use in (
            lambda: train(sized, psf, CAMERA, **QUICK),
            lambda: train(raw, psf, CAMERA, voxel_size=(65.0, 65.0), **QUICK),
            lambda: PSF.simulate(1.2, 525, 0.05),
            lambda: PSF.simulate(1.2, 0.525, 65),
            lambda: PSF.simulate(1.2, 0.525, 0.05, axial_step=200),
            lambda: PSF.from_array(psf.array, 65),
            lambda: estimate(np.ones((9, 64, 64)), **{**sim, "pixel_size": 60}),
            lambda: estimate(np.ones((9, 64, 64)), **{**sim, "wavelength": 525}),
        ):
            with pytest.raises(InputError, match="did you mean"):
                use()

    @pytest.mark.parametrize(
        "options",
        [
            ("calibrate", "i.tif", "--pixel-size", 65),
            ("calibrate", "i.tif", "--na", 1.2, "--wavelength", 525),
            ("train", "i.tif", "--voxel-size", "65,65"),
            ("train", "i.tif", "--pixel-size", 65),
            ("train", "i.tif", "--axial-step", 300),
            ("train", "i.tif", "--excitation-wavelength", 488),
            ("train", "i.tif", "--psf-voxel-size", 32),
            ("train", "i.tif", "--sheet-thickness", 1500),
            ("run", "i.tif", "--wavelength", 525),
            ("predict", "m", "i.tif", "-o", "o.tif", "--pixel-size", 65),
            ("verdict", "i.tif", "-m", "m", "--axial-step", 200),
            ("psf", "beads", "i.tif", "--diameter", 100),
            ("psf", "simulate", "--na", 1.2, "--wavelength", 0.525, "--pixel-size", 65),
            ("sim", "estimate", "i.tif", "--pixel-size", 65),
            ("sim", "train", "i.tif", "--wavelength", 525),
            ("sim", "estimate", "i.tif", "--period", 200),
            ("sim", "predict", "m", "i.tif", "-o", "o.tif", "--pixel-size", 65),
        ],
    )
    def test_in_every_command(self, capsys: Any, options: tuple[Any, ...]):
        from napari_zsdeconvnet.cli.main import main

        with pytest.raises(SystemExit) as left:
            main([str(option) for option in options])
        assert left.value.code == 2
        assert "did you mean" in capsys.readouterr().err
