"""The choice of what computes."""

from __future__ import annotations

from magicgui.widgets import ComboBox
from qtpy.QtWidgets import QWidget

from ..workers import preferences
from ..workers.workers import in_background


class DeviceChooser:
    """A choice among the devices of this machine; "auto" tells what it stands for.

    Asking needs torch, whose import takes seconds: a worker asks, and until it has answered
    the choice is "auto" alone.
    """

    def __init__(self, owner: QWidget) -> None:
        self.box = ComboBox(
            label="Device",
            tooltip="What computes: the processor (cpu) or a graphics card (cuda, mps). "
            "'auto' takes the first graphics card, else the processor.",
            choices=[("auto", "auto")],
        )
        title = "looking for devices"
        in_background(owner, title, _describe_devices, self._offer, aside=True, uses_torch=True)

    @property
    def device(self) -> str:
        """The chosen name, as `train` and `predict` take it."""
        return str(self.box.value)

    def _offer(self, devices: dict[str, str]) -> None:
        chosen = self.device
        if chosen == "auto":  # "cuda" of the preferences is the first of its kind
            wanted = preferences.device()
            chosen = next((name for name in devices if name.startswith(wanted)), "auto")
        self.box.choices = [(label, name) for name, label in devices.items()]
        self.box.value = chosen


def _describe_devices() -> dict[str, str]:
    from ...utils.devices import available_devices, describe_device, resolve_device

    return {
        name: f"{name} ({describe_device(resolve_device(name))})" for name in available_devices()
    }
