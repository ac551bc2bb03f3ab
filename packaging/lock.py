"""Write `packaging/constraints/py3XX.txt`: every version that a Python installs, on any system.

`tox -e lock` runs it. The versions of `constraints.txt` are kept, all others are the newest.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "packaging" / "constraints"


def pythons() -> list[str]:
    """Return the versions of Python that the package's classifiers name, such as ``"3.11"``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lasts = (line.rpartition(":: ")[2] for line in project["classifiers"] if "Python ::" in line)
    return [last for last in lasts if last.startswith("3.")]


def main() -> None:
    """Resolve the package, its extras and its development groups for each Python."""
    FOLDER.mkdir(exist_ok=True)
    for python in pythons():
        out = FOLDER / f"py{python.replace('.', '')}.txt"
        command = ["uv", "pip", "compile", "pyproject.toml", "--all-extras", "--group", "dev"]
        # One file for all systems: lines that hold on one of them alone carry a marker.
        command += ["--universal", "--python-version", python, "--only-binary", ":all:"]
        command += ["-c", "constraints.txt", "--no-annotate", "--no-emit-index-url", "--upgrade"]
        command += ["--custom-compile-command", "tox -e lock", "--quiet", "-o", str(out)]
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        print(out.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
