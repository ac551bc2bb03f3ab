"""What holds for every test: one thread for torch, unless the caller asks; the command line."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

# The tests' tensors are small: on a busy machine with two cores, two threads that wait for each
# other took nine times as long as one. Must be set before torch is imported; commands that a
# test starts inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


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
    from napari_zsdeconvnet.cli import main

    def answer(*arguments: str | Path) -> Answer:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return answer
