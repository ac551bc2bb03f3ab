"""The command `zsdeconvnet`: from arguments to an exit code.

`arguments` knows what can be asked for; `commands` and `demo` do the work and are loaded when
there is some.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

from ..utils.errors import InputError
from .arguments import parser
from .commands.interruption import came, ending_signals_interrupt
from .console import Console, Interrupted, NotPassed, printable, worded
from .streams import lasting_streams

_OK, _FAILED, _BAD_INPUT, _NOT_PASSED, _NO_MEMORY, _INTERRUPTED = 0, 1, 2, 3, 4, 130

_OF_MEMORY = ("memory-exhausted", "memory-too-small")
"""Codes of errors that another try with more memory would not meet."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments without the command's own name; None takes those of the process.

    Returns
    -------
    int
        0 when all went well, 2 for input that cannot be used, 3 for a strict verdict that was not
        passed, 4 for lack of memory, 130 after Ctrl-C, and 1 for any other failure.

    Raises
    ------
    SystemExit
        For arguments that cannot be understood (code 2), and after `--help` (code 0).
    """
    with lasting_streams() as out, ending_signals_interrupt():
        arguments = parser().parse_args(_renamed(sys.argv[1:] if argv is None else argv))
        if not hasattr(arguments, "command"):
            arguments.shown.print_help()
            return _OK
        code = _run(arguments)
        out.flush()
        if out.failure:
            return _end(_BAD_INPUT, f"What was to be said could not be: {out.failure}.", False)
        return code


_MOVED: dict[tuple[str, ...], tuple[str, ...]] = {
    ("sim", "train"): ("train", "--mode", "sim"),
    ("sim", "predict"): ("predict", "--mode", "sim"),
}
"""Commands of before, and what they are called today."""


def _renamed(argv: Sequence[str]) -> list[str]:
    """Give the command line of today for one of before."""
    return [*_MOVED.get(tuple(argv[:2]), argv[:2]), *argv[2:]]


def _run(arguments: argparse.Namespace) -> int:
    try:
        module, _, function = arguments.command.rpartition(".")
        command = getattr(import_module(f".{module}", __package__), function)
        console = Console(arguments.json, arguments.quiet, arguments.verbose)
        with console.timed():
            command(arguments, console)
    except InputError as error:
        return _end(
            _NO_MEMORY if error.code in _OF_MEMORY else _BAD_INPUT,
            worded(error),
            arguments.debug,
        )
    except NotPassed:
        return _NOT_PASSED
    except KeyboardInterrupt as interruption:
        kept = str(interruption) if isinstance(interruption, Interrupted) else "nothing was kept."
        return _end(_INTERRUPTED, f"Stopped by {came[0] if came else 'Ctrl-C'}; {kept}", False)
    except MemoryError:
        return _end(_NO_MEMORY, "Memory ran out; try a smaller --tile or image.", arguments.debug)
    except Exception as error:
        words = str(error).strip().split("\n")[0] or type(error).__name__
        return _end(_FAILED, f"{words} (add --debug to see where)", arguments.debug)
    return _OK


def _end(code: int, sentence: str, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"zsdeconvnet: {printable(sentence)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
