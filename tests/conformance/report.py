"""The score as text."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from tests.conformance.programs import Outcome
from tests.conformance.scope import Scope
from tests.conformance.score import Area, Score

_KINDS = {
    "operation": "Endpoints",
    "schema": "Parts of requests, responses and streams, by their name in the description",
    "property": "Single properties: endpoint, direction, path",
    "method": "Methods of the SDKs",
    "leniency": "Where a reply may differ from the description: endpoint, path, message",
}
_HEAD = ("Area", "Operations", "Request", "Response", "Events", "Missing", "Issues", "Score", "Nothing left out")


def table(score: Score, unabridged: Score) -> str:
    """Return the score of each area, as Markdown; `unabridged` leaves nothing out and forgives nothing."""
    rows = [(*_row(name, area), _percent(unabridged.areas[name])) for name, area in score.areas.items()]
    rows.append((*_row("**Together**", score.total), _percent(unabridged.total)))
    lines = [_HEAD, ("---",) + ("--:",) * (len(_HEAD) - 1), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def findings(score: Score) -> Iterator[str]:
    """Yield each issue and each missing part."""
    for name, area in score.areas.items():
        for property_, message in sorted(area.issues.items()):
            yield f"issue    {name}: {property_}: {message}"
        for operation in sorted(area.operations - area.exercised):
            yield f"missing  {name}: {operation}: never answered"
        for property_ in sorted(area.missing):
            if property_.operation in area.exercised:
                yield f"missing  {name}: {property_}"
        for event in sorted(area.events - area.events_seen):
            yield f"missing  {name}: event {event}"


def runs(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Yield a line for each client program, and one for each step that failed."""
    for one in outcomes:
        if one.problem:
            yield f"{one.name}: {'skipped' if one.is_skipped else 'FAILED'}: {one.problem}"
            continue
        passed = len(one.steps) - len(one.failed)
        yield f"{one.name}: {one.sdk}: {passed} of {len(one.steps)} steps passed"
        for step in one.failed:
            yield f"  FAILED {step['step']}: {step['error']} [{step['at']}]"


def uncalled(outcomes: Iterable[Outcome], scope: Scope) -> Iterator[str]:
    """Yield the public methods that a program did not call although they are in scope."""
    for one in outcomes:
        for method in sorted(one.methods - one.called):
            if not scope.leaves_out_method(_snake(method)):
                yield f"{one.name}: {method}"


def exclusions(scope: Scope) -> str:
    """Return what is out of scope with the reasons, as Markdown: a section for each kind."""
    sections = [f"### {title}\n\n{_reasons(scope, kind)}" for kind, title in _KINDS.items()]
    return "\n\n".join(sections)


def _reasons(scope: Scope, kind: str) -> str:
    by_reason: dict[str, list[str]] = {}
    for one in scope.exclusions:
        if one.kind == kind:
            by_reason.setdefault(one.reason, []).append(f"`{one.what}`")
    return "\n".join(f"* {reason}: {', '.join(names)}" for reason, names in by_reason.items())


def _row(name: str, area: Area) -> Sequence[str]:
    request, response, stream = (area.counts(direction) for direction in ("request", "response", "stream"))
    missing, issues = len(area.missing), len(area.issues)
    return (
        name,
        f"{len(area.exercised)}/{len(area.operations)}",
        str(request[0]),
        str(response[0] + stream[0]),
        f"{len(area.events_seen)}/{len(area.events)}" if area.events else "",
        str(missing),
        str(issues),
        _percent(area),
    )


def _percent(area: Area) -> str:
    return f"{area.percent:.1f} %"


def _snake(name: str) -> str:
    """Return Python's spelling of a method of the Node SDK."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def most_frequent(outside: Counter[str]) -> Iterator[str]:
    yield from (f"{name} ({count})" for name, count in outside.most_common())
