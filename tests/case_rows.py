"""What must come of each recording in ``shared/cases/README.md``, by the name of its file.

`test_case_rows.py` asks it of the shell and of Python, `qt/test_case_rows_in_windows.py` of the
windows. What takes minutes has a test of its own: the nucleus in `test_haze.py`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1].parent / "shared" / "cases" / "README.md"

OFFSET, GAIN = 100.0, 0.5

CAMERA: dict[str, tuple[float, str]] = {
    "hot_20_of_300.tif": (0.1, r"20 pixels .* at \(y, x\) = \(4, 8\)"),
    "hot_one.tif": (0.1, r"1 pixel .* at \(y, x\) = \(40, 77\)"),
    "saturated_0.2_percent.tif": (0.1, "125 saturated pixels at 4095"),
}
"""Largest error of the gain, as a share, and what is said."""

SATURATED: dict[str, tuple[float, str]] = {
    "saturated_12_bit_left.tif": (GAIN * 60 * 16, r"1261 pixels, 9\.1 % of its lit area"),
    "saturated_int16.tif": (GAIN * 60 * 8, r"1261 pixels, 9\.1 % of its lit area"),
}
"""The gain without these pixels, and why they are refused at first."""

SERIES: dict[str, tuple[float, str]] = {
    "frames_twice.tif": (0.05, "15 of 30 frames were left out"),
    "one_flash.tif": (0.05, "1 of 30 frames was left out"),
}
"""As for `CAMERA`."""

SIZES: dict[str, tuple[str, Any, float | None]] = {
    "units_z_in_micron.tif": ("ZYX", (0.3, 0.1, 0.1), None),
    "decimal_comma.tif": ("ZYX", (0.3, 0.1, 0.1), None),
    "time_in_ms.tif": ("TYX", (0.1, 0.1), 0.05),
}
"""Axes, micrometres and seconds."""

UNKNOWN = "pages_of_nothing_known.tif"
MISSING = ("planes_missing.ome.tif", "5 of the 14 planes")
BEADS = ("beads.tif", (2.6 * 0.125, 4.3 * 0.0225, 4.3 * 0.0225))
"""Standard deviations of the beads, in micrometres."""
PSFS = {"psf_yxz.tif": "give its axes as YXZ", "psf_18_mib_deflate.tif": ""}
SIM = ("sim_zcyx.tif", (18, 78, 138))
NUCLEUS = "nucleus.tif"

ROWS = {
    *(*CAMERA, *SATURATED, *SERIES, *SIZES, *PSFS),
    *(UNKNOWN, MISSING[0], BEADS[0], SIM[0], NUCLEUS),
}


def named_in_readme() -> set[str]:
    """List the files that the README's table names; those with * stand for all that fit."""
    cells = [line.split("|")[1] for line in README.read_text("utf-8").splitlines() if "|" in line]
    return {name for cell in cells for name in re.findall(r"`([\w.*]+)`", cell)}
