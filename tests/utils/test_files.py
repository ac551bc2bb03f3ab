"""Files are written whole or not at all: whatever kills, plants, fills up or writes beside."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from napari_zsdeconvnet.utils.errors import InputError
from napari_zsdeconvnet.utils.files import check_writable, replaced_together, written_whole

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def write(path: Path, text: str) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(text)


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class TestOne:
    def test_threads_that_write_the_same_file_do_not_disturb_each_other(self, tmp_path: Path):
        failures = []

        def many(letter: str) -> None:
            for _ in range(25):
                try:
                    write(tmp_path / "same", letter * 1000)
                except Exception as error:
                    failures.append(error)

        threads = [threading.Thread(target=many, args=(letter,)) for letter in "abcdefgh"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        text = (tmp_path / "same").read_text()
        assert text == text[0] * 1000
        assert names(tmp_path) == ["same"]

    def test_temporary_names_cannot_be_foreseen(self, tmp_path: Path):
        seen = set()
        for _ in range(5):
            with written_whole(tmp_path / "f.tif") as temporary:
                seen.add(temporary.name)
        assert len(seen) == 5
        assert all(str(os.getpid()) not in name and name.endswith(".tif") for name in seen)

    @POSIX
    def test_nothing_is_written_through_a_planted_link(self, tmp_path: Path, monkeypatch):
        secret = tmp_path / "secret"
        secret.write_text("mine")
        folder = tmp_path / "shared"
        folder.mkdir()
        (folder / ".zsdeconvnet-part-00.txt").symlink_to(secret)
        tokens = iter(["00", "01"])
        monkeypatch.setattr("secrets.token_hex", lambda _: next(tokens))
        with pytest.raises(InputError, match="cannot be written"):
            write(folder / "out.txt", "theirs")
        write(folder / "out.txt", "theirs")
        assert secret.read_text() == "mine"

    @POSIX
    def test_what_a_killed_process_left_is_removed(self, tmp_path: Path):
        script = (
            "import os, signal, sys\n"
            "from napari_zsdeconvnet.utils.files import written_whole\n"
            "with written_whole(sys.argv[1]) as temporary:\n"
            "    temporary.write_text('half')\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "result")])
        assert done.returncode == -signal.SIGKILL
        assert len(names(tmp_path)) == 1
        write(tmp_path / "other", "whole")
        assert names(tmp_path) == ["other"]

    def test_what_a_living_one_writes_is_left_alone(self, tmp_path: Path):
        with written_whole(tmp_path / "slow") as temporary:
            temporary.write_text("slow")
            write(tmp_path / "fast", "fast")
            check_writable(tmp_path / "third")
            assert temporary.read_text() == "slow"
        assert names(tmp_path) == ["fast", "slow"]

    @POSIX
    def test_devices_and_pipes_are_no_outputs(self, tmp_path: Path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/null")):
            for refused in (check_writable, lambda path: write(path, "x")):
                with pytest.raises(InputError, match="is a device or a pipe; name an ordinary"):
                    refused(path)
        assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
        assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)

    @POSIX
    def test_names_reach_to_the_limit_of_the_system(self, tmp_path: Path):
        longest = tmp_path / ("n" * 251 + ".tif")
        check_writable(longest)
        write(longest, "x")
        assert longest.read_text() == "x"
        with pytest.raises(InputError, match="too long for this system; choose a shorter"):
            check_writable(tmp_path / ("n" * 252 + ".tif"))


class TestTogether:
    def test_all_come_at_the_end(self, tmp_path: Path):
        with replaced_together():
            write(tmp_path / "result", "new")
            write(tmp_path / "record", "of new")
            assert not (tmp_path / "result").exists()
        assert names(tmp_path) == ["record", "result"]

    def test_a_failure_leaves_the_old_set(self, tmp_path: Path):
        write(tmp_path / "result", "old")
        write(tmp_path / "record", "of old")

        def failing() -> None:
            with replaced_together():
                write(tmp_path / "result", "new")
                write(tmp_path / "record", "of new")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            failing()
        assert (tmp_path / "result").read_text() == "old"
        assert (tmp_path / "record").read_text() == "of old"
        assert names(tmp_path) == ["record", "result"]

    def test_at_no_moment_is_there_a_record_of_something_else(self, tmp_path: Path, monkeypatch):
        moments = []
        replace = os.replace

        def watched(one: Path, other: Path) -> None:
            moments.append({path.name: path.read_text() for path in tmp_path.glob("re*")})
            replace(one, other)

        for text in ("old", "new"):
            monkeypatch.setattr(os, "replace", watched if text == "new" else replace)
            with replaced_together():
                write(tmp_path / "result", text)
                write(tmp_path / "record", text)
        assert moments == [{"result": "old"}, {"result": "new"}]
        assert (tmp_path / "record").read_text() == "new"

    @POSIX
    def test_of_two_that_write_the_same_files_all_are_those_of_one(
        self, tmp_path: Path, monkeypatch
    ):
        replace = os.replace
        meet = threading.Barrier(2)

        def slow(one: Path, other: Path) -> None:
            replace(one, other)
            time.sleep(0.02)

        def write_all(text: str) -> None:
            with replaced_together():
                for name in ("model", "result", "record"):
                    write(tmp_path / name, text)
                meet.wait()

        monkeypatch.setattr(os, "replace", slow)
        for _ in range(5):
            writers = [threading.Thread(target=write_all, args=(text,)) for text in "ab"]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join()
            assert len({path.read_text() for path in tmp_path.iterdir()}) == 1
