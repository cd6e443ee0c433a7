"""The outcome of a run as Markdown tables: figures, ratios, ranking, versions."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers.measurement import CLIENTS, Measured, SearchSpeed, Speed
from benchmarks.peers.systems import FOOTNOTE, PEERS, System

BEGIN: Final = "<!-- Written by `python -m benchmarks.peers --docs`: begin -->"
END: Final = "<!-- end -->"
_MIB: Final = 1024**2
_SYSTEMS: Final = (FOOTNOTE, *PEERS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What one run showed. A system without a measurement has a reason instead."""

    date: str
    machine: str
    # Of the collection whose speed was measured.
    documents: int
    collection: str
    # Collection → system's name → its measurement, or why there is none.
    results: Mapping[str, Mapping[str, Measured | str]]
    # Collections that were left out, with the reason.
    skipped: Mapping[str, str]
    # Footnote's searches over HTTP.
    http: SearchSpeed | None

    def speeds(self) -> dict[str, Speed]:
        """Return the systems' speeds by name."""
        results = self.results[self.collection]
        return {name: found.speed for name, found in results.items() if isinstance(found, Measured) and found.speed}


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """A figure of which the larger, or else the smaller, is better."""

    name: str
    value: Callable[[Speed], float]
    is_rate: bool = False
    digits: int = 1


MEASURES: Final = (
    Measure(name="Ingestion, chunks/s", value=lambda speed: speed.chunks / speed.ingest_s, is_rate=True, digits=0),
    Measure(name="Ingestion, CPU s per 1,000 chunks", value=lambda speed: 1000 * speed.ingest_cpu_s / speed.chunks),
    Measure(name="Search p50, ms", value=lambda speed: 1000 * speed.search.p50_s),
    Measure(name="Search p95, ms", value=lambda speed: 1000 * speed.search.p95_s),
    Measure(name="Search p99, ms", value=lambda speed: 1000 * speed.search.p99_s),
    Measure(name="Queries/s, 1 client", value=lambda speed: speed.search.single_rate, is_rate=True, digits=0),
    Measure(name=f"Queries/s, {CLIENTS} clients", value=lambda speed: speed.search.many_rate, is_rate=True, digits=0),
    Measure(name="Peak memory, MiB", value=lambda speed: speed.peak_bytes / _MIB, digits=0),
    Measure(name="On disk, MiB", value=lambda speed: speed.disk_bytes / _MIB),
    Measure(name="First answer of a new process, s", value=lambda speed: speed.first_answer_s),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """How many times better Footnote is than the best of the others."""

    best: float
    best_name: str
    times: float


def ratio(measure: Measure, speeds: Mapping[str, Speed], *, with_model: bool) -> Ratio | None:
    """Compare Footnote with the best of the others that use the model, or of those that do not.

    None when Footnote or all of these have no figure.
    """
    values = {name: measure.value(speed) for name, speed in speeds.items()}
    rivals = {peer.name: values[peer.name] for peer in PEERS if peer.name in values and peer.embeds == with_model}
    if FOOTNOTE.name not in values or not rivals:
        return None
    ours = values[FOOTNOTE.name]
    best_name = (max if measure.is_rate else min)(rivals, key=lambda name: rivals[name])
    best = rivals[best_name]
    # Something very short may measure as 0.
    smaller, larger = (best, ours) if measure.is_rate else (ours, best)
    return Ratio(best=best, best_name=best_name, times=larger / smaller if smaller else math.inf)


def markdown(outcome: Outcome) -> str:
    """Return what stands between the marks of docs/benchmarks.md."""
    first = next(iter(outcome.speeds().values()), None)
    chunks = f"{first.chunks:,}" if first else "0"
    lines = [
        f"{outcome.date}, {outcome.machine}. {outcome.documents:,} documents of {outcome.collection}, {chunks} chunks.",
        "",
        "![Speed and ranking beside the others](peers.svg)",
        "",
        *_speed_table(outcome),
        "",
        *_ratio_table(outcome),
        "",
        *_ranking_table(outcome),
        "",
        *_systems_table(outcome),
    ]
    return "\n".join(lines) + "\n"


def write_docs(page: Path, text: str) -> None:
    """Put `text` between the marks of a page. Raises ValueError when it has none."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} needs the lines {BEGIN!r} and {END!r}, between which the figures go.")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]


def _speed_table(outcome: Outcome) -> list[str]:
    speeds = outcome.speeds()
    shown = [system for system in _SYSTEMS if system.name in speeds]
    rows = [
        [
            measure.name,
            *(f"{measure.value(speeds[system.name]):,.{measure.digits}f}" for system in shown),
        ]
        for measure in MEASURES
    ]
    lines = _table(["Measured", *(system.name for system in shown)], rows)
    missing = {
        system.name: reason
        for system in _SYSTEMS
        if isinstance(reason := outcome.results[outcome.collection].get(system.name), str)
    }
    lines += [line for name, reason in missing.items() for line in ("", f"{name}: {reason}.")]
    if outcome.http is not None:
        http = outcome.http
        lines += [
            "",
            f"Footnote over HTTP, client included: p50 {1000 * http.p50_s:.1f} ms, p95 {1000 * http.p95_s:.1f} ms, "
            f"p99 {1000 * http.p99_s:.1f} ms, {http.single_rate:.0f} queries/s with one client, {http.many_rate:.0f} "
            f"with {CLIENTS}.",
        ]
    return lines


def _ratio_table(outcome: Outcome) -> list[str]:
    speeds = outcome.speeds()

    def cells(measure: Measure, with_model: bool) -> list[str]:
        one = ratio(measure, speeds, with_model=with_model)
        return [f"{one.best:,.{measure.digits}f} ({one.best_name})", f"{one.times:.2f}"] if one else ["–", "–"]

    head = ["Footnote is better by", "Best of those with the model", "Times", "Best without a model", "Times"]
    return _table(head, [[measure.name, *cells(measure, True), *cells(measure, False)] for measure in MEASURES])


def _ranking_table(outcome: Outcome) -> list[str]:
    def figure(found: Measured | str | None) -> str:
        return f"{found.ndcg:.3f}" if isinstance(found, Measured) else "–"

    rows = []
    for name, results in outcome.results.items():
        scores = [found.ndcg for found in results.values() if isinstance(found, Measured)]
        cells = [figure(results.get(system.name)) for system in _SYSTEMS]
        best = f"{max(scores, default=0.0):.3f}"
        rows.append([name, *(f"**{cell}**" if cell == best else cell for cell in cells)])
    lines = _table(["nDCG@10", *(system.name for system in _SYSTEMS)], rows)
    return [*lines, *(line for name, reason in outcome.skipped.items() for line in ("", f"{name}: {reason}."))]


def _systems_table(outcome: Outcome) -> list[str]:
    def versions(system: System) -> str:
        found = outcome.results[outcome.collection].get(system.name)
        return ", ".join(f"{n} {v}" for n, v in found.versions.items()) if isinstance(found, Measured) else "–"

    return _table(
        ["System", "Used", "Versions"], [[system.name, system.setup, versions(system)] for system in _SYSTEMS]
    )
