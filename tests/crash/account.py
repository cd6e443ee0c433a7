"""The account of what was done in the crash rounds, by database, at the end of the run.

A plugin of the whole run, not of the folder: where tests run in several processes, the one that prints has none.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Final

import pytest

Account = Callable[[Counter[str]], None]

_SECTION: Final = "crash rounds on "
# By title of the section: what was done and what became of it.
_counts: defaultdict[str, Counter[str]] = defaultdict(Counter)


@pytest.fixture
def account(request: pytest.FixtureRequest) -> Account:
    """Return what notes the counts of a round in the report of its test."""
    title = _SECTION + request.node.callspec.params["cluster"]
    # Reports go from one process to another: no members of an enum.
    return lambda counts: request.node.user_properties.append((title, {f"{what}": n for what, n in counts.items()}))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        for title, counts in report.user_properties:
            if title.startswith(_SECTION):
                _counts[title].update(counts)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for title, counts in sorted(_counts.items()):
        terminalreporter.section(title)
        for what, count in sorted(counts.items()):
            terminalreporter.write_line(f"{count:8,} {what}")
