"""File > Open Sample: an image as a microscope would record it, made here."""

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
