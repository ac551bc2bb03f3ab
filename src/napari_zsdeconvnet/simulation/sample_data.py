"""File > Open Sample: recordings as a microscope would make them, all of them simulated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .sample import Sample

LayerData = tuple[Any, dict[str, Any], str]

METADATA_KEY = "napari-zsdeconvnet"
"""Marks the layers that are no raw image, so that no widget offers to train on them."""


def filaments() -> list[LayerData]:
    """Simulate filaments at 50 photons, with the PSF they were blurred with and the truth.

    Returns
    -------
    list of layer data
        The raw image, its PSF to the right of it, and hidden the structure itself.
    """
    from .sample import simulate

    sample = simulate("filaments", na=1.3, wavelength=0.525)
    pixel = sample.pixel_size
    height, width = sample.raw.shape
    lengths: dict[str, Any] = {"units": ("micrometer",) * 2, "axis_labels": ("y", "x")}
    # The finer grid begins a quarter of a raw pixel earlier: napari counts from pixel centres.
    fine: dict[str, Any] = {**lengths, "scale": (pixel / 2, pixel / 2)}
    raw: LayerData = (
        sample.raw,
        {
            "name": "Filaments",
            "scale": (pixel, pixel),
            "metadata": _optics(1.3, 0.525),
            **lengths,
        },
        "image",
    )
    psf: LayerData = (
        sample.psf.array,
        {
            "name": "PSF of the filaments",
            "translate": (0.0, (width + 0.02 * max(height, width)) * pixel),
            "gamma": 0.5,
            "metadata": {METADATA_KEY: ("filaments", "psf")},
            **fine,
        },
        "image",
    )
    truth: LayerData = (
        sample.truth,
        {
            "name": "Truth of the filaments",
            "translate": (-pixel / 4, -pixel / 4),
            "visible": False,
            "metadata": {METADATA_KEY: ("filaments", "truth")},
            **fine,
        },
        "image",
    )
    return [truth, psf, raw]


def volume() -> list[LayerData]:
    """Simulate a volume of filaments at 100 photons, with its PSF and the truth.

    Returns
    -------
    list of layer data
        The raw volume, its PSF to the right of it and the structure itself, both hidden.
    """
    from .sample import simulate_volume

    sample = simulate_volume(
        "filaments",
        shape=(24, 128, 128),
        photons=100,
        na=1.1,
        wavelength=0.525,
        refractive_index=1.33,
    )
    return _volume_layers(sample, "volume", _optics(1.1, 0.525, 1.33))


def sim_filaments() -> list[LayerData]:
    """Simulate the nine raw frames of structured illumination on filaments.

    Returns
    -------
    list of layer data
        The raw frames, and hidden the structure itself.
    """
    return _sim_layers("filaments")


def sim_vesicles() -> list[LayerData]:
    """Simulate the nine raw frames of structured illumination on vesicles.

    Returns
    -------
    list of layer data
        The raw frames, and hidden the structure itself.
    """
    return _sim_layers("vesicles")


def sim_stack() -> list[LayerData]:
    """Simulate a stack as an engine for 3D-SIM reconstructs it, with its PSF and the truth.

    Returns
    -------
    list of layer data
        The stack, its PSF to the right of it and the structure itself, both hidden.
    """
    from .raw_sim_3d import simulate_sim_volume

    sample = simulate_sim_volume("filaments", shape=(24, 192, 192))
    return _volume_layers(sample, "SIM stack", {})


def _sim_layers(kind: str) -> list[LayerData]:
    from .raw_sim import simulate_sim

    sample = simulate_sim(kind, shape=(256, 256), photons=100)
    pixel = sample.pixel_size
    raw: LayerData = (
        sample.raw,
        {
            "name": f"Raw SIM of {kind}",
            "scale": (1.0, pixel, pixel),
            "units": ("pixel", "micrometer", "micrometer"),
            "axis_labels": ("frame", "y", "x"),
            "metadata": _optics(sample.na, sample.wavelength),
        },
        "image",
    )
    truth: LayerData = (
        sample.truth,
        {
            "name": f"Truth of the raw SIM of {kind}",
            "scale": (pixel / 2, pixel / 2),
            "translate": (-pixel / 4, -pixel / 4),
            "units": ("micrometer",) * 2,
            "axis_labels": ("y", "x"),
            "visible": False,
            "metadata": {METADATA_KEY: (f"sim {kind}", "truth")},
        },
        "image",
    )
    return [truth, raw]


def _optics(na: float, wavelength: float, refractive_index: float | None = None) -> dict[str, Any]:
    """Say of a raw layer what a microscope's file would."""
    said = {"NumericalAperture": na, "EmissionWavelength": f"{1000 * wavelength:g} nm"}
    return said if refractive_index is None else {**said, "RefractiveIndex": refractive_index}


def _volume_layers(sample: Sample, what: str, metadata: dict[str, Any]) -> list[LayerData]:
    """Show a volume, and hidden its PSF and its truth, which is on the same grid."""
    step, pixel, _ = sample.voxel_size
    planes, height, width = sample.raw.shape
    same: dict[str, Any] = {
        "scale": sample.voxel_size,
        "units": ("micrometer",) * 3,
        "axis_labels": ("z", "y", "x"),
    }
    name = what[0].upper() + what[1:]
    raw: LayerData = (sample.raw, {"name": name, "metadata": metadata, **same}, "image")
    psf: LayerData = (
        sample.psf.array,
        {
            "name": f"PSF of the {what}",
            # Its plane in focus lies in the middle plane of the volume.
            "translate": (
                (planes - sample.psf.array.shape[0]) / 2 * step,
                0.0,
                (width + 0.02 * max(height, width)) * pixel,
            ),
            "gamma": 0.5,
            "visible": False,
            "metadata": {METADATA_KEY: (what, "psf")},
            **same,
        },
        "image",
    )
    truth: LayerData = (
        sample.truth,
        {
            "name": f"Truth of the {what}",
            "visible": False,
            "metadata": {METADATA_KEY: (what, "truth")},
            **same,
        },
        "image",
    )
    return [truth, psf, raw]
