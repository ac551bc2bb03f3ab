"""What a paper says of a run: a paragraph with all numbers filled in, and its references."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...noise.camera_maps import CameraMaps
from ...noise.noise_model import NoiseModel
from ...sim.patterns import Patterns
from .run_record import RunRecord

_SOFTWARE = "napari-zsdeconvnet contributors. napari-zsdeconvnet, version {version}, {year}."
_QIAO = (
    "Qiao, C. et al. Zero-shot learning enables instant denoising and super-resolution in optical "
    "fluorescence microscopy. Nature Communications 15, 4180 (2024)."
)
_RICHARDSON = (
    "Richardson, W. H. Bayesian-based iterative method of image restoration. Journal of the "
    "Optical Society of America 62, 55-59 (1972)."
)
_LUCY = (
    "Lucy, L. B. An iterative technique for the rectification of observed distributions. The "
    "Astronomical Journal 79, 745-754 (1974)."
)
_BIGGS = (
    "Biggs, D. S. C. & Andrews, M. Acceleration of iterative image restoration algorithms. "
    "Applied Optics 36, 1766-1775 (1997)."
)
_GUSTAFSSON = (
    "Gustafsson, M. G. L. Surpassing the lateral resolution limit by a factor of two using "
    "structured illumination microscopy. Journal of Microscopy 198, 82-87 (2000)."
)

_PAIRS = {
    "recorrupted": "by re-corrupting the recording with its own kind of noise",
    "sequential": "by re-corrupting the recording with its own kind of noise",
    "reconstructed": (
        "by re-corrupting every raw frame with its own kind of noise and reconstructing both halves"
    ),
    "interleaved": "from the odd and the even planes of the stack",
    "denoised-planes": "from the odd and the even planes of the stack",
}
_RECORRUPTED = ("recorrupted", "sequential", "reconstructed")
_KINDS = {
    "TYX": ("image", "images", "pixels"),
    "TZYX": ("volume", "volumes", "voxels"),
    "TCYX": ("set of raw frames", "sets of raw frames", "pixels"),
}
"""By the axes of what is trained on: one, several, and what they are made of."""

_SHOWN = 3  # file names; more are counted


def methods_paragraph(record: RunRecord) -> str:
    """Write what the methods section of a paper says of a run, and of its result if it has one.

    One paragraph with numbers and units, an empty line, and the references it cites, a line
    each. Nothing is said of what the record does not hold.
    """
    sentences = [
        _method(record),
        _reconstruction(record),
        _data(record),
        _camera(record),
        _psf(record),
        _background(record),
        _training(record),
        _network(record),
        _result(record),
        _verdict(record),
        _computed(record),
    ]
    paragraph = " ".join(sentence for sentence in sentences if sentence)
    return "\n".join((paragraph, "", "References", *_references(record)))


def _method(record: RunRecord) -> str:
    from_nothing = not _from_prior(record) and record.beginning is None
    truth = "truth or any other training data" if from_nothing else "truth"
    return (
        f"{_plural(record).capitalize()} were denoised and deconvolved with napari-zsdeconvnet "
        f"{_version(record)}, which builds the zero-shot deconvolution networks of Qiao et al. "
        f"(2024): a neural network learns from the noisy recording itself, without ground {truth}."
    )


def _reconstruction(record: RunRecord) -> str:
    made = record.reconstruction
    if made is None:
        return ""
    patterns = Patterns.from_dict(made["patterns"])
    periods = _listed([f"{1000 * pattern.period:.1f}" for pattern in patterns if pattern.found])
    return (
        f"Raw frames of structured illumination ({len(patterns)} orientations x {patterns.phases} "
        f"phases; NA {patterns.na:g}, emission {1000 * patterns.wavelength:g} nm; pattern periods "
        f"{periods} nm) were reconstructed on half the raw pixel by a linear Wiener filter "
        f"(Gustafsson, 2000) with constant {made['wiener']:g}, notch {made['notch']:g} and "
        f"apodisation {made['apodisation']:g}."
    )


def _data(record: RunRecord) -> str:
    if not record.sources:
        return ""
    first, names = record.sources[0], [source.name for source in record.sources]
    kind, kinds, element = _KINDS[first.axes]
    count = sum(source.shape[0] for source in record.sources)
    trained = f"one {kind}" if count == 1 else f"{count} {kinds}"
    lengths = first.shape[2:] if first.axes == "TCYX" else first.shape[1:]
    of = "" if first.voxel_size is None else f" of {_nm(first.voxel_size)}"
    listed = _listed(names)
    if len(names) > _SHOWN:
        listed = f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more files"
    return f"The network was trained on {trained} of {_times(lengths)} {element}{of} ({listed})."


def _camera(record: RunRecord) -> str:
    if record.camera is None and record.settings["objective"] not in _RECORRUPTED:
        return ""
    camera = record.camera or record.noise
    if isinstance(camera, CameraMaps):
        typical = camera.typical
        return (
            "The camera was described by maps of its offset, gain and read variance, with medians "
            f"of {typical.offset:.4g} counts, {typical.gain:.4g} counts per photoelectron and "
            f"{typical.read_variance:.4g} counts squared{_excess(typical)}."
        )
    return (
        f"The camera was described by {_stated(camera, 'offset', 'counts')}, "
        f"{_stated(camera, 'gain', 'counts per photoelectron')} and "
        f"{_stated(camera, 'read_variance', 'counts squared')}{_excess(camera)} "
        f"({_with_errors(camera)}{camera.source})."
    )


def _stated(noise: NoiseModel, name: str, unit: str) -> str:
    value, error = getattr(noise, name), getattr(noise, f"{name}_error")
    words = name.replace("_", " ")
    article = "an" if words[0] in "aeio" else "a"
    if value is None:
        return f"{article} {words} that was not measured"
    spread = "" if error is None else f" ± {error:.2g}"
    return f"{article} {words} of {value:.4g}{spread} {unit}"


def _excess(noise: NoiseModel) -> str:
    if noise.excess_noise == 1:
        return ""
    return (
        f", with an excess noise of {noise.excess_noise:.3g} from the multiplication of electrons"
    )


def _with_errors(noise: NoiseModel) -> str:
    errors = (noise.offset_error, noise.gain_error, noise.read_variance_error)
    return "± standard error; " if any(error is not None for error in errors) else ""


def _psf(record: RunRecord) -> str:
    psf = record.psf
    of = "of the reconstruction" if record.reconstruction is not None else psf.source
    if any(math.isnan(width) for width in psf.fwhm):
        return f"The point spread function was: {of}."
    widths = _nm(psf.fwhm) if psf.voxel_size else f"{_times(psf.fwhm)} pixels"
    return f"The point spread function ({of}) has a full width at half maximum of {widths}."


def _background(record: RunRecord) -> str:
    if not record.out_of_focus:
        return ""
    return (
        "A smooth background of out-of-focus light was estimated from every image together with "
        "its structure (Richardson, 1972; Lucy, 1974) and left out of the deconvolved images; they "
        "and the background hold the light of the recording."
    )


def _training(record: RunRecord) -> str:
    settings = record.settings
    made = _PAIRS.get(settings["objective"])
    if made is None:
        return ""
    sentence = f"Pairs for training were made {made}"
    if settings["objective"] in _RECORRUPTED:
        (least, most), shot, read = (
            settings[name] for name in ("magnitude", "shot_noise", "read_noise")
        )
        sentence += (
            f" (in the letters of Qiao et al., 2024: alpha of {least:g} to {most:g}, beta1 of "
            f"{shot[0]:g} to {shot[1]:g} times the gain, beta2 of {read[0]:g} to {read[1]:g} times "
            "the read variance)"
        )
    return f"{sentence}."


def _ending(words: str) -> str:
    """Say in the course of a sentence why a training ended by itself."""
    if "pixels" in words:
        return ", after which pixels held out from training said that more would make it worse"
    return ", after which pairs held out from training had gained nothing more"


def _network(record: RunRecord) -> str:
    settings = record.settings
    inside = ""
    if record.richardson_lucy:
        inside = (
            f", with {record.richardson_lucy} accelerated Richardson-Lucy iterations (Richardson, "
            "1972; Lucy, 1974; Biggs & Andrews, 1997) between its two stages"
        )
    steps = f"{record.steps} steps"
    ended = ""
    if record.ending:
        ended = _ending(record.ending)
    elif record.steps < record.planned:
        steps = f"{record.steps} of {record.planned} planned steps"
    if record.chosen is not None:
        which = f"after step {record.chosen.step}" if record.chosen.step else "of the beginning"
        ended += f"; the weights {which} were kept, by pixels held out from training"
    patch: tuple[int, ...] = (settings["patch"],) * 2
    if settings["planes"] is not None:
        patch = (settings["planes"], *patch)
    start = ""
    if _from_prior(record):
        start = ", beginning with weights that come with the software, learned on simulated images"
    elif record.beginning is not None:
        start = f", beginning with the weights of an earlier model ({record.beginning.name})"
    took = ""
    if record.stretches:
        devices = list(dict.fromkeys(part.device for part in record.stretches))
        took = f", which took {_duration(record.seconds)} on {' and '.join(devices)}"
    whole = f'The network (preset "{record.preset}", {record.parameters} parameters{inside})'
    if record.planned == 0:
        weights = start.removeprefix(", beginning ") or ", with random weights"
        return f"{whole} was used {weights}, without training on these data."
    return (
        f"{whole} was "
        f"trained for {steps} of {settings['batch']} patches of {_times(patch)} "
        f"{'voxels' if settings['planes'] is not None else 'pixels'} by Adam at a learning rate of "
        f"at most {settings['learning_rate']:g}, with seed {record.seed}{start}{took}{ended}."
        f"{_left_as_it_was(record)}"
    )


def _left_as_it_was(record: RunRecord) -> str:
    """Say what a training on pretrained weights leaves of them."""
    settings = record.settings
    if not _from_prior(record):
        return ""
    said = ""
    if settings["denoising_weight"] == 1 or (
        settings["objective"] == "sequential" and settings["denoising_share"] == 1
    ):
        said += " Its first stage was trained, and the second was left as it was."
    for name, part in (
        ("denoising_passes", "first stage"),
        ("deconvolution_passes", "second stage"),
        ("coarse_passes", "coarser levels"),
    ):
        if settings[name]:
            said += (
                f" The learning rate of the {part} falls to zero by the time that each pixel has "
                f"been drawn {settings[name]} times."
            )
    share = settings["pretrained_share"]
    if share:
        said += (
            " The weights that were kept are an average of those that training began with "
            f"({share:.0%}) and those that it came to ({1 - share:.0%})."
        )
    return said


def _result(record: RunRecord) -> str:
    parts = []
    size = record.psf.voxel_size
    if size is not None:
        element = "voxels" if record.axes == "ZYX" else "pixels"
        parts.append(f"Deconvolved {_plural(record)} have {element} of {_nm(size)}.")
    made = record.prediction
    damping = None if made is None else made.damping
    if damping is not None:
        parts.append(
            f"Stripes along {'X' if damping.axis == 'Y' else 'Y'} were damped in Fourier space "
            f"first (half width {damping.half_width:g}, beyond {damping.keep:g} cycles per pixel)."
        )
    if made is not None and made.repeats:
        parts.append(f"The result is the average over {made.repeats} re-corruptions of the input.")
    return " ".join(parts)


def _verdict(record: RunRecord) -> str:
    if record.verdict is None:
        return ""
    judged = [measure for measure in record.verdict.measures if measure.passed is not None]
    if not judged:
        return ""
    failed = [measure.name for measure in judged if not measure.passed]
    names = ", ".join(measure.name for measure in judged)
    how = f"all of which it passed ({names})"
    if failed:
        how = f"of which {len(judged) - len(failed)} passed and these failed: {', '.join(failed)}"
    return (
        f"The result was checked against the recording by {len(judged)} measures of the same "
        f"software, {how}."
    )


def _computed(record: RunRecord) -> str:
    names = {"torch": "PyTorch", "numpy": "NumPy", "scipy": "SciPy", "python": "Python"}
    found = [f"{names[key]} {record.versions[key]}" for key in names if key in record.versions]
    return f"Computed with {_listed(found)}." if found else ""


def _references(record: RunRecord) -> list[str]:
    year = record.stretches[-1].started[:4] if record.stretches else "n.d."
    found = [_QIAO, _SOFTWARE.format(version=_version(record), year=year)]
    if record.richardson_lucy or record.out_of_focus:
        found += [_RICHARDSON, _LUCY, _BIGGS]
    if record.reconstruction is not None:
        found.append(_GUSTAFSSON)
    return found


# ------------------------------------------------------------------ words


def _from_prior(record: RunRecord) -> bool:
    return record.settings.get("start") == "prior"


def _version(record: RunRecord) -> str:
    return record.versions.get("napari-zsdeconvnet", "(version not known)")


def _plural(record: RunRecord) -> str:
    return "volumes" if record.axes == "ZYX" else "images"


def _nm(lengths: Sequence[float]) -> str:
    """Say lengths ([Z,] Y, X) in micrometres as one where all are alike."""
    rounded = [float(f"{1000 * length:.4g}") for length in lengths]
    if len(set(rounded)) == 1:
        return f"{rounded[0]:g} nm"
    return f"{_times(rounded)} nm ({', '.join('zyx'[-len(rounded) :])})"


def _times(numbers: Sequence[Any]) -> str:
    return " x ".join(f"{number:g}" for number in numbers)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _listed(words: Sequence[str]) -> str:
    return " and ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]
