"""Sentences of the code that computes, in terms of the window.

What computes speaks to those who call it from Python or the shell: of arguments, of axes by
letters, of micrometres. The window has boxes and choices, and one unit for each quantity: lengths
are nanometres there (but for the thickness of a light sheet).
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ...sim.recognition import SIM_REMEDY

NANOMETRES = 1000.0
"""In a micrometre."""

_PARTS = (
    # Whole remedies first.
    (
        '(in Python PixelRule(saturation="mask"), in the shell --allow-saturated, in the window '
        "the box of that name)",
        "(the box of that name)",
    ),
    ("(maps.part, --map-start, or the boxes below the maps)", "(the boxes below the maps)"),
    (
        "(camera=maps.part(start, shape), or --offset-map and its like)",
        "(Noise calibration, below the maps)",
    ),
    ("(CameraMaps.from_dark) ", ""),
    (', from Python with photometric="minisblack"', ""),
    ('process it as a volume, with axes "ZYX"', "read it as a volume"),
    ('process it as images, with axes "YX" or "TYX"', "read it as images"),
    (
        'process its planes as single images, with axes "TYX" and a 2D PSF',
        "read its planes as a time series, with a 2D PSF",
    ),
    ('name the axes of a volume, such as "ZYX"', "read the layer as a volume"),
    (SIM_REMEDY, "take it to One click, or train on it in the SIM window"),
    ("choose a plane of it with psf.plane()", "take its plane in focus (PSF, File)"),
    ("choose a plane of it with .plane()", "take its plane in focus (PSF, File)"),
    ("choose its plane in focus with .plane()", "take its plane in focus (PSF, File)"),
    ("use PSF.from_array, which makes it one", "load it in PSF, which makes it one"),
    ("with with_gain_from(image) or type it in", "in an image (Noise calibration) or type it in"),
    ("make room with model.output_shapes(image.shape)", "choose another file"),
    ("save it again with numpy.save", "save it again"),
    ("what Patterns.save or to_dict has written", "a file that Save has written"),
    ("; give that.", "; choose that order."),
    ("give period and angles", "type period and angles (What is known)"),
    ("give True and False, or whole-number labels", "give yes and no, or whole-number labels"),
    ("give True and False", "give yes and no"),
    (" (None where it is not known)", ""),
    ("not known (None)", "not known"),
    (", or None to try both", ", or let both be tried"),
    (", or None.", "."),
    ("psf has ", "the PSF has "),
    ("psf is ", "the PSF is "),
)

_KINDS = {
    "YX": "an image",
    "TYX": "a time series",
    "ZYX": "a volume",
    "TZYX": "a time series of volumes",
}
_ORDERS = {"orientation": "orientation by orientation", "phase": "phase by phase"}
_NAMES = {
    "axial_step": "the plane step",
    "voxel_size": "the voxel size",
    "pixel_size": "the pixel size",
    "sheet_thickness": "the thickness of the sheet",
    "refractive_index": "the refractive index",
    "excitation_wavelength": "the wavelength of the laser",
    "excitation_na": "the aperture of the excitation",
    "read_variance": "read variance",
    "read_noise": "read noise",
    "bad_pixels": "the map of bad pixels",
    "dark_frames": "dark frames",
    "out_of_focus": "the out-of-focus background",
}
_NUMBER = r"\d+(?:\.\d+)?(?:e-?\d+)?"
_LENGTH = re.compile(rf"(?<![\w.])({_NUMBER}(?: x {_NUMBER})*) um\b")


def _kind(found: re.Match[str]) -> str:
    return f"{found[1]} {_KINDS.get(found[2], _letters(found[2]))}"


def _letters(axes: str) -> str:
    return ", ".join(axes)


def _in_nanometres(found: re.Match[str]) -> str:
    if found.string[: found.start()].endswith("sheet of "):
        return f"{found[1]} µm"
    lengths = [f"{NANOMETRES * float(number):.4g}" for number in found[1].split(" x ")]
    return f"{' x '.join(lengths)} nm"


_PATTERNS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r'has axes "[TCZYX]+", hence no planes \(Z\)'), "has no planes"),
    (re.compile(r" \(Z\) where"), " where"),
    (re.compile(r'\b(say) axes(?:=| )"([TZYX]+)"'), lambda m: f"read the layer as{_kind(m)[3:]}"),
    (re.compile(r'\b(with|or) axes "([TZYX]+)"'), lambda m: f"{m[1]} the axes {_letters(m[2])}"),
    (re.compile(r'"([TCZYX]{2,5})"'), lambda m: _letters(m[1])),
    (
        re.compile(r"give voxel_size=\([^)]*\) in micrometres(?: on reading)?"),
        "type the voxel size (PSF, File)",
    ),
    (
        re.compile(r"give the axes \(([^()]*)\), as raw\.reshape\(.*\) does"),
        r"save it with the axes \1",
    ),
    (re.compile(r'\btake modality="([\w-]+)"'), r"choose \1 (Microscope)"),
    (re.compile(r'\bmodality="([\w-]+)"'), r"\1"),
    (re.compile(r'\bmodality is "([\w-]+)"'), r"the microscope is \1"),
    (re.compile(r'\b(?:with )?order="(\w+)"'), lambda m: _ORDERS.get(m[1], m[1])),
    (
        re.compile(
            r"\bthe (" + "|".join(n for n, w in _NAMES.items() if w.startswith("the ")) + r")\b"
        ),
        lambda m: _NAMES[m[1]],
    ),
    (re.compile(r"\b(" + "|".join(_NAMES) + r")\b(?![.\w]*\.\w)"), lambda m: _NAMES[m[1]]),
    (
        re.compile(rf"(-?{_NUMBER}), in micrometres; did you mean [^()]*\((.*? nm)\)"),
        lambda m: f"{NANOMETRES * float(m[1]):.6g} nm; did you mean {m[2]}",
    ),
    (
        re.compile(
            rf"(-?{_NUMBER}), in micrometres; it lies between ({_NUMBER}) and ({_NUMBER})\b"
        ),
        lambda m: (
            f"{NANOMETRES * float(m[1]):.6g} nm; it lies between {NANOMETRES * float(m[2]):.4g} "
            f"and {NANOMETRES * float(m[3]):.6g} nm"
        ),
    ),
    (_LENGTH, _in_nanometres),
    (re.compile(r"(?<=[\w)]) um\b"), " µm"),
    (
        re.compile(r"in micrometres, such as (0\.\d+)"),
        lambda m: f"in nanometres, such as {NANOMETRES * float(m[1]):.4g}",
    ),
)


def in_window_words(sentence: str) -> str:
    """Say in terms of the window what was said in those of Python or the shell.

    Parameters
    ----------
    sentence : str
        An error or a warning. What holds no such terms comes back as it is.
    """
    for written, shown in _PARTS:
        sentence = sentence.replace(written, shown)
    for pattern, words in _PATTERNS:
        sentence = pattern.sub(words, sentence)
    return sentence
