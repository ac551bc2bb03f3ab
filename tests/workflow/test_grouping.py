"""Which recordings share a model: it depends on the list alone."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.modes.base import Known
from napari_zsdeconvnet.modes.image_2d import Image2D
from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.psf.microscope import Microscope
from napari_zsdeconvnet.simulation.sample import simulate
from napari_zsdeconvnet.workflow.grouping import Groups, Traits
from napari_zsdeconvnet.workflow.likeness import Likeness

PIXEL = 0.0626
CAMERA = NoiseModel(100, 1.0, 4.0)


def traits(light: float = 100.0, **others: object) -> Traits:
    likeness = Likeness(CAMERA, light, np.zeros(6))
    own = Traits("image", ("YX", False), (0.1, 0.1), (0.2, 0.2, 2.0), likeness)
    return replace(own, **others)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"mode": "volume"}, "another kind"),
        ({"pixels": ("YX", True)}, "another kind"),
        ({"voxel_size": (0.2, 0.2)}, "pixel size"),
        ({"voxel_size": None}, "pixel size"),
        ({"optics": (0.3, 0.3, 2.0)}, "optics"),
        ({"optics": (0.2, 0.2)}, "optics"),
        ({"likeness": None}, "noise"),
        ({"light": 1000.0}, "light is 10 times"),
    ],
)
def test_what_is_not_alike_is_said(other: dict, why: str):
    assert why in traits(**other).differs(traits())


def test_each_goes_to_the_first_group_that_it_is_like():
    """Between two that are not alike, both are near enough; the earlier one takes it."""
    groups = Groups()
    assert groups.place(traits(100)) == (0, "")
    number, why = groups.place(traits(900))
    assert (number, "light is 9 times" in why) == (1, True)
    assert groups.place(traits(300)) == (0, "")
    assert groups.place(traits(1200)) == (1, "")
    assert len(groups) == 2


def test_a_recording_is_looked_at_and_little_is_kept_of_it():
    def looked(seed: int, wavelength: float = 0.525) -> Traits:
        raw = simulate("filaments", shape=(96, 96), pixel_size=PIXEL, seed=seed).raw
        image = Image(raw, "YX", (PIXEL, PIXEL), "a")
        return Traits.of(Image2D(image, Known(Microscope(1.3, wavelength))))

    one, two, red = looked(0), looked(1), looked(1, 0.68)
    assert one.differs(two) == ""
    assert one.differs(red) == "its optics are others"
    sent = pickle.dumps(one)
    assert len(sent) < 2000
    assert pickle.loads(sent).differs(one) == ""
