"""Run Python with a display: `python tests/with_display.py -m pytest`.

On a Linux machine without one (a server, CI) Python runs inside a virtual X server, provided
`xvfb-run` is installed. Everywhere else it runs as it is, and the window tests decide for
themselves whether they can.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def with_display(command: list[str]) -> list[str]:
    """Put a virtual X server around `command` where there is no display but a way to get one."""
    xvfb_run = shutil.which("xvfb-run")
    if sys.platform != "linux" or os.environ.get("DISPLAY") or xvfb_run is None:
        return command
    return [xvfb_run, "-a", "-s", "-screen 0 1600x1000x24", *command]


if __name__ == "__main__":
    command = with_display([sys.executable, *sys.argv[1:]])
    sys.exit(subprocess.run(command, check=False).returncode)
