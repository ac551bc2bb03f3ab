from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import tifffile
from refusals import refused

from napari_zsdeconvnet.io import image_files, image_writing, tiff_pages
from napari_zsdeconvnet.io.image import as_frames, check_pixels
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.io.image_writing import write_image, written_image
from napari_zsdeconvnet.io.lazy import is_lazy
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.utils.files import check_writable, written_whole

RECORDINGS = Path(__file__).parents[2].parent / "shared" / "data"
LENGTHS = {"T": 2, "C": 3, "Z": 5, "Y": 20, "X": 30}
STEPS = {"Z": 0.3, "Y": 0.0626, "X": 0.0626}


def ramp(axes: str, dtype: str = "float32") -> np.ndarray:
    shape = [LENGTHS[letter] for letter in axes]
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def steps(axes: str) -> tuple[float, ...]:
    return tuple(STEPS[letter] for letter in axes if letter in "ZYX")


class TestRoundTrip:
    @pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "CYX", "TCYX", "TZYX", "TCZYX"])
    @pytest.mark.parametrize("name", ["image.tif", "image.ome.tif"])
    def test_axes_pixel_size_and_names_survive(self, tmp_path: Path, name: str, axes: str):
        channels = ("DAPI", "GFP", "mCherry") if "C" in axes else ()
        interval = 0.05 if "T" in axes else None
        write_image(
            tmp_path / name,
            ramp(axes),
            axes=axes,
            voxel_size=steps(axes),
            channel_names=channels,
            frame_interval=interval,
        )
        image = read_image(tmp_path / name)
        assert image.axes == axes
        assert image.name == name
        assert image.voxel_size == pytest.approx(steps(axes), rel=1e-6)
        assert image.channel_names == channels
        assert image.frame_interval == interval
        assert image.notes == ()
        np.testing.assert_array_equal(image.data, ramp(axes))

    @pytest.mark.parametrize("name", ["image.tif", "image.ome.tif"])
    def test_axes_in_any_order_are_put_in_order(self, tmp_path: Path, name: str):
        data = ramp("TYX")
        write_image(tmp_path / name, data.transpose(1, 2, 0), axes="YXT")
        image = read_image(tmp_path / name)
        assert image.axes == "TYX"
        np.testing.assert_array_equal(image.data, data)

    @pytest.mark.parametrize(
        ("given", "kept"),
        [("uint8", "uint8"), ("uint16", "uint16"), ("float64", "float32"), ("int32", "float32")],
    )
    def test_pixel_type(self, tmp_path: Path, given: str, kept: str):
        write_image(tmp_path / "image.tif", ramp("YX").astype(given) % 200, axes="YX")
        assert read_image(tmp_path / "image.tif").data.dtype == kept

    def test_without_pixel_size_none_is_invented(self, tmp_path: Path):
        for name in ("image.tif", "image.ome.tif"):
            write_image(tmp_path / name, ramp("TYX"), axes="TYX")
            assert read_image(tmp_path / name).voxel_size is None

    def test_more_than_four_gibibytes_become_an_ome_bigtiff(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(image_writing, "_BIGTIFF_FROM", 100)
        write_image(tmp_path / "big.tif", ramp("TYX"), axes="TYX", voxel_size=(0.1, 0.1))
        with tifffile.TiffFile(tmp_path / "big.tif") as tiff:
            assert tiff.is_bigtiff
            assert tiff.is_ome
        image = read_image(tmp_path / "big.tif")
        assert (image.axes, image.voxel_size) == ("TYX", (0.1, 0.1))


class TestLargeFiles:
    """What is large is read where it is cut, however it is stored."""

    @pytest.fixture(autouse=True)
    def _all_files_are_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(image_files, "_MAPPED_FROM", 100)

    @staticmethod
    def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The pages decoded from now on."""
        decoded: list[int] = []
        asarray = tifffile.TiffPage.asarray

        def watched(page: tifffile.TiffPage, *args: Any, **kwargs: Any) -> np.ndarray:
            decoded.append(page.index)
            return asarray(page, *args, **kwargs)

        for kind in (tifffile.TiffPage, tifffile.TiffFrame):
            monkeypatch.setattr(kind, "asarray", watched)
        return decoded

    def test_uncompressed_ones_are_mapped(self, tmp_path: Path):
        write_image(tmp_path / "image.tif", ramp("TYX", "uint16"), axes="TYX")
        np.save(tmp_path / "image.npy", ramp("TYX"))
        for name in ("image.tif", "image.npy"):
            data = read_image(tmp_path / name).data
            assert isinstance(data.base if name == "image.tif" else data, np.memmap)
            np.testing.assert_array_equal(data, ramp("TYX"))

    @pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "TZYX", "TCZYX"])
    def test_compressed_pages_are_decoded_where_they_are_cut(
        self, tmp_path: Path, axes: str, monkeypatch: pytest.MonkeyPatch
    ):
        data = ramp(axes, "uint16")
        tifffile.imwrite(
            tmp_path / "i.ome.tif",
            data,
            compression="zlib",
            metadata={"axes": axes},
            photometric="minisblack",
        )
        decoded = self.counted(monkeypatch)
        image = read_image(tmp_path / "i.ome.tif")
        assert is_lazy(image.data)
        assert image.axes == axes
        assert len(decoded) == 1  # to see that they can be
        last = (-1,) * (data.ndim - 2)
        np.testing.assert_array_equal(image.data[(*last, slice(3, 9))], data[(*last, slice(3, 9))])
        assert len(decoded) <= 2
        np.testing.assert_array_equal(image.data, data)
        np.testing.assert_array_equal(image.data[..., 1:1, :], data[..., 1:1, :])
        assert len(decoded) == len(set(decoded)) == max(data.size // 600, 1)

    def test_pages_do_not_pile_up(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(tiff_pages.TiffPages, "kept", 2 * 20 * 30 * 4)
        tifffile.imwrite(tmp_path / "i.tif", ramp("ZYX"), compression="zlib")
        decoded = self.counted(monkeypatch)
        pixels = read_image(tmp_path / "i.tif").data
        for plane in (0, 1, 0, 1, 2, 1, 0):
            np.testing.assert_array_equal(pixels[plane], ramp("ZYX")[plane])
        assert decoded == [0, 1, 2, 0]

    def test_scattered_pages(self, tmp_path: Path):
        with tifffile.TiffWriter(tmp_path / "i.tif", byteorder=">") as writer:
            for frame in ramp("TYX", "uint16"):
                writer.write(frame, metadata=None, contiguous=False, software="x" * 7)
        frames = as_frames(read_image(tmp_path / "i.tif"))
        assert frames[0].dtype.isnative
        np.testing.assert_array_equal(frames, ramp("TYX"))

    def test_a_damaged_page_is_named_when_it_is_read(self, tmp_path: Path):
        path = tmp_path / "i.tif"
        tifffile.imwrite(path, ramp("ZYX"), compression="zlib")
        with tifffile.TiffFile(path) as tiff:
            place = tiff.pages[3].dataoffsets[0]
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"nothing of the kind")
        pixels = read_image(path).data
        np.testing.assert_array_equal(pixels[4], ramp("ZYX")[4])
        with pytest.raises(InputError, match=r"i\.tif is truncated or damaged"):
            pixels[3]

    def test_big_endian_maps_are_turned_where_they_are_cut(self, tmp_path: Path):
        tifffile.imwrite(
            tmp_path / "i.tif", ramp("TZYX"), imagej=True, byteorder=">", metadata={"axes": "TZYX"}
        )
        image = read_image(tmp_path / "i.tif")
        assert not image.data.dtype.isnative
        volumes = as_frames(image, spatial="ZYX")
        assert is_lazy(volumes)
        np.testing.assert_array_equal(volumes[1, 2:4], ramp("TZYX")[1, 2:4])

    def test_they_are_written_plane_by_plane(self, tmp_path: Path):
        write_image(tmp_path / "i.tif", ramp("TCZYX"), axes="TCZYX", voxel_size=steps("ZYX"))
        image = read_image(tmp_path / "i.tif")
        assert is_lazy(image.data)
        write_image(tmp_path / "o.ome.tif", image.data, axes=image.axes)
        np.testing.assert_array_equal(read_image(tmp_path / "o.ome.tif").data, ramp("TCZYX"))


class TestPixelsInFile:
    @pytest.mark.parametrize("axes", ["YX", "TYX", "ZYX", "TZYX"])
    @pytest.mark.parametrize("name", ["image.tif", "image.ome.tif"])
    def test_it_is_the_file_that_write_image_makes(self, tmp_path: Path, name: str, axes: str):
        size, interval = steps(axes), 0.05 if "T" in axes else None
        path = tmp_path / name
        shape = ramp(axes).shape
        with written_image(
            path, shape, axes=axes, voxel_size=size, frame_interval=interval
        ) as pixels:
            assert (pixels.shape, pixels.dtype, len(pixels)) == (shape, np.float32, shape[0])
            assert not path.exists()
            for index, value in np.ndenumerate(ramp(axes)[..., 0]):
                pixels[index] = value + np.arange(30)
            pixels[..., -1] += 1
        expected = ramp(axes)
        expected[..., -1] += 1
        image = read_image(path)
        assert (image.axes, image.frame_interval) == (axes, interval)
        assert image.voxel_size == pytest.approx(size, rel=1e-6)
        np.testing.assert_array_equal(image.data, expected)
        np.testing.assert_array_equal(pixels[0], expected[0])
        assert [entry.name for entry in tmp_path.iterdir()] == [name]

        write_image(
            tmp_path / f"w{name}", expected, axes=axes, voxel_size=size, frame_interval=interval
        )
        with tifffile.TiffFile(path) as one, tifffile.TiffFile(tmp_path / f"w{name}") as other:
            assert one.series[0].axes == other.series[0].axes
            assert one.imagej_metadata == other.imagej_metadata

    def test_beyond_four_gibibytes(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(image_writing, "_BIGTIFF_FROM", 100)
        with written_image(tmp_path / "i.tif", (5, 20, 30), axes="ZYX") as pixels:
            pixels[2] = 1
        with tifffile.TiffFile(tmp_path / "i.tif") as tiff:
            assert (tiff.is_bigtiff, tiff.is_ome) == (True, True)
            assert tiff.series[0].asarray().sum(axis=(1, 2)).tolist() == [0, 0, 600, 0, 0]

    def test_what_is_not_filled_to_the_end_is_removed(self, tmp_path: Path):
        write_image(tmp_path / "i.tif", ramp("YX"), axes="YX")

        def failing() -> None:
            with written_image(tmp_path / "i.tif", (20, 30), axes="YX") as pixels:
                pixels[0] = 1
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            failing()
        assert [entry.name for entry in tmp_path.iterdir()] == ["i.tif"]
        np.testing.assert_array_equal(read_image(tmp_path / "i.tif").data, ramp("YX"))

    @pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="space is asked for otherwise")
    def test_a_full_disk_is_said_before_anything_is_mapped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "posix_fallocate", full)
        with (
            pytest.raises(InputError, match="disk is full"),
            written_image(tmp_path / "i.tif", (20, 30), axes="YX"),
        ):
            pass
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"axes": "CYX"}, "CYX"),
            ({"axes": "YX"}, "3 axes"),
            ({"axes": "ZYX", "voxel_size": (0.1, 0.1)}, "3 spatial axes and 2"),
        ],
    )
    def test_what_does_not_fit(self, tmp_path: Path, arguments: dict[str, Any], words: str):
        with (
            pytest.raises(InputError, match=words),
            written_image(tmp_path / "i.tif", (5, 20, 30), **arguments),
        ):
            pass


class TestTagsAsOthersReadThem:
    def test_imagej(self, tmp_path: Path):
        write_image(tmp_path / "stack.tif", ramp("TZYX"), axes="TZYX", voxel_size=steps("ZYX"))
        with tifffile.TiffFile(tmp_path / "stack.tif") as tiff:
            assert tiff.series[0].axes == "TZYX"
            metadata = tiff.imagej_metadata
            assert (metadata["frames"], metadata["slices"]) == (2, 5)
            assert metadata["unit"] == "um"
            assert metadata["spacing"] == pytest.approx(0.3)
            over, under = tiff.pages.first.tags["XResolution"].value
            assert under / over == pytest.approx(0.0626)

    def test_ome(self, tmp_path: Path):
        write_image(tmp_path / "s.ome.tif", ramp("CZYX"), axes="CZYX", voxel_size=steps("ZYX"))
        with tifffile.TiffFile(tmp_path / "s.ome.tif") as tiff:
            pixels = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
        assert (pixels["SizeC"], pixels["SizeZ"], pixels["SizeT"]) == (3, 5, 1)
        assert pixels["PhysicalSizeX"] == pytest.approx(0.0626)
        assert pixels["PhysicalSizeZ"] == pytest.approx(0.3)
        assert pixels["PhysicalSizeXUnit"] == "µm"


class TestPixelSizeOfOtherPrograms:
    @pytest.mark.parametrize(
        ("unit", "per_unit"),
        [("nm", 0.01), ("micron", 10), ("\\u00B5m", 10), ("mm", 1e4), ("cm", 1e5)],
    )
    def test_imagej_units(self, tmp_path: Path, unit: str, per_unit: float):
        tifffile.imwrite(
            tmp_path / "i.tif",
            ramp("ZYX"),
            imagej=True,
            resolution=(per_unit, per_unit),
            metadata={"axes": "ZYX", "unit": unit, "spacing": 3 / per_unit},
        )
        assert read_image(tmp_path / "i.tif").voxel_size == pytest.approx((0.3, 0.1, 0.1))

    def test_ome_in_nanometres(self, tmp_path: Path):
        metadata = {"axes": "YX"}
        for letter in "YX":
            metadata[f"PhysicalSize{letter}"] = 65.0
            metadata[f"PhysicalSize{letter}Unit"] = "nm"
        tifffile.imwrite(tmp_path / "i.ome.tif", ramp("YX"), ome=True, metadata=metadata)
        assert read_image(tmp_path / "i.ome.tif").voxel_size == pytest.approx((0.065, 0.065))

    @pytest.mark.parametrize(
        ("unit", "per_unit"), [("CENTIMETER", 1e5), ("INCH", 254000)], ids=["cm", "inch"]
    )
    def test_plain_tiff(self, tmp_path: Path, unit: str, per_unit: float):
        tifffile.imwrite(
            tmp_path / "i.tif",
            ramp("YX"),
            resolution=(per_unit, per_unit),
            resolutionunit=unit,
            metadata=None,
        )
        assert read_image(tmp_path / "i.tif").voxel_size == pytest.approx((0.1, 0.1))

    def test_printing_resolution_is_not_a_pixel_size(self, tmp_path: Path):
        tifffile.imwrite(tmp_path / "i.tif", ramp("YX"), resolution=(72, 72), resolutionunit="INCH")
        image = read_image(tmp_path / "i.tif")
        assert image.voxel_size is None
        assert "352.778 µm" in image.notes[0]

    def test_one_micrometre_means_unknown(self, tmp_path: Path):
        tifffile.imwrite(
            tmp_path / "i.tif",
            ramp("YX"),
            imagej=True,
            resolution=(1, 1),
            metadata={"unit": "micrometer"},
        )
        image = read_image(tmp_path / "i.tif")
        assert image.voxel_size is None
        assert "not used" in image.notes[0]

    def test_imagej_pixels_are_no_length(self, tmp_path: Path):
        tifffile.imwrite(
            tmp_path / "i.tif",
            ramp("YX"),
            imagej=True,
            resolution=(10, 10),
            metadata={"unit": "pixel"},
        )
        assert read_image(tmp_path / "i.tif").voxel_size is None

    def test_missing_axial_step_is_said(self, tmp_path: Path):
        tifffile.imwrite(
            tmp_path / "i.tif",
            ramp("ZYX"),
            imagej=True,
            resolution=(10, 10),
            metadata={"axes": "ZYX", "unit": "um"},
        )
        image = read_image(tmp_path / "i.tif")
        assert image.voxel_size is None
        assert "step between planes" in image.notes[0]


class TestGuesses:
    def test_pages_without_meaning_become_time_and_it_is_said(self, tmp_path: Path):
        tifffile.imwrite(tmp_path / "q.tif", ramp("TYX"))
        tifffile.imwrite(tmp_path / "i.tif", ramp("TYX"), metadata=None)
        np.save(tmp_path / "n.npy", ramp("TYX"))
        for name in ("q.tif", "i.tif", "n.npy"):
            image = read_image(tmp_path / name)
            assert image.axes == "TYX"
            assert "taken as time" in image.notes[0]

    def test_four_axes_of_an_array_are_volumes_in_time(self, tmp_path: Path):
        np.save(tmp_path / "n.npy", ramp("TZYX"))
        image = read_image(tmp_path / "n.npy")
        assert image.axes == "TZYX"
        assert "taken as T, Z, Y, X" in image.notes[0]

    def test_unknown_axes_beside_time_are_refused(self, tmp_path: Path):
        tifffile.imwrite(
            tmp_path / "i.tif",
            np.zeros((2, 3, 4, 8, 8), np.uint16),
            photometric="minisblack",
            metadata={"axes": "TQQYX"},
        )
        with pytest.raises(InputError, match="TQQYX"):
            read_image(tmp_path / "i.tif")


class TestFilesThatCannotBeRead:
    def test_missing(self, tmp_path: Path):
        with pytest.raises(InputError, match=r"nothing\.tif does not exist"):
            read_image(tmp_path / "nothing.tif")

    def test_folder(self, tmp_path: Path):
        with pytest.raises(InputError, match="is a folder"):
            read_image(tmp_path)

    @pytest.mark.parametrize("name", ["empty.tif", "empty.npy"])
    def test_empty(self, tmp_path: Path, name: str):
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=r"empty\.(tif|npy) is empty"):
            read_image(tmp_path / name)

    def test_not_a_tiff(self, tmp_path: Path):
        (tmp_path / "letter.tif").write_text("Dear reader, this is no picture.")
        with pytest.raises(InputError, match=r"letter\.tif is not a TIFF"):
            read_image(tmp_path / "letter.tif")

    def test_not_a_npy(self, tmp_path: Path):
        (tmp_path / "letter.npy").write_text("Dear reader, this is no picture.")
        with pytest.raises(InputError, match=r"letter\.npy is not a complete"):
            read_image(tmp_path / "letter.npy")

    def test_foreign_kind(self, tmp_path: Path):
        (tmp_path / "image.oib").write_bytes(b"an image")
        with pytest.raises(InputError, match=r"\.oib.*save it as TIFF"):
            read_image(tmp_path / "image.oib")

    @pytest.mark.parametrize("kind", ["imagej", "ome", "plain", "deflate", "pages"])
    @pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
    def test_truncated(self, tmp_path: Path, kind: str, part: float):
        rng = np.random.default_rng(0)
        data = rng.integers(0, 60000, (6, 40, 50)).astype(np.uint16)
        path = tmp_path / "cut.tif"
        options = {
            "imagej": {"imagej": True, "metadata": {"axes": "TYX"}},
            "ome": {"ome": True, "metadata": {"axes": "TYX"}},
            "plain": {"metadata": None},
            "deflate": {"compression": "zlib"},
            "pages": {},
        }[kind]
        if kind == "pages":
            with tifffile.TiffWriter(path) as writer:
                for frame in data:
                    writer.write(frame, metadata=None, contiguous=False)
        else:
            tifffile.imwrite(path, data, **options)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(InputError, match=r"cut\.tif is (truncated|not a TIFF)"):
            read_image(path)

    def test_truncated_npy(self, tmp_path: Path):
        np.save(tmp_path / "cut.npy", ramp("TYX"))
        whole = (tmp_path / "cut.npy").read_bytes()
        (tmp_path / "cut.npy").write_bytes(whole[:-100])
        with pytest.raises(InputError, match=r"cut\.npy is not a complete"):
            read_image(tmp_path / "cut.npy")

    def test_rgb(self, tmp_path: Path):
        tifffile.imwrite(tmp_path / "rgb.tif", np.zeros((20, 30, 3), np.uint8), photometric="rgb")
        with pytest.raises(InputError, match="convert to one channel"):
            read_image(tmp_path / "rgb.tif")

    def test_objects_in_npy_are_never_unpickled(self, tmp_path: Path):
        np.save(tmp_path / "o.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
        with pytest.raises(InputError):
            read_image(tmp_path / "o.npy")


class TestFilesThatCannotBeWritten:
    def test_wrong_name(self, tmp_path: Path):
        with pytest.raises(InputError, match=r"\.tif or \.tiff"):
            write_image(tmp_path / "image.png", ramp("YX"), axes="YX")

    def test_missing_folder(self, tmp_path: Path):
        with pytest.raises(InputError, match="does not exist"):
            write_image(tmp_path / "nowhere" / "image.tif", ramp("YX"), axes="YX")

    def test_axes_and_voxel_size_must_fit(self, tmp_path: Path):
        with pytest.raises(InputError, match="2 axes"):
            write_image(tmp_path / "image.tif", ramp("YX"), axes="TYX")
        with pytest.raises(InputError, match="2 spatial axes and 3 voxel sizes"):
            write_image(tmp_path / "i.tif", ramp("TYX"), axes="TYX", voxel_size=(1, 0.1, 0.1))
        with refused("length-out-of-range", length=65, meant=pytest.approx(0.065)):
            write_image(tmp_path / "i.tif", ramp("YX"), axes="YX", voxel_size=(65, 65))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "no permission")]
    )
    def test_failure_keeps_the_old_file_and_leaves_no_litter(
        self, tmp_path: Path, monkeypatch, number: int, words: str
    ):
        write_image(tmp_path / "image.tif", ramp("YX"), axes="YX")
        before = (tmp_path / "image.tif").read_bytes()

        def half_written(path: Path, *args: object, **kwargs: object) -> None:
            Path(path).write_bytes(b"half")
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(tifffile, "imwrite", half_written)
        with pytest.raises(InputError, match=words):
            write_image(tmp_path / "image.tif", ramp("YX") + 1, axes="YX")
        assert (tmp_path / "image.tif").read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["image.tif"]

    def test_interruption_leaves_no_litter(self, tmp_path: Path):
        def interrupted() -> None:
            with written_whole(tmp_path / "f") as temporary:
                temporary.write_text("half")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.skipif(os.name == "nt", reason="permissions of this kind exist on POSIX only")
    def test_new_files_have_the_permissions_of_the_user(self, tmp_path: Path):
        (tmp_path / "usual").touch()
        with written_whole(tmp_path / "ours") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
        assert (tmp_path / "ours").stat().st_mode == (tmp_path / "usual").stat().st_mode

    def test_check_writable_says_so_beforehand(self, tmp_path: Path):
        check_writable(tmp_path / "model.safetensors")
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(InputError, match="is a folder"):
            check_writable(tmp_path)
        with pytest.raises(InputError, match="does not exist"):
            check_writable(tmp_path / "nowhere" / "model.safetensors")

    @pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs a folder nobody can write")
    def test_a_folder_that_cannot_be_written(self):
        with pytest.raises(InputError, match="cannot be written"):
            check_writable("/proc/self/model.safetensors")


@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="the folder with recordings is absent")
class TestRecordings:
    def test_time_series(self):
        image = read_image(RECORDINGS / "widefield2d" / "telomeres_timelapse.tif")
        assert (image.axes, image.data.shape) == ("TYX", (200, 133, 162))
        assert image.voxel_size == (0.11, 0.11)
        assert image.frame_interval == 0.05
        assert check_pixels(image.data) == ()

    def test_single_image_without_pixel_size(self):
        image = read_image(RECORDINGS / "widefield2d" / "terra_rna_spots.tif")
        assert (image.axes, image.data.shape, image.voxel_size) == ("YX", (1024, 1024), None)


class TestMRC:
    """As engines for 3D-SIM write their results."""

    def test_a_stack_comes_with_its_voxel_size_in_micrometres(self, tmp_path: Path):
        with mrcfile.new(tmp_path / "stack.mrc") as mrc:
            mrc.set_data(ramp("ZYX"))
            mrc.voxel_size = (400, 400, 1250)  # Angstrom, x first
        image = read_image(tmp_path / "stack.mrc")
        assert image.axes == "ZYX"
        assert image.voxel_size == pytest.approx((0.125, 0.04, 0.04))
        np.testing.assert_array_equal(image.data, ramp("ZYX"))

    def test_a_large_stack_is_not_read_at_once(self, tmp_path: Path, monkeypatch):
        monkeypatch.setattr(image_files, "_MAPPED_FROM", 1)
        with mrcfile.new(tmp_path / "stack.mrc") as mrc:
            mrc.set_data(ramp("ZYX"))
        image = read_image(tmp_path / "stack.mrc")
        assert is_lazy(image.data)
        np.testing.assert_array_equal(image.data[2], ramp("ZYX")[2])

    @pytest.mark.parametrize(("sequence", "order"), [(0, "CTZ"), (1, "TZC"), (2, "TCZ")])
    @pytest.mark.parametrize("byte_order", ["<", ">"])
    def test_deltavision_says_how_its_sections_follow_each_other(
        self, tmp_path: Path, sequence: int, order: str, byte_order: str
    ):
        data = ramp("TCZYX")
        stored = data.transpose(*("TCZ".index(letter) for letter in order), 3, 4)
        header = np.zeros(512, f"{byte_order}i2")
        words = header.view(f"{byte_order}i4")
        words[:4] = (30, 20, 2 * 3 * 5, 2)  # x, y, sections, and a mark for float32
        header.view(f"{byte_order}f4")[10:13] = (0.04, 0.04, 0.125)
        header[96 // 2] = -16224
        header[180 // 2], header[182 // 2], header[196 // 2] = 2, sequence, 3
        pixels = stored.astype(f"{byte_order}f4")
        (tmp_path / "stack.dv").write_bytes(header.tobytes() + pixels.tobytes())

        image = read_image(tmp_path / "stack.dv")
        assert image.axes == "TCZYX"
        assert image.voxel_size == pytest.approx((0.125, 0.04, 0.04))
        np.testing.assert_array_equal(image.data, data)

    def test_one_section_is_an_image_and_a_torn_file_is_refused(self, tmp_path: Path):
        path = tmp_path / "plane.mrc"
        with mrcfile.new(path) as mrc:
            mrc.set_data(ramp("YX"))
        assert read_image(path).axes == "YX"
        path.write_bytes(path.read_bytes()[:900])
        with pytest.raises(InputError, match="not a complete MRC file"):
            read_image(path)
