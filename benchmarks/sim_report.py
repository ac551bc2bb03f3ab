"""The table of what has to be reached, with the figure and the verdict beside each target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from report import table

Result = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    check: str
    target: str
    measured: str
    met: bool | None
    """None where there is nothing to be met."""
    routine: bool = False
    """Whether it is of interest only where it is not met."""

    @property
    def cells(self) -> tuple[str, ...]:
        """What stands in it."""
        verdict = {True: "met", False: "**not met**", None: ""}[self.met]
        return self.check, self.target, self.measured, verdict


def checks_table(checks: Sequence[Result], recordings: Sequence[Result]) -> str:
    """Put every check in a row."""
    lines = [*_simulated(checks), *(_recorded(recordings[0]) if recordings else ())]
    shown = [line for line in lines if not (line.routine and line.met)]
    text = table(["check", "target", "measured", ""], [line.cells for line in shown])
    met = [line.check for line in lines if line not in shown]
    return f"{text}\n\nMet as well: {', '.join(met)}." if met else text


def speed_table(result: Result) -> str:
    """Put each step of the way in a row."""
    rows = [
        ("estimate", result["estimate"]),
        ("first reconstruction, factors included", result["first_reconstruction"]),
        ("every further reconstruction", result["further_reconstruction"]),
    ]
    cells = [[what, *(f"{value:.2f}" for value in times), ""] for what, times in rows]
    total = np.sum([result["estimate"], result["first_reconstruction"]], axis=0)
    # Cores that are shared make the clock run on; what one core does within it, two do too.
    verdict = "met" if total.min() <= 3 else "**not met**"
    cells.append(
        ["estimate and reconstruct, target 3 s", *(f"{value:.2f}" for value in total), verdict]
    )
    return table(["step", "seconds", "CPU seconds", ""], cells)


def _simulated(checks: Sequence[Result]) -> Iterable[Line]:
    def patterns(low: float, high: float = np.inf) -> list[Result]:
        every = [entry for check in checks for entry in check["patterns"]]
        return [entry for entry in every if low <= entry["photons"] <= high]

    for light, most, words in (
        (patterns(100), 2.0, "100 and 1000 photons"),
        (patterns(30, 30), 4.0, "30 photons"),
    ):
        yield _worst(f"frequency, {words}", light, "frequency_px", 0.05, "steps", ".3f")
        yield _worst(f"phase, {words}", light, "phase", most, "degrees", ".1f")
        if most == 2.0:
            yield _worst(f"depth, {words}", light, "depth", 0.1, "", ".3f")

    linearity = max(check["linearity"] for check in checks)
    yield Line("linearity", "1e-5", f"worst {linearity:.1e}", linearity <= 1e-5, routine=True)

    again = [check["recorrupted"] for check in checks]
    within = min(found["within_3"] for found in again)
    rms = max(abs(found["rms"] - 1) for found in again)
    bias = max(abs(found["bias"]) for found in again)
    draws = checks[0]["case"]["draws"]
    yield Line(
        f"mean of {draws} re-corrupted reconstructions",
        "within 3 standard errors, no bias",
        f"{within:.2%} of the pixels (normal: 99.7 %); light off by {bias:.1e} at most",
        # With 200 draws a standard error is itself uncertain by 5 %.
        within > 0.995 and rms < 0.05 and bias < 1e-3,
        routine=True,
    )

    values = [value for check in checks for value in check["noise_free_db"].values()]
    yield Line(
        "noise-free recovery",
        "above 40 dB",
        f"worst {min(values):.1f} dB",
        min(values) > 40,
        routine=True,
    )

    for photons in (30.0, 100.0, 1000.0):
        found = patterns(photons, photons)
        gains = [entry["widefield_frc_nm"] / entry["sim_frc_nm"] for entry in found]
        sizes = [
            np.median([entry[f"{name}_frc_nm"] for entry in found]) for name in ("widefield", "sim")
        ]
        yield Line(
            f"resolution over widefield, {photons:g} photons",
            "1.7 to 2.0" if photons == 1000 else "",
            f"median {np.median(gains):.2f}, {min(gains):.2f} to {max(gains):.2f} "
            f"({sizes[0]:.0f} and {sizes[1]:.0f} nm)",
            min(gains) >= 1.7 and max(gains) <= 2.0 if photons == 1000 else None,
        )

    for photons in (30.0, 100.0, 1000.0):
        found = patterns(photons, photons)
        peaks = [100 * entry["peak_to_estimate"] for entry in found]
        yield Line(
            f"residual peaks, {photons:g} photons",
            "below 1 %",
            f"worst {max(peaks):.2f} %, median {np.median(peaks):.2f} %",
            max(peaks) < 1,
            routine=photons > 30,
        )

    said = [check["shallow"]["said"] for check in checks]
    yield Line(
        "a depth of 0.1 is said before training",
        "always",
        f"{sum(said)} of {len(said)}",
        all(said),
    )


def _worst(
    check: str, entries: Sequence[Result], key: str, most: float, unit: str, pattern: str
) -> Line:
    values = [value for entry in entries for value in entry[key]]
    good = sum(value <= most for value in values)
    return Line(
        check,
        f"{most:g} {unit}".strip(),
        f"worst {max(values):{pattern}}, median {np.median(values):{pattern}}",
        good == len(values),
    )


def _recorded(result: Result) -> Iterable[Line]:
    for name, words in (("hela", "HeLa mitochondria"), ("cristae", "cristae")):
        found = result[name]["auto"]
        off = [100 * abs(entry["period_nm"] / entry["supplied_nm"] - 1) for entry in found]
        periods = ", ".join(f"{entry['period_nm']:.1f}" for entry in found)
        yield Line(
            f"recording of {words}: periods against the supplied patterns",
            "within 0.5 %",
            f"{periods} nm, off by {_listed(off, '.2f')} %",
            max(off) <= 0.5,
        )
        if name == "cristae":
            measured = [entry["steps"] for entry in result[name]["measured"]]
            yield Line(
                f"recording of {words}: phase steps",
                "within 3 degrees",
                f"off by {_listed(measured, '.1f')} degrees",
                max(measured) <= 3,
            )
    found = result["microtubules"]
    known = found["found_with_priors"]
    reasons = [
        words for seen, words in zip(found["found"], found["reasons"], strict=True) if not seen
    ]
    yield Line(
        "recording of microtubules, nothing given",
        "two found, the third said not to be",
        f"{sum(found['found'])} found; of the third: “{reasons[0].partition(':')[0]}”",
        len(reasons) == 1 and bool(reasons[0]),
    )
    where = ", ".join(
        f"{period:.1f} nm at {angle:.1f}"
        for period, angle in zip(found["periods_nm"], found["angles"], strict=True)
    )
    yield Line(
        "recording of microtubules, period and angles given",
        "reconstructed with all three",
        f"{sum(known)} used: {where} degrees",
        all(known) and found["wiener_finite"],
    )


def _listed(values: Sequence[float], pattern: str) -> str:
    return ", ".join(format(value, pattern) for value in values)
