"""What one viewer knows: the noise, the PSF and the model that its widgets share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload
from weakref import WeakKeyDictionary, WeakSet

from napari.layers import Image as ImageLayer
from napari.viewer import Viewer
from psygnal import Signal

if TYPE_CHECKING:
    from ...io.acquisition import Recorded
    from ...model.model import Model
    from ...noise.noise_model import NoiseModel
    from ...noise.partial_maps import MapParts
    from ...psf.psf import PSF
    from ...quality.verdict import Verdict
    from .layer_axes import Reading

Value = TypeVar("Value")


@dataclass
class Optics:
    """The microscope as typed last, so that no widget asks for it twice."""

    na: float = 1.4
    """Numerical aperture of the objective."""
    wavelength: float = 0.525
    """Emission wavelength in micrometres."""
    refractive_index: float = 1.515
    """Refractive index of the immersion medium."""
    pixel_size: float | None = None
    """Raw lateral pixel size in micrometres; None until a layer or the user says it."""
    excitation_wavelength: float = 0.488
    """Wavelength of a confocal's laser in micrometres."""
    pinhole: float = 1.0
    """Its pinhole in Airy units."""
    sheet_thickness: float = 1.0
    """Full width at half maximum of a light sheet in micrometres."""


@dataclass(frozen=True)
class Said:
    """What the user has said of a layer that the layer does not say, or says wrongly."""

    kind: str | None = None
    """How to read it, in the words of `layer_axes.READINGS`."""
    axial_step: float | None = None
    """Micrometres between planes."""


@dataclass(frozen=True, eq=False)
class Made:
    """Where a result layer comes from."""

    model: Model
    """What made it."""
    reading: Reading
    """How its source was read."""


@dataclass(frozen=True, eq=False)
class Judged:
    """How far the result on a layer can be believed."""

    model: Model
    """What made the result."""
    verdict: Verdict
    """What was found."""
    frame: int | None = None
    """Which time point was judged; None for a layer without time."""


class Shared(Generic[Value]):
    """An attribute, None at first, that emits the signal ``<its name>_changed`` when it is set."""

    def __set_name__(self, _: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, state: None, _: type) -> Self: ...

    @overload
    def __get__(self, state: object, _: type) -> Value | None: ...

    def __get__(self, state: object | None, _: type) -> Self | Value | None:
        return self if state is None else vars(state).get(self._name)

    def __set__(self, state: object, value: Value | None) -> None:
        vars(state)[self._name] = value
        getattr(state, f"{self._name}_changed").emit(value)


class ViewerState:
    """Shared by all widgets of one viewer; get it with `ViewerState.of(viewer)`.

    The signals carry the new value, or None where it was taken away. They are emitted in
    the thread that sets the value: set it on the main thread.
    """

    noise_changed = Signal(object)
    maps_changed = Signal(object)
    psf_changed = Signal(object)
    model_changed = Signal(object)
    said_changed = Signal(object)
    """Carries the layer of which something was said."""
    upsample_changed = Signal()
    verdict_changed = Signal(object)
    """Carries the raw layer whose result was judged."""

    noise: Shared[NoiseModel] = Shared()
    """The calibrated camera noise."""
    maps: Shared[MapParts] = Shared()
    """Maps of the camera's pixels, where the user has given some."""
    psf: Shared[PSF] = Shared()
    """The PSF, on whichever grid it was made or read."""
    model: Shared[Model] = Shared()
    """The model trained or loaded last."""

    def __init__(self) -> None:
        self.optics = Optics()
        self.doubts: WeakKeyDictionary[ImageLayer, dict[str, str]] = WeakKeyDictionary()
        """What speaks against a reading of a layer, by its axes; "" where nothing does."""
        self.files: WeakKeyDictionary[ImageLayer, Recorded] = WeakKeyDictionary()
        """What the files of layers say that was written into them; all that were looked at."""
        self.unfit: WeakKeyDictionary[ImageLayer, str] = WeakKeyDictionary()
        """Why the files of layers cannot be trusted, such as planes that are missing."""
        self.made: WeakKeyDictionary[ImageLayer, Made] = WeakKeyDictionary()
        """What the result layers come from."""
        self.answers: WeakKeyDictionary[ImageLayer, dict[str, Any]] = WeakKeyDictionary()
        """What was typed of the optics behind a layer, as `optics_metadata.Facts` names it."""
        self.assumed: WeakSet[NoiseModel | PSF] = WeakSet()
        """Noise models and PSFs that were found for one layer, and are no choice of the user's."""
        self._judged: WeakKeyDictionary[ImageLayer, Judged] = WeakKeyDictionary()
        self._said: WeakKeyDictionary[ImageLayer, Said] = WeakKeyDictionary()
        # Along Z nothing is gained by twice the pixels, and a volume of them takes four times
        # as long.
        self._upsample = {"YX": True, "ZYX": False}

    @classmethod
    def of(cls, viewer: Viewer) -> ViewerState:
        """Return the state of `viewer`, made at the first call."""
        return _states.setdefault(unwrapped(viewer), cls())

    def said(self, layer: ImageLayer) -> Said:
        """Return what the user has said of the layer."""
        return self._said.get(layer, Said())

    def say(self, layer: ImageLayer, **words: Any) -> None:
        """Remember what the user says of the layer; the words are those of `Said`."""
        said = replace(self.said(layer), **words)
        if said != self.said(layer):
            self._said[layer] = said
            self.said_changed.emit(layer)

    def judged(self, layer: ImageLayer) -> Judged | None:
        """Return what was found of the result on this raw layer last; None where nobody asked."""
        return self._judged.get(layer)

    def set_judged(self, layer: ImageLayer, judged: Judged) -> None:
        """Remember what was found of the result on this raw layer."""
        self._judged[layer] = judged
        self.verdict_changed.emit(layer)

    def upsampling(self, spatial: str) -> int:
        """Return how many output pixels are wanted per raw pixel, for "YX" or "ZYX"."""
        return 2 if self._upsample[spatial] else 1

    def set_upsample(self, spatial: str, wanted: bool) -> None:
        """Ask for twice the pixels in Y and X, or not, for "YX" or "ZYX"."""
        if self._upsample[spatial] != wanted:
            self._upsample[spatial] = wanted
            self.upsample_changed.emit()


# Weak, so that a closed viewer takes its images and its model along.
_states: WeakKeyDictionary[Viewer, ViewerState] = WeakKeyDictionary()


def unwrapped(viewer: Viewer) -> Viewer:
    """Return the viewer behind the proxy that napari hands to plugins.

    Layers reached through the proxy are proxies too, and `is` fails between the two kinds.
    """
    return cast(Viewer, getattr(viewer, "__wrapped__", viewer))
