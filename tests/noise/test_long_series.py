"""A series of volumes goes from file to file without ever being whole in memory."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from watched import Watched

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.cli.main import main
from napari_zsdeconvnet.inference.predict import Result
from napari_zsdeconvnet.io import image_files
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image, written_image
from napari_zsdeconvnet.model import presets
from napari_zsdeconvnet.networks import registry
from napari_zsdeconvnet.networks.volume import SharpeningNetwork

pytestmark = pytest.mark.slow

SHAPE = (6, 16, 96, 96)
VOLUME = SHAPE[1] * SHAPE[2] * SHAPE[3]
VOXEL = (0.2, 0.1, 0.1)
QUICK = replace(presets.VOLUME_PRESETS["fast"], patch=32, planes=8, batch=1, steps=4)


class QuickNetwork(SharpeningNetwork):
    """The network of ``fast``, with little in it: what is read and written is the same."""

    rim = (2, 8, 8)

    def __init__(self, psf: zs.PSF, upsampling: int = 1) -> None:
        super().__init__(psf, upsampling, channels=(8, 8))
        for part in self.modules():
            for steps in ("iterations", "closing", "finishing"):
                if hasattr(part, steps):
                    setattr(part, steps, 1)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "_MAPPED_FROM", 2**20)
    monkeypatch.setitem(presets.VOLUME_PRESETS, "fast", QUICK)
    monkeypatch.setitem(registry.NETWORKS, "sharpening", QuickNetwork)


@pytest.fixture(scope="module")
def psf() -> zs.PSF:
    return zs.PSF.simulate(
        1.1, 0.525, VOXEL[-1], refractive_index=1.33, axial_step=VOXEL[0], planes=7, size=9
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TIFF file of six time points, in each some bright cuboids at other places."""
    generator = np.random.default_rng(0)
    series = np.empty(SHAPE, np.uint16)
    for volume in series:
        signal = np.full(volume.shape, 4.0, np.float32)
        for _ in range(8):
            z, y, x = (int(generator.integers(0, length - 8)) for length in volume.shape)
            signal[z : z + 4, y : y + 8, x : x + 8] += 60
        volume[:] = generator.poisson(gaussian_filter(signal, 1.2)) + 100
    file = tmp_path_factory.mktemp("series") / "series.ome.tif"
    write_image(file, series, axes="TZYX", voxel_size=VOXEL)
    return file


def check(path: Path, image: zs.Image) -> None:
    """Compare the light of every time point with that of the recording."""
    assert image.axes == "TZYX"
    assert image.data.shape == SHAPE
    for result, raw in zip(image.data, read_image(path).data, strict=True):
        assert result.mean() == pytest.approx(raw.mean() - 100, rel=0.02)


def test_in_python(path: Path, psf: zs.PSF, tmp_path: Path):
    image = read_image(path)
    assert isinstance(image.data, np.memmap)
    series = Watched(image.data, most=VOLUME)
    camera = zs.NoiseModel(offset=100, gain=None, read_variance=4.0)
    run = zs.train(
        series, psf, camera, axes="TZYX", voxel_size=VOXEL, seed=1, device="cpu", preview_every=4
    )
    assert [progress.step for progress in run] == [1, 2, 3, 4]
    assert run.model.noise.gain == pytest.approx(1, rel=0.3)
    assert series.read >= image.data.size, "every time point was looked at"

    options: dict[str, Any] = {"axes": "TZYX", "voxel_size": VOXEL}
    names = tmp_path / "denoised.tif", tmp_path / "deconvolved.tif"
    with ExitStack() as files:
        rooms = [files.enter_context(written_image(name, SHAPE, **options)) for name in names]
        into = Result(*(Watched(room, most=VOLUME) for room in rooms))
        assert run.model.predict(series, axes="TZYX", device="cpu", into=into) is into
    for name in names:
        check(path, read_image(name))


def test_in_the_shell(path: Path, psf: zs.PSF, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    watched = []

    def pixels(*arguments: Any, real: Any = image_files._pixels) -> Any:
        stored = real(*arguments)
        if not isinstance(stored, np.memmap):
            return stored  # the PSF
        watched.append(Watched(stored, most=VOLUME))
        return watched[-1]

    psf.write(tmp_path / "psf.tif")
    model, result = (str(tmp_path / name) for name in ("model.safetensors", "result.ome.tif"))
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "_pixels", pixels)
        train = ["train", str(path), "--psf", str(tmp_path / "psf.tif"), "-o", model]
        camera = ["--offset", "100", "--gain", "1", "--read-variance", "4"]
        assert main([*train, *camera, "--seed", "1", "--device", "cpu"]) == 0
        assert main(["predict", model, str(path), "-o", result, "--device", "cpu"]) == 0
    assert [one.shape for one in watched] == [SHAPE, SHAPE]
    assert all(one.read >= one._pixels.size for one in watched)
    check(path, read_image(result))
