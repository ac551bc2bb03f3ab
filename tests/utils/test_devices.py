from __future__ import annotations

import pytest
import torch

from napari_zsdeconvnet.utils import devices
from napari_zsdeconvnet.utils.cores import THREADS_VARIABLE
from napari_zsdeconvnet.utils.errors import InputError


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


class TestResolveDevice:
    def test_auto_is_the_cpu_where_there_is_nothing_else(self, no_gpu):
        assert devices.available_devices() == ["auto", "cpu"]
        assert devices.resolve_device() == torch.device("cpu")

    @pytest.mark.parametrize(
        ("name", "found"),
        [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")],
    )
    def test_gpus_come_first_and_can_be_numbered(self, two_gpus, name: str, found: str):
        assert devices.available_devices() == ["auto", "cuda:0", "cuda:1", "cpu"]
        assert devices.resolve_device(name) == torch.device(found)

    def test_apples_gpu_comes_before_the_cpu(self, no_gpu, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
        assert devices.resolve_device("auto") == torch.device("mps")

    def test_a_torch_device_is_taken_too(self, two_gpus):
        assert devices.resolve_device(torch.device("cuda")) == torch.device("cuda:0")

    @pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps", "gpu", "", "meta", "cpu:7"])
    def test_a_device_that_is_not_there_is_refused_by_name(self, no_gpu, name: str):
        with pytest.raises(InputError, match=r"does not exist.*auto, cpu: choose") as caught:
            devices.resolve_device(name)
        assert repr(name) in str(caught.value)

    def test_a_gpu_too_many_is_refused(self, two_gpus):
        with pytest.raises(InputError, match=r"'cuda:2'.*cuda:0, cuda:1, cpu"):
            devices.resolve_device("cuda:2")


class TestDescribeDevice:
    @pytest.mark.parametrize(("threads", "words"), [(1, "CPU, 1 thread"), (3, "CPU, 3 threads")])
    def test_the_cpu_says_its_threads(self, monkeypatch: pytest.MonkeyPatch, threads, words):
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        assert devices.describe_device(torch.device("cpu")) == words

    def test_a_gpu_says_its_name(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "H200")
        assert devices.describe_device(torch.device("cuda:1")) == "GPU 1, H200"
        assert devices.describe_device(torch.device("mps")) == "GPU, Apple Metal"


class TestReducedPrecision:
    def test_a_cpu_without_units_for_it_keeps_single_precision(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.setattr(torch.cpu, question, lambda: False, raising=False)
        assert devices.reduced_precision(torch.device("cpu")) is None

    def test_a_torch_that_cannot_be_asked_keeps_single_precision(
        self, monkeypatch: pytest.MonkeyPatch
    ):
        for question in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
            monkeypatch.delattr(torch.cpu, question, raising=False)
        assert devices.reduced_precision(torch.device("cpu")) is None

    def test_a_torch_without_onednn_keeps_single_precision(self, monkeypatch: pytest.MonkeyPatch):
        # So it is built for Apple's processors.
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        assert devices.reduced_precision(torch.device("cpu")) is None

    def test_a_cpu_with_units_for_it_uses_bfloat16(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True, raising=False)
        assert devices.reduced_precision(torch.device("cpu")) is torch.bfloat16

    def test_apples_gpu_keeps_single_precision(self):
        assert devices.reduced_precision(torch.device("mps")) is None


class TestOutOfMemory:
    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            torch.cuda.OutOfMemoryError(),
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate"),
            RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
            RuntimeError("CUDA error: out of memory"),
            RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        ],
    )
    def test_is_recognised_whoever_reports_it(self, error: Exception):
        assert devices.is_out_of_memory(error)

    @pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory")])
    def test_other_errors_are_not_taken_for_it(self, error: Exception):
        assert not devices.is_out_of_memory(error)


class TestMoveNetwork:
    def test_puts_channels_last_and_keeps_the_weights(self):
        network = torch.nn.Conv2d(4, 8, 3)
        before = network.weight.detach().clone()
        assert devices.move_network(network, torch.device("cpu")) is network
        assert network.weight.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(network.weight, before)

    def test_leaves_the_layout_alone_on_apples_gpu(self, monkeypatch: pytest.MonkeyPatch):
        network = torch.nn.Conv2d(4, 8, 3)
        moved: list[object] = []
        monkeypatch.setattr(network, "to", lambda *where, **how: moved.append((where, how)))
        devices.move_network(network, torch.device("mps"))
        assert moved == [((torch.device("mps"),), {})]


class TestThreads:
    CPU = torch.device("cpu")

    @pytest.fixture(autouse=True)
    def four_threads(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delenv(THREADS_VARIABLE, raising=False)
        monkeypatch.setattr(devices, "_measured", {})
        usual = torch.get_num_threads()
        torch.set_num_threads(4)
        yield
        torch.set_num_threads(usual)

    @pytest.fixture
    def measured(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Two threads shall be the fastest; gives what was asked to be measured."""
        asked: list[int] = []

        def seconds(most: int) -> dict[int, float]:
            asked.append(most)
            return {1: 1.0, 2: 0.6, 4: 2.0}

        monkeypatch.setattr(devices, "_seconds_by_threads", seconds)
        return asked

    def used(self) -> int:
        with devices.threads(devices.thread_count(self.CPU)):
            return torch.get_num_threads()

    def test_the_fastest_number_is_used_and_the_callers_restored(self, measured):
        assert self.used() == 2
        assert torch.get_num_threads() == 4

    def test_the_callers_number_is_restored_after_an_error_too(self, measured):
        with pytest.raises(ZeroDivisionError), devices.threads(2):
            1 / 0  # noqa: B018
        assert torch.get_num_threads() == 4

    def test_is_measured_once_for_a_while(self, measured, monkeypatch: pytest.MonkeyPatch):
        assert [self.used(), self.used()] == [2, 2]
        assert measured == [4]
        later = devices.time.monotonic() + devices.REMEMBERED + 1
        monkeypatch.setattr(devices.time, "monotonic", lambda: later)
        assert self.used() == 2
        assert measured == [4, 4]

    def test_one_thread_needs_no_measuring(self, measured):
        torch.set_num_threads(1)
        assert self.used() == 1
        assert measured == []

    def test_a_fixed_number_is_honoured_even_where_it_is_slower(self, measured):
        with devices.fixed_threads(3):
            assert torch.get_num_threads() == 3
            assert self.used() == 3
        assert torch.get_num_threads() == 4
        assert self.used() == 2

    def test_stays_the_same_for_as_long_as_it_shall_be_steady(self, measured):
        with devices.steady_threads(self.CPU):
            devices._measured.clear()
            assert self.used() == torch.get_num_threads() == 2
        assert measured == [4]
        assert torch.get_num_threads() == 4

    def test_the_environment_decides_instead_of_a_measurement(
        self, measured, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv(THREADS_VARIABLE, " 3 ")
        assert self.used() == 3
        with devices.fixed_threads(1):
            assert self.used() == 1
        assert measured == []

    @pytest.mark.parametrize("wanted", ["0", "-1", "two", "1.5"])
    def test_a_number_that_is_none_is_refused(self, wanted: str, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv(THREADS_VARIABLE, wanted)
        with pytest.raises(InputError, match=r"ZSDECONVNET_THREADS is .*whole number"):
            self.used()

    def test_gpus_leave_the_threads_alone(self, measured):
        assert devices.thread_count(torch.device("cuda")) == 4
        assert measured == []

    @pytest.mark.parametrize(
        ("seconds", "best"),
        [
            ({1: 1.0, 2: 0.55}, 2),
            ({1: 1.0, 2: 0.95}, 1),
            ({1: 1.0, 2: 9.0}, 1),
            ({1: 1.0, 2: 0.55, 4: 0.3, 8: 0.28}, 4),
            ({1: 1.0, 2: 2.0, 4: 0.3}, 4),
        ],
    )
    def test_more_threads_must_be_worth_their_while(self, seconds, best: int):
        assert devices._fastest(seconds) == best

    def test_measures_every_power_of_two_and_keeps_the_random_numbers(self):
        state = torch.get_rng_state()
        seconds = devices._seconds_by_threads(3, budget=0)
        assert list(seconds) == [1, 2, 3]
        assert all(time > 0 for time in seconds.values())
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == 4
