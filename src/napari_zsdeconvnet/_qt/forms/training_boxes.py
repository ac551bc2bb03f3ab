"""The settings of a training that images, volumes and raw SIM frames have in common."""

from __future__ import annotations

from magicgui.widgets import ComboBox, SpinBox

from ...model.presets import presets_for


def training_boxes() -> tuple[ComboBox, SpinBox, SpinBox, SpinBox]:
    """Return the choice of the preset, and the boxes for steps, seed and preview interval."""
    preset = ComboBox(
        label="Preset",
        tooltip="Which network and settings to train.",
        choices=list(presets_for("YX")),
    )
    steps = SpinBox(
        label="Steps",
        tooltip="How many training steps at most; each uses a few small parts of the image. "
        "Left at what the preset says, a training ends by itself as soon as it gains nothing "
        "more; any other number of steps is done in full.",
        min=1,
        max=1_000_000,
    )
    seed = SpinBox(
        label="Seed",
        tooltip="Start of the random numbers: the same seed on the same processor gives "
        "the same model.",
        max=2**31 - 1,
    )
    interval = SpinBox(
        label="Preview every",
        tooltip="Training steps between two previews; 0 shows none. That of a volume takes "
        "as long as a dozen steps and more.",
        max=100_000,
    )
    return preset, steps, seed, interval
