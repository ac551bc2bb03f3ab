"""A fifth mode in one file: exposures of a scene at rest, averaged before all else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_zsdeconvnet.modes.base import NOTHING, Mode
from napari_zsdeconvnet.modes.image_2d import Image2D
from napari_zsdeconvnet.modes.steps import Began, Done
from napari_zsdeconvnet.quality.checks import Measure
from napari_zsdeconvnet.quality.verdict import Verdict


class Averaged(Mode):
    name = "averaged"
    title = "exposures at rest, averaged"
    by_request = True
    stages = ("average", "psf", "noise", "model", "result", "verdict")

    def __init__(self, recording, known=NOTHING):
        super().__init__(recording, known)
        self.single = Image2D(self.image, known)

    @classmethod
    def recognised(cls, recording, known=NOTHING):
        return ""

    @classmethod
    def fits(cls, recording, known=NOTHING):
        return "T" in recording.axes and "Z" not in recording.axes

    @classmethod
    def lay_out(cls, recording, known):
        mean = np.asarray(recording.data).mean(axis=0, dtype=np.float32)
        return replace(recording, data=mean, axes="YX")

    @property
    def frames(self):
        return self.single.frames

    def prepare(self):
        yield Began("average")
        yield Done("average", "The exposures are averaged.")
        yield from self.single.prepare()

    def misfit(self, model):
        return self.single.misfit(model)

    def calibrate(self):
        yield from self.single.calibrate()

    def train(self, **settings):
        return self.single.train(**settings)

    def judge(self, model, result, device="auto"):
        mean = float(result.denoised.mean())
        yield from ()
        light = Measure("light", mean, "counts", (0.0, None), mean > 0, "There is light.")
        return Verdict((light,))

    def placed(self, pixels):
        return self.single.placed(pixels)
