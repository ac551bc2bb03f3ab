"""What Train and Deconvolve both ask: which image, and which device computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, SpinBox
from napari.layers import Image as ImageLayer
from qtpy.compat import isalive

from ..errors import InputError
from ._layers import METADATA_KEY, channel_count, layer_image
from ._notify import show_error
from ._state import unwrapped
from ._workers import Job, once

if TYPE_CHECKING:
    import napari.viewer
    from qtpy.QtWidgets import QWidget

    from ..images import Image

MODEL_FILES = "Models (*.safetensors);;All files (*)"


def alive(widget: QWidget) -> bool:
    """Tell whether Qt still has the widget; signals from elsewhere may come after its end."""
    return bool(isalive(widget))  # type: ignore[no-untyped-call]


def image_layers(viewer: napari.viewer.Viewer) -> list[ImageLayer]:
    """Return the image layers of the viewer that are not results of this plugin."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, ImageLayer) and METADATA_KEY not in layer.metadata
    ]


class ImageChooser:
    """A choice among the viewer's image layers and, where there are several, their channels.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Whose layers are offered; the active one is chosen at first.
    tooltip : str
        What the image is needed for.
    """

    def __init__(self, viewer: napari.viewer.Viewer, tooltip: str) -> None:
        self._viewer = unwrapped(viewer)
        self.layer_box = ComboBox(
            label="Image", tooltip=tooltip, choices=lambda _: image_layers(self._viewer)
        )
        self.channel_box = SpinBox(
            label="Channel",
            tooltip="Which channel of the image, counted from 0.",
            min=0,
            visible=False,
        )
        self.layer_box.changed.connect(self._offer_channels)
        active = self._viewer.layers.selection.active
        if active in self.layer_box.choices:
            self.layer_box.value = active
        self._offer_channels()

    @property
    def layer(self) -> ImageLayer | None:
        """The chosen layer, or None where there is none to choose."""
        return self.layer_box.value

    @layer.setter
    def layer(self, layer: ImageLayer) -> None:
        self.layer_box.value = layer

    @property
    def channel(self) -> int | None:
        """The chosen channel, or None for a layer that has only one."""
        return int(self.channel_box.value) if self.channel_box.max > 0 else None

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now."""
        self.layer_box.reset_choices()
        self._offer_channels()

    def _offer_channels(self) -> None:
        try:
            count = channel_count(self.layer) if self.layer is not None else 1
        except InputError:  # said in full when the layer is used
            count = 1
        self.channel_box.max = count - 1
        self.channel_box.visible = count > 1


def read_layer(layer: ImageLayer, channel: int | None) -> Image:
    """Return the layer's image, of one channel where it has any; runs in the worker.

    A lazy layer is read here, which is why this is not done on the main thread.
    """
    if channel is not None and channel_count(layer) <= channel:
        channel = 0
    return layer_image(layer, channel=channel)


class DeviceChooser:
    """A choice among the devices of this machine; "auto" tells what it stands for.

    Asking needs torch, whose import takes seconds: a worker asks, and until it has answered
    the choice is "auto" alone.

    Parameters
    ----------
    owner : QWidget
        The widget that holds the choice.
    """

    def __init__(self, owner: QWidget) -> None:
        self.box = ComboBox(
            label="Device",
            tooltip="What computes: the processor (cpu) or a graphics card (cuda, mps). "
            "'auto' takes the first graphics card, else the processor.",
            choices=[("auto", "auto")],
        )
        self._job: Job[Any, dict[str, str]] = Job(
            once(_describe_devices),
            owner=owner,
            on_result=self._offer,
            on_failure=show_error,
            title="looking for devices",
            uses_torch=True,
        )
        self._job.start()

    @property
    def device(self) -> str:
        """The chosen name, as `train` and `predict` take it."""
        return str(self.box.value)

    def _offer(self, devices: dict[str, str]) -> None:
        chosen = self.device
        self.box.choices = [(label, name) for name, label in devices.items()]
        self.box.value = chosen


def _describe_devices() -> dict[str, str]:
    from ..devices import available_devices, describe_device, resolve_device

    return {
        name: f"{name} ({describe_device(resolve_device(name))})" for name in available_devices()
    }


def in_words(seconds: float) -> str:
    """Say a duration the way people do, such as "1 min 20 s"."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
