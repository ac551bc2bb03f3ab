"""Names of before, which say what they are called today."""

from __future__ import annotations

import warnings
from typing import Any

from ..inference.predict import Result
from ..model.model import Model
from ..training.trainer import TrainingRun, train


def train_sim(raw: Any, reconstruction: Any, noise: Any, **settings: Any) -> TrainingRun:
    """Do as ``train(raw, noise=noise, reconstruction=reconstruction)``."""
    _say("train_sim", "train(raw, noise=noise, reconstruction=reconstruction)")
    return train(raw, noise=noise, reconstruction=reconstruction, **settings)


def predict_sim(model: Model, raw: Any, camera: Any, **settings: Any) -> Result:
    """Do as ``model.predict(raw, camera=camera)``."""
    _say("predict_sim", "model.predict(raw, camera=camera)")
    return model.predict(raw, camera=camera, **settings)


def _say(old: str, new: str) -> None:
    warnings.warn(f"{old} is now {new}.", DeprecationWarning, stacklevel=3)
