from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_zsdeconvnet.io import excerpts
from napari_zsdeconvnet.io.excerpts import Excerpt, excerpt, window_of_all_frames
from napari_zsdeconvnet.io.image import Image
from napari_zsdeconvnet.utils.errors import UnreadableError

VOLUMES = np.random.default_rng(0).integers(0, 999, (3, 9, 20, 30), dtype=np.uint16)
STARTS = [(0, 1, 2, 3), (2, 4, 10, 20), (1, 0, 0, 0)]
BOX = (5, 8, 10)


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every recording for a large one."""
    monkeypatch.setattr(excerpts, "LARGE", 1)


@pytest.mark.parametrize(
    "index",
    [
        ...,
        0,
        -1,
        (1, 2),
        (slice(1, 3), 4, slice(2, 7, 2)),
        (slice(None), slice(1, 4), 3, 5),
        (2, slice(4, 1), slice(None), 1),
        (slice(0, 0), 1),
        (1, ..., -1),
    ],
)
@pytest.mark.parametrize("held", [False, True])
def test_an_excerpt_is_cut_as_the_array_of_its_boxes_is(index: Any, held: bool):
    boxes = np.stack([VOLUMES[t, z : z + 5, y : y + 8, x : x + 10] for t, z, y, x in STARTS])
    part = Excerpt(VOLUMES, STARTS, BOX, held=held)
    assert part.shape == boxes.shape
    np.testing.assert_array_equal(part[index], boxes[index])


def test_a_region_is_found_again_in_the_source():
    part = Excerpt(VOLUMES, STARTS, BOX)
    region = (slice(1, 3), slice(0, 8), slice(2, 5))
    frame, where = part.place(1, region)
    np.testing.assert_array_equal(VOLUMES[(frame, *where)], part[(1, *region)])
    assert not part.has_whole_planes
    assert Excerpt(VOLUMES, [(0, 2, 0, 0)], (3, 20, 30)).has_whole_planes


def test_small_recordings_are_taken_whole():
    image = Image(VOLUMES, "TZYX")
    assert excerpt(image, BOX, 10**6) == (image, "")
    assert window_of_all_frames(image, BOX) == (image, "")


@pytest.mark.usefixtures("large")
class TestLargeRecordings:
    def test_parts_lie_within_it_and_apart_and_are_the_same_each_time(self):
        image = Image(np.zeros((50, 40, 300, 300), np.uint16), "TZYX", name="embryo")
        taken, said = excerpt(image, (8, 64, 64), 16 * 8 * 64 * 64)
        part = taken.data
        assert isinstance(part, Excerpt)
        assert part.shape == (16, 8, 64, 64)
        ends = np.add(part.starts, (1, 8, 64, 64))
        assert (ends <= image.data.shape).all()
        assert len({frame for frame, *_ in part.starts}) > 8
        assert np.ptp(part.starts, axis=0)[2:].min() > 100
        again = excerpt(image, (8, 64, 64), 16 * 8 * 64 * 64)[0].data
        assert isinstance(again, Excerpt)
        assert part.starts == again.starts
        assert "embryo is large: 16 parts of 8 x 64 x 64 voxels" in said

    def test_the_brightest_are_taken_where_that_is_asked_for(self):
        pixels = np.zeros((64, 100, 100), np.uint16)
        pixels[32:, ::3, ::3] = 500
        taken, _ = excerpt(Image(pixels, "TYX"), (100, 100), 6 * 100**2, brightest=True)
        part = taken.data
        assert isinstance(part, Excerpt)
        assert [frame >= 32 for frame, *_ in part.starts] == [True] * 6

    def test_a_part_that_cannot_be_read_is_not_taken(self):
        class Damaged(Excerpt):
            def __getitem__(self, index: Any) -> Any:
                if index[0] < 32:
                    raise UnreadableError("chunk-damaged", "It is damaged.")
                return super().__getitem__(index)

        source = np.random.default_rng(1).poisson(5, (64, 50, 50))
        frames: Any = Damaged(source, [(t, 0, 0) for t in range(64)], (50, 50))
        part = excerpt(Image(frames, "TYX"), (50, 50), 6 * 50**2, brightest=True)[0].data
        assert isinstance(part, Excerpt)
        assert min(frame for frame, *_ in part.starts) >= 32

    def test_of_a_series_the_brightest_window_is_taken_in_all_frames(self):
        pixels = np.random.default_rng(2).poisson(3, (20, 400, 400))
        pixels[:, 220:380:2, 20:180:2] += 500
        taken, said = window_of_all_frames(Image(pixels, "TYX"), (200, 200))
        part = taken.data
        assert isinstance(part, Excerpt)
        assert part.shape == (20, 200, 200)
        assert [frame for frame, *_ in part.starts] == list(range(20))
        assert np.asarray(part[0]).max() > 400
        assert "200 x 200 of its pixels" in said
