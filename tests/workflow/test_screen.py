"""Many recordings: who trains, who waits for whom, what fails, and the table of it."""

from __future__ import annotations

import csv
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partialmethod
from pathlib import Path
from typing import Any

import dask
import distributed
import numpy as np
import pytest

from napari_zsdeconvnet.noise.noise_model import NoiseModel
from napari_zsdeconvnet.workflow import screen
from napari_zsdeconvnet.workflow.distributed.running import cluster
from napari_zsdeconvnet.workflow.grouping import Traits
from napari_zsdeconvnet.workflow.likeness import Likeness
from napari_zsdeconvnet.workflow.screen import DONE, Ended, Row, Screen
from napari_zsdeconvnet.workflow.screen_table import CSV, JOURNAL, ScreenTable

CAMERA = NoiseModel(100, 1.0, 4.0)


@dataclass(frozen=True)
class Faked:
    """Recordings are numbers: their hundreds tell which are alike, and some cannot be done."""

    unreadable: frozenset[int] = frozenset()
    untrainable: frozenset[int] = frozenset()
    alone: frozenset[int] = frozenset()
    slow: frozenset[int] = frozenset()
    deadly: frozenset[int] = frozenset()
    folder: str = ""
    """Of marks: a recording with one there does not end its process again."""

    def name(self, recording: int) -> str:
        return f"r{recording}"

    def look(self, recording: int) -> Traits | None:
        if recording in self.slow:
            time.sleep(0.2)
        if recording in self.unreadable:
            raise ValueError("cannot be read")
        if recording in self.alone:
            return None
        likeness = Likeness(CAMERA, 10.0 ** (1 + recording // 100), np.zeros(6))
        return Traits("image", ("YX", False), (0.1, 0.1), (0.2,), likeness)

    def do(self, recording: int, model: str | None) -> Row:
        if recording in self.untrainable:
            raise MemoryError("no room")
        if recording in self.deadly and not Path(self.folder, str(recording)).exists():
            if recording < 100:
                Path(self.folder, str(recording)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        own = model is None
        return Row(
            f"r{recording}",
            model=f"m{recording}" if own else str(model),
            trained_on=f"r{recording}" if own else "",
        )

    def worded(self, error: Exception) -> str:
        return str(error)


@pytest.fixture(scope="module")
def threads() -> Iterator[Any]:
    """A cluster of three workers in this process."""
    with (
        distributed.LocalCluster(
            n_workers=3, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


def done(recordings: list[int], work: Faked, client: Any = None, **settings: Any) -> dict:
    events = Screen(recordings, work, client=client, **settings)
    rows = [event.row for event in events if isinstance(event, Ended)]
    assert len({row.recording for row in rows}) == len(rows)
    return {row.recording: row for row in rows}


def models(rows: dict) -> dict[str, str]:
    return {name: row.model for name, row in sorted(rows.items())}


@pytest.mark.parametrize("on_cluster", [False, True])
class TestScreen:
    @pytest.fixture(autouse=True)
    def _where(self, on_cluster: bool, request: pytest.FixtureRequest) -> None:
        self.client = request.getfixturevalue("threads") if on_cluster else None

    def test_the_first_of_each_group_trains_for_all_that_are_alike(self):
        rows = done([101, 1, 2, 102, 3, 201], Faked(slow=frozenset({101, 1})), self.client)
        assert models(rows) == {
            "r1": "m1", "r101": "m101", "r102": "m101", "r2": "m1", "r201": "m201", "r3": "m1",
        }  # fmt: skip
        assert rows["r102"].trained_on == "r101"
        assert [rows[name].trained for name in ("r1", "r2")] == [True, False]
        assert "light is" in rows["r1"].why
        assert rows["r2"].why == rows["r101"].why == ""

    def test_where_the_first_fails_the_next_one_trains(self):
        work = Faked(unreadable=frozenset({1}), untrainable=frozenset({2, 3}))
        rows = done([1, 2, 3, 4, 5], work, self.client)
        assert [rows[f"r{n}"].failed for n in range(1, 6)] == [True] * 3 + [False] * 2
        assert (rows["r1"].error, rows["r2"].error) == ("cannot be read", "no room")
        assert models(rows) == {"r1": "", "r2": "", "r3": "", "r4": "m4", "r5": "m4"}

    def test_models_are_not_shared_where_nobody_wants_or_can(self):
        rows = done([1, 2], Faked(), self.client, shared=False)
        assert models(rows) == {"r1": "m1", "r2": "m2"}
        rows = done([1, 2, 3], Faked(alone=frozenset({1, 2})), self.client)
        assert models(rows) == {"r1": "m1", "r2": "m2", "r3": "m3"}

    def test_what_is_done_already_is_left_out_and_its_models_serve_others(self):
        before = done([1, 2, 3, 101, 102], Faked())
        earlier = {name: before[name] for name in ("r1", "r2", "r102")}
        rows = done([1, 2, 3, 101, 102], Faked(), self.client, earlier=earlier)
        assert models(rows) == {"r101": "m101", "r3": "m1"}
        assert rows["r3"].trained_on == "r1"
        assert done([1, 2], Faked(), self.client, earlier=before) == {}

    def test_an_empty_list_is_done(self):
        assert done([], Faked(), self.client) == {}


def test_a_recording_that_failed_does_not_lose_its_group():
    """Group of the first, trained by the second; after it is mended the first uses that model."""
    work = Faked(untrainable=frozenset({1}))
    before = done([1, 2, 3], work)
    earlier = {name: row for name, row in before.items() if not row.failed}
    rows = done([1, 2, 3], Faked(), earlier=earlier)
    assert [row.recording for row in rows.values()] == ["r1"]


def test_a_worker_that_joins_later_with_another_version_is_named(
    threads: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(screen._Task, "__init__", partialmethod(screen._Task.__init__, version="9"))
    rows = done([1, 2], Faked(), threads)
    assert ["the task is of 9" in row.error for row in rows.values()] == [True, True]


@pytest.mark.slow
def test_the_recording_of_a_worker_that_dies_is_done_by_another(tmp_path: Path):
    work = Faked(deadly=frozenset({1, 101}), folder=str(tmp_path))
    at_once = {"distributed.deploy.lost-worker-timeout": "0.1 s"}  # what dask would do later
    with dask.config.set(at_once), cluster(2) as client:
        rows = done([1, 2, 101, 102], work, client)
    assert models(rows) == {"r1": "m1", "r101": "", "r102": "m102", "r2": "m1"}
    assert rows["r101"].error.startswith("The process that worked on it ended")


class TestTable:
    ROW = Row("a", DONE, "image", "m", "a", failed_measures=("re-blur",), seconds=1.25)

    def row(self, folder: Path, name: str, **values: Any) -> Row:
        file = folder / f"{name}.tif"
        file.touch()
        return replace(self.ROW, recording=name, files={"deconvolved": str(file)}, **values)

    def test_lines_are_read_again_where_the_settings_are_the_same(self, tmp_path: Path):
        table = ScreenTable(tmp_path, {"steps": 3})
        for row in (self.row(tmp_path, "a"), self.row(tmp_path, "b", state="failed")):
            table.add(row)
        again = ScreenTable(tmp_path, {"steps": 3})
        assert again.earlier(["a", "b", "c"]) == {"a": self.row(tmp_path, "a")}
        other = ScreenTable(tmp_path, {"steps": 4})
        assert other.earlier(["a"]) == {}
        assert other.with_other_settings() == {"a", "b"}
        (tmp_path / "a.tif").unlink()
        assert again.earlier(["a"]) == {}

    def test_what_was_recorded_again_is_not_done(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.chdir(tmp_path)
        Path("a").touch()
        ScreenTable(tmp_path, {}).add(self.row(tmp_path, "a"))
        assert set(ScreenTable(tmp_path, {}).earlier(["a"])) == {"a"}
        later = Path("a.tif").stat().st_mtime + 10
        os.utime("a", (later, later))
        assert ScreenTable(tmp_path, {}).earlier(["a"]) == {}

    def test_a_line_that_was_broken_off_costs_itself_alone(self, tmp_path: Path):
        ScreenTable(tmp_path, {}).add(self.row(tmp_path, "a"))
        journal = tmp_path / JOURNAL
        journal.write_text(journal.read_text() + '{"recording": "b", "sta')
        table = ScreenTable(tmp_path, {})
        table.add(self.row(tmp_path, "c"))
        assert set(table.earlier(["a", "b", "c"])) == {"a", "c"}

    def test_the_spreadsheet_has_the_last_line_of_each_and_failures_last(self, tmp_path: Path):
        table = ScreenTable(tmp_path, {})
        failed = Row("b", "failed", error="cannot, be read")
        passed = self.row(tmp_path, "c", failed_measures=())
        for row in (passed, failed, replace(failed, recording="a"), self.row(tmp_path, "a")):
            table.add(row)
        assert table.write(["a", "b", "c"]) == tmp_path / CSV
        with (tmp_path / CSV).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["recording"] for row in rows] == ["a", "c", "b"]
        assert [row["verdict"] for row in rows] == ["needs a look", "passed", ""]
        assert rows[0]["failed_measures"] == "re-blur"
        assert rows[2]["error"] == "cannot, be read"
