"""Picture an OME-Zarr of three channels in napari, as the plugin's reader opens it.

    python tests/with_display.py docs/make_zarr_screenshots.py

A simulated recording is deconvolved with the pretrained weights and written as `zsdeconvnet run`
writes it. The picture goes to docs/images/zarr_*.png.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

# Neither what was typed on this machine before nor what its user has set.
os.environ["NAPARI_CONFIG"] = str(Path(tempfile.mkdtemp()) / "napari.yaml")

from make_screenshots import IMAGES, Tutorial

import napari_zsdeconvnet as zs
from napari_zsdeconvnet.io.ome_zarr_writing import write_ome_zarr

PIXEL = 0.0626
CHANNELS = (("DAPI", "filaments", 0.461), ("GFP", "vesicles", 0.525), ("RFP", "rings", 0.605))
SIZE = (1100, 700)


class ZarrPicture(Tutorial):
    """The window, with the channels of a file."""

    prefix = "zarr_"

    def run(self, path: Path) -> None:
        """Open the file and picture it."""
        self.window.resize(*SIZE)
        self.viewer.open(str(path), plugin="napari-zsdeconvnet")
        self.viewer.canvas.overlays.scale_bar.visible = True
        self.wait(0.5)
        self.viewer.reset_view()
        self.picture("channels")
        self.viewer.close()


def deconvolved(folder: Path) -> Path:
    """Write the result of a recording with three channels."""
    pixels = [
        zs.simulate(kind, shape=(300, 340), pixel_size=PIXEL, wavelength=wavelength, seed=3).raw
        for _, kind, wavelength in CHANNELS
    ]
    names = tuple(name for name, _, _ in CHANNELS)
    image = zs.Image(np.stack(pixels), "CYX", (PIXEL, PIXEL), "cells", channel_names=names)
    scopes = [zs.Microscope(1.3, wavelength) for _, _, wavelength in CHANNELS]
    result = zs.run(image, microscope=scopes, steps=0, judged=False).finish()
    write_ome_zarr(folder / "cells_deconvolved.ome.zarr", result.deconvolved)
    return folder / "cells_deconvolved.ome.zarr"


def main() -> None:
    """Take the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=IMAGES)
    folder = parser.parse_args().folder.resolve()
    path = deconvolved(Path(tempfile.mkdtemp()))
    ZarrPicture(folder).run(path)


if __name__ == "__main__":
    main()
