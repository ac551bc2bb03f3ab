"""`zsdeconvnet export`: a model for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...utils.errors import InputError
from ..console import Console
from .files import check_output, given


def export(arguments: argparse.Namespace, console: Console) -> None:
    """Write a model as ONNX, torch.export, TorchScript or a package of bioimage.io."""
    check_output(arguments.output, [arguments.model], arguments)
    package = Path(arguments.output).suffix.lower() == ".zip"
    options = given(arguments, "name", "authors", "licence")
    if package and "authors" not in options:
        raise InputError(
            "option-needs-another",
            f"{arguments.output} is a package of bioimage.io, which names its authors; add "
            '--author "NAME".',
        )
    if options and not package:
        option = {"authors": "author"}.get(next(iter(options)), next(iter(options)))
        raise InputError(
            "option-needs-another",
            f"--{option} is for a package of bioimage.io; leave it out, or name a .zip.",
        )
    from ...model.export_files import export_model
    from ...model.model import Model

    model = Model.load(arguments.model)
    console.say(f"Recording and checking the graph of {arguments.model}; this takes a minute.")
    made = export_model(model, arguments.output, **options)
    console.say(
        f"{arguments.model} -> {made.path}\n"
        f"Results differ by {made.difference:.1e} of the brightest pixel. Y and X are multiples of "
        f"{made.multiple}, at least {made.smallest}; tiles overlap by {made.halo} pixels."
    )
    console.result(
        {
            "model": arguments.model,
            "file": str(made.path),
            "difference": made.difference,
            "multiple": made.multiple,
            "smallest": made.smallest,
            "halo": made.halo,
        }
    )
