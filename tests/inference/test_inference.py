from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from napari_zsdeconvnet.inference import predict, tile_computer
from napari_zsdeconvnet.inference.predict import Result, TileProgress, exhaust, infer
from napari_zsdeconvnet.inference.tile_computer import Averaging
from napari_zsdeconvnet.model.presets import PRESETS
from napari_zsdeconvnet.networks.base import TwoStageNetwork
from napari_zsdeconvnet.networks.registry import build_network
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.psf import PSF
from napari_zsdeconvnet.utils.errors import InputError

CPU = torch.device("cpu")
NOISE = NoiseModel(offset=100, gain=2.0, read_variance=9.0)
SCALE = 50.0


class SmallNetwork(TwoStageNetwork):
    """Pools as large networks do, so that a tiling out of step would show."""

    multiple = 4
    receptive_field = 16
    bytes_per_pixel = 100

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.convolutions = nn.ModuleList(nn.Conv2d(1, 1, 3, padding=1) for _ in range(3))
        for weight in self.parameters():
            nn.init.uniform_(weight, -0.5, 0.5, generator=generator)

    def forward(
        self, image: torch.Tensor, excess: object = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        first, second, third = self.convolutions
        coarse = second(F.max_pool2d(torch.tanh(first(image)), 4))
        denoised = image + F.interpolate(coarse, scale_factor=4.0)
        return denoised, third(F.interpolate(denoised, scale_factor=2.0))


class Identity(TwoStageNetwork):
    """Gives back what it gets, and can be made to fail."""

    multiple = 1
    receptive_field = 4
    bytes_per_pixel = 100

    def __init__(self, before: Callable[[torch.Tensor], None] = lambda image: None) -> None:
        super().__init__()
        self.before = before
        self.calls = 0

    def forward(
        self, image: torch.Tensor, excess: object = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls += 1
        self.before(image)
        return image, F.interpolate(image, scale_factor=2.0)


class Losing(Identity):
    """Loses a tenth of the light in one output and a fifth in the other."""

    def forward(
        self, image: torch.Tensor, excess: object = 1.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        denoised, deconvolved = super().forward(image)
        return 0.9 * denoised, 0.8 * deconvolved


def frames(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(100, 400, shape).astype(np.uint16)


def run(network: TwoStageNetwork, image: np.ndarray, **options: object) -> Result:
    return exhaust(infer(network, image, NOISE, SCALE, CPU, **options))


class TestTiles:
    @pytest.mark.parametrize("shape", [(64, 64), (37, 53), (101, 60), (5, 90), (7, 3), (1, 1)])
    def test_do_not_show_in_the_result(self, shape):
        network, image = SmallNetwork(), frames(1, *shape)
        whole, tiled = run(network, image, tile=1024), run(network, image, tile=1)
        assert whole.denoised.shape == (1, *shape)
        assert whole.deconvolved.shape == (1, 2 * shape[0], 2 * shape[1])
        for one, other in (
            (whole.denoised, tiled.denoised),
            (whole.deconvolved, tiled.deconvolved),
        ):
            assert one.dtype == np.float32
            assert np.abs(one - other).max() < 1e-4 * SCALE

    def test_do_not_show_with_the_network_of_the_default_preset(self):
        torch.manual_seed(0)
        spot = PSF.simulate(na=1.3, wavelength=0.525, pixel_size=0.0313, size=31)
        network = build_network(PRESETS["fast"].network, spot)
        with torch.no_grad():
            for weight in network.parameters():
                weight.add_(0.02 * torch.randn_like(weight))
        image = frames(1, 75, 41)
        whole, tiled = run(network, image, tile=1024), run(network, image, tile=1)
        assert np.abs(whole.denoised - tiled.denoised).max() < 1e-4 * SCALE
        assert np.abs(whole.deconvolved - tiled.deconvolved).max() < 1e-4 * SCALE

    def test_more_than_one_is_used_where_asked(self):
        network = Identity()
        states: list[TileProgress] = []
        exhaust(infer(network, frames(2, 20, 40), NOISE, SCALE, CPU, tile=1), states.append)
        assert [state.done for state in states] == list(range(1, len(states) + 1))
        assert {state.total for state in states} == {len(states)}
        assert len(states) == network.calls > 2

    def test_are_all_computed_with_the_same_number_of_threads(self, monkeypatch):
        usual, fastest = torch.get_num_threads(), iter((3, 2))
        monkeypatch.setattr(tile_computer, "thread_count", lambda device: next(fastest))
        seen: set[int] = set()
        network = Identity(lambda image: seen.add(torch.get_num_threads()))
        run(network, frames(1, 20, 40), tile=1)
        assert (network.calls > 1, seen) == (True, {3})
        assert torch.get_num_threads() == usual

    def test_the_frame_is_continued_by_reflection(self):
        seen: list[torch.Tensor] = []
        image = frames(1, 10, 12)
        run(Identity(lambda window: seen.append(window.clone())), image)
        rim = (seen[0].shape[-1] - 12) // 2
        expected = np.pad((image[0] - 100.0) / SCALE, rim, mode="reflect")
        np.testing.assert_allclose(seen[0][0, 0], expected, rtol=1e-6)


class TestCounts:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
    def test_come_back_as_those_above_the_offset(self, dtype):
        image = np.random.default_rng(0).integers(50, 250, (2, 13, 17)).astype(dtype)
        before = image.copy()
        result = run(Identity(), image)
        np.testing.assert_allclose(result.denoised, image.astype(float) - 100, atol=1e-4)
        doubled = (image.astype(float) - 100).repeat(2, axis=1).repeat(2, axis=2)
        np.testing.assert_allclose(result.deconvolved, doubled, atol=1e-4)
        np.testing.assert_array_equal(image, before)

    def test_a_flat_image_stays_flat(self):
        result = run(Identity(), np.full((1, 30, 30), 100, np.uint16))
        assert np.all(result.denoised == 0)

    def test_light_is_given_back_to_a_network_that_loses_some(self):
        image = np.full((1, 170, 170), 300, np.uint16)
        image[:, 70:100, 70:100] = 900
        for tile in (1, 1024):
            result = run(Losing(), image, tile=tile)
            light = (image - 100.0).sum()
            assert result.denoised.sum() == pytest.approx(light, rel=0.002)
            assert result.deconvolved.sum() / 4 == pytest.approx(light, rel=0.002)
            # Far from any structure to the last count.
            np.testing.assert_allclose(result.denoised[:, :20], 200, rtol=1e-5)
            np.testing.assert_allclose(result.deconvolved[:, :40], 200, rtol=1e-5)

    def test_frames_do_not_mix(self):
        series, network = frames(3, 20, 30), SmallNetwork()
        together = run(network, series)
        for index in range(3):
            alone = run(network, series[index : index + 1])
            np.testing.assert_array_equal(together.deconvolved[index], alone.deconvolved[0])

    def test_a_mapped_file_is_read_frame_by_frame(self, tmp_path):
        np.save(tmp_path / "series.npy", frames(3, 20, 30))
        mapped = np.load(tmp_path / "series.npy", mmap_mode="r")
        np.testing.assert_array_equal(
            run(Identity(), mapped).denoised, run(Identity(), np.array(mapped)).denoised
        )


class Watched:
    """Frames that take down which of them are read and when, and may fail."""

    def __init__(self, pixels: np.ndarray, broken: int | None = None) -> None:
        self.pixels = pixels
        self.shape, self.dtype, self.ndim = pixels.shape, pixels.dtype, pixels.ndim
        self.broken = broken
        self.read: list[int] = []

    def __getitem__(self, where: tuple) -> np.ndarray:
        if where[0] == self.broken:
            raise OSError("the disk is gone")
        self.read.append(where[0])
        return self.pixels[where]


class TestSeries:
    def test_the_next_frame_is_read_while_one_is_computed_and_no_other(self):
        series, seen = Watched(frames(4, 20, 30)), []
        states = infer(Identity(lambda image: seen.append(len(series.read))), series, NOISE, 1, CPU)
        for done in range(1, 5):
            next(states)
            assert len(series.read) <= done + 1
        assert list(states) == []
        assert series.read == [0, 1, 2, 3]
        assert seen[0] <= 2

    def test_an_error_while_reading_ends_it(self):
        series = Watched(frames(4, 20, 30), broken=2)
        states = infer(Identity(), series, NOISE, SCALE, CPU)
        assert next(states).done == 1
        with pytest.raises(OSError, match="the disk is gone"):
            list(states)

    def test_an_error_while_writing_ends_it(self):
        class Full(np.ndarray):
            def __setitem__(self, where, values) -> None:
                raise OSError("the disk is full")

        room = predict.empty_result(Identity(), (3, 20, 30))
        full = Result(room.denoised.view(Full), room.deconvolved)
        with pytest.raises(OSError, match="the disk is full"):
            run(Identity(), frames(3, 20, 30), into=full)

    def test_an_end_asked_for_leaves_no_thread_behind(self):
        before = threading.active_count()
        states = infer(Identity(), frames(5, 20, 30), NOISE, SCALE, CPU)
        next(states)
        states.close()
        assert threading.active_count() == before

    def test_the_result_is_complete_when_it_is_given(self):
        series = frames(3, 20, 30)
        slow = Watched(series)
        result = run(Identity(), slow)
        np.testing.assert_allclose(result.denoised, series - 100.0, atol=1e-4)


class TestMemory:
    def test_in_bands_a_network_needs_less_of_it_on_a_cpu(self):
        network = Identity()
        assert network.memory_per_pixel(CPU) == network.bytes_per_pixel
        network.bytes_per_pixel_in_bands = 20
        assert network.memory_per_pixel(CPU) == 20
        assert network.memory_per_pixel(torch.device("cuda")) == network.bytes_per_pixel

    def shortage(self, largest: int, error: Exception) -> Callable[[torch.Tensor], None]:
        def fail(image: torch.Tensor) -> None:
            if image.shape[-1] > largest:
                raise error

        return fail

    @pytest.mark.parametrize(
        "error",
        [
            torch.cuda.OutOfMemoryError("CUDA out of memory"),
            MemoryError(),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
        ],
    )
    def test_smaller_tiles_are_tried_and_said(self, error: Exception):
        image = frames(1, 200, 200)
        states: list[TileProgress] = []
        network = Identity(self.shortage(150, error))
        result = exhaust(infer(network, image, NOISE, SCALE, CPU, tile=256), states.append)
        np.testing.assert_allclose(result.denoised, image - 100.0, atol=1e-4)
        messages = [state.message for state in states if state.message]
        assert messages == ["Memory ran out: trying again with tiles of 128 pixels."]

    def test_where_even_the_smallest_do_not_fit_it_says_so(self):
        network = Identity(self.shortage(0, torch.cuda.OutOfMemoryError("CUDA out of memory")))
        with pytest.raises(
            InputError, match=r"Memory ran out.*smallest tiles.*close other programs"
        ):
            run(network, frames(1, 100, 100))

    def test_other_failures_are_not_tried_again(self):
        network = Identity(self.shortage(0, RuntimeError("a defect")))
        with pytest.raises(RuntimeError, match="a defect"):
            run(network, frames(1, 100, 100))
        assert network.calls == 1

    def test_the_tile_follows_the_free_memory(self, monkeypatch: pytest.MonkeyPatch):
        widths: list[int] = []
        monkeypatch.setattr(predict, "fitting_tile", lambda *given: (120, 120))
        run(Identity(lambda image: widths.append(image.shape[-1])), frames(1, 200, 200))
        assert max(widths) == 120


class TestCancelling:
    def test_closing_ends_the_work(self):
        network = Identity()
        tiles = infer(network, frames(1, 200, 200), NOISE, SCALE, CPU, tile=1)
        next(tiles)
        tiles.close()
        assert network.calls == 1
        with pytest.raises(StopIteration):
            next(tiles)

    def test_what_the_callers_progress_raises_ends_the_work(self):
        network = Identity()

        def cancel(state: TileProgress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            exhaust(infer(network, frames(1, 200, 200), NOISE, SCALE, CPU, tile=1), cancel)
        assert network.calls == 1


class TestAveraging:
    flat = np.full((1, 100, 100), 300, np.uint16)

    def spread(self, repeats: int, magnitude: float = 1.0) -> float:
        averaging = Averaging(repeats, magnitude, seed=1)
        return float(run(Identity(), self.flat, averaging=averaging).denoised.var())

    def test_adds_the_noise_of_equation_2_and_averages_it(self):
        variance = 2.0 * 200 + 9.0
        error = 5 * np.sqrt(2 / self.flat.size)
        assert self.spread(1) == pytest.approx(variance, rel=error)
        assert self.spread(8) == pytest.approx(variance / 8, rel=error)
        assert self.spread(1, 2.0) == pytest.approx(4 * variance, rel=error)

    def test_no_repeats_take_the_image_as_it_is(self):
        assert self.spread(0) == 0

    def test_keeps_the_mean(self):
        result = run(Identity(), self.flat, averaging=Averaging(4, 1.0, 0))
        error = 5 * np.sqrt(409 / 4 / self.flat.size)
        assert result.denoised.mean() == pytest.approx(200, abs=error)
        assert result.deconvolved.mean() == pytest.approx(200, abs=error)

    def test_the_seed_decides_the_noise(self):
        one, same, other = (
            run(Identity(), self.flat, averaging=Averaging(2, 1.0, seed)).denoised
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)

    def test_leaves_the_random_numbers_of_others_alone(self):
        before = torch.random.get_rng_state()
        self.spread(2)
        assert torch.equal(torch.random.get_rng_state(), before)


@pytest.fixture(scope="module")
def volume_network() -> TwoStageNetwork:
    psf = PSF.simulate(1.1, 0.525, 0.1, axial_step=0.2, stack=(48, 896, 896), modality="widefield")
    return build_network("sharpening", psf, 1)


class TestShortOfMemory:
    """What is free is what the test says."""

    def free(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        for module in ("utils.memory", "inference.predict", "utils.tiling", "quality.judged_part"):
            name = f"napari_zsdeconvnet.{module}.available_memory"
            monkeypatch.setattr(name, lambda: room, raising=False)

    def test_a_flat_stack_needs_no_tiles_deeper_than_itself(
        self, volume_network: TwoStageNetwork, monkeypatch: pytest.MonkeyPatch
    ):
        self.free(monkeypatch, 1500 * 2**20)
        predict.check_memory(volume_network, CPU, (1, 48, 896, 896))
        self.free(monkeypatch, 600 * 2**20)
        with pytest.raises(InputError, match=r"needs .* of memory and 600 MiB are free; close"):
            predict.check_memory(volume_network, CPU, (1, 48, 896, 896))

    def test_a_tile_takes_nearly_all_before_it_is_all_overlap(
        self, volume_network: TwoStageNetwork, monkeypatch: pytest.MonkeyPatch
    ):
        self.free(monkeypatch, 1700 * 2**20)
        tile = predict._usual_tile(volume_network, CPU, (48, 896, 896))
        overlap = volume_network.reach[-1]
        assert tile[-1] - 2 * overlap > 0.5 * overlap
        window = (48, *tile[1:])
        assert volume_network.memory_of(window, CPU) < predict.NEARLY_ALL * 1700 * 2**20

    def test_large_results_lie_in_files_that_go_with_them(self, monkeypatch: pytest.MonkeyPatch):
        frames = np.full((3, 64, 64), 110, np.uint16)
        expected = exhaust(infer(Identity(), frames, NOISE, SCALE, CPU))
        monkeypatch.setattr(predict, "MOST_HELD", 0.0)
        result = exhaust(infer(Identity(), frames, NOISE, SCALE, CPU))
        for what in ("denoised", "deconvolved"):
            assert isinstance(getattr(result, what), np.memmap)
            np.testing.assert_array_equal(getattr(result, what), getattr(expected, what))
