"""Tables say who is better by how much; the picture is whole SVG."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

report = pytest.importorskip("benchmarks.peers.report", reason="The wheel has no benchmarks.")
measurement = pytest.importorskip("benchmarks.peers.measurement")
plot = pytest.importorskip("benchmarks.peers.plot")

_INGESTION, _CPU, _P50 = report.MEASURES[:3]


def a_speed(**overrides: Any) -> Any:
    search = measurement.SearchSpeed(p50_s=0.01, p95_s=0.02, p99_s=0.03, single_rate=90.0, many_rate=100.0)
    fields = {
        "ingest_s": 10.0,
        "ingest_cpu_s": 20.0,
        "chunks": 1200,
        "search": search,
        "peak_bytes": 2**29,
        "disk_bytes": 2**22,
        "first_answer_s": 3.0,
    }
    return measurement.Speed(**fields | overrides)


def an_outcome(**results: Any) -> Any:
    """An outcome of 1,000 documents; `results` by name of the system."""
    return report.Outcome(
        date="2026-11-21",
        machine="a machine",
        documents=1000,
        collection="facts",
        results={"facts": results},
        skipped={"papers": "left out: no folder"},
        http=a_speed().search,
    )


def measured(speed: Any, *, ndcg: float = 0.5) -> Any:
    return measurement.Measured(versions={"a-package": "1.2"}, ndcg=ndcg, speed=speed)


def test_a_ratio_is_taken_against_the_best_of_the_others() -> None:
    """A rate is better the larger it is, a duration the smaller."""
    speeds = {
        "Footnote": a_speed(ingest_s=2.0, ingest_cpu_s=4.0),
        "LangChain": a_speed(ingest_s=8.0, ingest_cpu_s=16.0),
        "txtai": a_speed(ingest_s=20.0, ingest_cpu_s=12.0),
    }
    rate, cpu = (report.ratio(measure, speeds, with_model=True) for measure in (_INGESTION, _CPU))
    assert (rate.best_name, rate.best, rate.times) == ("LangChain", 150.0, 4.0)
    assert (cpu.best_name, cpu.best, cpu.times) == ("txtai", 10.0, 3.0)


def test_a_system_without_a_model_is_compared_apart() -> None:
    """It has nothing to embed, neither texts nor queries."""
    quick = a_speed(ingest_s=0.1, search=replace(a_speed().search, p50_s=0.001))
    speeds = {"Footnote": a_speed(), "Haystack": a_speed(), "Haystack BM25": quick}
    assert report.ratio(_INGESTION, speeds, with_model=True).best_name == "Haystack"
    assert report.ratio(_P50, speeds, with_model=False) == report.Ratio(
        best=1.0, best_name="Haystack BM25", times=pytest.approx(0.1)
    )


def test_nothing_is_compared_with_nobody() -> None:
    """Where no other system was measured there is no ratio."""
    assert report.ratio(_INGESTION, {"Footnote": a_speed()}, with_model=True) is None
    assert report.ratio(_INGESTION, {"txtai": a_speed()}, with_model=True) is None


def test_the_page_names_figures_versions_and_what_is_missing() -> None:
    """Also why a system or a collection has no figure; the best ranking is set in bold."""
    outcome = an_outcome(
        Footnote=measured(a_speed(), ndcg=0.75), LangChain=measured(a_speed(ingest_s=50.0)), txtai="not installed: why"
    )
    text = report.markdown(outcome)
    for expected in (
        "2026-11-21, a machine. 1,000 documents of facts, 1,200 chunks.",
        "| Ingestion, chunks/s | 120 | 24 |",
        "| Ingestion, chunks/s | 24 (LangChain) | 5.00 | – | – |",
        "| facts | **0.750** | 0.500 | – | – | – | – |",
        "txtai: not installed: why.",
        "papers: left out: no folder.",
        "a-package 1.2",
        "over HTTP, client included: p50 10.0 ms",
    ):
        assert expected in text


def test_the_page_keeps_what_stands_around_the_figures(tmp_path: Path) -> None:
    """Writing twice leaves the newest figures alone between the marks."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\n\nold\n{report.END}\nafter\n")
    report.write_docs(page, "first\n")
    report.write_docs(page, "second\n")
    assert page.read_text() == f"before\n{report.BEGIN}\n\nsecond\n\n{report.END}\nafter\n"


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    """The message names the page."""
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    with pytest.raises(ValueError, match=r"page\.md needs the lines"):
        report.write_docs(page, "new\n")


def test_the_picture_has_a_bar_for_each_value() -> None:
    """Bars are as long as their values are large; names are escaped."""
    panels = [
        plot.Panel(title="Speed", values={"Ours": 10.0, "A & B": 5.0}),
        plot.Panel(title="Size", values={"Ours": 0.0, "A & B": 0.0}),
        plot.Panel(title="Time", values={"Ours": 1.0}, digits=1),
    ]
    root = ElementTree.fromstring(plot.svg(panels))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in root.iter(f"{space}rect")]
    assert widths == [widths[0], pytest.approx(widths[0] / 2), 0.0, 0.0, widths[0]]
    assert {"A & B", "10", "5", "1.0", "Size"} <= {text.text for text in root.iter(f"{space}text")}
