from __future__ import annotations

import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from napari_zsdeconvnet.io.image import Display
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.ome_zarr import images_in
from napari_zsdeconvnet.io.ome_zarr_writing import write_ome_zarr
from napari_zsdeconvnet.io.selection import one_of
from napari_zsdeconvnet.io.zarr_stores import ZarrPixels, name_of
from napari_zsdeconvnet.utils.errors import InputError

DATA = Path(__file__).parents[1] / "data"
PIXELS = (np.arange(2 * 3 * 32 * 32) % 997).astype(np.uint16).reshape(2, 3, 32, 32)
"""What the files of other programs hold, (C, Z, Y, X)."""

SPACE = {"type": "space", "unit": "micrometer"}
AXES = [{"name": "c", "type": "channel"}, *({"name": name, **SPACE} for name in "zyx")]


def written(path: Path, version: str = "0.5", pixels: Any = PIXELS, **told: Any) -> Path:
    """Write an image of one level as the standard says; what is told goes before."""
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    array = group.create_array(
        "0", shape=pixels.shape, dtype=pixels.dtype, chunks=told.get("chunks", (1, 1, 16, 16))
    )
    array[...] = pixels
    scale = [{"type": "scale", "scale": [1, 0.3, 0.1, 0.1]}]
    described = {
        "version": version,
        "axes": told.get("axes", AXES),
        "datasets": [{"path": "0", "coordinateTransformations": told.get("transforms", scale)}],
    }
    ome = {"multiscales": [described], **told.get("ome", {})}
    group.attrs.update(ome if version == "0.4" else {"ome": {"version": version, **ome}})
    return path


class TestFilesOfOtherPrograms:
    @pytest.mark.parametrize(
        "name",
        [
            "ome-zarr-py-0.4.zarr.zip",
            "ome-writers-0.5.ozx",
            "ngff-zarr-0.4.zarr.zip",
            "bioio-0.5.zarr.zip",
        ],
    )
    @pytest.mark.parametrize("kind", ["zip", "folder", "zip of a folder", "address"])
    def test_pixels_and_what_is_said_of_them(self, name: str, kind: str, tmp_path: Path):
        path: Any = DATA / name
        if kind != "zip":
            path = tmp_path / "cells.ome.zarr"
            shutil.unpack_archive(DATA / name, path, "zip")
        if kind == "zip of a folder":
            path = Path(shutil.make_archive(f"{path}", "zip", tmp_path, "cells.ome.zarr"))
        if kind == "address":
            path = path.as_uri()
        image = read_image(path)
        pixels = np.asarray(image.data)
        in_time = name.startswith("ome-writers")
        assert image.axes == ("TCZYX" if in_time else "CZYX")
        for volumes in pixels if "T" in image.axes else [pixels]:
            np.testing.assert_array_equal(volumes, PIXELS)
        assert image.voxel_size == pytest.approx((0.3, 0.1, 0.1))
        assert image.channel_names == ("GFP", "RFP")
        assert image.frame_interval == (0.5 if in_time else None)
        assert image.notes == ()
        assert not isinstance(image.data, np.ndarray)

    @pytest.mark.parametrize("name", ["ome-zarr-py-0.4", "ngff-zarr-0.4", "bioio-0.5"])
    def test_colours_and_windows(self, name: str):
        image = read_image(DATA / f"{name}.zarr.zip")
        assert image.display == (Display("00FF00", (90, 300)), Display("FF0000", (90, 300)))

    def test_a_level_is_chosen(self):
        image = read_image(DATA / "ome-zarr-py-0.4.zarr.zip", level=1)
        assert image.data.shape[-2:] == (16, 16)
        assert image.voxel_size is not None
        assert image.voxel_size[1:] == pytest.approx((0.2, 0.2))
        assert image.origin is not None
        assert image.origin.level == 1
        with pytest.raises(InputError, match="2 levels, counted from 0, so there is none of num"):
            read_image(DATA / "ome-zarr-py-0.4.zarr.zip", level=2)

    def test_its_name_is_that_of_the_image(self):
        assert name_of("s3://bucket/plate.ome.zarr/A/1/0/") == "plate.ome.zarr/A/1/0"
        assert name_of("/data/cells.ome.zarr") == "cells.ome.zarr"


class TestMetadata:
    def test_units_translation_and_whole_scale(self, tmp_path: Path):
        axes = [AXES[0], *({"name": name, "type": "space", "unit": "nanometer"} for name in "zyx")]
        steps = [
            {"type": "scale", "scale": [1, 300, 100, 100]},
            {"type": "translation", "translation": [0, 600, 0, 50]},
        ]
        path = written(tmp_path / "a.zarr", axes=axes, transforms=steps)
        image = read_image(path)
        assert image.voxel_size == pytest.approx((0.3, 0.1, 0.1))
        assert image.position == pytest.approx((0.6, 0, 0.05))

    @pytest.mark.parametrize(
        ("told", "note"),
        [
            ({"transforms": []}, "gives no scale, hence no pixel size, for level 0"),
            ({"transforms": [{"type": "scale", "scale": [1, 1]}]}, "gives no scale"),
            ({"transforms": [{"type": "scale", "scale": [1, 0.3, -1, 0.1]}]}, "pixel size along Y"),
            ({"axes": [{"name": name} for name in "czyx"]}, "has no unit of length"),
            ({"axes": [AXES[1], AXES[0], *AXES[2:]]}, "order that OME-Zarr does not allow"),
            ({"ome": {"omero": {"channels": [{"label": "one"}]}}}, "describe 1 channels and it"),
        ],
    )
    def test_what_is_wrong_is_said_and_the_rest_is_read(self, tmp_path: Path, told: Any, note: str):
        image = read_image(written(tmp_path / "a.zarr", **told))
        assert any(note in one and "a.zarr" in one for one in image.notes), image.notes
        if "order" in note:
            assert image.axes == "CZYX"
            np.testing.assert_array_equal(image.data, PIXELS.transpose(1, 0, 2, 3))
        elif "channels" not in note:
            assert image.voxel_size is None

    def test_a_level_whose_scale_does_not_suit_its_size(self, tmp_path: Path):
        path = written(tmp_path / "a.zarr")
        group = zarr.open_group(path)
        group.create_array("1", data=PIXELS[:, :, ::2, ::2])
        ome = dict(group.attrs)["ome"]
        first = ome["multiscales"][0]["datasets"][0]
        ome["multiscales"][0]["datasets"].append({**first, "path": "1"})
        group.attrs["ome"] = ome
        assert not read_image(path).notes
        (note,) = read_image(path, level=1).notes
        assert "the scale of level 1 does not suit its size" in note

    def test_a_level_of_another_type(self, tmp_path: Path):
        path = written(tmp_path / "a.zarr")
        group = zarr.open_group(path)
        group.create_array("1", data=PIXELS[:, :, ::2, ::2].astype(np.uint8))
        ome: Any = dict(group.attrs)["ome"]
        scale = [{"type": "scale", "scale": [1, 0.3, 0.2, 0.2]}]
        coarse = {"path": "1", "coordinateTransformations": scale}
        ome["multiscales"][0]["datasets"].append(coarse)
        group.attrs["ome"] = ome
        (note,) = read_image(path, level=1).notes
        assert "level 1 holds uint8 and level 0 uint16" in note

    @pytest.mark.parametrize(
        ("told", "problem"),
        [
            ({"axes": AXES[1:]}, r"names 3 axes \(z, y, x\) and its pixels have 4"),
            ({"axes": [{"name": "angle"}, *AXES[1:]]}, "those of an image are t, c, z, y and x"),
            ({"axes": [AXES[1], *AXES[1:]]}, "at most once"),
            ({"ome": {"multiscales": [{}]}}, "damaged OME metadata"),
            ({"ome": {"version": "0.6"}}, "is OME-Zarr 0.6, and 0.4 and 0.5 can be read .*update"),
            ({"ome": {"version": "0.3"}}, "is OME-Zarr 0.3, and 0.4 and 0.5 can be read .*export"),
        ],
    )
    def test_what_cannot_be_read_is_refused(self, tmp_path: Path, told: Any, problem: str):
        with pytest.raises(InputError, match=problem):
            read_image(written(tmp_path / "a.zarr", **told))

    def test_plates_and_series_name_what_can_be_read(self, tmp_path: Path):
        path = tmp_path / "plate.ome.zarr"
        group = zarr.open_group(path, mode="w")
        group.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}]}}
        written(path / "A" / "1" / "0")
        with pytest.raises(InputError, match=r"plate of 1 wells.* as in .*plate.ome.zarr/A/1/0"):
            read_image(path)
        field = read_image(path / "A" / "1" / "0")
        assert field.name == "plate.ome.zarr/A/1/0"

    def test_what_bio_formats_converts_is_a_series_of_images(self, tmp_path: Path):
        path = tmp_path / "series.zarr"
        zarr.open_group(path, mode="w").attrs["ome"] = {"bioformats2raw.layout": 3}
        written(path / "0")
        written(path / "1")
        image = read_image(path)
        assert "holds 2 images" in image.notes[0]
        np.testing.assert_array_equal(image.data, PIXELS)


class TestPixelsThatAreNotThere:
    @pytest.mark.parametrize("version", ["0.4", "0.5"])
    def test_damaged_chunks_are_named(self, tmp_path: Path, version: str):
        path = written(tmp_path / "a.zarr", version)
        chunk = path / ("0/1.2.0.1" if version == "0.4" else "0/c/1/2/0/1")
        chunk.write_bytes(chunk.read_bytes()[:20])
        image = read_image(path)
        np.testing.assert_array_equal(image.data[0], PIXELS[0])
        with pytest.raises(InputError, match=rf"a\.zarr: the chunk {chunk.relative_to(path)} can"):
            image.data[1, 2]

    def test_missing_chunks_are_counted_and_named(self, tmp_path: Path):
        path = written(tmp_path / "a.zarr")
        (path / "0/c/1/2/0/1").unlink()
        image = read_image(path)
        assert "1 of 24 chunk files are missing (0/c/1/2/0/1)" in image.notes[0]
        assert image.data[1, 2, 0, 31] == 0

    def test_what_is_no_zarr(self, tmp_path: Path):
        (tmp_path / "empty.zarr").mkdir()
        (tmp_path / "broken.ozx").write_bytes(b"PK not a zip")
        for name, problem in (
            ("empty.zarr", "holds no Zarr"),
            ("broken.ozx", "not a complete zip"),
            ("missing.zarr", "does not exist"),
        ):
            with pytest.raises(InputError, match=problem):
                read_image(tmp_path / name)
        path = written(tmp_path / "a.zarr")
        with pytest.raises(InputError, match="name the folder of the whole image"):
            read_image(path / "0")
        attributes = json.loads((path / "zarr.json").read_text())
        (path / "zarr.json").write_text(json.dumps({**attributes, "attributes": {}}))
        with pytest.raises(InputError, match="without the metadata of an OME-Zarr image"):
            read_image(path)

    def test_without_the_extra_a_sentence_says_how_to_install_it(self, monkeypatch: Any):
        monkeypatch.setitem(sys.modules, "zarr", None)
        with pytest.raises(InputError, match=r'pip install "napari-zsdeconvnet\[zarr\]"'):
            read_image(DATA / "ome-writers-0.5.ozx")

    def test_other_files_have_no_levels(self, tmp_path: Path):
        np.save(tmp_path / "a.npy", PIXELS[0, 0])
        with pytest.raises(InputError, match="no OME-Zarr, which alone has levels"):
            read_image(tmp_path / "a.npy", level=1)


class TestZarrPixels:
    @pytest.mark.parametrize(
        "index", [0, -1, ..., np.s_[1, :, 5], np.s_[:, 1:3, ::3, -7:], np.s_[0, 2, 3, 4], np.s_[2:]]
    )
    def test_cuts_are_those_of_numpy(self, tmp_path: Path, index: Any):
        pixels = ZarrPixels(written(tmp_path / "a.zarr", chunks=(1, 2, 20, 20)), "0")
        for _ in range(2):
            np.testing.assert_array_equal(pixels[index], PIXELS[index])

    def test_planes_of_one_chunk_are_decoded_once(self, tmp_path: Path):
        class Counted:
            def __init__(self, array: Any) -> None:
                self.array, self.reads = array, 0

            def __getattr__(self, name: str) -> Any:
                return getattr(self.array, name)

            def __getitem__(self, index: Any) -> Any:
                self.reads += 1
                return self.array[index]

        path = written(tmp_path / "a.zarr", chunks=(1, 3, 32, 32))
        array: Any = Counted(zarr.open_group(path)["0"])
        pixels = ZarrPixels(path, "0", array)
        for plane in range(3):
            np.testing.assert_array_equal(pixels[0, plane], PIXELS[0, plane])
        assert array.reads == 1

    def test_workers_open_it_again(self, tmp_path: Path):
        image = read_image(written(tmp_path / "a.zarr"))
        again = pickle.loads(pickle.dumps(image.data))
        np.testing.assert_array_equal(again, PIXELS)


def test_each_image_of_bioformats2raw_has_its_own_optics(tmp_path: Path):
    path = tmp_path / "two.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    written(path / "first", pixels=PIXELS[:1])
    written(path / "second", pixels=PIXELS[1:])
    series = {"version": "0.5", "series": ["second", "first"]}
    group.create_group("OME").attrs["ome"] = series
    images = "".join(
        f'<Image ID="Image:{number}"><Pixels ID="Pixels:{number}" SizeC="1"><Channel '
        f'ID="Channel:{number}" Name="{name}" EmissionWavelength="{wavelength}"/></Pixels></Image>'
        for number, (name, wavelength) in enumerate([("DAPI", 461), ("GFP", 525)])
    )
    (path / "OME/METADATA.ome.xml").write_text(f"<OME>{images}</OME>", encoding="utf-8")
    for scene, name, wavelength, pixels in ((0, "DAPI", 0.461, 1), (1, "GFP", 0.525, 0)):
        image = read_image(path, scene=scene)
        assert image.channel_names == (name,)
        assert [one.wavelength for one in image.optics] == [wavelength]
        np.testing.assert_array_equal(image.data, PIXELS[pixels : pixels + 1])


def test_levels_and_fields_outside_of_the_file_are_refused(tmp_path: Path):
    path = written(tmp_path / "cells.ome.zarr")
    group = zarr.open_group(path, mode="a")
    ome: Any = dict(group.attrs["ome"])
    ome["multiscales"][0]["datasets"][0]["path"] = "../other/0"
    group.attrs["ome"] = ome
    with pytest.raises(InputError, match=r"names level 0 as \.\./other/0"):
        read_image(path)
    plate = zarr.open_group(tmp_path / "plate.ome.zarr", mode="w")
    for version, wells, problem in (
        ("0.5", [{"path": "../A/1"}], "plate.ome.zarr has damaged OME metadata of its wells"),
        ("0.5", [], "plate.ome.zarr names no wells"),
        ("0.10", [{"path": "A/1"}], "is OME-Zarr 0.10, .*; update napari-zsdeconvnet"),
    ):
        plate.attrs["ome"] = {"version": version, "plate": {"wells": wells}}
        with pytest.raises(InputError, match=problem):
            images_in(tmp_path / "plate.ome.zarr")
        if wells != [{"path": "../A/1"}]:
            with pytest.raises(InputError, match=problem):
                read_image(tmp_path / "plate.ome.zarr")


def test_a_channel_without_a_label_is_named_by_its_number(tmp_path: Path):
    ome = {"omero": {"channels": [{"label": "DAPI"}, {}]}}
    image = read_image(written(tmp_path / "a.ome.zarr", ome=ome))
    assert image.channel_names == ("DAPI", "Channel 1")
    # So is what was made of one of several that have no names at all.
    second = one_of(read_image(written(tmp_path / "b.ome.zarr")), "C", 1)
    write_ome_zarr(tmp_path / "c.ome.zarr", second)
    assert read_image(tmp_path / "c.ome.zarr").channel_names == ("Channel 1",)
