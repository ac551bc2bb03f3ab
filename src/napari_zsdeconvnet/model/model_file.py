"""The file of a model: JSON in a header, and tensors, with a checksum of both."""

from __future__ import annotations

import hashlib
import json
import os
import textwrap
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..utils.errors import InputError
from ..utils.files import written_whole
from .provenance import weights_fingerprint

FORMAT = 1
"""Layout of the file; raised when a reader of today would misread a file of tomorrow."""

WITH_BACKGROUND = 2
"""The same for models with an out-of-focus background, which readers of before would leave in."""

_HEADER = "zsdeconvnet"
_CHECKSUM = "sha256"
NETWORK = "network."
TRAINING = "training."
PSF_TENSOR = "psf"
CAMERA = "camera."
OWN_FILE = "zsdeconvnet.safetensors"
"""The name of a model's file in a package of bioimage.io."""


def write_file(
    path: str | os.PathLike[str], header: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write what a model's file says of itself, and its tensors, whole or not at all."""
    contents = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    # Not `save_file`: its errors are no OSError, and it puts a file of its own beside ours.
    described = json.dumps(header)
    checksum = _checksum(described, contents)
    packed = safetensors.torch.save(contents, {_HEADER: described, _CHECKSUM: checksum})
    with written_whole(path) as temporary:
        temporary.write_bytes(packed)


def read_file(path: str | os.PathLike[str], *names: str) -> tuple[str, dict[str, Tensor]]:
    """Read what a model's file says of itself, and the tensors of these names, or all of them."""
    path = Path(path)
    if not path.is_file():
        raise InputError("file-missing", f"{path} does not exist: check the name and the folder.")
    try:
        with _own_file(path) as place, safe_open(place, framework="pt") as file:
            metadata = file.metadata() or {}
            described = metadata.get(_HEADER)
            wanted = [name for name in file.keys() if not names or name in names]  # noqa: SIM118
            tensors = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError) as error:
        raise InputError(
            "model-damaged",
            f"{path} is not a model file or is truncated ({error}): copy it again or train anew.",
        ) from error
    if described is None:
        raise InputError(
            "model-of-other-program",
            f"{path} holds weights of another program: choose a model saved by zsdeconvnet.",
        )
    # Files of before it was kept have no checksum.
    if not names and metadata.get(_CHECKSUM) not in (None, _checksum(described, tensors)):
        raise InputError(
            "model-damaged",
            f"{path} is damaged (it has another checksum than it was written with): copy it again "
            "or train anew.",
        )
    return described, tensors


@contextmanager
def _own_file(path: Path) -> Iterator[Path]:
    """Give the file itself, or that in a package of bioimage.io, which is unpacked."""
    if path.suffix.lower() != ".zip":
        yield path
        return
    try:
        with zipfile.ZipFile(path) as package, TemporaryDirectory() as folder:
            names = [name for name in package.namelist() if Path(name).name == OWN_FILE]
            if not names:
                raise InputError(
                    "model-of-other-program",
                    f"{path} has no {OWN_FILE} in it: choose a package that zsdeconvnet exported.",
                )
            place = Path(folder) / OWN_FILE
            place.write_bytes(package.read(names[0]))
            yield place
    except zipfile.BadZipFile as error:
        raise InputError(
            "model-damaged",
            f"{path} is not a complete zip file ({error}): copy it again.",
        ) from error


def _checksum(described: str, tensors: Mapping[str, Tensor]) -> str:
    """Checksum of all that a model's file holds."""
    digest = hashlib.sha256(described.encode())
    digest.update(weights_fingerprint(tensors).encode())
    return digest.hexdigest()


@contextmanager
def understood(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say of a file what in it cannot be understood."""
    try:
        yield
    except _NewerFormat as error:
        raise InputError(
            "format-too-new",
            f"{path} has format {error}, newer than this version reads: update napari-zsdeconvnet.",
        ) from error
    except (
        LookupError,
        AttributeError,
        ArithmeticError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        raise InputError(
            "model-damaged",
            f"{path} does not fit together ({_in_one_line(error)}): copy it again or train anew.",
        ) from error


class _NewerFormat(Exception):
    """The file is of a later format than this reader."""


def check_format(header: Mapping[str, Any]) -> None:
    """Refuse a format that is newer than this reader."""
    newest = WITH_BACKGROUND if header.get("out_of_focus") else FORMAT
    if header["format"] > newest:
        raise _NewerFormat(header["format"])


def _in_one_line(error: Exception) -> str:
    words = f"{error} is missing" if isinstance(error, KeyError) else str(error)
    # torch lists every weight that has another size.
    return textwrap.shorten(words, 200, placeholder=" …").rstrip(".")


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pick the tensors whose names begin with a prefix, without it."""
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
