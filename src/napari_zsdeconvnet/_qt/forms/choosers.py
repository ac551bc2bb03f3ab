"""The choice of an image, and how it is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from magicgui.widgets import CheckBox, ComboBox, SpinBox
from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from psygnal import Signal
from qtpy.QtWidgets import QWidget

from ...io.stack_checks import (
    channels_taken_for_planes,
    frames_taken_for_planes,
    planes_taken_for_frames,
)
from ...io.units import LARGEST_STEP, checked_length
from ...sim.recognition import raw_sim_taken_for_frames
from ...utils.errors import InputError
from ..layers.layer_axes import (
    IMAGE,
    Reading,
    channels,
    layer_voxel_size,
    possible_readings,
    read_as,
    said_step,
    set_step,
    what_is_there,
)
from ..layers.layer_files import LayerFiles
from ..layers.layers import METADATA_KEY, RULE_KEY, layer_image, rule_of, same_plane
from ..layers.state import ViewerState, unwrapped
from ..workers.connections import alive, follow
from ..workers.window_text import NANOMETRES, worded
from ..workers.workers import Job, in_background
from .forms import note, number, say

MODEL_FILES = "Models (*.safetensors);;All files (*)"

NO_IMAGE = "No image is open: open one (File > Open…) or a sample (File > Open Sample)."


def image_layers(viewer: Viewer) -> list[ImageLayer]:
    """Return the image layers of the viewer that are not results of this plugin."""
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, ImageLayer) and METADATA_KEY not in layer.metadata
    ]


def psf_layers(viewer: Viewer) -> list[ImageLayer]:
    """Return the layers that may be a PSF: `image_layers`, and the PSFs of the samples.

    The layer in which this plugin shows its PSF is in the units of the image beside it, and would
    come back with another pixel size.
    """
    return [
        layer
        for layer in viewer.layers
        if isinstance(layer, ImageLayer)
        and layer.metadata.get(METADATA_KEY, ("", "psf"))[1] == "psf"
    ]


class LayerChooser:
    """A choice among the viewer's image layers, with a note that says what the layer is read as.

    The active layer is chosen at first. A subclass makes its boxes, then calls `_watch`.
    """

    changed = Signal()
    """Emitted when another layer is chosen or the same one is read otherwise."""

    problem = ""
    """Why the chosen layer cannot be read at all; empty where it can."""

    def __init__(
        self, viewer: Viewer, tooltip: str, *, owner: QWidget, label: str = "Image"
    ) -> None:
        self._viewer = unwrapped(viewer)
        self._state = ViewerState.of(viewer)
        self._owner = owner
        self.layer_box = ComboBox(
            label=label, tooltip=tooltip, choices=lambda _: image_layers(self._viewer)
        )
        self.note = note()

    def _watch(self, *boxes: Any) -> None:
        """Refresh when the choice, one of these boxes or the metadata of the layer change."""
        active = self._viewer.layers.selection.active
        if active in self.layer_box.choices:
            self.layer_box.value = active
        for box in (self.layer_box, *boxes):
            box.changed.connect(self._refresh)
        follow(self._owner, self._state.said_changed, self._on_said)
        self._files = LayerFiles(self._viewer, owner=self._owner)
        self._refresh()

    @property
    def layer(self) -> ImageLayer | None:
        """The chosen layer, or None where there is none to choose."""
        return self.layer_box.value

    @layer.setter
    def layer(self, layer: ImageLayer) -> None:
        self.layer_box.value = layer

    @property
    def kind(self) -> str:
        """What is trained on, in the words of `presets_for`."""
        raise NotImplementedError

    @property
    def reading(self) -> Reading | None:
        """How the chosen layer is read, or None where there is none that can be."""
        raise NotImplementedError

    def reset_choices(self) -> None:
        """Offer the layers that the viewer holds now."""
        before = self.layer
        self.layer_box.reset_choices()
        self._files.look()
        if self.layer is before:
            self._refresh()

    def _on_said(self, layer: ImageLayer) -> None:
        if alive(self._owner) and layer is self.layer:
            self._refresh()

    def _refresh(self, event: Any = None) -> None:
        """Take in what the layer and the user say now."""
        raise NotImplementedError


class ImageChooser(LayerChooser):
    """A choice among the viewer's image layers, and how the chosen one is to be read.

    What the layer is taken for is said in words and can be corrected; the correction holds in
    all widgets of the viewer. Whether the pixels agree with it is asked in a worker.
    """

    def __init__(self, viewer: Viewer, tooltip: str, *, owner: QWidget) -> None:
        super().__init__(viewer, tooltip, owner=owner)
        self._job: Job[Any, str] | None = None
        self._reading: Reading | None = None
        self._kinds: tuple[str, ...] = (IMAGE,)
        self._listened: ImageLayer | None = None
        self.kind_box = ComboBox(
            label="Read as",
            tooltip="What the axes before Y and X are: planes of a volume, time points, or "
            "neither. Taken from the layer's labels, units and scale; correct it where wrong.",
            choices=lambda _: self._kinds,
            visible=False,
        )
        self.step_box = number(
            "Plane step",
            0,
            unit="nm",
            maximum=1_000_000,
            step=10,
            decimals=1,
            absent="not known",
            tooltip="Step between planes in nanometres. Typed here, it is written into the "
            "layer's scale, so that the volume is seen in proportion.",
        )
        self.step_box.visible = False
        self.channel_box = SpinBox(
            label="Channel",
            tooltip="Which channel of the image, counted from 0.",
            min=0,
            visible=False,
        )
        self.saturated_box = CheckBox(
            label="",
            text="allow saturated pixels",
            tooltip="Go on where more than 2 % of the lit area are saturated; these pixels are "
            "masked, and what results hold there is too little.",
            visible=False,
        )
        self.boxes: tuple[Any, ...] = (
            *(self.layer_box, self.kind_box, self.step_box, self.channel_box),
            self.saturated_box,
        )
        self.kind_box.changed.connect(self._on_kind)
        self.step_box.changed.connect(self._on_step)
        self.saturated_box.changed.connect(self._on_saturated)
        owner.destroyed.connect(self._stop_listening)
        self._watch(self.channel_box)

    @property
    def reading(self) -> Reading | None:
        """How the chosen layer is read, or None where there is none that can be."""
        return self._reading

    @property
    def spatial(self) -> str:
        """Axes of a single image or volume; images where there is no layer."""
        return self._reading.spatial if self._reading else "YX"

    kind = spatial

    @property
    def axial_step(self) -> float | None:
        """Micrometres between planes, or None where not known."""
        return float(self.step_box.value) / NANOMETRES or None

    @property
    def looking(self) -> bool:
        """Whether it is still asked what the file says, or if the pixels agree with the reading."""
        return self._files.looking or (self._job is not None and self._job.running)

    @property
    def doubt(self) -> str:
        """What speaks against the reading; empty where nothing does, or nobody has looked yet."""
        if self.layer is None or self._reading is None:
            return ""
        return self._state.doubts.get(self.layer, {}).get(self._reading.axes, "")

    @property
    def missing(self) -> str:
        """What the user must type before the chosen layer can be used; empty if nothing."""
        if self._reading is not None and self._reading.lacks_step:
            return "the step between planes is not known; type it in nanometres (Plane step)."
        return ""

    def readings(self, layers: list[ImageLayer]) -> list[tuple[ImageLayer, Reading]]:
        """Read further layers the way the chosen one is read, each with its own steps."""
        kind = self._reading.kind if self._reading else None
        channel = self._reading.channel if self._reading else None
        return [
            (
                layer,
                self._reading
                if layer is self.layer and self._reading
                else read_as(
                    layer,
                    self._state.said(layer).kind or _kind_like(layer, kind),
                    channel=channel,
                    axial_step=self._state.said(layer).axial_step,
                ),
            )
            for layer in layers
        ]

    def applies(self, box: Any) -> bool:
        """Tell whether a box has anything to ask of the chosen layer."""
        if box is self.kind_box:
            return len(self._kinds) > 1
        if box is self.step_box:
            return self.spatial == "ZYX"
        if box is self.saturated_box:
            return self.layer is not None and self._reading is not None
        return box is self.layer_box or self.channel_box.max > 0

    # ------------------------------------------------------------------ what is chosen

    def _on_kind(self) -> None:
        reading, kind = self._reading, self.kind_box.value
        # Qt also tells of a change when the choices are offered anew.
        if self.layer is not None and reading is not None and kind != reading.kind:
            self._state.say(self.layer, kind=kind)

    def _on_step(self) -> None:
        layer, reading, step = self.layer, self._reading, self.axial_step
        if layer is None or reading is None or "Z" not in reading.axes:
            return
        if step is not None:
            try:
                checked_length(step, "The plane step", largest=LARGEST_STEP)
            except InputError as error:
                say(self.note, f"⚠ {worded(error)}")
                return
        if step is not None and layer_voxel_size(layer, reading.axes, axial_step=step) is not None:
            with same_plane(self._viewer, layer):
                set_step(layer, reading.axes, step)
        self._state.say(layer, axial_step=step)

    def _on_saturated(self, allowed: bool) -> None:
        if self.layer is not None:
            rule = replace(rule_of(self.layer), saturation="mask" if allowed else "refuse")
            self.layer.metadata[RULE_KEY] = rule
            self._state.said_changed.emit(self.layer)

    def _refresh(self, event: Any = None) -> None:
        if not alive(self._owner):
            return
        self._listen()
        if self.layer is not None and getattr(event, "type", "") == "data":
            self._state.doubts.pop(self.layer, None)
        before, self._reading, self.problem = self._reading, None, ""
        layer = self.layer
        self._kinds = (IMAGE,)
        if layer is not None:
            try:
                self._kinds = possible_readings(layer)
                self._reading = self._read(layer)
            except InputError as error:
                self.problem = worded(error)
            if layer in self._state.unfit:
                self._reading, self.problem = None, self._state.unfit[layer]
        self._show(layer)
        self._ask_for_doubts()
        if before != self._reading:
            self.changed.emit()

    def _read(self, layer: ImageLayer) -> Reading:
        said = self._state.said(layer)
        kind = said.kind if said.kind in self._kinds else None
        channel = int(self.channel_box.value) if self.channel_box.max > 0 else None
        return read_as(layer, kind, channel=channel, axial_step=said.axial_step)

    def _show(self, layer: ImageLayer | None) -> None:
        reading = self._reading
        with (
            self.kind_box.changed.blocked(),
            self.step_box.changed.blocked(),
            self.channel_box.changed.blocked(),
            self.saturated_box.changed.blocked(),
        ):
            self.kind_box.reset_choices()
            count = 1
            if layer is not None and reading is not None:
                self.kind_box.value = reading.kind
                count = channels(layer, reading.axes)
                if "Z" in reading.axes:
                    said = self._state.said(layer).axial_step
                    step = said or said_step(layer, reading.axes) or 0
                    self.step_box.value = NANOMETRES * step
            self.channel_box.max = count - 1
            allowed = layer is not None and rule_of(layer).saturation == "mask"
            self.saturated_box.value = allowed
        for box in self.boxes[1:]:
            box.visible = self.applies(box)
        self._say()

    def _say(self) -> None:
        layer, reading = self.layer, self._reading
        lines = [self.problem or self.missing]
        if layer is None:
            lines = [NO_IMAGE]
        elif reading is not None:
            lines.insert(0, what_is_there(layer, reading))
            lines.append(self.doubt)
        say(self.note, "\n⚠ ".join(line[:1].upper() + line[1:] for line in lines if line))

    def _listen(self) -> None:
        """Follow the scale and the labels of the chosen layer, which others may change."""
        if self.layer is self._listened:
            return
        self._stop_listening()
        self._listened = self.layer
        if self._listened is not None:
            for event in _telling_events(self._listened):
                event.connect(self._refresh)

    def _stop_listening(self, _: Any = None) -> None:
        if self._listened is not None:
            for event in _telling_events(self._listened):
                event.disconnect(self._refresh)
        self._listened = None

    # ------------------------------------------------------------------ do the pixels agree

    def _ask_for_doubts(self) -> None:
        layer, reading = self.layer, self._reading
        if layer is None or reading is None or len(reading.axes.replace("C", "")) < 3:
            return
        known = self._state.doubts.setdefault(layer, {})
        if reading.axes in known:
            return
        known[reading.axes] = ""  # the other widgets need not ask, too
        self._job = in_background(
            self._owner,
            "looking at the planes",
            lambda: doubt_about(layer, reading),
            lambda doubt: self._on_doubt(layer, reading, doubt),
            on_failure=None,  # said in full when the layer is used
            aside=True,
        )

    def _on_doubt(self, layer: ImageLayer, reading: Reading, doubt: str) -> None:
        self._state.doubts.setdefault(layer, {})[reading.axes] = doubt
        if doubt:
            self._state.said_changed.emit(layer)


def _telling_events(layer: ImageLayer) -> list[Any]:
    return [layer.events.scale, layer.events.axis_labels, layer.events.units, layer.events.data]


def _kind_like(layer: ImageLayer, kind: str | None) -> str | None:
    """Return the kind where the layer can be read so, else what the layer says itself."""
    return kind if kind in possible_readings(layer) else None


def doubt_about(layer: ImageLayer, reading: Reading) -> str:
    """Ask whether the pixels are what the reading takes them for."""
    image = layer_image(layer, reading)
    checks = (
        (frames_taken_for_planes, channels_taken_for_planes, raw_sim_taken_for_frames)
        if "Z" in image.axes
        else (planes_taken_for_frames, raw_sim_taken_for_frames)
    )
    found = [check(image) for check in checks]
    return " ".join(sentence for sentence in found if sentence)
