"""`zsdeconvnet completion`: the script by which a shell completes the command."""

from __future__ import annotations

import argparse

from ..console import Console


def completion(arguments: argparse.Namespace, console: Console) -> None:
    """Print the script for a shell."""
    import shtab

    from ..arguments import parser

    script = shtab.complete(parser(), shell=arguments.shell)
    if arguments.json:
        console.result({"shell": arguments.shell, "script": script})
    else:
        print(script)
