"""Make the pictures of the documentation that training decides, all by one command.

    python docs/make_pictures.py RECORDINGS CASES [--only one_click home]

RECORDINGS holds widefield2d/, volume/ and sim2d/ with the real recordings that docs/gallery.md
names, CASES the simulated nucleus (nucleus.tif, nucleus_truth.tif). Each picture gets a stamp in
docs/images/stamps.json: the script that made it, and a fingerprint of the weights and the preset.
Pictures that no page shows are removed. A test fails where a fingerprint is not that of today.
About an hour on one core.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
STAMPS = IMAGES / "stamps.json"
WEIGHTS = DOCS.parent / "src" / "napari_zsdeconvnet" / "networks" / "weights"
IMAGE, VOLUME, SIM = "image", "volume", "sim"


@dataclass(frozen=True)
class Job:
    """What makes some of the pictures.

    Attributes
    ----------
    name
        For ``--only``.
    commands
        Words after ``python``, one command after the other; {shell} stands for `zsdeconvnet`, and
        {data}, {cases} and {made} for the folder of recordings, that of cases, and an empty one
        that the commands share.
    pictures
        Patterns of the files that they write.
    kinds
        Presets that decide what is seen.
    """

    name: str
    commands: tuple[str, ...]
    pictures: tuple[str, ...]
    kinds: tuple[str, ...]


WINDOW = "tests/with_display.py docs/"
RUN = "{shell}"
LLS = "{data}/volume/lls_cell_deskewed.tif"
LLS_PSF = "--psf {data}/volume/lls_psf_measured.tif --psf-voxel-size 0.1,0.101,0.101"
NUCLEUS = "--pixel-size 0.13 --axial-step 0.3 --na 1.4 --wavelength 0.461"

JOBS = (
    Job("home", ("docs/make_home_picture.py {data}/volume",), ("home",), (VOLUME,)),
    Job("pages", (f"{WINDOW}make_page_pictures.py",), ("pages_*",), (IMAGE,)),
    Job("step_by_step", (f"{WINDOW}make_screenshots.py",), ("tutorial_*",), (IMAGE,)),
    Job(
        "one_click",
        (f"{WINDOW}make_one_click_screenshots.py {{data}}",),
        ("one_click_*",),
        (IMAGE, VOLUME, SIM),
    ),
    Job("quality", (f"{WINDOW}make_quality_screenshots.py",), ("quality_*",), (IMAGE,)),
    Job("queue", (f"{WINDOW}make_queue_screenshots.py",), ("queue_*",), (IMAGE,)),
    Job("zarr", (f"{WINDOW}make_zarr_screenshots.py",), ("zarr_*",), (IMAGE,)),
    Job(
        "sim_window",
        (f"{WINDOW}make_sim_screenshots.py {{data}}/sim2d --steps 40",),
        ("sim_window_*",),
        (SIM,),
    ),
    Job(
        "volume_window",
        (f"{WINDOW}make_volume_screenshots.py {{data}}/volume",),
        ("volume_*",),
        (VOLUME,),
    ),
    Job(
        "sim",
        ("docs/make_sim_pictures.py {data}/sim2d {made}",),
        ("sim_cristae", "sim_hela_mitochondria", "sim_microtubules"),
        (SIM,),
    ),
    Job(
        "volume",
        (
            f"{RUN} run {LLS} --voxel-size 0.16,0.1,0.1 {LLS_PSF} --seed 0 --no-verdict "
            "-o {made}",
            f"docs/make_volume_pictures.py {LLS} {{made}}",
        ),
        ("lls",),
        (VOLUME,),
    ),
    Job(
        "nucleus",
        (
            f"{RUN} run {{cases}}/nucleus.tif {NUCLEUS} --seed 0 --no-verdict -o {{made}}",
            "docs/make_nucleus_pictures.py {cases}/nucleus.tif {made}/nucleus_deconvolved.tif "
            "{cases}/nucleus_truth.tif",
        ),
        ("nucleus",),
        (VOLUME,),
    ),
    Job(
        "out_of_focus",
        ("docs/make_out_of_focus_pictures.py {cases}/nucleus.tif {cases}/nucleus_truth.tif",),
        ("out_of_focus",),
        (IMAGE,),
    ),
    Job("prior", ("docs/make_prior_pictures.py {data}/widefield2d",), ("prior_*",), (IMAGE,)),
    Job("verdict", ("docs/make_verdict_pictures.py",), ("verdict_*",), (IMAGE,)),
)


def fingerprint(kinds: Sequence[str]) -> str:
    """Return a fingerprint of the weights and the settings that `fast` has for some kinds."""
    from napari_zsdeconvnet.model import presets

    chosen = {
        IMAGE: ("prior_2d", presets.PRESETS),
        VOLUME: ("prior_3d", presets.VOLUME_PRESETS),
        SIM: ("prior_sim", presets.SIM_PRESETS),
    }
    found = hashlib.sha256()
    for kind in kinds:
        weights, preset = chosen[kind]
        found.update((WEIGHTS / f"{weights}.safetensors").read_bytes())
        settings = dataclasses.asdict(preset["fast"])
        settings.pop("description", None)
        found.update(json.dumps(settings, sort_keys=True, default=str).encode())
    return found.hexdigest()[:16]


def shown() -> set[str]:
    """Return the names of the pictures that a page or the README shows."""
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    return {path.name for path in IMAGES.glob("*.png") if f"images/{path.name}" in text}


def stamps() -> dict[str, dict[str, str]]:
    """Return what is known of each picture, by the name of its file."""
    found: dict[str, dict[str, str]] = json.loads(STAMPS.read_text()) if STAMPS.exists() else {}
    return found


def run(job: Job, data: Path, cases: Path) -> None:
    """Make the pictures of a job and stamp them."""
    shell = Path(sys.executable).with_name("zsdeconvnet")
    with tempfile.TemporaryDirectory() as made:
        for command in job.commands:
            words = command.format(shell=shell, data=data, cases=cases, made=made).split()
            # What a user has set or left unfinished is on no picture.
            with tempfile.TemporaryDirectory() as settings:
                own = {**os.environ, "NAPARI_CONFIG": str(Path(settings) / "napari.yaml")}
                subprocess.run([sys.executable, *words], cwd=DOCS.parent, env=own, check=True)
    known, wanted = stamps(), shown()
    for pattern in job.pictures:
        for path in IMAGES.glob(f"{pattern}.png"):
            if path.name in wanted:
                known[path.name] = {"made_by": job.name, "with": fingerprint(job.kinds)}
            else:
                path.unlink()
    known = {name: known[name] for name in sorted(known) if (IMAGES / name).exists()}
    STAMPS.write_text(json.dumps(known, indent=1) + "\n")


def main() -> None:
    """Do all jobs, or some."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("cases", type=Path)
    names = [job.name for job in JOBS]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    options = parser.parse_args()
    for job in JOBS:
        if job.name in options.only:
            print(job.name, flush=True)
            run(job, options.data.resolve(), options.cases.resolve())


if __name__ == "__main__":
    main()
