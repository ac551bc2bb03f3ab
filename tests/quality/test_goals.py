"""How the benchmark judges what has to be reached."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
if not BENCHMARKS.is_dir():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def result(method: str, steps: int | None, psnr: float, size: int = 128) -> dict[str, object]:
    case = {"phantom": "mix", "photons": 30.0, "method": method, "steps": steps, "size": size}
    return {"case": case, "psnr": psnr, "ssim": psnr / 40, "cpu_seconds": 50.0}


def test_ours_is_compared_with_the_best_of_the_rivals(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    import run_goals

    monkeypatch.setattr(run_goals, "RESULTS", tmp_path)
    folder = tmp_path / "peers" / "2d"
    folder.mkdir(parents=True)
    results = [
        result("BM3D + RL", None, 30.0),
        result("bmnd + RL", None, 31.0),
        result("cubic", None, 38.0),  # Which the goals do not name.
        result("fast", 0, 30.5),
        result("fast", 700, 33.0),
        result("fast", 0, 39.0, size=256),
        {"case": result("BM4D + RL", None, 0.0)["case"], "unavailable": "not installed"},
    ]
    for number, one in enumerate(results):
        (folder / f"{number}.json").write_text(json.dumps(one))
    [before] = run_goals.margins("YX", False, 128)
    [after] = run_goals.margins("YX", True, 128)
    assert before.psnr == pytest.approx(-0.5)
    assert after.psnr == pytest.approx(2.0)
    missed = run_goals._margin_line("", "", [before, after], 0.5, 60)
    assert missed.met is False
    assert "1.0 dB short" in str(missed.measured)
    assert run_goals._margin_line("", "", [after], 1.5, 60, ssim=True).met is True
    assert run_goals._margin_line("", "", [after], 1.5, 40).met is False
    assert run_goals._margin_line("", "", [], 1.5, 40).met is None


def test_trainings_are_as_many_as_asked_for_and_all_different():
    from run_goals import _trainings

    listed = _trainings(100)
    assert len({path for path, *_ in listed}) == 100
    assert _trainings(10) == listed[:10]
