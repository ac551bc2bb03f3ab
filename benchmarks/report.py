"""Turn results into tables and a picture, and set them into a page of the documentation."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case
from PIL import Image
from yardstick import TRUTH_FWHM

from napari_zsdeconvnet.quality.pictures import side_by_side

Result = dict[str, Any]


def comparison_table(results: Sequence[Result], without: Sequence[str] = ()) -> str:
    """Put recordings below each other and methods side by side, those of an earlier version last.

    A cell has PSNR in dB and SSIM of the deconvolved result, and the CPU seconds of a training.
    Methods of the names in `without` are left out.
    """
    results = [result for result in results if result["case"]["method"] not in without]
    methods = sorted(dict.fromkeys(map(_column, results)), key=lambda name: "earlier" in name)
    found = {(_recording(result), _column(result)): _scores(result) for result in results}
    rows = [
        [*recording, *(found.get((recording, method), "") for method in methods)]
        for recording in dict.fromkeys(map(_recording, results))
    ]
    return table(["phantom", "photons", *methods], rows)


def _recording(result: Result) -> tuple[str, str]:
    return result["case"]["phantom"], f"{result['case']['photons']:g}"


def _column(result: Result) -> str:
    return label(result) + (", earlier version" if result.get("outdated") else "")


def _scores(result: Result) -> str:
    scores = f"{result['psnr']:.1f} / {result['ssim']:.3f}"
    if result["case"]["steps"] is None:
        return scores
    return f"{scores} ({result['cpu_seconds']:.0f} s)"


def label(result: Result) -> str:
    """Name a method with its steps of training."""
    return Case(**result["case"]).label


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table in Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def machine() -> str:
    """Say in a sentence what computed."""
    import torch

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, Python {platform.python_version()}, torch {torch.__version__}"


def set_section(page: Path, name: str, text: str, *, title: str) -> None:
    """Replace the part of a page between the marks of a name, or add it at the end."""
    begin, end = f"<!-- {name}: generated, begin -->", f"<!-- {name}: generated, end -->"
    old = page.read_text() if page.is_file() else f"# {title}\n"
    section = f"{begin}\n\n{text.strip()}\n\n{end}"
    if begin in old and end in old:
        before, _, rest = old.partition(begin)
        after = rest.partition(end)[2]
        new = before + section + after
    else:
        new = f"{old.rstrip()}\n\n{section}\n"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(new)


def draw(
    path: Path,
    results: Sequence[Result],
    folder: Path,
    photons: float,
    *,
    panel_width: int = 260,
    per_row: int | None = None,
) -> bool:
    """Write one picture: phantoms below each other, methods side by side.

    A method is drawn where every phantom has it, so that columns line up and none has a gap.

    Parameters
    ----------
    path
        PNG to write.
    results
        Of which those of the given photons are drawn, where their images are still there.
    folder
        Where the images of the cases lie.
    photons
        Which results to show.
    panel_width
        Of each image in pixels of the picture.
    per_row
        Images side by side before the next row begins; None for all of a phantom.

    Returns
    -------
    bool
        Whether there was anything to draw.
    """
    rows: dict[str, dict[str, tuple[Result, Path]]] = {}
    for result in results:
        images = folder / f"{result['name']}.npz"
        wanted = result["case"]["photons"] == photons and result["case"]["method"] != "raw"
        if wanted and images.is_file():
            rows.setdefault(result["case"]["phantom"], {})[label(result)] = result, images
    everywhere = [
        method
        for method in next(iter(rows.values()), {})
        if all(method in row for row in rows.values())
    ]
    if not everywhere:
        return False
    strips = []
    with tempfile.TemporaryDirectory() as temporary:
        for phantom, found in rows.items():
            row = [found[method] for method in everywhere]
            panels, captions = [], []
            with np.load(row[0][1]) as first:
                truth = first["truth"]
                panels.append(first["raw"])
                captions.append(f"{phantom}\nraw, {photons:g} photons")
            for result, images in row:
                with np.load(images) as crops:
                    panels.append(crops["deconvolved"])
                scores = f"{result['psnr']:.1f} dB, {result['ssim']:.3f}"
                captions.append(f"{label(result)}\n{scores}")
            panels.append(truth)
            captions.append(f"truth\nat {_resolution(row[0][0])}")
            strip = Path(temporary) / f"{phantom}.png"
            # The oldest results do not say their pixel.
            pixel_size = row[0][0].get("pixel_size", 0.0313)
            step = per_row or len(panels)
            for start in range(0, len(panels), step):
                part = slice(start, start + step)
                options = {"pixel_sizes": pixel_size, "panel_width": panel_width}
                side_by_side(panels[part], captions[part], strip, **options)
                with Image.open(strip) as picture:
                    strips.append(picture.convert("RGB"))
    widest = max(strip.width for strip in strips)
    canvas = Image.new("RGB", (widest, sum(strip.height for strip in strips)), "white")
    top = 0
    for strip in strips:
        canvas.paste(strip, (0, top))
        top += strip.height
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.save(path)
    return True


def _resolution(result: Result) -> str:
    """Say at which resolution the truth is shown."""
    known = result.get("truth_fwhm") or TRUTH_FWHM[Case(**result["case"]).axes]
    widths = [1000 * width for width in known]
    lateral = f"{widths[-1]:.0f} nm"
    return lateral if len(widths) == 2 else f"{lateral}, z {widths[0]:.0f} nm"
