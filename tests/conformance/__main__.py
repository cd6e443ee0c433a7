"""`make conformance`: start Footnote, let the SDKs at it, check what went over the wire, print the score.

Exit status 1 when a step of a client failed, a public method was not called, an exclusion leaves nothing out, or the
score is below its floor.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.conformance import exchanges, report
from tests.conformance.contract import DOCUMENT, Contract
from tests.conformance.programs import ROOT, Outcome, Program, prepare, programs, run
from tests.conformance.recorder import Recorder
from tests.conformance.scope import Scope
from tests.conformance.score import Score
from tests.e2e.conftest import Server, footnote

REPORTS = ROOT / "reports" / "conformance"
# Programs that run at once: they wait more than they work.
_AT_ONCE = 3


def record(log: Path, *, only: str) -> list[Outcome]:
    """Run the client programs, each as a tenant of its own, and write what they say and hear to `log`."""
    chosen = [one for one in programs() if only in one.name]
    prepare(chosen)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        server = Server(home, embedding_backend="hashing", log_level="warning")
        try:
            with Recorder(server.url, log) as recorder, ThreadPoolExecutor(_AT_ONCE) as pool:
                keys = [_key(home, one) for one in chosen]
                urls = [recorder.url(one.name) for one in chosen]
                found = list(pool.map(lambda one, url, key: run(one, base_url=url, api_key=key), chosen, urls, keys))
        finally:
            server.end()
    return found


def _key(home: Path, program: Program) -> str:
    """Return a key of the program's own project, with which it does not see what the others do."""
    name = re.sub(r"\W", "-", program.name)
    made = footnote("keys", "create", name, "--project", name, home=home, embedding_backend="hashing")
    return made.stdout.split()[0]


def lines(outcomes: list[Outcome], log: Path, score: Score | None) -> Iterator[str]:
    """Yield the report."""
    yield from report.runs(outcomes)
    if score is None:
        yield "Nothing was validated: OpenAI's description, ../shared/openai-openapi.json.gz, is not there."
        return
    unabridged = Score(Contract.load(), Scope({})).add(exchanges.read(log))
    yield from ("", report.table(score, unabridged), "", f"{score.total.validated:,} replies and events validated.", "")
    yield from report.findings(score)
    yield from (f"outside  {name}" for name in report.most_frequent(score.outside))


def problems(outcomes: list[Outcome], score: Score | None, scope: Scope, *, floor: float) -> Iterator[str]:
    """Yield why the run failed; nothing when it did not."""
    for one in outcomes:
        if one.failed or (one.problem and not one.is_skipped):
            yield f"{one.name} failed."
    yield from (f"No step calls {method}." for method in report.uncalled(outcomes, scope))
    if score is None:
        return
    for name, area in score.areas.items():
        if area.percent < floor:
            yield f"{name} has {area.percent:.1f} %; the floor is {floor:.1f} %."
    is_complete = not any(one.is_skipped for one in outcomes)
    for unused in scope.unused:
        # What a program would have called is not known when it did not run.
        if is_complete or unused.kind != "method":
            yield f"Leaves out nothing: {unused.kind} {unused.what!r} of out_of_scope.toml."


def main() -> int:
    parser = argparse.ArgumentParser(prog="make conformance")
    parser.add_argument("--floor", type=float, default=0.0, help="percent that every area has to reach")
    parser.add_argument("--only", default="", help="run the programs whose name contains this")
    parser.add_argument("--exclusions", action="store_true", help="print what is out of scope, for docs/conformance.md")
    options = parser.parse_args()
    if options.exclusions:
        print(report.exclusions(Scope.load()))  # noqa: T201 - The command's output.
        return 0
    log = REPORTS / "exchanges.jsonl"
    outcomes = record(log, only=options.only)
    scope = Scope.load()
    score = Score(Contract.load(), scope).add(exchanges.read(log)) if DOCUMENT.exists() else None
    text = "\n".join(lines(outcomes, log, score))
    found = list(problems(outcomes, score, scope, floor=options.floor))
    closing = "\n".join(found) if found else "Conformance: all passed."
    (REPORTS / "report.txt").write_text(f"{text}\n\n{closing}\n")
    print(text, closing, sep="\n\n")  # noqa: T201 - The command's output.
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
