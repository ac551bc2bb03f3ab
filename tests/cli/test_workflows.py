"""The workflows in ``examples/``: their commands exist, and logs and exit codes suit them."""

from __future__ import annotations

import io
import re
import shlex
from pathlib import Path

import pytest

from napari_zsdeconvnet.cli import console as console_module
from napari_zsdeconvnet.cli import main as main_module
from napari_zsdeconvnet.cli.arguments import parser
from napari_zsdeconvnet.cli.console import Console
from napari_zsdeconvnet.utils.errors import InputError

EXAMPLES = Path(__file__).parents[2] / "examples"
WORKFLOWS = [EXAMPLES / "snakemake" / "Snakefile", EXAMPLES / "nextflow" / "main.nf"]


def commands(path: Path) -> list[str]:
    """The lines that a workflow runs, with numbers in place of its settings."""
    text = re.sub(r'"\s*\n\s*"', "", path.read_text("utf-8"))  # one string over two lines
    lines = re.findall(r"zsdeconvnet (\w+ [^\"\n]*)", text)
    settings = {r"\{config\[\w+\]\}|\$\{params\.\w+\}": "1.3", r"\$?\{(STEPS|steps)\}": "--steps 0"}
    for pattern, value in settings.items():
        lines = [re.sub(pattern, value, line) for line in lines]
    return [re.sub(r"\$?\{[^}]*\}", "file", line).partition(" >")[0] for line in lines]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_commands_are_understood(path: Path) -> None:
    found = commands(path)
    assert [line.split()[0] for line in found] == ["train", "predict", "verdict"]
    for line in found:
        parser().parse_args(shlex.split(line))


@pytest.mark.parametrize("code", ["memory-exhausted", "memory-too-small"])
def test_lack_of_memory_has_its_own_exit_code(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str, package: str) -> object:
        raise InputError(code, "There is too little.")

    monkeypatch.setattr(main_module, "import_module", fails)
    assert main_module.main(["devices"]) == 4


def test_progress_in_a_log_is_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    log = io.StringIO()
    monkeypatch.setattr("sys.stderr", log)
    with Console().bar(1000, "Training") as bar:
        for _ in range(1000):
            bar.update(1)
            bar.refresh()
    assert "\r" not in log.getvalue()
    assert log.getvalue().count("\n") == 1
    monkeypatch.setattr(console_module, "_LOG_INTERVAL", 0)
    with Console().bar(3, "Training") as bar:
        bar.update(3)
    assert "3/3" in log.getvalue()
