from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_zsdeconvnet import image_files
from napari_zsdeconvnet.errors import InputError
from napari_zsdeconvnet.files import check_writable, written_whole
from napari_zsdeconvnet.image_files import read_image, write_image
from napari_zsdeconvnet.images import Image, as_frames, check_pixels

RECORDINGS = Path(__file__).parents[1].parent / "shared" / "data"
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
        monkeypatch.setattr(image_files, "_BIGTIFF_FROM", 100)
        write_image(tmp_path / "big.tif", ramp("TYX"), axes="TYX", voxel_size=(0.1, 0.1))
        with tifffile.TiffFile(tmp_path / "big.tif") as tiff:
            assert tiff.is_bigtiff
            assert tiff.is_ome
        image = read_image(tmp_path / "big.tif")
        assert (image.axes, image.voxel_size) == ("TYX", (0.1, 0.1))

    def test_large_files_are_mapped(self, tmp_path: Path, monkeypatch):
        write_image(tmp_path / "image.tif", ramp("TYX", "uint16"), axes="TYX")
        np.save(tmp_path / "image.npy", ramp("TYX"))
        monkeypatch.setattr(image_files, "_MAPPED_FROM", 100)
        for name in ("image.tif", "image.npy"):
            data = read_image(tmp_path / name).data
            assert isinstance(data.base if name == "image.tif" else data, np.memmap)
            np.testing.assert_array_equal(data, ramp("TYX"))


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
        assert "352.778 um" in image.notes[0]

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
        (tmp_path / "image.czi").write_bytes(b"ZISRAWFILE")
        with pytest.raises(InputError, match=r"\.czi.*save it as TIFF"):
            read_image(tmp_path / "image.czi")

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


class TestAsFrames:
    def test_one_image_is_one_frame(self):
        np.testing.assert_array_equal(as_frames(ramp("YX")), ramp("YX")[None])

    def test_three_axes_are_frames(self):
        np.testing.assert_array_equal(as_frames(ramp("TYX")), ramp("TYX"))

    def test_axes_are_put_in_order(self):
        turned = ramp("TYX").transpose(2, 0, 1)
        np.testing.assert_array_equal(as_frames(turned, "XTY"), ramp("TYX"))

    def test_single_channel_and_plane_are_dropped(self):
        assert as_frames(ramp("TYX")[:, None, None], "TCZYX").shape == (2, 20, 30)

    def test_image_brings_its_axes_and_name(self):
        assert as_frames(Image(ramp("TYX"), "TYX")).shape == (2, 20, 30)
        with pytest.raises(InputError, match=r"cells\.tif has 3 channels"):
            as_frames(Image(ramp("CYX"), "CYX", name="cells.tif"))

    def test_byte_order_is_the_machines(self):
        frames = as_frames(ramp("YX", ">u2"))
        assert frames.dtype.isnative
        np.testing.assert_array_equal(frames[0], ramp("YX"))

    @pytest.mark.parametrize(
        ("data", "axes", "words"),
        [
            (np.zeros(5), None, "1 axes"),
            (np.zeros((2, 3, 8, 8)), None, "4 axes"),
            (np.zeros((20, 30, 3)), None, "RGB"),
            (np.zeros((20, 30, 4), np.uint8), "YXS", "RGB"),
            (np.zeros((3, 20, 30)), "CYX", "3 channels"),
            (np.zeros((5, 20, 30)), "ZYX", "5 planes"),
            (np.zeros((5, 20, 30)), "YX", "3 axes"),
            (np.zeros((5, 20, 30)), "QYX", "QYX"),
            (np.zeros((5, 20, 30)), "YYX", "YYX"),
            (np.zeros((20, 30), complex), None, "complex"),
            (np.zeros((20, 30), bool), None, "bool"),
            (np.zeros((0, 30)), None, "no pixels"),
        ],
    )
    def test_what_cannot_be_frames_is_refused(self, data: np.ndarray, axes: str, words: str):
        with pytest.raises(InputError, match=words):
            as_frames(data, axes, name="sample")


class TestCheckPixels:
    @pytest.fixture
    def sound(self) -> np.ndarray:
        return np.random.default_rng(1).poisson(100, (2, 50, 60)).astype(np.uint16)

    def test_sound_image_passes_without_a_word(self, sound: np.ndarray):
        assert check_pixels(sound) == ()
        assert check_pixels(sound.astype(np.float32)) == ()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_non_finite_is_counted_and_located(self, sound: np.ndarray, value: float):
        data = sound.astype(np.float32)
        data[1, 7, 9] = data[1, 8, 0] = value
        with pytest.raises(InputError, match=r"cells has 2 NaN or infinite.*\(1, 7, 9\)"):
            check_pixels(data, name="cells")

    def test_constant(self):
        with pytest.raises(InputError, match="constant, every pixel being 7"):
            check_pixels(np.full((20, 30), 7))

    @pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
    @pytest.mark.parametrize("dtype", ["uint16", "float32"])
    def test_saturated_is_refused_and_a_few_pixels_warned_of(
        self, sound: np.ndarray, bits: int, dtype: str
    ):
        data = np.minimum(sound, 200).astype(dtype)
        data[0, :6, 0] = 2**bits - 1  # 6 of 6000 pixels
        with pytest.raises(InputError, match=f"saturated: 0.1 %.*{2**bits - 1}"):
            check_pixels(data)
        data[0, :5, 0] = 150
        (warning,) = check_pixels(data)
        assert f"1 pixel(s) at {2**bits - 1}" in warning

    def test_a_top_that_is_no_camera_range_is_not_saturation(self, sound: np.ndarray):
        data = sound.copy()
        data[0, :10, :] = 4094
        assert check_pixels(data) == ()

    def test_floats_that_merely_reach_such_a_value_are_not_saturated(self, sound: np.ndarray):
        data = sound + 0.25
        data[0, :6, 0] = 255
        assert check_pixels(data) == ()

    def test_eight_bits_are_warned_of(self, sound: np.ndarray):
        (warning,) = check_pixels(np.minimum(sound, 200).astype(np.uint8))
        assert "8-bit" in warning

    def test_blank_frames_are_warned_of(self, sound: np.ndarray):
        data = sound.copy()
        data[1] = 100
        (warning,) = check_pixels(data)
        assert "1 blank frame(s) of 2, the first at index 1" in warning


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
