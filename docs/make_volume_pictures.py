"""Picture the lattice light-sheet recording of docs/volumes.md, raw, denoised and deconvolved.

    python docs/make_volume_pictures.py lls_cell_deskewed.tif results/

results/ is the folder that the `zsdeconvnet predict --denoised` of that page has written. The
picture goes to docs/images/lls.png, and figures are printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates, maximum_filter

from napari_zsdeconvnet import read_image
from napari_zsdeconvnet.quality.line_widths import profile_fwhm
from napari_zsdeconvnet.quality.pictures import orthogonal_cuts

VOXEL = (0.16, 0.1, 0.1)  # micrometres
OFFSET = 97.4  # counts, as measured by `zsdeconvnet calibrate`
FILL = 98  # counts that deskewing has put where nothing was recorded
PLANE, ROW = 14, 205  # where the cuts lie
REACH = 1.2  # micrometres; how far the profile of a spot goes to either side
FIELD = (slice(None), slice(40, 260), slice(40, 260))  # the cell, and little of the fill

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Draw the picture and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("results", type=Path)
    given = parser.parse_args()
    raw = read_image(given.recording).data.astype(np.float32) - OFFSET
    volumes = {"Raw": raw}
    for what in ("denoised", "deconvolved"):
        path = given.results / f"{given.recording.stem}_{what}.tif"
        volumes[what.capitalize()] = np.asarray(read_image(path).data)
    draw(volumes)
    report(volumes)


def draw(volumes: dict[str, np.ndarray]) -> None:
    """Cut the field out of every volume, and cut that along z."""
    parts = [volume[FIELD] for volume in volumes.values()]
    _, height, _ = parts[0].shape
    orthogonal_cuts(
        parts,
        list(volumes),
        IMAGES / "lls.png",
        voxel_sizes=VOXEL,
        at=((PLANE + 0.5) / len(parts[0]), (ROW - FIELD[1].start + 0.5) / height),
        percentiles=(1, 99.8),
        panel_width=330,
    )


def report(volumes: dict[str, np.ndarray]) -> None:
    """Print the light, the scatter of dim voxels, and the widths of spots of each volume."""
    raw, denoised = volumes["Raw"], volumes["Denoised"]
    recorded = raw != np.float32(FILL) - np.float32(OFFSET)
    dim = recorded & (denoised > 2) & (denoised < 6)
    places = spots(denoised)
    print(f"{len(places)} spots, {dim.mean():.1%} of the voxels dim and recorded")
    for name, volume in volumes.items():
        widths = [1000 * fwhm(volume, places, axis) for axis in (0, 1, 2)]
        print(
            f"{name:12s} light {volume.mean() / raw.mean():.4f}, "
            f"in recorded voxels {volume[recorded].mean() / raw[recorded].mean():.4f}; "
            f"dim voxels {volume[dim].mean():.2f} +/- {volume[dim].std():.2f}; "
            "spots " + " x ".join(f"{width:.0f}" for width in widths) + " nm"
        )


def spots(volume: np.ndarray) -> np.ndarray:
    """Find bright places that are the highest within about a micrometre, off the borders."""
    highest = (volume == maximum_filter(volume, (11, 15, 15))) & (volume > 40)
    inside = np.zeros_like(highest)
    inside[8:-8, 15:-15, 15:-15] = True
    return np.argwhere(highest & inside)


def fwhm(volume: np.ndarray, places: np.ndarray, axis: int) -> float:
    """Measure the width of the mean spot along an axis, in micrometres.

    The mean is free of noise, whose peaks would make each single spot of the raw volume look
    narrow.
    """
    samples = np.arange(-REACH, REACH, 0.02)
    along = np.zeros((len(samples), 3))
    along[:, axis] = samples / VOXEL[axis]
    profiles = map_coordinates(volume, (places[:, None] + along).transpose(2, 0, 1), order=3)
    return profile_fwhm(samples, profiles.mean(axis=0))


if __name__ == "__main__":
    main()
