"""The preview of a training run, shown over the part of the image that it was made from.

Of a volume that part is a slab of planes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from numpy.typing import NDArray

from ...io.pyramids import Pyramid
from ..workers.workers import Turns
from . import results
from .contrast import Limits, fit_contrast, limits_for
from .layers import add_or_update, made_before, make_into
from .results import result_name, source_limits
from .state import ViewerState

if TYPE_CHECKING:
    from ...inference.predict import Result
    from ...training.trainer import Preview
    from .layer_axes import Reading

DENOISED = "Preview denoised"
DECONVOLVED = "Preview deconvolved"

TOLERANCE = 0.2
"""By what part of their range the contrast limits may be off before they are moved."""


class PreviewLayers:
    """Two layers that show a run as it is and keep what they show visible.

    Contrast limits are those of the source, as for results. They are set with the first preview
    that has any contrast, and again when the image has outgrown them; limits that the user has set
    are left alone.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._viewer = viewer
        self._sources: Sequence[tuple[ImageLayer, Reading]] = ()
        self._limits: dict[str, Limits] = {}
        self._like: Sequence[Limits | None] = ()
        self._empty: list[ImageLayer] = []
        self._source: ImageLayer | None = None

    def prepare(self, source: ImageLayer, reading: Reading) -> Turns[None]:
        """Make the layers before the work begins, and leave them clear until there is a preview.

        napari takes long over a new layer and over the first time that it paints one, clear or
        not; later that would hold up a window that is watched.
        """
        self._source = source
        for name in (DENOISED, DECONVOLVED):
            if made_before(self._viewer, name, source) is None:
                pixels = np.zeros((1,) * len(reading.spatial), np.float32)
                layer = add_or_update(
                    self._viewer,
                    name,
                    pixels,
                    like=source,
                    axes=reading.axes,
                    reset_contrast=False,
                )
                layer.opacity = 0.0
                self._empty.append(layer)
                yield

    @property
    def deconvolved(self) -> ImageLayer | None:
        """The layer of the deconvolved preview, once there is something to see in it."""
        if self._source is None:
            return None
        layer = made_before(self._viewer, DECONVOLVED, self._source)
        return None if layer in self._empty else layer

    def hide_empty(self) -> None:
        """Hide the layers that have had nothing to show yet, for the next run to use.

        Where napari has selected one of them, as it does with new ones, their source is again.

        Software OpenGL has crashed where layers went soon after they had come.
        """
        for layer in self._empty:
            layer.visible = False
        selection = self._viewer.layers.selection
        if selection.active in self._empty and self._source in self._viewer.layers:
            selection.active = self._source

    def begin(self, sources: Sequence[tuple[ImageLayer, Reading]]) -> None:
        """Prepare for a new run on these layers, in the order in which training has them."""
        self._sources = sources
        self._limits.clear()
        noise = ViewerState.of(self._viewer).noise
        offset = None if noise is None else noise.offset
        self._like = [source_limits(layer, reading, offset) for layer, reading in sources]

    def show(self, preview: Preview) -> Turns[None]:
        """Show the newest state in place of the one before, each layer in a turn of its own."""
        self._show(preview, DENOISED, preview.denoised, upsampling=1)
        yield
        upsampling = preview.deconvolved.shape[-1] // preview.denoised.shape[-1]
        self._show(preview, DECONVOLVED, preview.deconvolved, upsampling=upsampling)

    def make_into(self, source: ImageLayer, made: Result) -> None:
        """Let the layers of the run be those in which its results are to be shown."""
        for name, what, pixels in (
            (DENOISED, results.DENOISED, made.denoised),
            (DECONVOLVED, results.DECONVOLVED, made.deconvolved),
        ):
            if isinstance(pixels, Pyramid):
                continue  # a layer of several resolutions, which a preview is not
            becomes = result_name(source, what)
            make_into(self._viewer, name, becomes, like=source, ndim=pixels.ndim)
            result = made_before(self._viewer, becomes, source)
            self._empty = [layer for layer in self._empty if layer is not result]

    def _show(
        self, preview: Preview, name: str, pixels: NDArray[np.float32], *, upsampling: int
    ) -> None:
        source, reading = self._sources[preview.image]
        layer = add_or_update(
            self._viewer,
            name,
            pixels,
            like=source,
            axes=reading.axes,
            upsampling=reading.grid * upsampling,
            origin=tuple(start / reading.grid for start in preview.origin),
            reset_contrast=False,
        )
        if layer in self._empty:
            self._empty.remove(layer)
            fit_contrast(layer, self._like[preview.image])
            layer.opacity = 1.0
            layer.visible = True
        if np.ptp(pixels) > 0:
            self._keep_visible(name, layer, limits_for(pixels, self._like[preview.image]))

    def _keep_visible(self, name: str, layer: ImageLayer, fitted: Limits) -> None:
        low, high = layer.contrast_limits
        if name in self._limits:
            if (low, high) != self._limits[name]:
                return  # the user's own
            # They stay while they are near enough: an image that keeps changing its
            # brightness cannot be judged.
            tolerance = TOLERANCE * (fitted[1] - fitted[0])
            if abs(low - fitted[0]) < tolerance and abs(high - fitted[1]) < tolerance:
                return
        layer.contrast_limits = fitted
        low, high = layer.contrast_limits
        self._limits[name] = (float(low), float(high))
