"""Write the recipe for conda-forge: `python packaging/recipe.py SDIST OUT`.

SDIST is the source archive as it is published on PyPI, whose checksum the recipe states. What the
package requires is read from `pyproject.toml`, so that it stands in one place.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEMPLATE = Path(__file__).parent / "conda" / "recipe.template.yaml"
# Names that differ on conda-forge. `napari-base` is napari without a Qt binding, as on PyPI.
CONDA_NAMES = {"napari": "napari-base", "torch": "pytorch"}


def conda_requirements(lines: list[str]) -> list[str]:
    """Return requirements of ``pyproject.toml`` in conda's spelling: ``"name >=1.0"``."""
    found = []
    for line in lines:
        name, version = re.fullmatch(r"([\w.-]+)(.*)", line).groups()  # type: ignore[union-attr]
        found.append(f"{CONDA_NAMES.get(name, name)} {version}".strip())
    return sorted(found)


def recipe(sdist: Path) -> str:
    """Return the text of the recipe for the source archive ``NAME-VERSION.tar.gz``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    least = re.search(r">=([\d.]+)", project["requires-python"])
    version = re.fullmatch(r"napari_zsdeconvnet-(.+)\.tar\.gz", sdist.name)
    if least is None or version is None:
        raise SystemExit(f"{sdist} is not a source archive of this package: run `tox -e build`")
    values = {
        "version": version[1],
        "sha256": hashlib.sha256(sdist.read_bytes()).hexdigest(),
        "python_min": least[1],
        "summary": project["description"],
        "requirements": "\n    - ".join(conda_requirements(project["dependencies"])),
    }
    text = TEMPLATE.read_text("utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    Path(sys.argv[2]).write_text(recipe(Path(sys.argv[1])), "utf-8")
