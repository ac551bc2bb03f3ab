"""The settings of a training that images, volumes and raw SIM frames have in common."""

from __future__ import annotations

from magicgui.widgets import ComboBox, SpinBox

from ...model.presets import presets_for


def preset_box() -> ComboBox:
    """Return the choice of the preset, with those for images."""
    return ComboBox(
        label="Preset",
        tooltip="Which network and settings to train.",
        choices=list(presets_for("YX")),
    )


def steps_box() -> SpinBox:
    """Return the number of steps."""
    return SpinBox(
        label="Steps",
        tooltip="How many training steps at most; each uses a few small parts of the image. "
        "Left at what the preset says, a training ends by itself as soon as it gains nothing "
        "more; any other number of steps is done in full.",
        min=1,
        max=1_000_000,
    )


def seed_box() -> SpinBox:
    """Return the seed."""
    return SpinBox(
        label="Seed",
        tooltip="Start of the random numbers: the same seed on the same processor gives "
        "the same model.",
        max=2**31 - 1,
    )


def interval_box() -> SpinBox:
    """Return the number of steps between two previews."""
    return SpinBox(
        label="Preview every",
        tooltip="Training steps between two previews; 0 shows none. That of a volume takes "
        "as long as a dozen steps and more.",
        max=100_000,
    )
