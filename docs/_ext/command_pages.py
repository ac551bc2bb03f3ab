"""A Sphinx extension that writes `reference/commands.md`: the help of every command."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from napari_zsdeconvnet.cli.arguments import parser

_HEAD = """# Command reference

The text of `zsdeconvnet COMMAND --help` for each command. For explanations see
[the command line](../command_line.md).
"""


def commands(parent: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser and those of all its commands, in the order of the help."""
    yield parent
    for action in parent._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from commands(child)


def write_page(app: Sphinx) -> None:
    """Write the page, if it differs from the one that is there."""
    os.environ["COLUMNS"] = "90"  # argparse wraps its help at the width of the terminal
    parts = [_HEAD]
    parts += [f"## {one.prog}\n\n```text\n{one.format_help()}```\n" for one in commands(parser())]
    page = Path(app.srcdir) / "reference" / "commands.md"
    page.parent.mkdir(exist_ok=True)
    text = "\n".join(parts)
    if not page.exists() or page.read_text("utf-8") != text:
        page.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the page before Sphinx looks for sources."""
    app.connect("builder-inited", write_page)
    return {"parallel_read_safe": True}
