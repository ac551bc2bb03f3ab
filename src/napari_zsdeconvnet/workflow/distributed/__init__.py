"""Prediction of recordings beyond memory: tasks that any process can do, and do again."""

from .prediction import iter_predict_to_zarr, predict_to_zarr

__all__ = ["iter_predict_to_zarr", "predict_to_zarr"]
