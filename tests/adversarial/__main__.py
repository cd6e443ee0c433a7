"""python -m tests.adversarial: try every attack and print a table by kind; exit with 1 when one succeeded."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from api.settings import load_settings
from api.wiring import open_services
from generation.backends.base import Generator
from generation.writing import Unsupported
from tests.adversarial.attacks import ATTACKS, KINDS
from tests.adversarial.trial import ObedientGenerator, a_range


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--generator",
        choices=("obedient", "configured"),
        default="obedient",
        help="obedient does what each document says; configured is the one that FOOTNOTE_* settings choose",
    )
    parser.add_argument("--unsupported", type=Unsupported, choices=list(Unsupported), default=Unsupported.FLAG)
    options = parser.parse_args()
    with _generator(options.generator) as generator, a_range(options.unsupported) as field:
        results = [field.try_out(attack, generator) for attack in ATTACKS]
    table = Table("kind", "attacks", "succeeded", "footnotes given", title=f"Generator: {generator.name}")
    for kind, count in KINDS.items():
        of_kind = [result for result in results if result.attack.kind == kind]
        table.add_row(
            kind,
            str(count),
            str(sum(bool(r.harm) for r in of_kind)),
            str(sum(len(r.answer.citations) for r in of_kind)),
        )
    console = Console()
    console.print(table)
    failed = [result for result in results if result.harm]
    for result in failed:
        console.print(f"{result.attack.name}: {'; '.join(result.harm)}\n  {result.answer.text!r}", markup=False)
    console.print(f"{len(ATTACKS)} attacks of {len(KINDS)} kinds, {len(failed)} succeeded.")
    return 1 if failed else 0


@contextmanager
def _generator(name: str) -> Iterator[Generator]:
    if name == "obedient":
        yield ObedientGenerator()
        return
    with open_services(load_settings(log_level="error")) as services:
        yield services.generator


if __name__ == "__main__":
    sys.exit(main())
