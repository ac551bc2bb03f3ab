from __future__ import annotations

import pytest
import torch

from napari_zsdeconvnet import devices
from napari_zsdeconvnet.errors import InputError


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
