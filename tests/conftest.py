"""What holds for every test: one thread for torch, who runs with whom, the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# The tests' tensors are small: on a busy machine with two cores, two threads that wait for each
# other took nine times as long as one. Must be set before torch is imported; commands that a
# test starts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Share the tests among processes by files, and let one process open all windows.

    Those of two would take the focus from each other.
    """
    from xdist.scheduler import LoadFileScheduling

    class FilesAndWindows(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "windows" if "/qt/" in file else file

    return FilesAndWindows(config, log) if config.getoption("dist") == "loadfile" else None


@dataclass
class Answer:
    """What a command line gave back."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        """What it printed for scripts."""
        return json.loads(self.out)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]):
    """Run the command line with these arguments."""
    from napari_zsdeconvnet.cli.main import main

    def answer(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return answer


@pytest.fixture
def usual_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGHUP do what they usually do.

    What a shell starts with `nohup` or in the background ignores them, and commands respect that.
    """
    usual = {signal.SIGINT: signal.default_int_handler}
    if hasattr(signal, "SIGHUP"):
        usual[signal.SIGHUP] = signal.SIG_DFL
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the recordings that stand for what users bring, and give their folder.

    What must come of each file stands in the README beside the script that writes them.
    """
    script = Path(__file__).parents[1].parent / "shared" / "cases" / "make_cases.py"
    if not script.is_file():
        pytest.skip(f"{script} is not there: it writes the recordings that users bring")
    folder = tmp_path_factory.mktemp("cases")
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    return folder
