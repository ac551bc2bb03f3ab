"""File > Open Sample: an image and a volume as a microscope would record them, made here."""

from __future__ import annotations

from typing import Any

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
    from .simulation import simulate

    sample = simulate("filaments")
    pixel = sample.pixel_size
    height, width = sample.raw.shape
    lengths: dict[str, Any] = {"units": ("micrometer",) * 2, "axis_labels": ("y", "x")}
    # The finer grid begins a quarter of a raw pixel earlier: napari counts from pixel centres.
    fine: dict[str, Any] = {**lengths, "scale": (pixel / 2, pixel / 2)}
    raw: LayerData = (
        sample.raw,
        {"name": "Filaments", "scale": (pixel, pixel), **lengths},
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
    from .simulation import simulate_volume

    sample = simulate_volume("filaments", shape=(24, 128, 128), photons=100)
    step, pixel, _ = sample.voxel_size
    planes, height, width = sample.raw.shape
    same: dict[str, Any] = {
        "scale": sample.voxel_size,
        "units": ("micrometer",) * 3,
        "axis_labels": ("z", "y", "x"),
    }
    raw: LayerData = (sample.raw, {"name": "Volume", **same}, "image")
    psf: LayerData = (
        sample.psf.array,
        {
            "name": "PSF of the volume",
            # Its plane in focus lies in the middle plane of the volume.
            "translate": (
                (planes - sample.psf.array.shape[0]) / 2 * step,
                0.0,
                (width + 0.02 * max(height, width)) * pixel,
            ),
            "gamma": 0.5,
            "visible": False,
            "metadata": {METADATA_KEY: ("volume", "psf")},
            **same,
        },
        "image",
    )
    truth: LayerData = (
        sample.truth,
        {
            "name": "Truth of the volume",
            "visible": False,
            "metadata": {METADATA_KEY: ("volume", "truth")},
            **same,
        },
        "image",
    )
    return [truth, psf, raw]
