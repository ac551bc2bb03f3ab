"""Damaged and hostile files: refused in a sentence or read, in little memory and time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from mutants import SECONDS, grown, insert

from napari_zsdeconvnet.cli.console import Console, printable
from napari_zsdeconvnet.io.image_files import read_image
from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.utils.memory import available_memory, check_room, control_group_rooms

MUTANTS = 510
MOST_MEMORY = 2e9


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="memory is measured as POSIX does")
def test_no_file_ends_a_command_otherwise_than_with_0_or_2(tmp_path: Path) -> None:
    script = Path(__file__).with_name("mutants.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "20261", str(MUTANTS)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    mutants = [answer for answer in answers if "sound" not in answer]
    assert len(mutants) >= 2 * MUTANTS
    for answer in answers:
        assert answer["code"] in (0, 2), answer
        assert answer["seconds"] < SECONDS, answer
        assert answer["peak"] < MOST_MEMORY, answer
        assert "Traceback" not in answer["said"], answer
    # Else the mutants would say nothing: what they were made from is sound, and they are not.
    sound = {Path(a["arguments"][1]).name: a["code"] for a in answers if "sound" in a}
    assert [name for name, code in sound.items() if code] == ["stack.mrc"]  # no image of a point
    assert 0.5 < np.mean([answer["code"] == 2 for answer in mutants]) < 0.95


class TestDeclaredSizes:
    def test_a_strip_that_grows_beyond_what_it_declares_is_not_decoded(
        self, tmp_path: Path
    ) -> None:
        path = tmp_path / "grows.tif"
        stream = iter([grown(2**28 + 10**6)])
        tifffile.imwrite(path, stream, shape=(64, 64), dtype=np.uint16, compression="zlib")
        with pytest.raises(InputError, match="expands to more"):
            read_image(path)

    def test_a_blank_page_of_gigabytes_is_refused_unread(self, tmp_path: Path) -> None:
        path = tmp_path / "white.tif"
        strips = iter([grown(2 * 60_000 * 600)] * 100)
        shape = {"shape": (60_000, 60_000), "rowsperstrip": 600}
        tifffile.imwrite(path, strips, dtype=np.uint16, compression="zlib", **shape)
        with pytest.raises(InputError, match="as no recording does"):
            read_image(path)

    def test_a_recording_that_deflate_shrinks_well_is_read(self, tmp_path: Path) -> None:
        path = tmp_path / "dark.tif"
        image = np.random.default_rng(0).poisson(0.05, (512, 512)).astype(np.uint16)
        tifffile.imwrite(path, image, compression="zlib")
        assert path.stat().st_size < image.nbytes / 15
        np.testing.assert_array_equal(read_image(path).data, image)

    def test_a_header_of_numpy_is_held_against_its_file(self, tmp_path: Path) -> None:
        path = tmp_path / "huge.npy"
        np.save(path, np.zeros((4, 4)))
        header = path.read_bytes().replace(b"(4, 4), }       ", b"(4000000000,), }")
        path.write_bytes(header)
        with pytest.raises(InputError, match=r"declares 29\.8 GiB and holds 128 bytes"):
            read_image(path)

    def test_more_than_the_memory_holds_is_refused_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "image.tif"
        tifffile.imwrite(path, np.zeros((512, 512), np.uint16), compression="zlib")
        monkeypatch.setattr("napari_zsdeconvnet.utils.memory.available_memory", lambda: 2**18)
        with pytest.raises(InputError, match="needs 512 KiB of memory and 256 KiB are free"):
            read_image(path)


class TestMemory:
    def test_a_limit_of_a_control_group_counts(self, tmp_path: Path) -> None:
        own, root = tmp_path / "cgroup", tmp_path / "fs"
        own.write_text("0::/batch/job\n")
        write_group(root / "batch" / "job", limit="max", used=5_000)
        write_group(root / "batch", limit="100000", used=60_000, files=20_000)
        assert list(control_group_rooms(root, own)) == [60_000]

    def test_a_limit_of_the_first_version_counts(self, tmp_path: Path) -> None:
        own, root = tmp_path / "cgroup", tmp_path / "fs"
        own.write_text("5:cpu:/elsewhere\n4:memory,hugetlb:/docker/abc\n")
        group = root / "memory"
        group.mkdir(parents=True)
        (group / "memory.limit_in_bytes").write_text("100000")
        (group / "memory.usage_in_bytes").write_text("90000")
        (group / "memory.stat").write_text("cache 1\ntotal_inactive_file 30000\n")
        # The path is that of the host; a container sees its own group at the root.
        assert list(control_group_rooms(root, own)) == [40_000]

    def test_without_control_groups_there_is_no_limit(self, tmp_path: Path) -> None:
        assert list(control_group_rooms(tmp_path, tmp_path / "none")) == []

    @pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")
    def test_a_limit_of_the_shell_counts(self) -> None:
        script = (
            "import resource, psutil\n"
            "from napari_zsdeconvnet.utils.memory import available_memory\n"
            "most = psutil.Process().memory_info().vms + 2**26\n"
            "resource.setrlimit(resource.RLIMIT_AS, (most, most))\n"
            "print(available_memory())"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert 0 < int(done.stdout) <= 2**26

    def test_what_is_said_has_both_numbers(self) -> None:
        assert available_memory() > 0
        with pytest.raises(InputError, match=r"stack.tif needs 1 TiB of memory and .* are free"):
            check_room(2**40, "stack.tif")


def write_group(group: Path, *, limit: str, used: int, files: int = 0) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / "memory.max").write_text(f"{limit}\n")
    (group / "memory.current").write_text(f"{used}\n")
    (group / "memory.stat").write_text(f"anon 1\ninactive_file {files}\nactive_file 0\n")


class TestLostMetadata:
    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("</OME>", "</OMG>", "they are no XML"),
            ('SizeX="48"', 'SizeX="many"', "SizeX is 'many'"),
            ('SizeC="3"', 'SizeC="-3"', "SizeC is '-3'"),
        ],
    )
    def test_pixels_are_read_without_the_metadata_and_it_is_said(
        self, tmp_path: Path, old: str, new: str, words: str
    ) -> None:
        path = tmp_path / "damaged.ome.tif"
        image = np.random.default_rng(1).poisson(30, (3, 40, 48)).astype(np.uint16)
        described = {"axes": "CYX", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
        tifffile.imwrite(path, image, ome=True, photometric="minisblack", metadata=described)
        insert(path, old.encode(), new.encode())
        read = read_image(path)
        np.testing.assert_array_equal(read.data, image)
        assert read.voxel_size is None
        assert any("its OME metadata are lost" in note and words in note for note in read.notes)


class TestEscapes:
    def test_what_a_terminal_would_obey_is_printed_as_escapes(self) -> None:
        assert printable("a\x1b[2Jb\x07\u202ec\x9b") == "a\\x1b[2Jb\\x07\\u202ec\\x9b"
        assert printable("µm → 5 ± 2\n\tnext line") == "µm → 5 ± 2\n\tnext line"

    def test_a_table_is_aligned_by_what_is_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        Console().table(("file", "noise"), [("a\x1b[2Jb\nc", "1"), ("plain", "22")])
        assert capsys.readouterr().out.splitlines() == [
            "file         noise",
            "-----------  -----",
            "a\\x1b[2Jb c      1",
            "plain           22",
        ]

    def test_names_of_files_and_words_in_records(self, run, tmp_path: Path) -> None:
        path = tmp_path / "a\x1b]0;mine\x07.tif"
        tifffile.imwrite(path, np.arange(4096, dtype=np.uint16).reshape(64, 64))
        noise = tmp_path / "noise.json"
        values = {"offset": 1, "gain": 1, "read_variance": 1, "source": "\x1b[31mred"}
        noise.write_text(json.dumps(values))
        for answer in (run("info", path), run("info", noise), run("info", f"{path}x")):
            assert "\x1b" not in answer.out + answer.err
            assert "\\x1b" in answer.out + answer.err
