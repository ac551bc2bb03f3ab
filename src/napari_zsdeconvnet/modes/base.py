"""The protocol of a mode: all that is special to one kind of recording."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..psf.microscope import Microscope
from ..psf.psf import PSF

if TYPE_CHECKING:
    from ..inference.predict import Result, TileProgress
    from ..io.image import Image
    from ..model.model import Model
    from ..model.presets import Preset
    from ..noise.camera_maps import Camera
    from ..quality.verdict import Verdict
    from ..sim.patterns import Order
    from ..sim.reconstruction import Reconstruction
    from ..training.trainer import TrainingRun
    from .steps import Preparing


@dataclass(frozen=True)
class Known:
    """What is known and wanted of a recording beside its pixels.

    Attributes
    ----------
    microscope : Microscope, optional
        For the PSF; not needed where one is given.
    psf : PSF, optional
        Goes before the microscope.
    camera : NoiseModel or CameraMaps, optional
        By default it is measured.
    offset : float, optional
        Counts without light, where only they are known.
    excess_noise : float
        Of the camera that is measured, as of `NoiseModel`.
    upsample : bool, optional
        As for `train`.
    out_of_focus : bool
        As for `train`.
    frame : int
        Of a series, the one whose result is judged.
    orientations, phases, order
        Of raw SIM frames, as for `sim.estimate`.
    sets : str, optional
        As for `sim.recording.lay_out_frames`.
    reconstruction : Reconstruction, optional
        Of raw SIM frames; by default with patterns that are estimated on them.
    """

    microscope: Microscope | None = None
    psf: PSF | None = None
    camera: Camera | None = None
    offset: float | None = None
    excess_noise: float = 1.0
    upsample: bool | None = None
    out_of_focus: bool = False
    frame: int = 0
    orientations: int = 3
    phases: int = 3
    order: Order | None = None
    sets: str | None = None
    reconstruction: Reconstruction | None = None


NOTHING = Known()


class Mode(ABC):
    """A recording with all that its kind asks for; every kind is a class.

    Parameters
    ----------
    recording : Image
        Raw counts with their axes and voxel size.
    known : Known
        What is known of it.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> zs.Mode.needs("light-sheet")
    ('pixel_size', 'modality', 'na', 'wavelength', 'sheet_thickness')
    """

    name: ClassVar[str]
    """By which Python and the shell choose it."""
    title: ClassVar[str]
    """What a window calls it."""
    family: ClassVar[str] = ""
    """A second name that several modes share."""
    by_request: ClassVar[bool] = False
    """Whether no recording tells that it is of this mode, so that a window offers it."""
    has_camera: ClassVar[bool] = True
    """Whether pixels are the counts of a camera, whose calibration they go with."""
    takes_channels: ClassVar[bool] = False
    """Whether channels are part of one recording; of others one channel is chosen beforehand."""
    spatial: ClassVar[Literal["YX", "ZYX"]] = "YX"
    """Axes of one image that the network sees."""
    kind: ClassVar[str] = "YX"
    """Which presets it has, as `presets_for` calls them."""
    stages: ClassVar[tuple[str, ...]] = ("psf", "noise", "model", "result", "verdict")
    """What `Began` names, in this order."""

    preview_every: ClassVar[int] = 20
    """Steps between the previews of a window."""

    def __init__(self, recording: Image, known: Known = NOTHING) -> None:
        self.known = known
        self.image = self.lay_out(recording, known)
        """The recording as it is trained on."""

    # ------------------------------------------------------------------ is it mine

    @classmethod
    @abstractmethod
    def recognised(cls, recording: Image, known: Known = NOTHING) -> str:
        """Say why a recording is of this mode, in a sentence; empty where it seems not to be."""

    @classmethod
    def fits(cls, recording: Image, known: Known = NOTHING) -> bool:
        """Whether a recording can be of this mode, by its axes."""
        return bool(cls.recognised(recording, known))

    @classmethod
    def needs(cls, modality: str = "widefield", *, psf: bool = False) -> tuple[str, ...]:
        """Name the numbers that must be known, in the words of `Microscope` and of the voxel.

        A PSF makes its own numbers needless.
        """
        size = ("pixel_size", "axial_step") if cls.spatial == "ZYX" else ("pixel_size",)
        if psf:
            return size
        own = {
            "confocal": ("excitation_wavelength", "pinhole"),
            "light-sheet": ("sheet_thickness",),
        }.get(modality, ())
        index = ("refractive_index",) if cls.spatial == "ZYX" else ()
        return (*size, "modality", "na", "wavelength", *index, *own)

    @classmethod
    @abstractmethod
    def lay_out(cls, recording: Image, known: Known) -> Image:
        """Lay a recording out as it is trained on."""

    # ------------------------------------------------------------------ what it needs

    @property
    @abstractmethod
    def frames(self) -> tuple[int, ...]:
        """Shape of what the network sees, (T, [Z,] Y, X)."""

    @abstractmethod
    def prepare(self) -> Preparing:
        """Find out what decides whether a model fits."""

    @abstractmethod
    def misfit(self, model: Model) -> str:
        """Say why a model is not for this recording; empty where it is."""

    @property
    def optics(self) -> tuple[float, ...]:
        """Lengths and numbers that hardly differ between recordings that one model fits.

        Once `prepare` is through; `misfit` has the last word.
        """
        return ()

    def calibrate(self) -> Preparing:
        """Find out what training needs beside."""
        yield from ()

    # ------------------------------------------------------------------ model and result

    @classmethod
    def preset_named(cls, name: str) -> Preset:
        """Look up the preset that says network, objective and steps."""
        from ..model.presets import find_preset

        return find_preset(name, cls.kind)

    @abstractmethod
    def train(self, **settings: Any) -> TrainingRun:
        """Begin to train; settings as for `train`."""

    def predict(self, model: Model, device: str = "auto") -> Generator[TileProgress, None, Result]:
        """Apply a model, tile by tile."""
        return model.iter_predict(self.image, device=device, **self.predicted_with(model))

    def predicted_with(self, model: Model) -> Mapping[str, Any]:
        """Return the settings of `Model.iter_predict` that its record keeps."""
        return {}

    @abstractmethod
    def judge(
        self, model: Model, result: Result, device: str = "auto"
    ) -> Generator[TileProgress, None, Verdict]:
        """Check how consistent a result is with the recording."""

    @abstractmethod
    def placed(self, pixels: Any) -> Image:
        """Give a result, on whichever grid, its axes and voxel size."""
