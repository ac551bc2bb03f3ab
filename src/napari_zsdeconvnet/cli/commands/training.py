"""A training on the command line: followed until it ends or Ctrl-C, saved, and gone on with."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...utils.errors import InputError
from ...utils.files import written_whole
from ..console import Console, Interrupted, printable
from .interruption import first_signal_calls, no_signal
from .rescue import rescued
from .summaries import psf_facts

if TYPE_CHECKING:
    from tqdm import tqdm

    from ...training.autosave import Autosave
    from ...training.trainer import Progress, TrainingRun


def finish(run: TrainingRun, output: str, console: Console) -> None:
    """Follow a training to its end or to Ctrl-C, save the model and say how it went.

    Parameters
    ----------
    run
        The training.
    output
        The file to be written.
    console
        Where words, progress and the result go.

    Raises
    ------
    Interrupted
        After Ctrl-C, with what was kept.
    RuntimeError
        If the loss was no number any more; the last good weights are saved.
    """
    from ...training.autosave import Autosave, checkpoint_of
    from ...training.trainer import NonFiniteLossError

    for warning in run.warnings:
        console.warn(warning)
    if run.steps == 0:
        run.save(output)
        console.say(f"The model of the weights as they are, without training, is in {output}.")
        console.result({"model": output, "step": 0, "steps": 0, "stopped": False})
        return
    with Autosave(run, checkpoint_of(output)) as autosave:
        try:
            last = follow(run, console, autosave)
        except NonFiniteLossError as error:
            with rescued(run.save, Path(output)):
                run.save(output)
            autosave.remove()
            raise RuntimeError(f"{error} They are in {output}.") from error
        with no_signal(), rescued(run.save, Path(output)):
            run.save(output)
            autosave.remove()
    stopped = not last.finished
    done = f"Stopped after {last.step} of {last.steps}" if stopped else f"Trained {last.step}"
    for sentence in filter(None, (run.ending, run.model.kept)):
        console.say(sentence)
    console.say(
        f"{done} steps in {last.seconds_elapsed:.0f} s on {last.device}; the model is in {output}."
    )
    console.result(
        {
            "model": output,
            "step": last.step,
            "steps": last.steps,
            "stopped": stopped,
            "seconds": last.seconds_elapsed,
            "device": last.device,
            "losses": last.losses,
            "noise": run.model.noise.to_dict(),
            "psf": psf_facts(run.model.psf),
        }
    )
    if stopped:
        raise Interrupted(
            f"the model of step {last.step} is in {output}, and --resume {output} goes on from "
            "there."
        )


def offered(output: str | Path, console: Console) -> str | None:
    """Offer to go on with a training of the same output that broke off; gives its checkpoint.

    Where nobody can be asked, the checkpoint is set aside, so that it is not lost, and said.
    """
    from ...training.autosave import checkpoint_of, set_aside, steps_in

    checkpoint = checkpoint_of(output)
    steps = steps_in(checkpoint)
    if not steps:
        return None
    found = f"A training of {output} broke off after step {steps}"
    if sys.stdin.isatty() and sys.stderr.isatty() and not console.json:
        print(printable(f"{found}. Go on with it? [Y/n] "), end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("", "y", "yes"):
            return str(checkpoint)
    aside = set_aside(checkpoint)
    console.warn(
        f"{found} and is kept as {aside}: to go on from there, give --resume {aside}, without PSF "
        "and noise. This training begins anew."
    )
    return None


def done_before(resume: str | None, arguments: argparse.Namespace, console: Console) -> bool:
    """Write the model of a checkpoint that has nothing left to do; tells whether it is one."""
    from ...model.model import Model
    from ...training.autosave import checkpoint_of, is_complete

    if resume is None or arguments.steps is not None or not is_complete(resume):
        return False
    model = Model.load(resume)
    with no_signal(), written_whole(arguments.output) as temporary:
        shutil.copyfile(resume, temporary)
    if Path(resume) == checkpoint_of(arguments.output):
        Path(resume).unlink(missing_ok=True)
    console.say(
        f"The training in {resume} was done after {model.steps_trained} steps; the model is in "
        f"{arguments.output}."
    )
    console.result({"model": arguments.output, "step": model.steps_trained, "stopped": False})
    return True


def refuse_beside_resume(arguments: argparse.Namespace, fixed: Sequence[str]) -> None:
    """Refuse what a resumed training takes from its file."""
    for name in fixed:
        value = getattr(arguments, name)
        if value is not None and (value is not False or name == "upsample"):
            option = f"--{name.replace('_', '-')}"
            raise InputError(
                "options-exclude-each-other",
                f"{option} does not go with --resume, which takes PSF, noise, seed and grid from "
                f"{arguments.resume}; leave it out, or train anew.",
            )


def follow(run: TrainingRun, console: Console, autosave: Autosave | None = None) -> Progress:
    """Run a training to its end, or to the end of the step in which Ctrl-C was pressed.

    Parameters
    ----------
    run
        The `TrainingRun`.
    console
        Where progress goes.
    autosave
        What saves it meanwhile.

    Returns
    -------
    Progress
        The last one.

    Raises
    ------
    Interrupted
        If Ctrl-C came before there was anything to keep, or a second one broke off.
    """
    last = None
    bar = console.bar(0, "Training")

    def stop() -> None:
        run.stop()
        if autosave is not None:
            autosave.now()  # should the step at hand take longer than somebody waits

    try:
        with first_signal_calls(stop), bar:
            for last in run:
                show_step(last, bar, console)
                if autosave is not None and autosave.problem:
                    console.warn(f"The training could not be saved so far: {autosave.problem}")
    except KeyboardInterrupt:
        if autosave is None or not autosave.step:
            raise
        raise Interrupted(
            f"the training of step {autosave.step} is in {autosave.path}, and --resume "
            f"{autosave.path} goes on from there."
        ) from None
    if last is None or last.step == 0:
        raise Interrupted("nothing had been learned yet, so nothing was saved.")
    return last


def show_step(progress: Progress, bar: tqdm[Any], console: Console) -> None:
    """Show how far a training has come, and say what must be said."""
    bar.total = progress.steps
    bar.set_postfix_str(_losses(progress.losses), refresh=False)
    bar.update(progress.step - bar.n)
    if progress.message and not progress.finished:  # how it ended is said when all is saved
        bar.clear()
        console.warn(progress.message)


def _losses(losses: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in losses.items() if name != "total")
