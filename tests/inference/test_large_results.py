from __future__ import annotations

import pytest
import torch

from napari_zsdeconvnet.inference import predict
from napari_zsdeconvnet.utils.errors import InputError
from tests.workflow.small_models import Losing


def test_results_that_neither_memory_nor_disk_holds_are_sent_to_ome_zarr(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(predict, "disk_is_free", lambda _: False)
    frames = (10**6, 2048, 2048)
    with pytest.raises(InputError, match=r"with its results needs .* OME-Zarr as the output"):
        predict.check_memory(Losing(), torch.device("cpu"), frames)
    predict.check_memory(Losing(), torch.device("cpu"), frames, results=False)
