"""The models of a folder: listed, loaded, renamed, deleted, kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
from qtpy.QtWidgets import QInputDialog, QMessageBox

from napari_zsdeconvnet._qt.layers.state import ViewerState
from napari_zsdeconvnet._qt.widgets.models_widget import COLUMNS, ModelsWidget
from napari_zsdeconvnet._qt.workers import preferences
from napari_zsdeconvnet.model.store import default_folder, kept_models

LONG = 120_000  # milliseconds; shared machines can be slow


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(preferences, "models_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def saved(folder, model):
    """Two models of different days."""
    (stretch,) = model.stretches
    for name, year in (("older", 2024), ("newer", 2026)):
        dated = replace(stretch, started=f"{year}-06-01T12:00:00+00:00")
        replace(model, stretches=(dated,)).save(folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def widget(viewer):
    def open_it():
        widget = ModelsWidget(viewer)
        viewer.window.add_dock_widget(widget, name="Models")
        return widget

    return open_it


def rows(widget):
    items = [widget.list.topLevelItem(row) for row in range(widget.list.topLevelItemCount())]
    return [[item.text(column) for column in range(len(COLUMNS))] for item in items]


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.running, timeout=LONG)


def test_models_are_listed_the_latest_first(qtbot, viewer, saved, widget):
    widget = widget()
    wait(qtbot, widget)
    assert [row[0] for row in rows(widget)] == ["newer", "older"]
    _, date, trained_on, pixel, psf = rows(widget)[0]
    assert date.startswith("2026-06-01")
    assert trained_on == "image"
    assert pixel == "62.6 nm"
    assert "NA 1.3" in psf
    assert str(saved) in widget.folder_label.text()
    assert "2 models" in widget.folder_label.text()
    assert not widget.load_button.isEnabled()


def test_a_model_is_loaded_for_all_widgets(qtbot, viewer, saved, model, widget, notifications):
    widget = widget()
    wait(qtbot, widget)
    widget.select(saved / "older.safetensors")
    assert "2 steps" in widget.details.text()
    widget.load_button.click()
    qtbot.waitUntil(lambda: ViewerState.of(viewer).model is not None, timeout=LONG)
    assert ViewerState.of(viewer).model.stretches[0].started.startswith("2024")


def test_a_model_is_renamed_and_stays_selected(qtbot, viewer, saved, widget, monkeypatch):
    widget = widget()
    wait(qtbot, widget)
    widget.select(saved / "older.safetensors")
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: ("my cells", True))
    widget.rename_button.click()
    qtbot.waitUntil(lambda: "my cells" in [row[0] for row in rows(widget)], timeout=LONG)
    assert widget.selected.name == "my cells"
    assert not (saved / "older.safetensors").exists()


def test_a_name_that_is_taken_is_refused(qtbot, viewer, saved, widget, notifications):
    widget = widget()
    wait(qtbot, widget)
    widget.select(saved / "older.safetensors")
    widget.rename("newer")
    assert "already" in notifications[-1][1]
    wait(qtbot, widget)
    assert [row[0] for row in rows(widget)] == ["newer", "older"]


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_a_model_is_deleted_after_a_question_alone(
    qtbot, viewer, saved, widget, monkeypatch, answer
):
    widget = widget()
    wait(qtbot, widget)
    widget.select(saved / "older.safetensors")
    asked = []

    def question(_parent, _title, text):
        asked.append(text)
        return getattr(QMessageBox.StandardButton, answer)

    monkeypatch.setattr(QMessageBox, "question", question)
    widget.delete_button.click()
    wait(qtbot, widget)
    assert "older" in asked[0]
    assert (saved / "older.safetensors").exists() == (answer == "No")
    assert ["older" in row[0] for row in rows(widget)].count(True) == (answer == "No")


def test_what_is_no_model_is_listed_with_the_reason(qtbot, viewer, saved, widget):
    (saved / "broken.safetensors").write_bytes(b"nothing")
    widget = widget()
    wait(qtbot, widget)
    widget.select(saved / "broken.safetensors")
    assert "not a model file" in widget.details.text()
    assert not widget.load_button.isEnabled()
    assert widget.delete_button.isEnabled()


def test_the_current_model_is_kept(qtbot, viewer, folder, model, widget, monkeypatch):
    widget = widget()
    wait(qtbot, widget)
    assert "No models yet" in widget.folder_label.text()
    assert not widget.keep_button.isEnabled()
    ViewerState.of(viewer).model = model
    assert widget.keep_button.isEnabled()
    monkeypatch.setattr(QInputDialog, "getText", lambda *a, **k: ("my cells", True))
    widget.keep_button.click()
    qtbot.waitUntil(lambda: len(rows(widget)) == 1, timeout=LONG)
    assert rows(widget)[0][0].startswith("my_cells_")
    assert widget.selected.path == kept_models(folder)[0].path


def test_shown_again_it_looks_again(qtbot, viewer, folder, model, widget):
    widget = widget()
    wait(qtbot, widget)
    model.save(folder / "come.safetensors")
    dock = viewer.window.add_dock_widget(widget, name="Models again")
    dock.hide()
    dock.show()
    qtbot.waitUntil(lambda: [row[0] for row in rows(widget)] == ["come"], timeout=LONG)


def test_without_a_preference_the_usual_folder_is_listed_and_not_made(
    qtbot, viewer, widget, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    widget = widget()
    wait(qtbot, widget)
    assert widget.folder == default_folder()
    assert str(default_folder()) in widget.folder_label.text()
    assert not list(tmp_path.iterdir())
