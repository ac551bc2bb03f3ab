"""Tags that the programs of microscopes write: sizes, times and names."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_zsdeconvnet.io.image_files import read_image, read_recorded

STACK = np.arange(6 * 40 * 48, dtype="<u2").reshape(6, 40, 48)
SHORT, LONG, ASCII, RATIONAL, BYTE = 3, 4, 2, 5, 1


class Bare:
    """A TIFF made of bytes, as no library of ours writes it."""

    def __init__(self, start: bytes = b"") -> None:
        self.bytes = bytearray(b"II*\0\0\0\0\0" + start)

    def put(self, content: bytes) -> int:
        place = len(self.bytes)
        self.bytes += content
        return place

    def write(self, path: Path, pages: list[list[tuple[int, int, int, int]]]) -> Path:
        link = 4
        for entries in pages:
            self.bytes[link : link + 4] = struct.pack("<I", len(self.bytes))
            self.bytes += struct.pack("<H", len(entries))
            for entry in sorted(entries):
                short = entry[1] == SHORT and entry[2] == 1
                self.bytes += struct.pack("<HHIHH" if short else "<HHII", *entry, *[0] * short)
            link = len(self.bytes)
            self.bytes += bytes(4)
        path.write_bytes(bytes(self.bytes))
        return path

    def page(self, pixels: Any, *own: tuple[int, int, int, int]) -> list[tuple[int, ...]]:
        height, width = pixels.shape[-2:]
        place = self.put(pixels.tobytes())
        size = 2 * height * width
        said = {256: width, 257: height, 258: 16, 259: 1, 262: 1, 277: 1, 278: height}
        entries = [(tag, SHORT, 1, value) for tag, value in said.items()]
        return [*entries, (273, LONG, 1, place), (279, LONG, 1, size), *own]


def ratio(value: float) -> bytes:
    return struct.pack("<II", round(value * 10**6), 10**6)


def metamorph(path: Path, *, step: float, pixel: float, unit: bytes, times: Any) -> Path:
    """A stack as MetaMorph writes it: one page, and its planes behind one another."""
    file = Bare()
    page = file.page(STACK)
    planes = [ratio(step) + struct.pack("<IIII", 2459000, int(t), 2459000, 0) for t in times]
    uic2 = file.put(b"".join(planes))
    uic3 = file.put(ratio(525) * len(STACK))
    size = file.put(ratio(pixel))
    name = file.put(struct.pack("<I", len(unit) + 1) + unit + b"\0")
    uic1 = file.put(struct.pack("<IIIIIIII", 2, 1, 4, size, 5, size, 6, name))
    count = len(STACK)
    page = [(tag, kind, n, 40 * 48 * 2 if tag == 279 else value) for tag, kind, n, value in page]
    own = [(33628, LONG, 4, uic1), (33629, RATIONAL, count, uic2), (33630, RATIONAL, count, uic3)]
    return file.write(path, [[*page, *own]])


def test_metamorph_stacks(tmp_path: Path):
    still = [1000] * 6
    path = metamorph(tmp_path / "z.stk", step=0.25, pixel=0.1, unit=b"um", times=still)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, STACK)
    assert (image.axes, image.voxel_size) == ("ZYX", (0.25, 0.1, 0.1))
    assert read_recorded(path).steps == (0.25, 0.1, 0.1)
    path = metamorph(tmp_path / "n.stk", step=0.25, pixel=100, unit=b"nm", times=still)
    assert read_image(path).voxel_size == (0.25, 0.1, 0.1)
    path = metamorph(tmp_path / "p.stk", step=0.25, pixel=1, unit=b"pixel", times=still)
    assert read_image(path).steps == (0.25, None, None)
    times = np.arange(6) * 500
    image = read_image(metamorph(tmp_path / "t.stk", step=0, pixel=0.1, unit=b"um", times=times))
    assert (image.axes, image.voxel_size, image.frame_interval) == ("TYX", (0.1, 0.1), 0.5)


@pytest.mark.parametrize(("state", "size"), [("on", (0.1, 0.1)), ("off", None)])
def test_metaxpress(tmp_path: Path, state: str, size: Any):
    props = {
        "spatial-calibration-state": ("bool", state),
        "spatial-calibration-x": ("float", "100"),
        "spatial-calibration-y": ("float", "100"),
        "spatial-calibration-units": ("string", "nm"),
    }
    lines = "".join(f'<prop id="{k}" type="{t}" value="{v}"/>' for k, (t, v) in props.items())
    xml = f"<MetaData><PlaneInfo>{lines}</PlaneInfo></MetaData>"
    said = {"description": xml, "software": "MetaSeries", "metadata": None}
    tifffile.imwrite(tmp_path / "m.tif", STACK[0], **said)
    assert read_image(tmp_path / "m.tif").voxel_size == size


def test_micromanager(tmp_path: Path):
    said = {"z-step_um": -0.25, "Interval_ms": 500.0, "ChNames": ["DAPI"]}
    summary = json.dumps(said).encode()
    header = struct.pack("<IIIIIIII", 54773648, 0, 483765892, 0, 99384722, 0, 2355492, len(summary))
    for axis, axes, size in (("slices", "ZYX", (0.25, 0.1, 0.1)), ("frames", "TYX", (0.1, 0.1))):
        file = Bare(header + summary)
        text = f"ImageJ=1.47v\nimages=6\nchannels=1\n{axis}=6\nhyperstack=true\n\0".encode()
        own = json.dumps({"PixelSizeUm": 0.1}).encode()
        first = [(270, ASCII, len(text), file.put(text)), (51123, ASCII, len(own), file.put(own))]
        pages = [file.page(plane, *(first if n == 0 else ())) for n, plane in enumerate(STACK)]
        image = read_image(file.write(tmp_path / f"{axis}.tif", pages))
        assert (image.axes, image.voxel_size) == (axes, size)
        assert (image.frame_interval, image.channel_names) == (0.5, ("DAPI",))


def test_zeiss_lsm(tmp_path: Path):
    file = Bare()
    info = np.zeros(200, "<u1")
    lengths = (48, 40, 6, 1, 1, 2, 12, 10)
    struct.pack_into("<Ii8i3d", info, 0, 0x00400494C, 200, *lengths, 1e-7, 1e-7, 2.5e-7)
    struct.pack_into("<d", info, 112, 1.5)
    own = [(34412, BYTE, len(info), file.put(info.tobytes()))]
    pages = []
    for number, plane in enumerate(STACK):
        pages.append([*file.page(plane, *(own if number == 0 else ())), (254, LONG, 1, 0)])
        pages.append([*file.page(plane[::4, ::4].copy()), (254, LONG, 1, 1)])
    image = read_image(file.write(tmp_path / "i.lsm", pages))
    np.testing.assert_array_equal(image.data, STACK)
    assert (image.axes, image.voxel_size) == ("ZYX", (0.25, 0.1, 0.1))
    assert image.frame_interval == 1.5
