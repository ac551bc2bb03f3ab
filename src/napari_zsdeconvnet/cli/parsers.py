"""Parsers that show examples, and name the nearest command or option where one is unknown."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any, NoReturn

_WIDTH = 90


class Parser(argparse.ArgumentParser):
    """A parser of a command.

    Parameters
    ----------
    text
        What the command does.
    examples
        Whole command lines, shown below the options.
    """

    def __init__(self, *, text: str = "", examples: Sequence[str] = (), **settings: Any) -> None:
        settings.setdefault("description", textwrap.fill(text, _WIDTH))
        if examples:
            lines = "\n".join(f"  {line}" for line in examples)
            settings.setdefault("epilog", f"examples:\n{lines}")
        super().__init__(formatter_class=_Help, add_help=False, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is unknown here, where the options of the command are known."""
        namespace, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            if word.startswith("-"):
                self.error(f"{word} is no option of this command{self._nearest_option(word)}")
            self.error(f"{word} is one argument too many")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        """End with code 2 and one sentence."""
        end = "" if message.endswith((".", "?")) else "."
        self.exit(2, f"{self.prog}: {message}{end} See {self.prog} --help.\n")

    def _nearest_option(self, word: str) -> str:
        known = [name for name in self._option_string_actions if name.startswith("--")]
        near = get_close_matches(word.partition("=")[0], known, 1, cutoff=0.75)
        return f"; did you mean {near[0]}" if near else ""

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        near = get_close_matches(str(value), choices, 1)
        hint = f"did you mean {near[0]}" if near else f"choose from {', '.join(choices)}"
        raise argparse.ArgumentError(action, f"{value!r} does not exist; {hint}")


def commands_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of all its commands, in the order of the help."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from commands_of(child)


def add_general(parser: argparse.ArgumentParser) -> None:
    """Add what all commands have, below all else, and a usage of no more than what is required."""
    required = [one for one in parser._actions if one.required or not one.option_strings]
    formatter = parser._get_formatter()
    formatter.add_usage(None, required, [], prefix="")
    usage = formatter.format_help().strip()
    parser.usage = usage.replace(parser.prog, f"{parser.prog} [options]", 1).replace("%", "%%")
    group = parser.add_argument_group("general")
    group.add_argument("-h", "--help", action="help", help="show this text and exit")
    if parser.get_default("command") is None:
        return
    group.add_argument(
        "--json", action="store_true", help="print the result as JSON; all else goes to stderr"
    )
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument(
        *("-q", "--quiet"), action="store_true", help="print no more than warnings and errors"
    )
    loudness.add_argument(
        *("-v", "--verbose"), action="store_true", help="print versions and time as well"
    )
    group.add_argument("--debug", action="store_true", help="show where an error came from")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help no wider than is easily read, with the lines of examples as they are."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(_columns(), _WIDTH))


def _columns() -> int:
    from shutil import get_terminal_size

    return get_terminal_size().columns - 2 if sys.stdout.isatty() else _WIDTH
