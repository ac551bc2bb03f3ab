"""Prediction of recordings beyond memory: tasks that any process can do, and do again."""

from .prediction import RECORD, check_zarr_output, iter_predict_to_zarr, predict_to_zarr

__all__ = ["RECORD", "check_zarr_output", "iter_predict_to_zarr", "predict_to_zarr"]
