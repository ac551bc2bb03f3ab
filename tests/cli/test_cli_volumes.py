"""The command line on volumes: what it makes of axes, voxel sizes, files and options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from napari_zsdeconvnet.cli.arguments import parser
from napari_zsdeconvnet.cli.commands.files import load
from napari_zsdeconvnet.cli.console import Console
from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.io import image_files
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image
from napari_zsdeconvnet.io.lazy import Sliced
from napari_zsdeconvnet.model.model import Model
from napari_zsdeconvnet.physics.stripe_filter import Damping
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.simulation.sample import simulate_volume

VOXEL = (0.2, 0.09, 0.09)
HALVED = (0.2, 0.045, 0.045)
SHAPE = (12, 64, 72)
TYPED = ["--axes", "ZYX", "--pixel-size", "0.09", "--axial-step", "0.2"]
CAMERA = ["--offset", "100", "--gain", "1", "--read-variance", "4"]
QUICK = ["--steps", "2", "--seed", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a volume, a series of two, bare pages, a PSF and a model of two steps."""
    folder = tmp_path_factory.mktemp("volumes")
    psf = PSF.simulate(na=1.1, wavelength=0.525, pixel_size=0.09, axial_step=0.2, planes=7, size=15)
    psf.write(folder / "psf.tif")
    sample = simulate_volume("vesicles", shape=SHAPE, photons=200, psf=psf, seed=3)
    write_image(folder / "raw.tif", sample.raw, axes="ZYX", voxel_size=VOXEL)
    tifffile.imwrite(folder / "pages.tif", sample.raw)
    write_image(folder / "frames.tif", sample.raw, axes="TYX", voxel_size=VOXEL[1:])
    series = np.stack([sample.raw, sample.second_exposure])
    write_image(
        folder / "series.ome.tif", series, axes="TZYX", voxel_size=VOXEL, frame_interval=2.0
    )
    code = main(
        [
            *("train", str(folder / "raw.tif"), "--psf", str(folder / "psf.tif")),
            *("-o", str(folder / "model.safetensors"), *CAMERA, *QUICK),
        ]
    )
    assert code == 0
    return folder


def loaded(path: Path, *options: str) -> Image:
    arguments = parser().parse_args(["calibrate", str(path), *options])
    return load(str(path), arguments, Console())


class TestLoad:
    def test_axes_and_voxel_size_from_the_file(self, files: Path):
        image = loaded(files / "raw.tif")
        assert (image.axes, image.data.shape) == ("ZYX", SHAPE)
        assert image.voxel_size == pytest.approx(VOXEL)
        assert loaded(files / "series.ome.tif").axes == "TZYX"

    def test_what_is_typed_prevails(self, files: Path):
        assert loaded(files / "pages.tif").axes == "TYX"
        assert loaded(files / "pages.tif", *TYPED).voxel_size == VOXEL
        bare = loaded(files / "pages.tif", "--axes", "ZYX", "--voxel-size", "0.3,0.1,0.1")
        assert bare.voxel_size == (0.3, 0.1, 0.1)
        for options in (["--voxel-size", "0.3,0.1,0.1"], [*TYPED[2:4], "--axial-step", "0.3"]):
            planes = loaded(files / "pages.tif", *options)
            assert (planes.axes, planes.origin.axes) == ("ZYX", "ZYX")
            assert planes.voxel_size[0] == 0.3
        step = loaded(files / "raw.tif", "--axial-step", "0.3")
        assert step.voxel_size == pytest.approx((0.3, 0.09, 0.09))
        frames = loaded(files / "raw.tif", "--axes", "TYX")
        assert (frames.axes, frames.voxel_size) == ("TYX", pytest.approx((0.09, 0.09)))
        plane = loaded(files / "raw.tif", "--plane", "4")
        assert (plane.axes, plane.data.shape) == ("YX", SHAPE[1:])

    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("pages.tif", ["--axes", "ZYX", "--pixel-size", "0.1"], "--axial-step"),
            ("pages.tif", ["--axes", "ZYX", "--axial-step", "0.1"], "--pixel-size"),
            ("pages.tif", ["--axial-step", "0.2"], "--pixel-size"),
            ("frames.tif", ["--axial-step", "0.2"], "--axes ZYX"),
            ("frames.tif", ["--voxel-size", "0.2,0.1,0.1"], "--axes ZYX"),
            ("raw.tif", ["--voxel-size", "0.1"], "Z,Y,X"),
            ("raw.tif", ["--voxel-size", "0.1,0.1"], "2 lengths"),
            ("raw.tif", ["--voxel-size", "0.2,0.1,0.1", "--pixel-size", "0.1"], "leave one out"),
        ],
    )
    def test_half_a_voxel_size_is_refused(
        self, run, files: Path, name: str, options: list[str], words: str
    ):
        answer = run("calibrate", files / name, *options)
        assert answer.code == 2
        assert words in answer.err.splitlines()[-1]

    def test_large_files_are_not_read(self, files: Path, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(image_files, "_MAPPED_FROM", 0)
        assert isinstance(loaded(files / "raw.tif").data, np.memmap)
        stack = np.arange(3 * 2 * 16 * 16, dtype=np.uint16).reshape(3, 2, 16, 16)
        options: dict[str, Any] = {"metadata": {"axes": "ZCYX"}, "compression": "zlib"}
        tifffile.imwrite(tmp_path / "two.tif", stack, imagej=False, **options)
        image = loaded(tmp_path / "two.tif", "--channel", "1")
        assert isinstance(image.data, Sliced)
        assert image.axes == "ZYX"
        np.testing.assert_array_equal(image.data[1:, ::2], stack[1:, 1, ::2])


class TestCalibrate:
    def test_a_volume(self, run, files: Path):
        noise = run("calibrate", files / "raw.tif", "--offset", "100", "--json").json["noise"]
        assert noise["gain"] == pytest.approx(1, rel=0.5)
        assert "one volume" in noise["source"]

    def test_noise_that_planes_share_is_said(self, run, files: Path, tmp_path: Path):
        sharp = simulate_volume("vesicles", shape=(16, 96, 96), photons=100, seed=1).raw
        sharp[:, :40, :40] = np.random.default_rng(0).poisson(100, (16, 40, 40))
        shared = (sharp[:-1].astype(np.float32) + sharp[1:]) / 2
        for name, volume in (("shared", shared), ("sharp", sharp)):
            write_image(tmp_path / f"{name}.tif", volume, axes="ZYX")
            answer = run("calibrate", tmp_path / f"{name}.tif", "--background", "2:38,2:38")
            assert answer.code == 0
            assert ("planes share noise" in answer.err) == (name == "shared")


class TestPSF:
    @pytest.mark.parametrize(
        ("modality", "narrower"),
        [
            (["--modality", "confocal", "--excitation-wavelength", "0.488", "--pinhole", "1"], 0.9),
            (["--modality", "light-sheet", "--sheet-thickness", "0.5"], 0.9),
        ],
    )
    def test_modalities(self, run, modality: list[str], narrower: float):
        grid = ["--pixel-size", "0.1", "--axial-step", "0.2", "--planes", "21"]
        optics = ["psf", "simulate", "--na", "1.1", "--wavelength", "0.525", *grid, "--json"]
        widefield, other = run(*optics).json, run(*optics, *modality).json
        assert other["shape"][0] == widefield["shape"][0] == 21
        assert other["fwhm"][0] < narrower * widefield["fwhm"][0]

    def test_what_a_modality_lacks_is_said(self, run):
        answer = run(
            *("psf", "simulate", "--na", "1.1", "--wavelength", "0.525", "--pixel-size", "0.1"),
            *("--axial-step", "0.2", "--modality", "light-sheet"),
        )
        assert answer.code == 2
        assert "--sheet-thickness" in answer.err

    def test_beads_in_a_stack(self, run, tmp_path: Path):
        z, y, x = np.mgrid[:30, :80, :80]
        beads = np.full(z.shape, 100.0)
        for centre in ((14, 20, 20), (15, 20, 60), (15, 60, 20), (14, 60, 60), (15, 40, 41)):
            distance = sum(
                ((axis - middle) / width) ** 2
                for axis, middle, width in zip((z, y, x), centre, (3, 1.5, 1.5), strict=True)
            )
            beads += 3000 * np.exp(-distance / 2)
        counts = np.random.default_rng(0).poisson(beads).astype(np.uint16)
        write_image(tmp_path / "beads.tif", counts, axes="ZYX", voxel_size=(0.1, 0.1, 0.1))
        from_file = run("psf", "beads", tmp_path / "beads.tif", "--json").json
        assert from_file["fwhm"] == pytest.approx([0.706, 0.353, 0.353], rel=0.06)
        tifffile.imwrite(tmp_path / "pages.tif", counts)
        typed = run("psf", "beads", tmp_path / "pages.tif", "--voxel-size", "0.1", "--json").json
        assert typed["fwhm"] == pytest.approx(from_file["fwhm"])


class TestTrain:
    def test_the_model_knows_the_volume(self, files: Path):
        model = Model.load(files / "model.safetensors")
        assert (model.axes, model.upsampling, model.preset) == ("ZYX", 1, "fast")
        assert model.voxel_size == pytest.approx(VOXEL)
        assert model.psf.voxel_size == pytest.approx(VOXEL)

    def test_several_files_upsampled_from_an_objective(self, run, files: Path, tmp_path: Path):
        model = tmp_path / "m.safetensors"
        answer = run(
            *("train", files / "raw.tif", files / "series.ome.tif", "-o", model, "--upsample"),
            *("--na", "1.1", "--wavelength", "0.525", "--refractive-index", "1.33"),
            *("--modality", "confocal", "--excitation-wavelength", "0.488", *CAMERA, *QUICK),
        )
        assert answer.code == 0
        trained = Model.load(model)
        assert trained.upsampling == 2
        assert trained.psf.voxel_size == pytest.approx(HALVED)
        assert "confocal" in trained.psf.source

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["pages.tif", "--axes", "ZYX", "--na", "1", "--wavelength", "0.5"], "--voxel-size"),
            (["raw.tif", "--psf", "psf.tif", "--psf-focus"], "PSF is 2D"),
            (["raw.tif", "--axes", "TYX", "--psf", "psf.tif"], "--axes ZYX"),
            (["raw.tif", "pages.tif", "--psf", "psf.tif"], "different pixel sizes"),
            (["raw.tif", "--resume", "model.safetensors", "--no-upsample"], "--upsample does not"),
        ],
    )
    def test_refusals(self, run, files: Path, monkeypatch, arguments: list[str], words: str):
        monkeypatch.chdir(files)
        camera = [] if "--resume" in arguments else CAMERA
        answer = run("train", *arguments, *camera, *QUICK[:2], "-o", "new.safetensors")
        assert answer.code == 2
        assert words in answer.err.splitlines()[-1]
        assert not Path("new.safetensors").exists()

    @pytest.mark.parametrize("planes", [2, 7])
    def test_too_few_planes(self, run, files: Path, tmp_path: Path, planes: int):
        thin = read_image(files / "raw.tif").data[:planes]
        write_image(tmp_path / "thin.tif", thin, axes="ZYX", voxel_size=VOXEL)
        model = tmp_path / "m.safetensors"
        answer = run(
            *("train", tmp_path / "thin.tif", "--psf", files / "psf.tif", *CAMERA, "-o", model)
        )
        assert answer.code == 2
        assert f"{planes} planes" in answer.err.splitlines()[-1]


class TestPredict:
    def predicted(self, run, files: Path, name: str, folder: Path, *options: str | Path):
        model = files / "model.safetensors"
        return run("predict", model, files / name, "-o", folder, "--device", "cpu", *options)

    def test_a_series_goes_to_its_file_volume_by_volume(self, run, files: Path, tmp_path: Path):
        answer = self.predicted(run, files, "series.ome.tif", tmp_path, "--denoised", "--json")
        assert answer.code == 0
        direct = Model.load(files / "model.safetensors").predict(
            read_image(files / "series.ome.tif"), device="cpu"
        )
        (names,) = answer.json["images"]
        for what in ("deconvolved", "denoised"):
            image = read_image(names[what])
            assert names[what].endswith(f"series_{what}.ome.tif")
            assert (image.axes, image.frame_interval) == ("TZYX", 2.0)
            assert image.voxel_size == pytest.approx(VOXEL)
            np.testing.assert_array_equal(image.data, getattr(direct, what))

    def test_tiles_make_no_difference(self, run, files: Path, tmp_path: Path):
        images = []
        for tile in ([], ["--tile", "1"], ["--tile", "40,80,80"]):
            output = tmp_path / f"{len(images)}.tif"
            assert self.predicted(run, files, "raw.tif", output, *tile).code == 0
            images.append(read_image(output).data)
        scale = images[0].max()
        for image in images[1:]:
            np.testing.assert_allclose(image, images[0], atol=1e-3 * scale)

    def test_damping_and_its_mask(self, run, files: Path, tmp_path: Path):
        output, mask = tmp_path / "out.tif", tmp_path / "mask.png"
        damped = ["--damp", "Y", "--damp-width", "0.01", "--damp-mask", mask]
        assert self.predicted(run, files, "raw.tif", output, *damped).code == 0
        damping = Damping("Y", half_width=0.01)
        direct = Model.load(files / "model.safetensors").predict(
            read_image(files / "raw.tif"), device="cpu", damping=damping
        )
        np.testing.assert_array_equal(read_image(output).data, direct.deconvolved)
        picture = np.asarray(Picture.open(mask)) / 255
        np.testing.assert_allclose(picture, damping.mask(SHAPE[1:]), atol=0.003)
        assert picture.min() == 0

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--damp-width", "0.01"], "add --damp"),
            (["--damp", "Y", "--damp-keep", "0.4"], "0.25"),
            (["--damp", "Y", "--damp-mask", "raw.tif"], "raw.tif is an input too"),
            (["--tile", "32,32"], "one number, or one for each of the 3"),
            (["--axial-step", "0.3"], "train a model for this voxel size"),
        ],
    )
    def test_refusals_leave_nothing_behind(
        self, run, files: Path, tmp_path: Path, monkeypatch, options: list[str], words: str
    ):
        monkeypatch.chdir(files)
        answer = self.predicted(run, files, "raw.tif", tmp_path / "out.tif", *options)
        assert answer.code == 2
        assert words in answer.err.splitlines()[-1]
        assert list(tmp_path.iterdir()) == []


class TestWords:
    def test_a_series_taken_for_a_volume(self, run, files: Path, tmp_path: Path):
        plane = read_image(files / "raw.tif").data[6].astype(float)
        exposures = np.random.default_rng(0).poisson(np.tile(plane, (10, 1, 1)))
        write_image(tmp_path / "series.tif", exposures.astype(np.uint16), axes="TYX")
        answer = run(
            *("train", tmp_path / "series.tif", *TYPED, "--psf", files / "psf.tif"),
            *(*CAMERA, *QUICK, "-o", tmp_path / "m.safetensors"),
        )
        assert answer.code == 0
        assert "read them as a time series (axes TYX)" in answer.err


class TestInfo:
    def test_a_large_volume_is_read_part_by_part(self, run, files: Path, monkeypatch):
        whole = read_image(files / "series.ome.tif").data
        monkeypatch.setattr(image_files, "_MAPPED_FROM", 0)
        values = run("info", files / "series.ome.tif", "--json").json
        assert (values["axes"], values["shape"]) == ("TZYX", [2, *SHAPE])
        assert (values["minimum"], values["maximum"]) == (whole.min(), whole.max())
        assert values["mean"] == pytest.approx(whole.mean())


class TestDemo:
    def test_everything_is_written_and_scored(self, run, tmp_path: Path):
        folder = tmp_path / "demo"
        answer = run(
            *("demo", "--3d", "--size", "96", "--planes", "16", "--steps", "2"),
            *("--device", "cpu", "-o", folder, "--json"),
        )
        assert answer.code == 0, answer.err
        raw, lucy, ours = answer.json["rows"]
        assert lucy["psnr"] > raw["psnr"]
        assert lucy["axial_nm"] < raw["axial_nm"]
        assert ours["light"] == pytest.approx(1, abs=0.1)
        assert {path.name for path in folder.iterdir()} == {
            *("raw.tif", "second_exposure.tif", "noise_free.tif", "truth.tif", "psf.tif"),
            *("noise.json", "model.safetensors", "scores.json", "comparison.png"),
            *("richardson_lucy.tif", "denoised.tif", "deconvolved.tif"),
        }
        assert read_image(folder / "deconvolved.tif").voxel_size == pytest.approx(VOXEL)
        assert "along z" in answer.err
