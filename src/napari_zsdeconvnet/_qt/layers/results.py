"""What a model makes of a layer, as layers over it; and the way back from there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from numpy.typing import NDArray

from ...io.acquisition import recorded
from ...io.image import Image
from ..workers.workers import Turns
from .contrast import Limits, limits_above
from .layer_metadata import channel_name, channel_of
from .layers import CHANNEL_KEY, add_or_update, bring_forward, layer_image, made_before, shown_place
from .raw_frames import RawFrames
from .records import RECORD_KEY
from .state import Made, ViewerState

if TYPE_CHECKING:
    from ...inference.predict import Result
    from ...model.model import Model
    from .layer_axes import Reading

DENOISED, DECONVOLVED, BACKGROUND = "denoised", "deconvolved", "background"
RECONSTRUCTED = "Wiener"
"""What the plain reconstruction of raw SIM frames is called."""


def result_metadata(
    model: Model, record: Mapping[str, Any] | None, channel: str = ""
) -> dict[str, Any]:
    """Return what a result layer keeps of where it comes from."""
    kept = {} if record is None else {RECORD_KEY: dict(record)}
    named = {CHANNEL_KEY: channel} if channel else {}
    return {"model": model.describe(), **named, **kept}


def _channel(state: ViewerState, layer: ImageLayer, reading: Reading) -> str:
    """Return the name of the channel that is read, as the layer or its file says it."""
    said = recorded(layer.metadata)
    if not said.channel_names:
        said = state.files.get(layer, said)
    return channel_name(said, channel_of(layer, said, reading.channel))


def result_names(layer: ImageLayer) -> dict[str, str]:
    """Name the layers that show what was made of another; a background there may be or not."""
    return {what: result_name(layer, what) for what in (DENOISED, DECONVOLVED, BACKGROUND)}


def result_name(layer: ImageLayer, what: str) -> str:
    """Name the layer that shows what was made of another."""
    return f"{layer.name} {what}"


def show_image(
    viewer: Viewer,
    layer: ImageLayer,
    reading: Reading,
    what: str,
    pixels: NDArray[Any],
    *,
    upsampling: int = 1,
    origin: tuple[float, ...] = (0, 0),
    offset: float | None = None,
    metadata: dict[str, Any] | None = None,
    visible: bool = True,
) -> ImageLayer:
    """Show what was made of a layer, over it.

    Parameters
    ----------
    what : str
        What it is, for the name of the layer.
    upsampling : int
        Its pixels along Y and X per pixel that the network sees.
    offset : float, optional
        Counts of the layer without light, for pixels in counts above it: they are then shown with
        the contrast of the layer.
    visible : bool
        Whether it is to be seen; otherwise a new layer is hidden, and one of before stays as it is.
    """
    one = add_or_update(
        viewer,
        result_name(layer, what),
        pixels,
        like=layer,
        axes=reading.axes,
        upsampling=reading.grid * upsampling,
        origin=origin,
        every=reading.every,
        contrast=source_limits(layer, reading, offset),
        metadata=metadata,
        visible=visible,
    )
    return bring_forward(viewer, one, like=layer) if visible else one


def source_limits(layer: ImageLayer, reading: Reading, offset: float | None) -> Limits | None:
    """Return the contrast limits of a source for what is made of it, None where they do not fit.

    Those of raw SIM frames do not: a frame shows a part of the light.
    """
    if offset is None or isinstance(reading, RawFrames):
        return None
    return limits_above(layer, reading.pixels(layer)[0], offset)


def show_result(
    viewer: Viewer,
    layer: ImageLayer,
    made: Made,
    result: Result,
    record: Mapping[str, Any] | None = None,
    *,
    hidden: Sequence[str] = (),
) -> Turns[list[ImageLayer]]:
    """Show the denoised and the deconvolved image over the layer that they were made from.

    And hidden, where there is one, the background that is out of focus. Each in a turn of its
    own, as napari takes long over a new layer. Returned are the denoised and deconvolved layers.

    Parameters
    ----------
    record : mapping, optional
        Kept with the layers, as `RunRecord.to_dict` gives it.
    hidden : sequence of str
        Which of the first two are hidden.
    """
    shown = []
    state = ViewerState.of(viewer)
    metadata = result_metadata(made.model, record, _channel(state, layer, made.reading))
    before = made_before(viewer, result_name(layer, BACKGROUND), layer)
    if result.background is None and before is not None:
        viewer.layers.remove(before)  # of another model
    for what, pixels, upsampling in (
        (BACKGROUND, result.background, 1),
        (DENOISED, result.denoised, 1),
        (DECONVOLVED, result.deconvolved, made.model.upsampling),
    ):
        if pixels is None:
            continue
        one = show_image(
            *(viewer, layer, made.reading, what, made.reading.placed(pixels)),
            upsampling=upsampling,
            offset=made.model.noise.offset,
            metadata=metadata,
            visible=what not in (BACKGROUND, *hidden),
        )
        if what in hidden:
            one.visible = False
        state.made[one] = made
        shown.append(one)
        yield
    denoised, deconvolved = shown[-2:]
    if DECONVOLVED not in hidden:
        bring_forward(viewer, deconvolved, like=denoised)  # which would cover it
        if layer.blending == "additive":
            layer.visible = False  # else the picture is the sum of both
    return [denoised, deconvolved]


def shown_result(viewer: Viewer, layer: ImageLayer, made: Made) -> list[ImageLayer] | None:
    """Return the layers of `show_result` if they are there, by this model and reading."""
    state = ViewerState.of(viewer)
    found = [
        made_before(viewer, result_name(layer, what), layer) for what in (DENOISED, DECONVOLVED)
    ]
    for one in found:
        before = None if one is None else state.made.get(one)
        if before is None or (before.model, before.reading) != (made.model, made.reading):
            return None
    return [one for one in found if one is not None]


@dataclass(frozen=True)
class Frame:
    """A layer, or the one image of a series that something is made of."""

    layer: ImageLayer
    reading: Reading
    place: tuple[int, ...]
    """Where the image lies along the time axes of the layer; empty for a layer without time."""

    @classmethod
    def shown(cls, viewer: Viewer, layer: ImageLayer, reading: Reading) -> Frame:
        """Take the layer, and of a series the image that the sliders stand at."""
        place = shown_place(layer, viewer, reading)
        return cls(layer, reading, place[: reading.axes.count("T")])

    @property
    def index(self) -> int | None:
        """Which image of the series; None for a layer without time."""
        return self.reading.index(self.place)

    def image(self) -> Image:
        """Return its pixels ([Z,] Y, X), lazy ones unread."""
        image = layer_image(self.layer, self.reading)
        if self.index is None:
            return image
        return Image(
            image.data[self.index],
            image.axes.replace("T", ""),
            voxel_size=image.voxel_size,
            name=image.name,
        )


def show_frame(
    viewer: Viewer, frame: Frame, what: str, pixels: NDArray[Any], **shown: Any
) -> ImageLayer:
    """Show what was made of a frame, ([Z,] Y, X): where it belongs in time, and nowhere else.

    Further settings as for `show_image`.
    """
    every = frame.reading.every
    first = tuple(index // every * every for index in frame.place)
    origin = (*first, *(0,) * pixels.ndim)
    pixels = pixels.reshape(*(1,) * len(first), *pixels.shape)
    return show_image(viewer, frame.layer, frame.reading, what, pixels, origin=origin, **shown)
