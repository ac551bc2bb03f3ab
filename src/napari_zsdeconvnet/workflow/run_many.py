"""`run_many`: many recordings in, their results and a table of them out, here or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..io.ome_zarr import images_in, is_plate
from ..io.ome_zarr_writing import check_apart
from ..io.zarr_stores import is_zarr
from ..model.model import Model
from ..utils.errors import InputError, Remedy
from ..utils.files import make_folder
from .channels import ChannelRuns
from .distributed.running import cluster
from .grouping import Traits
from .result_files import (
    DECONVOLVED,
    RESULTS,
    channel_files,
    endings_of,
    failed_measures,
    outputs_in,
    run_files,
    stem_and_suffix,
    write_channels,
    write_run,
)
from .run import run
from .screen import DONE, Ended, Row, Screen
from .screen_table import ScreenTable

if TYPE_CHECKING:
    from distributed import Client

_Recording = tuple[str, Path]
"""A path, and where its deconvolved image goes."""


def run_many(
    recordings: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    client: Client | None = None,
    shared: bool = True,
    skip_done: bool = False,
    force: bool = False,
    ended: Callable[[Row], Any] | None = None,
    **settings: Any,
) -> list[Row]:
    """Take many recordings from raw counts to results in a folder, here or on a cluster.

    Recordings that are alike share the model of the first of them in the list. A recording that
    fails stops nothing. The folder gets a table, ``screen.csv``.

    Parameters
    ----------
    recordings : path or sequence of path
        Files; of a plate all of its fields.
    output : path
        Folder of the results. They are named as by ``zsdeconvnet run``.
    workers : int, optional
        Processes of this machine, each of which imports the script that calls this: it needs
        ``if __name__ == "__main__":``. By default this process does all.
    scheduler : str, optional
        Address of a Dask scheduler.
    client : distributed.Client, optional
        Of any Dask cluster, whose workers share the file system.
    shared : bool
        Whether recordings that are alike share a model; otherwise one is trained on each.
    skip_done : bool
        Whether recordings are left out that are done with the same settings, and whose files are
        there. What there is of the others is replaced.
    force : bool
        Whether results that exist are replaced.
    ended : callable, optional
        Gets the row of each recording when it is through, in any order.
    **settings
        As for `run`, such as ``microscope``, ``psf``, ``seed`` or ``judged``.

    Returns
    -------
    list of Row
        One for each recording that was not left out, in their order: `recording`, `state` ("done"
        or "failed"), `files`, `trained_on`, `failed_measures`, `seconds`, `error`.

    Raises
    ------
    InputError
        If results exist, the table cannot be read, or there is no such cluster.

    Examples
    --------
    >>> import napari_zsdeconvnet as zs
    >>> for seed in (0, 1):
    ...     raw = zs.simulate("filaments", shape=(96, 96), pixel_size=0.0626, seed=seed).raw
    ...     zs.write_image(f"field_{seed}.tif", raw, axes="YX", voxel_size=(0.0626, 0.0626))
    >>> rows = zs.run_many(
    ...     ["field_0.tif", "field_1.tif"], "results", steps=0, judged=False,
    ...     microscope=zs.Microscope(1.3, 0.525),
    ... )
    >>> [(row.recording, row.state, row.trained_on) for row in rows]
    [('field_0.tif', 'done', 'field_0.tif'), ('field_1.tif', 'done', 'field_0.tif')]
    """
    given = [recordings] if isinstance(recordings, str | os.PathLike) else recordings
    check_apart(output, given)
    folder = make_folder(output)
    listed = _listed(given)
    paths = outputs_in(folder, listed, DECONVOLVED)
    todo = [(name, path) for (name, _, _), path in zip(listed, paths, strict=True)]
    names = [name for name, _ in todo]
    table = ScreenTable(folder, {**settings, "shared": shared, "version": __version__})
    earlier = table.earlier(names) if skip_done else {}
    others = table.with_other_settings() if skip_done else set(names)
    for name, path in todo:
        if name not in earlier and name in others and not force:
            _check_new(path)
    work = _RunWork(settings)
    rows: dict[str, Row] = {}
    with cluster(workers, scheduler, client) as computing:
        sharing = shared and settings.get("model") is None
        screen = Screen(todo, work, client=computing, shared=sharing, earlier=earlier)
        with closing(screen):
            try:
                for event in screen:
                    if isinstance(event, Ended):
                        rows[event.row.recording] = event.row
                        table.add(event.row)
                        if ended is not None:
                            ended(event.row)
            finally:
                table.write(names)
    return [rows[name] for name in names if name in rows]


@dataclass(frozen=True)
class _RunWork:
    """What `run` does with a recording, in whichever process."""

    settings: Mapping[str, Any]

    def name(self, recording: _Recording) -> str:
        return recording[0]

    def look(self, recording: _Recording) -> Traits | None:
        begun = run(recording[0], **self.settings)
        return None if isinstance(begun, ChannelRuns) else Traits.of(begun.mode)

    def do(self, recording: _Recording, model: str | None) -> Row:
        name, output = recording
        files = run_files(output)
        settings = {"names": {what: files[what].name for what in RESULTS}, **self.settings}
        if model is not None:
            settings |= {"model": Model.load(model), "finished": True}
        begun = run(name, **settings)
        if isinstance(begun, ChannelRuns):
            made = begun.finish()
            own = channel_files(files, [begun.name(n) for n in range(len(made.channels))])
            written = write_channels(made, files, own)
            results = [one for one in made.channels if one is not None]
            mode, trained = next(iter(begun.runs.values())).mode.name, True
        else:
            result = begun.finish()
            written, results = write_run(result, files), [result]
            mode, trained = begun.mode.name, begun.trained
        judged = all(one.report is not None for one in results)
        failed = tuple(measure for one in results for measure in failed_measures(one))
        return Row(
            name,
            DONE,
            mode,
            str(written.get("model", "")),
            name if trained else "",
            failed_measures=failed if judged else None,
            files={what: str(file) for what, file in written.items()},
        )

    def worded(self, error: Exception) -> str:
        return str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"


def _listed(paths: Sequence[str | os.PathLike[str]]) -> list[tuple[str, str, str]]:
    """Give name, and stem and suffix of the results, of each recording; plates by their fields."""
    listed = []
    for given in paths:
        path = os.fspath(given)
        stem, suffix = stem_and_suffix(Path(path))
        try:
            fields = images_in(path) if is_zarr(path) and is_plate(path) else ()
        except InputError:  # it fails alone where it is read
            fields = ()
        if not fields:
            listed.append((path, stem, suffix))
            continue
        endings = endings_of(fields, "scene")
        listed += [
            (f"{path.rstrip('/')}/{field}", f"{stem}_{ending}", suffix)
            for field, ending in zip(fields, endings, strict=True)
        ]
    return listed


def _check_new(output: Path) -> None:
    """Refuse to replace a result."""
    for file in run_files(output).values():
        if file.exists():
            raise InputError("output-exists", f"{file} exists", Remedy("replace"))
