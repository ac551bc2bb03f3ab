"""Files as other programs and their users leave them: sizes, sets, times and names."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_zsdeconvnet.cli.arguments import parser
from napari_zsdeconvnet.cli.commands.files import load
from napari_zsdeconvnet.cli.console import Console
from napari_zsdeconvnet.io.image import Image, as_frames
from napari_zsdeconvnet.io.image_files import read_image, read_recorded
from napari_zsdeconvnet.io.image_writing import write_image, written_image
from napari_zsdeconvnet.training.data import lay_out
from napari_zsdeconvnet.utils.errors import InputError

STACK = np.arange(9 * 64 * 70, dtype=np.uint16).reshape(9, 64, 70)


def written(
    path: Path, description: str, resolution: Any = (10, 10), data: Any = STACK, **options: Any
) -> Path:
    """Pages with a description as somebody's program wrote it, in units of nothing."""
    with tifffile.TiffWriter(path) as writer:
        for index, page in enumerate(data):
            writer.write(
                page,
                description=description.encode() if index == 0 else None,
                metadata=None,
                contiguous=False,
                software=False,
                resolution=resolution,
                resolutionunit=1,
                **options,
            )
    return path


def ome(pixels: str, inside: str = "<TiffData/>") -> str:
    """OME-XML of one image of 70 x 64 pixels."""
    return (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="70" SizeY="64" '
        f"{pixels}>{inside}</Pixels></Image></OME>"
    )


def imagej(*lines: str, planes: int = 9) -> str:
    return "\n".join(("ImageJ=1.54f", f"images={planes}", *lines, ""))


def with_resolution(path: Path, kind: int, value: Any) -> Path:
    """One page whose resolution is a tag of this type, in pixels per centimetre."""
    tifffile.imwrite(path, STACK[0], metadata=None, resolution=(7, 7), resolutionunit="CENTIMETER")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for code in (282, 283):
            tiff.pages.first.tags[code].overwrite(value, dtype=kind)
    return path


def arguments(*options: str) -> argparse.Namespace:
    return parser().parse_args(["calibrate", "image.tif", *options])


class TestSizes:
    def test_each_axis_has_a_unit_of_its_own(self, tmp_path: Path):
        text = imagej("slices=9", "unit=nm", "yunit=micron", "zunit=micrometers", "spacing=0.3")
        image = read_image(written(tmp_path / "i.tif", text, (0.01, 10)))
        assert image.voxel_size == pytest.approx((0.3, 0.1, 0.1))
        assert image.notes == ()

    @pytest.mark.parametrize("said", ["0;3", "three", "0"])
    def test_a_step_that_cannot_be_read_is_unknown_and_the_rest_is_kept(
        self, tmp_path: Path, said: str
    ):
        text = imagej("slices=9", "unit=micron", f"spacing={said}", "finterval=2", "tunit=min")
        path = written(tmp_path / "i.tif", text)
        image = read_image(path)
        assert (image.axes, image.voxel_size, image.steps) == ("ZYX", None, (None, 0.1, 0.1))
        assert image.frame_interval == 120
        assert any(said in note for note in image.notes)
        assert any("give that step" in note for note in image.notes)
        typed = load(str(path), arguments("--axial-step", "0.25"), Console())
        assert typed.voxel_size == pytest.approx((0.25, 0.1, 0.1))
        assert read_recorded(path).steps == (None, 0.1, 0.1)

    def test_a_length_nobody_knows_is_named(self, tmp_path: Path):
        text = imagej("slices=9", "unit=micron", "zunit=furlong", "spacing=0.3")
        image = read_image(written(tmp_path / "i.tif", text))
        assert image.steps == (None, 0.1, 0.1)
        assert "'furlong'" in image.notes[0]

    @pytest.mark.parametrize(
        ("kind", "value", "size"),
        [
            (11, 1e5, 0.1),  # FLOAT
            (12, 1e5, 0.1),  # DOUBLE
            (3, 50000, 0.2),  # SHORT
            (2, "100000,0", 0.1),  # ASCII
            (5, (10**6, 10), 0.1),  # RATIONAL
            (5, (10**6, 0), None),
            (5, (0, 10), None),
            (11, float("nan"), None),
        ],
    )
    def test_resolutions_of_any_type(self, tmp_path: Path, kind: int, value: Any, size: Any):
        image = read_image(with_resolution(tmp_path / "i.tif", kind, value))
        assert image.voxel_size == (None if size is None else pytest.approx((size, size)))
        assert bool(image.notes) == (size is None)

    @pytest.mark.parametrize(("per_cm", "words"), [(100, "100 µm"), (1e8, "0.0001 µm")])
    def test_sizes_of_no_microscope(self, tmp_path: Path, per_cm: float, words: str):
        tifffile.imwrite(
            tmp_path / "i.tif", STACK[0], resolution=(per_cm, per_cm), resolutionunit="CENTIMETER"
        )
        image = read_image(tmp_path / "i.tif")
        assert (image.voxel_size, image.steps) == (None, (None, None, None))
        assert words in image.notes[0]
        assert "not used" in image.notes[0]

    def test_ome_with_units_of_its_own(self, tmp_path: Path):
        said = {
            "axes": "TZYX",
            "PhysicalSizeX": 100,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 1200,
            "PhysicalSizeYUnit": "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}",
            "PhysicalSizeZ": 0.3,
            "TimeIncrement": 1.5,
            "TimeIncrementUnit": "min",
        }
        stack = np.stack([STACK, STACK])
        tifffile.imwrite(tmp_path / "i.ome.tif", stack, metadata=said)
        image = read_image(tmp_path / "i.ome.tif")
        assert image.voxel_size == pytest.approx((0.3, 0.12, 0.1))
        assert "not square" in image.notes[0]
        assert image.frame_interval == 90

    @pytest.mark.parametrize(("unit", "per"), [("MILLIMETER", 1e4), ("MICROMETER", 10)])
    def test_units_of_the_tag_that_came_later(self, tmp_path: Path, unit: str, per: float):
        tifffile.imwrite(
            tmp_path / "i.tif", STACK[0], resolution=(per, per), resolutionunit=unit, metadata=None
        )
        assert read_image(tmp_path / "i.tif").voxel_size == (0.1, 0.1)

    def test_ome_with_decimal_commas_and_names_of_digits(self, tmp_path: Path):
        xml = ome(
            'SizeC="1" SizeT="1" SizeZ="9" PhysicalSizeX="0,05" PhysicalSizeY="0,05" '
            'PhysicalSizeZ="-0,3"',
            '<Channel ID="Channel:0:0" Name="0488"/><TiffData/>',
        )
        image = read_image(written(tmp_path / "i.ome.tif", xml))
        assert (image.voxel_size, image.channel_names) == ((0.3, 0.05, 0.05), ("0488",))

    def test_pages_with_a_step_between_them_are_planes(self, tmp_path: Path):
        image = read_image(written(tmp_path / "i.tif", imagej("unit=um", "spacing=0.3")))
        assert (image.axes, image.guessed) == ("ZYX", "Z")
        assert image.voxel_size == pytest.approx((0.3, 0.1, 0.1))
        assert "taken as planes" in image.notes[0]

    def test_what_nobody_names_is_a_volume_in_python_too(self, tmp_path: Path):
        path = written(tmp_path / "i.tif", "")
        step = (0.3, 0.1, 0.1)
        for stack in (read_image(path), STACK):
            (recording,) = lay_out(stack, None, step)
            assert (recording.axes, recording.voxel_size) == ("TZYX", step)
        (frames,) = lay_out(STACK, "TYX", step)
        assert (frames.axes, frames.voxel_size) == ("TYX", (0.1, 0.1))
        (named,) = lay_out(Image(STACK, "TYX"), None, step)
        assert named.axes == "TYX"


class TestSets:
    def test_planes_that_ome_lacks(self, tmp_path: Path):
        tifffile.imwrite(tmp_path / "whole.ome.tif", STACK, ome=True, metadata={"axes": "ZYX"})
        with tifffile.TiffFile(tmp_path / "whole.ome.tif") as whole:
            xml = whole.ome_metadata
        path = written(tmp_path / "part.ome.tif", xml, data=STACK[:5])
        for read in (read_image, read_recorded):
            with pytest.raises(InputError, match=r"4 of the 9 planes.*number 5 from 0"):
                read(path)

    def test_partner_files_are_named_and_read_where_they_are(self, tmp_path: Path):
        parts = "".join(
            f'<TiffData FirstZ="{z}" IFD="{z % 3}" PlaneCount="1">'
            f'<UUID FileName="p{z // 3}.ome.tif">urn:uuid:{z // 3}</UUID></TiffData>'
            for z in range(9)
        )
        for part in range(3):
            xml = (
                '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
                f'UUID="urn:uuid:{part}"><Image ID="Image:0"><Pixels ID="Pixels:0" '
                'DimensionOrder="XYZCT" Type="uint16" SizeX="70" SizeY="64" SizeC="1" SizeT="1" '
                f'SizeZ="9">{parts}</Pixels></Image></OME>'
            )
            written(tmp_path / f"p{part}.ome.tif", xml, data=STACK[3 * part : 3 * part + 3])
        np.testing.assert_array_equal(read_image(tmp_path / "p0.ome.tif").data, STACK)
        (tmp_path / "p1.ome.tif").unlink()
        with pytest.raises(InputError, match=r"3 of the 9 planes.*p1\.ome\.tif, not to be found"):
            read_image(tmp_path / "p0.ome.tif")

    def test_planes_that_imagej_lacks(self, tmp_path: Path):
        path = written(tmp_path / "i.tif", imagej("slices=14", planes=14))
        with pytest.raises(InputError, match=r"truncated or incomplete: 5 of its 14 planes"):
            read_image(path)

    def test_a_companion_is_read_where_it_is_and_named_where_it_is_not(self, tmp_path: Path):
        only = '<BinaryOnly MetadataFile="cell.companion.ome" UUID="urn:uuid:9"/>'
        parts = ""
        for c in range(2):
            xml = f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{only}</OME>'
            written(tmp_path / f"c{c}.ome.tif", xml, data=STACK[4 * c : 4 * c + 4])
            parts += (
                f'<TiffData FirstC="{c}" PlaneCount="4"><UUID FileName="c{c}.ome.tif">'
                f"urn:uuid:{c}</UUID></TiffData>"
            )
        names = "".join(f'<Channel ID="Channel:0:{c}" Name="dye {c}"/>' for c in range(2))
        said = 'SizeC="2" SizeT="1" SizeZ="4" PhysicalSizeX="0.1" PhysicalSizeY="0.1" '
        whole = ome(f'{said}PhysicalSizeZ="0.3"', names + parts)
        path, companion = tmp_path / "c1.ome.tif", tmp_path / "cell.companion.ome"

        alone = read_image(path)
        assert alone.data.shape == (4, 64, 70)
        assert "cell.companion.ome describes, which is not beside it" in alone.notes[0]
        companion.write_text(whole)
        image = read_image(path)
        np.testing.assert_array_equal(image.data, STACK[:8].reshape(2, 4, 64, 70))
        assert (image.axes, image.voxel_size) == ("CZYX", (0.3, 0.1, 0.1))
        assert image.channel_names == read_recorded(path).channel_names == ("dye 0", "dye 1")
        companion.write_text(whole.replace("c1.ome.tif", "d1.ome.tif"))
        assert "it does not name c1.ome.tif" in read_image(path).notes[0]
        companion.write_text(whole)
        (tmp_path / "c0.ome.tif").unlink()
        with pytest.raises(InputError, match=r"they are in c0\.ome\.tif, not to be found"):
            read_image(path)

    def test_counts_that_are_not_those_of_the_pages(self, tmp_path: Path):
        few = written(tmp_path / "few.tif", imagej("slices=6", planes=6))
        odd = written(tmp_path / "odd.tif", imagej("slices=2", "frames=4", planes=9))
        for path in (few, odd):
            image = read_image(path)
            np.testing.assert_array_equal(image.data, STACK)
            assert "not the 9 pages that are there" in image.notes[0]
        more = ome('SizeC="1" SizeT="1" SizeZ="7"')
        image = read_image(written(tmp_path / "more.ome.tif", more))
        assert image.data.shape == (7, 64, 70)
        assert "count 7 of its 9 pages" in image.notes[0]
        wide = ome('SizeC="1" SizeT="1" SizeZ="9"').replace('"70"', '"140"')
        image = read_image(written(tmp_path / "wide.ome.tif", wide))
        np.testing.assert_array_equal(image.data, STACK)
        assert "describe other pixels than it holds" in image.notes[0]


class TestPixels:
    def test_samples_that_are_no_colours_are_channels(self, tmp_path: Path):
        for name, config, axis in (("apart", "separate", 0), ("together", "contig", -1)):
            pixels = np.stack([STACK[0], STACK[1]], axis)
            how = {"photometric": "minisblack", "planarconfig": config, "metadata": None}
            tifffile.imwrite(tmp_path / f"{name}.tif", pixels, **how)
            image = read_image(tmp_path / f"{name}.tif")
            assert image.axes == "CYX"
            np.testing.assert_array_equal(image.data, STACK[:2])
        tifffile.imwrite(tmp_path / "rgb.tif", STACK[:3], photometric="rgb", metadata=None)
        with pytest.raises(InputError, match="photometric minisblack"):
            read_image(tmp_path / "rgb.tif")

    def test_values_that_may_not_rise_with_the_light(self, tmp_path: Path):
        shuffled = np.random.default_rng(0).permutation(256).astype(np.uint16) * 257
        for name, table, words in (
            ("green", np.arange(256, dtype=np.uint16) * [[0], [257], [0]], ""),
            ("indexed", np.stack([shuffled] * 3), "a table of colours"),
        ):
            page = STACK[0].astype(np.uint8)
            how = {"photometric": "palette", "colormap": table.astype(np.uint16), "metadata": None}
            tifffile.imwrite(tmp_path / f"{name}.tif", page, **how)
            assert words in "".join(read_image(tmp_path / f"{name}.tif").notes)
            assert bool(read_image(tmp_path / f"{name}.tif").notes) == bool(words)
        tifffile.imwrite(tmp_path / "w.tif", STACK[0], photometric="miniswhite", metadata=None)
        assert "white is zero" in read_image(tmp_path / "w.tif").notes[0]

    def test_complex_values_are_refused(self, tmp_path: Path):
        tifffile.imwrite(tmp_path / "i.tif", STACK[0].astype(np.complex64), metadata=None)
        with pytest.raises(InputError, match="complex"):
            read_image(tmp_path / "i.tif")

    def test_other_axes_are_called_by_their_names(self, tmp_path: Path):
        grey = {"photometric": "minisblack"}
        tifffile.imwrite(tmp_path / "r.tif", STACK, metadata={"axes": "RYX"}, **grey)
        image = read_image(tmp_path / "r.tif")
        assert (image.axes, image.guessed) == ("TYX", "T")
        assert "its 9 positions are taken as time" in image.notes[0]
        angles = STACK.reshape(3, 3, 64, 70)
        tifffile.imwrite(tmp_path / "ap.tif", angles, metadata={"axes": "APYX"}, **grey)
        assert read_image(tmp_path / "ap.tif").axes == "TCYX"
        # Of a volume only the planes are planes.
        tifffile.imwrite(tmp_path / "rz.tif", angles, metadata={"axes": "RZYX"}, **grey)
        volumes = read_image(tmp_path / "rz.tif")
        assert as_frames(volumes, spatial="ZYX").shape == (3, 3, 64, 70)
        assert load(str(tmp_path / "rz.tif"), arguments("--voxel-size", "0.3,0.1,0.1"), Console())


class TestTimesAndNames:
    @pytest.mark.parametrize(
        ("unit", "said", "seconds"),
        [("ms", "50", 0.05), ("sec", "0,05", 0.05), ("min", "2", 120), ("hours", "0.5", 1800)],
    )
    def test_imagej(self, tmp_path: Path, unit: str, said: str, seconds: float):
        text = imagej("frames=9", "unit=um", f"finterval={said}", f"tunit={unit}")
        path = written(tmp_path / "i.tif", text)
        assert read_image(path).frame_interval == pytest.approx(seconds)
        assert read_recorded(path).frame_interval == pytest.approx(seconds)

    def test_a_unit_nobody_knows_is_said(self, tmp_path: Path):
        text = imagej("frames=9", "finterval=50", "tunit=ticks")
        image = read_image(written(tmp_path / "i.tif", text))
        assert image.frame_interval is None
        assert "50 ticks" in image.notes[-1]

    @pytest.mark.parametrize(
        ("times", "unit", "seconds"),
        [
            ([0, 1990, 4010, 6000, 8000, 10000, 12000, 14000, 16000], "ms", 2.0),
            ([0.1 * n for n in range(9)], None, 0.1),
            ([2**n for n in range(9)], None, None),
            ([0] * 9, None, None),
        ],
    )
    def test_ome_with_a_time_for_each_plane(
        self, tmp_path: Path, times: Any, unit: Any, seconds: Any
    ):
        own = f'DeltaTUnit="{unit}"' if unit else ""
        planes = "".join(
            f'<Plane TheT="{n}" TheZ="0" TheC="0" DeltaT="{t}" {own}/>' for n, t in enumerate(times)
        )
        xml = ome('SizeC="1" SizeZ="1" SizeT="9"', f"<TiffData/>{planes}")
        path = written(tmp_path / "i.ome.tif", xml)
        image = read_image(path)
        assert image.frame_interval == (None if seconds is None else pytest.approx(seconds))
        assert read_recorded(path).frame_interval == image.frame_interval
        assert ("unevenly in time" in "".join(image.notes)) == (seconds is None and any(times))

    @pytest.mark.parametrize("name", ["i.tif", "i.ome.tif"])
    def test_the_channel_of_a_result_is_named(self, tmp_path: Path, name: str):
        said = {"axes": "TYX", "channel_names": ("GFP",), "frame_interval": 0.05}
        write_image(tmp_path / name, STACK, **said)
        with written_image(tmp_path / f"2{name}", STACK.shape, **said) as pixels:
            pixels[...] = STACK
        for path in (tmp_path / name, tmp_path / f"2{name}"):
            image = read_image(path)
            assert (image.channel_names, image.frame_interval) == (("GFP",), 0.05)
