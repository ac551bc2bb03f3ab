"""A Sphinx extension that writes `reference/commands.md`: the help of every command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from napari_zsdeconvnet.cli.arguments import parser
from napari_zsdeconvnet.cli.parsers import commands_of

_HEAD = """# Command reference

The text of `zsdeconvnet COMMAND --help` for each command. For explanations see
[the command line](../command_line.md).
"""


def write_page(app: Sphinx) -> None:
    """Write the page, if it differs from the one that is there."""
    parts = [_HEAD]
    parts += [
        f"## {one.prog}\n\n```text\n{one.format_help()}```\n" for one in commands_of(parser())
    ]
    page = Path(app.srcdir) / "reference" / "commands.md"
    page.parent.mkdir(exist_ok=True)
    text = "\n".join(parts)
    if not page.exists() or page.read_text("utf-8") != text:
        page.write_text(text, "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the page before Sphinx looks for sources."""
    app.connect("builder-inited", write_page)
    return {"parallel_read_safe": True}
