"""What is set in napari's preferences is offered there, read here, and does something."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from npe2 import PluginManifest

from napari_zsdeconvnet._qt.forms.optics_metadata import Facts, gather, needed
from napari_zsdeconvnet._qt.workers import preferences, remembered_optics
from napari_zsdeconvnet._qt.workers.preferences import PLUGIN
from napari_zsdeconvnet.io.acquisition import Optics, Recorded

napari_settings = pytest.importorskip("napari.settings")
if not hasattr(napari_settings, "get_plugin_settings"):
    pytest.skip("napari before 0.9 has no preferences for plugins", allow_module_level=True)

REAL = preferences._settings


@pytest.fixture
def settings(plugin_settings, npe2pm, monkeypatch):
    """The preferences of this plugin, in a folder of the test's own."""
    monkeypatch.setattr(preferences, "_settings", REAL)
    manifest = Path(str(files("napari_zsdeconvnet"))) / "napari.yaml"
    if PLUGIN not in npe2pm:
        npe2pm.register(PluginManifest.from_file(manifest))
    return napari_settings.get_plugin_settings(PLUGIN)


def test_by_default_nothing_is_preset(settings):
    assert preferences.microscopes() == ()
    assert preferences.device() == "auto"
    assert preferences.threads() is None
    assert preferences.models_folder() is None
    assert preferences.suggested_path("model") == "model"


def test_a_microscope_counts_once_it_has_a_name(settings):
    settings.microscope_2.na = 1.45
    settings.microscope_2.pixel_size = 65
    settings.microscope_2.offset = 100
    assert preferences.microscopes() == ()
    settings.microscope_2.name = "Spinning disk"
    (preset,) = preferences.microscopes()
    assert (preset.name, preset.na, preset.pixel_size) == ("Spinning disk", 1.45, 0.065)
    assert preset.refractive_index is None
    assert preset.noise is None
    settings.microscope_2.read_variance = 4
    (preset,) = preferences.microscopes()
    assert (preset.noise.offset, preset.noise.gain, preset.noise.read_variance) == (100, None, 4)
    assert "Spinning disk" in preset.noise.source


def test_they_are_kept_in_a_file(settings, tmp_path):
    settings.computing.threads = 3
    settings.computing.models = str(tmp_path)
    assert "threads: 3" in Path(settings.config_path).read_text()
    assert preferences.threads() == 3
    assert preferences.models_folder() == tmp_path
    assert preferences.suggested_path("model") == str(tmp_path / "model")


def test_an_impossible_value_is_refused(settings):
    for slot, name, value in (("computing", "device", "tpu"), ("microscope_1", "na", 3.0)):
        with pytest.raises(ValueError, match="value"):
            setattr(getattr(settings, slot), name, value)


def test_napari_offers_them_in_its_dialog(qtbot, settings, viewer):
    from napari._qt.dialogs.preferences_dialog import PreferencesDialog

    dialog = PreferencesDialog(parent=viewer.window._qt_window)
    qtbot.addWidget(dialog)
    pages = [dialog._list.item(row).text() for row in range(dialog._list.count())]
    assert "ZS-DeconvNet" in pages
    dialog.reject()


def test_as_many_threads_compute_as_are_asked_for(qtbot, settings):
    torch = pytest.importorskip("torch")
    from qtpy.QtWidgets import QWidget

    from napari_zsdeconvnet._qt.workers.workers import Job, once

    owner = QWidget()
    qtbot.addWidget(owner)
    settings.computing.threads = 3
    before, found = torch.get_num_threads(), []
    Job(once(torch.get_num_threads), owner=owner, on_result=found.append, uses_torch=True).start()
    qtbot.waitUntil(lambda: bool(found), timeout=60_000)
    torch.set_num_threads(before)
    assert found == [3]


class TestWhoIsBelieved:
    def facts(self, presets=(), answers=None, recorded=None, channel="GFP"):
        said = recorded or Recorded()
        return gather(0.1, None, said, said.optics(), channel, presets, answers or {})

    def test_the_layer_then_the_file_then_the_memory_then_the_preset(self):
        remembered_optics.remember("GFP", {"na": 1.2, "wavelength": 0.52})
        preset = preferences.MicroscopePreset("Mine", 1.1, 1.33, 0.2)
        said = Recorded((Optics(na=1.4),), (), (0.3, 0.2, 0.2))
        facts = self.facts((preset,), recorded=said)
        assert facts["pixel_size"].value == 0.1
        assert facts["axial_step"].value == 0.3
        assert (facts["na"].value, facts["na"].origin) == (1.4, "from the file")
        assert facts["wavelength"].origin == "remembered for channel 'GFP'"
        assert (facts["refractive_index"].value, facts["refractive_index"].origin) == (
            1.33,
            "microscope 'Mine'",
        )
        assert self.facts(answers={"na": 0.9}, recorded=said)["na"].value == 0.9

    def test_several_presets_are_a_choice_of_the_users(self):
        presets = tuple(preferences.MicroscopePreset(name, 1.1) for name in "ab")
        assert "na" not in self.facts(presets)

    def test_what_was_typed_for_another_channel_is_a_suggestion(self):
        remembered_optics.remember("GFP", {"na": 1.2})
        facts = self.facts(channel="RFP")
        assert facts["na"].value == 1.2
        assert not facts["na"].sure
        assert facts.missing(["na", "pixel_size"]) == ["na"]

    def test_a_channel_without_a_name_is_remembered_by_none(self):
        remembered_optics.remember("", {"na": 1.2})
        assert remembered_optics.remembered("") == {}
        assert remembered_optics.last_typed() == {"na": 1.2}

    def test_a_memory_that_is_broken_is_begun_anew(self):
        remembered_optics.memory_file().write_text("no JSON")
        assert remembered_optics.remembered("GFP") == {}
        remembered_optics.remember("GFP", {"na": 1.2})
        assert json.loads(remembered_optics.memory_file().read_text())["channels"]["gfp"] == {
            "na": 1.2
        }

    def test_nothing_known_is_nothing_invented_but_widefield(self):
        facts = Facts()
        assert facts.missing(["na"]) == ["na"]
        assert set(self.facts()) == {"pixel_size", "modality", "pinhole"}
        assert self.facts()["modality"].origin == "assumed"
        assert not self.facts()["pinhole"].sure


@pytest.mark.parametrize(
    ("spatial", "modality", "sim", "psf", "names"),
    [
        ("YX", "widefield", False, False, "pixel_size modality na wavelength"),
        ("YX", "widefield", False, True, "pixel_size"),
        ("YX", "widefield", True, False, "pixel_size na wavelength"),
        (
            "ZYX",
            "light-sheet",
            False,
            False,
            "pixel_size axial_step modality na wavelength refractive_index sheet_thickness",
        ),
        (
            "YX",
            "confocal",
            False,
            False,
            "pixel_size modality na wavelength excitation_wavelength pinhole",
        ),
    ],
)
def test_no_more_is_asked_than_the_psf_needs(spatial, modality, sim, psf, names):
    assert needed(spatial, modality, sim=sim, psf=psf) == tuple(names.split())
