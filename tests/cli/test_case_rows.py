"""Every row of the README of the cases, from the shell and from Python."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from case_rows import (
    BEADS,
    CAMERA,
    GAIN,
    MISSING,
    OFFSET,
    PSFS,
    README,
    ROWS,
    SATURATED,
    SERIES,
    SIM,
    SIZES,
    UNKNOWN,
    named_in_readme,
)

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.image import Image, PixelRule
from napari_zsdeconvnet.training.data import lay_out
from napari_zsdeconvnet.utils.errors import InputError

FWHM = 2.355


@pytest.mark.skipif(not README.is_file(), reason=f"{README} is not there")
def test_every_file_of_the_readme_has_its_row():
    parts = {"_truth", "_psf"}  # of the nucleus
    for name in named_in_readme() - parts:
        assert [row for row in ROWS if fnmatch(Path(row).stem, Path(name).stem)], name


class TestCamera:
    @pytest.mark.parametrize("name", CAMERA)
    def test_python(self, cases: Path, name: str):
        error, words = CAMERA[name]
        noise = zs.NoiseModel.from_image(zs.read_image(cases / name), OFFSET)
        assert noise.gain == pytest.approx(GAIN, rel=error)
        assert re.search(words, " ".join(noise.warnings))

    @pytest.mark.parametrize("name", CAMERA)
    def test_shell(self, run: Any, cases: Path, name: str):
        error, words = CAMERA[name]
        answer = run("calibrate", cases / name, "--offset", OFFSET, "--json")
        assert answer.json["noise"]["gain"] == pytest.approx(GAIN, rel=error)
        assert re.search(words, answer.err)

    @pytest.mark.parametrize("name", SATURATED)
    def test_saturation_in_python(self, cases: Path, name: str):
        gain, words = SATURATED[name]
        image = zs.read_image(cases / name)
        with pytest.raises(InputError, match=words):
            zs.NoiseModel.from_image(image)
        allowed = Image(image.data, "YX", pixel_rule=PixelRule(saturation="mask"))
        assert zs.NoiseModel.from_image(allowed).gain == pytest.approx(gain, rel=0.1)

    @pytest.mark.parametrize("name", SATURATED)
    def test_saturation_in_the_shell(self, run: Any, cases: Path, name: str):
        gain, words = SATURATED[name]
        refused = run("calibrate", cases / name)
        assert (refused.code, "--allow-saturated" in refused.err) == (2, True)
        assert re.search(words, refused.err)
        answer = run("calibrate", cases / name, "--allow-saturated", "--json")
        assert answer.json["noise"]["gain"] == pytest.approx(gain, rel=0.1)
        assert "1261 saturated pixels" in answer.err

    @pytest.mark.parametrize("name", SERIES)
    def test_series_in_python(self, cases: Path, name: str):
        error, words = SERIES[name]
        noise = zs.NoiseModel.from_series(zs.read_image(cases / name), offset=OFFSET)
        assert noise.gain == pytest.approx(GAIN, rel=error)
        assert words in " ".join(noise.warnings)

    @pytest.mark.parametrize("name", SERIES)
    def test_series_in_the_shell(self, run: Any, cases: Path, name: str):
        error, words = SERIES[name]
        answer = run("calibrate", cases / name, "--series", "--offset", OFFSET, "--json")
        assert answer.json["noise"]["gain"] == pytest.approx(GAIN, rel=error)
        assert words in answer.err


class TestSizes:
    @pytest.mark.parametrize("name", SIZES)
    def test_python(self, cases: Path, name: str):
        image = zs.read_image(cases / name)
        axes, size, interval = SIZES[name]
        assert (image.axes, image.frame_interval) == (axes, interval)
        assert image.voxel_size == pytest.approx(size)

    @pytest.mark.parametrize("name", SIZES)
    def test_shell(self, run: Any, cases: Path, name: str):
        said = run("info", cases / name, "--json").json
        axes, size, interval = SIZES[name]
        assert (said["axes"], said["frame_interval_s"]) == (axes, interval)
        assert said["voxel_size_um"] == pytest.approx(size)

    def test_pages_of_nothing_known(self, run: Any, cases: Path):
        image = zs.read_image(cases / UNKNOWN)
        assert (image.axes, image.voxel_size) == ("TYX", None)
        (volume,) = lay_out(image, None, (0.3, 0.1, 0.1))
        assert (volume.axes, volume.voxel_size) == ("TZYX", (0.3, 0.1, 0.1))
        assert volume.data.shape == (1, 14, 80, 84)
        for typed in (
            ("--voxel-size", "0.3,0.1,0.1"),
            ("--axial-step", "0.3", "--pixel-size", "0.1"),
        ):
            answer = run("calibrate", cases / UNKNOWN, *typed)
            assert answer.code == 0
            assert "taken as time" not in answer.err
            refused = run("calibrate", cases / UNKNOWN, *typed, "--series")
            assert refused.code == 2  # planes are no series

    def test_planes_missing(self, run: Any, cases: Path):
        name, words = MISSING
        with pytest.raises(InputError, match=words):
            zs.read_image(cases / name)
        for command in (("info",), ("calibrate",), ("train", "--na", "1.2", "--wavelength", 0.5)):
            answer = run(command[0], cases / name, *command[1:])
            assert (answer.code, words in answer.err) == (2, True)


class TestPSFs:
    def test_beads(self, run: Any, cases: Path):
        name, sigmas = BEADS
        width = FWHM * np.array(sigmas)
        psf = zs.PSF.from_beads(zs.read_image(cases / name))
        answer = run("psf", "beads", cases / name, "--json")
        for found in (psf.fwhm, answer.json["fwhm"]):
            assert found == pytest.approx(width, rel=0.1)
        assert "fit to 4 beads" in psf.source
        assert "No bead stands alone" in answer.err

    @pytest.mark.parametrize("name", PSFS)
    def test_files(self, run: Any, cases: Path, name: str):
        size = (0.2, 0.1, 0.1)
        psf = zs.PSF.read(cases / name, size)
        answer = run("psf", "read", cases / name, "--voxel-size", "0.2,0.1,0.1", "--json")
        assert answer.code == 0
        assert answer.json["fwhm"] == pytest.approx(psf.fwhm)
        if "deflate" in name:
            assert psf.array.shape == (61, 281, 281)
            assert psf.fwhm[1] == pytest.approx(0.51 * 0.525 / 1.2, rel=0.1)
            return
        said = " ".join(zs.PSF.read(cases / name).warnings)
        assert PSFS[name] in said
        assert PSFS[name] in run("psf", "read", cases / name).err
        assert "which differ" in " ".join(psf.warnings)


class TestSIM:
    def test_sim_zcyx(self, run: Any, cases: Path):
        name, angles = SIM
        optics = {"na": 1.41, "wavelength": 0.525}
        image = zs.read_image(cases / name)
        patterns = zs.sim.estimate(image, pixel_size=0.0626, offset=OFFSET, **optics)
        assert sorted(one.angle for one in patterns) == pytest.approx(angles, abs=1)
        options = ("--na", 1.41, "--wavelength", 0.525, "--offset", OFFSET, "--json")
        (found,) = run("sim", "estimate", cases / name, *options).json["recordings"]
        found = found["patterns"]["orientations"]
        assert sorted(one["angle"] for one in found) == pytest.approx(angles, abs=1)
        assert [one["period"] for one in found] == pytest.approx([0.2] * 3, rel=0.01)
        # One phase after another of each plane has the same angles: never three times one.
        planes = tifffile.imread(cases / name).swapaxes(0, 1).reshape(27, 160, 160)
        with pytest.raises(InputError, match="the same angle"):
            zs.sim.estimate(planes[:9], pixel_size=0.0626, offset=OFFSET, **optics)
