"""The pictures of the documentation are of today's weights and presets, and all are shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MEASURED = ("peers_", "benchmarks_", "demo")
"""Made by benchmarks and the shell, and dated on their own pages."""


@pytest.fixture(scope="module")
def pictures():
    if not (ROOT / "docs").is_dir():
        pytest.skip("there is no documentation beside the package")
    sys.path.insert(0, str(ROOT / "docs"))
    import make_pictures

    sys.path.pop(0)
    return make_pictures


def test_every_picture_is_shown_and_was_made_with_the_weights_of_today(pictures):
    stamps, shown = pictures.stamps(), pictures.shown()
    there = {path.name for path in pictures.IMAGES.glob("*.png")}
    assert there == shown, "pictures that no page shows"
    jobs = {job.name: job for job in pictures.JOBS}
    old = [
        name
        for name in sorted(shown)
        if not name.startswith(MEASURED)
        and stamps.get(name, {}).get("with")
        != pictures.fingerprint(jobs[stamps[name]["made_by"]].kinds if name in stamps else ())
    ]
    assert old == [], "make these again: python docs/make_pictures.py"
