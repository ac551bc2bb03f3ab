"""The list of steps: short where all is well, in full where it is not or where that is asked."""

from __future__ import annotations

import re

import pytest

from napari_zsdeconvnet._qt.forms.step_list import (
    ACTIVE,
    DONE,
    DOUBTFUL,
    FAILED,
    StepList,
    beginning,
)

SAID = "Offset 100.1 counts, gain 1.0; from: the image.\nThe offset was not given; it is a guess."


@pytest.fixture
def steps(viewer):
    steps = StepList()
    viewer.window.add_dock_widget(steps, name="steps")
    steps.begin([("noise", "Noise.", [("Change…", "Noise calibration")])])
    return steps


def shown(steps):
    return re.sub("<[^>]+>", "", steps.labels["noise"].text())


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Pixels of 62.6 nm.", "Pixels of 62.6 nm."),
        ("Passed. Sharpened to 126 nm.", "Passed."),
        ("Offset 1; from: the image.", "Offset 1."),
        ("", ""),
    ],
)
def test_the_beginning_is_a_sentence_or_a_clause(text, short):
    assert beginning(text) == short


def test_a_link_unfolds_what_a_finished_step_has_to_say_and_folds_it_again(steps):
    asked = []
    steps.clicked.connect(asked.append)
    steps.say("noise", DONE, SAID)
    assert "gain 1.0." in shown(steps)
    assert "The offset was not given." in shown(steps), "a caution is never hidden as a whole"
    assert "from: the image" not in shown(steps)
    link = steps.labels["noise"].linkActivated
    link.emit("details:noise")
    assert "from: the image" in shown(steps)
    assert "it is a guess" in shown(steps)
    assert "Less" in shown(steps)
    link.emit("details:noise")
    assert "from: the image" not in shown(steps)
    assert asked == [], "that is for the list alone"
    link.emit("Noise calibration")
    assert asked == ["Noise calibration"]
    assert steps.said["noise"] == SAID


@pytest.mark.parametrize("state", [ACTIVE, DOUBTFUL, FAILED])
def test_what_is_not_simply_done_is_shown_in_full(steps, state):
    steps.say("noise", state, SAID)
    assert "it is a guess" in shown(steps)
    assert "Details" not in shown(steps)


def test_a_short_step_has_nothing_to_unfold(steps):
    steps.say("noise", DONE, "Pixels of 62.6 nm.")
    assert "Details" not in shown(steps)
