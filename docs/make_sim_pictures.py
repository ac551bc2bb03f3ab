"""Take three raw SIM recordings through the shell commands, and picture what comes out.

    python docs/make_sim_pictures.py FOLDER results/ [--steps 150] [--only cristae] [--draw-only]

FOLDER holds hela_mitochondria_raw.tif with the maps of its camera, cristae_raw.tif and
microtubules_raw.tif; results/ keeps what the commands write and print. The pictures go to
docs/images/sim_*.png, and their figures are printed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_zsdeconvnet import read_image
from napari_zsdeconvnet.quality.pictures import side_by_side
from napari_zsdeconvnet.sim.patterns import Patterns

IMAGES = Path(__file__).parent / "images"

PANELS = {
    "widefield": "Widefield\nmean of the frames",
    "sim": "Wiener",
    "denoised": "Denoised",
    "deconvolved": "Deconvolved",
}


@dataclass(frozen=True)
class Recording:
    """A recording, and what is known of it.

    Attributes
    ----------
    name
        Of the file, without "_raw.tif".
    microscope
        Options of `sim estimate`.
    camera
        Options of `sim estimate`, `reconstruct` and `predict`: the offset.
    noise
        Options of `train`: the rest of the camera.
    zoom
        Top, left and height of what is magnified, in parts of the image.
    """

    name: str
    microscope: str
    camera: str
    noise: str
    zoom: tuple[float, float, float]


RECORDINGS = (
    Recording(
        "hela_mitochondria",
        "--na 1.3 --wavelength 0.660 --pixel-size 0.065",
        "--offset {folder}/hela_mitochondria_offset_map.tif",
        "--gain {folder}/hela_mitochondria_gain_map.tif "
        "--read-variance {folder}/hela_mitochondria_variance_map.tif",
        (0.5, 0.63, 0.35),
    ),
    Recording(
        "cristae",
        "--na 1.3 --wavelength 0.569 --pixel-size 0.065",
        "--offset 100",
        "--gain 1.957 --read-variance 5.3",  # as of the camera above, whose gain and offset it has
        (0.35, 0.3, 0.35),
    ),
    Recording(
        "microtubules",
        "--na 1.41 --wavelength 0.525 --pixel-size 0.0626 --period 0.18 --angles 85,145,25",
        "",
        "",
        (0.35, 0.3, 0.35),
    ),
)


def main() -> None:
    """Run the commands, draw the pictures and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [recording.name for recording in RECORDINGS]
    parser.add_argument("folder", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--draw-only", action="store_true")
    given = parser.parse_args()
    given.results.mkdir(parents=True, exist_ok=True)
    for recording in RECORDINGS:
        if recording.name in given.only:
            if not given.draw_only:
                compute(recording, given.folder, given.results, given.steps)
            draw(recording, given.results)


def compute(recording: Recording, folder: Path, results: Path, steps: int) -> None:
    """Go from the raw frames to the deconvolved image as the page says."""
    raw = folder / f"{recording.name}_raw.tif"
    base = results / recording.name
    camera, noise = (words.format(folder=folder) for words in (recording.camera, recording.noise))
    known = f"--patterns {base}_patterns.json {camera}"
    for command in (
        f"sim estimate {raw} {recording.microscope} {camera} --save {base}_patterns.json",
        f"sim reconstruct {raw} {known} --widefield --force -o {base}_sim.tif",
        f"train {raw} {known} {noise} --steps {steps} --seed 1 --force -o {base}.safetensors",
        f"predict {base}.safetensors {raw} {camera} --denoised --force -o {base}_deconvolved.tif",
    ):
        print(f"zsdeconvnet {command}", flush=True)
        shell = [sys.executable, "-m", "napari_zsdeconvnet.cli.main", *command.split()]
        subprocess.run(shell, check=True)


def draw(recording: Recording, results: Path) -> None:
    """Put the four images side by side, and print what can be said of them in numbers."""
    base = results / recording.name
    images = {
        name: np.asarray(read_image(f"{base}_{name}.tif").data, dtype=np.float64) for name in PANELS
    }
    patterns = Patterns.load(f"{base}_patterns.json")
    side_by_side(
        list(images.values()),
        list(PANELS.values()),
        IMAGES / f"sim_{recording.name}.png",
        pixel_sizes=patterns.pixel_size / 2,
        zoom=recording.zoom,
        percentiles=(0.5, 99.8),
        panel_width=360,
    )
    print(recording.name)
    for name, image in images.items():
        print(
            f"  {name:12s} mean {image.mean() / images['widefield'].mean():.3f} of the widefield, "
            f"negative {np.mean(image < 0):.1%}, darkest tenth scatters by {_quiet(image):.3f} of "
            "the 99.8th percentile"
        )


def _quiet(image: NDArray[np.float64]) -> float:
    """Give the scatter where the image is darkest, over its bright parts.

    Blocks of 8 x 8 pixels are taken, of which those of the lowest mean are the darkest.
    """
    rows, columns = (8 * (n // 8) for n in image.shape)
    blocks = image[:rows, :columns].reshape(rows // 8, 8, columns // 8, 8).swapaxes(1, 2)
    blocks = blocks.reshape(-1, 64)
    darkest = np.argsort(blocks.mean(axis=1))[: max(len(blocks) // 10, 1)]
    return float(blocks[darkest].std(axis=1).mean() / np.percentile(image, 99.8))


if __name__ == "__main__":
    main()
