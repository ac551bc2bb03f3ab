"""The dock widget *Quality*: how far the result of a model on an image can be believed."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from magicgui.widgets import CheckBox, ComboBox
from qtpy.QtWidgets import QApplication, QWidget

from ..forms.choosers import image_layers
from ..forms.device_chooser import DeviceChooser
from ..forms.forms import button, fill, note, offer
from ..forms.model_check import show_mismatch
from ..forms.work_panel import WorkPanel
from ..layers.results import result_name
from ..layers.state import Judged
from ..layers.verdicts import SPREAD, Z_MAP
from ..workers.connections import alive, follow
from ..workers.notifications import show_error
from ..workers.workers import Job, in_background
from .quality_worker import Asked, judged_as_raw_frames, start_judging
from .verdict_report import VerdictReport

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image as ImageLayer

    from ...inference.predict import TileProgress
    from ...model.model import Model
    from ...quality.verdict import Verdict

REPEATS = {"none: no spread": 0, "2": 2, "4": 4, "8": 8, "16": 16, "32": 32}


class QualityWidget(WorkPanel):
    """Judges the result of the viewer's model on a layer, and says in words what was found.

    It shows what was found of the chosen layer last, whichever widget had asked.
    """

    title = "Quality"

    def __init__(self, viewer: napari.viewer.Viewer, *, parent: QWidget | None = None) -> None:
        super().__init__(
            viewer,
            action="Judge",
            image="The raw image that the result was made from, in camera counts; of a series, the "
            "time point that is shown is judged. Of raw SIM the frames, not the reconstruction.",
            purpose="Measure how far the result can be believed.",
            parent=parent,
        )
        self.judge_button = self.start_button
        self._build()
        follow(self, self._state.model_changed, self._refresh)
        follow(self, self._state.verdict_changed, self._on_verdict)
        self.image.changed.connect(self._refresh)
        self._refresh()

    # ------------------------------------------------------------------ construction

    def _build(self) -> None:
        self.model_label = note(rich=True)
        self.second_box = ComboBox(
            label="Second exposure",
            tooltip="Another recording of the same scene, if there is one: with it the resolution "
            "is measured, and without it the best case is estimated.",
            choices=lambda _: self._second_exposures(),
            nullable=True,
        )
        self.repeats_box = ComboBox(
            label="Repeats",
            tooltip="How often the image is predicted with other noise, for the spread: how far "
            "another recording would change the result. Time grows accordingly.",
            choices=list(REPEATS.items()),
            value=4,
        )
        self.device = DeviceChooser(self)
        self.layers_box = CheckBox(
            text="Add z-map and spread as layers",
            value=True,
            tooltip="z-map: image less re-blurred result, in standard deviations of the noise. "
            "Spread: how far another recording would change each pixel. Both are hidden at first.",
        )
        for box in (self.second_box, self.repeats_box, self.device.box, self.layers_box):
            self.form.add(box)
        self.mismatch_label = note()
        self.report = VerdictReport(self._viewer)
        self.methods_button = button("Copy methods paragraph", self.copy_methods)
        fill(
            self.body,
            *(self.model_label, self.form, self.mismatch_label, self.action_rows),
            *(self.report, self.methods_button),
        )
        self.body.addStretch(1)

    # ------------------------------------------------------------------ the work

    def _begin(self) -> Job[TileProgress, Verdict]:
        model, layer = self._state.model, self.image.layer
        assert model is not None
        assert layer is not None
        self.report.clear()  # until there is another one
        return start_judging(
            self._viewer,
            layer,
            model,
            owner=self,
            reading=self.image.reading,
            asked=Asked(
                repeats=int(self.repeats_box.value),
                second=self.second_box.value,
                device=self.device.device,
                layers=bool(self.layers_box.value),
            ),
            on_progress=self._on_progress,
            on_verdict=lambda _: self._on_done(layer),
            on_failure=self._on_failure,
            on_end=self._on_end,
        )

    def cancel(self) -> None:
        """Give up the work under way: what was found before holds."""
        super().cancel()
        self._show_verdict()

    def _on_progress(self, share: float, what: str) -> None:
        self._show_share(share)
        self._report(f"{what}…")

    def _on_done(self, layer: ImageLayer) -> None:
        names = [result_name(layer, what) for what in (Z_MAP, SPREAD)]
        there = [f"'{name}'" for name in names if name in self._viewer.layers]
        added = f" Hidden in the layer list: {' and '.join(there)}." if there else ""
        self._say(f"Done.{added}")

    # ------------------------------------------------------------------ for a paper

    def copy_methods(self) -> None:
        """Put a methods paragraph on the clipboard: the model, and the verdict if there is one."""
        model, verdict = self._described()
        if model is None:
            show_error(self._missing())
            return
        write = partial(_methods, model, verdict)
        title = "writing a methods paragraph"
        in_background(self, title, write, self._on_methods, uses_torch=True)

    def _described(self) -> tuple[Model | None, Verdict | None]:
        """Return the model whose verdict is shown, or the one at hand."""
        found = self._found
        return (self._state.model, None) if found is None else (found.model, found.verdict)

    def _on_methods(self, paragraph: str) -> None:
        clipboard = QApplication.clipboard()
        assert clipboard is not None
        clipboard.setText(paragraph)
        self._say("Copied the methods paragraph with its references. Read it before you use it.")

    # ------------------------------------------------------------------ what the window shows

    @property
    def _found(self) -> Judged | None:
        """What is known of the chosen layer."""
        layer = self.image.layer
        return None if layer is None else self._state.judged(layer)

    @property
    def _raw_frames(self) -> bool:
        """Whether model and layer are of raw SIM, however the layer is read."""
        layer, model, reading = self.image.layer, self._state.model, self.image.reading
        if layer is None or model is None or reading is None:
            return False
        return judged_as_raw_frames(layer, model, reading)

    def _second_exposures(self) -> list[ImageLayer]:
        return [layer for layer in image_layers(self._viewer) if layer is not self.image.layer]

    def _on_verdict(self, layer: ImageLayer) -> None:
        if alive(self) and layer is self.image.layer:
            self._show_verdict()
            self._update_buttons()

    def _refresh(self, _: Any = None) -> None:
        if not alive(self):
            return
        self.second_box.reset_choices()
        model = self._state.model
        name = model.describe().splitlines()[0] if model is not None else "none yet; train one, or "
        name += "" if model is not None else "load it in Apply model."
        self.model_label.setText(f"<b>Model:</b> {escape(name)}")
        show_mismatch(self.mismatch_label, None if self._raw_frames else model, self.image)
        self._show_verdict()
        self._update_buttons()

    def _show_verdict(self) -> None:
        layer, found = self.image.layer, self._found
        if layer is None or found is None:
            self.report.clear()
        else:
            self.report.show_verdict(found, self._subject(layer, found))

    def _subject(self, layer: ImageLayer, found: Judged) -> str:
        """Say what the verdict is on."""
        frame = "" if found.frame is None else f", time point {found.frame}"
        other = ""
        if found.model is not self._state.model:
            other = " ⚠ It was made by another model than the one above."
        return f"The result on '{layer.name}'{frame}.{other}"

    def _missing(self) -> str:
        if self._state.model is None:
            return "there is no model; train one, or load it in Apply model."
        if self.image.layer is None:
            return "there is no image to judge; open one first."
        return self.image.missing

    def _update_buttons(self) -> None:
        super()._update_buttons()
        model, verdict = self._described()
        about = "the model" if verdict is None else "the model and this verdict"
        offer(
            self.methods_button,
            self._missing() if model is None else "",
            f"What a paper should say of {about}: numbers filled in, with references.",
        )


def _methods(model: Model, verdict: Verdict | None) -> str:
    from ...workflow.record import RunRecord, methods_paragraph

    return methods_paragraph(RunRecord.of(model, verdict=verdict))
