"""Mutated files through `parse_file`, for hours if need be: `python -m tests.fuzz.fuzz_parsers FOLDER --minutes 60`.

Files are parsed in forked children, many in each. A find is whatever a caller is not promised: an exception other
than DocumentRejected, a child that ends or takes too long, a document that breaks a law. Each is saved with the
number of its round, and `--only ROUND` with the same seed and folders runs that one again.
"""

import argparse
import collections
import json
import logging
import math
import os
import random
import re
import resource
import select
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import ingest.parsers.preload  # noqa: F401 - before anything else imports spaCy, and before the forks
from catalog.errors import DocumentRejected
from ingest.parsers import parse_file
from ingest.parsers.media_types import suffix_of
from tests.fuzz.laws import broken_laws
from tests.fuzz.mutations import mutate
from tests.samples import small_samples

_MAX_SAMPLE_BYTES: Final = 256 * 1024
_MAX_MUTATED_BYTES: Final = 1024 * 1024
_ROUNDS_PER_CHILD: Final = 200
_MAX_SECONDS: Final = 20.0  # for one file, most of which take milliseconds
_MEMORY_BYTES: Final = 2 * 1024**3
_KEPT_PER_FIND: Final = 3
# What differs between two messages of one defect.
_VARYING: Final = re.compile(r"\d+|'[^']*'")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A file to mutate."""

    name: str
    data: bytes


def read_samples(folders: Sequence[Path]) -> list[Sample]:
    """Return a file of every format, and the files below `folders` that are small enough to be parsed many times."""
    made = [Sample(name=name, data=data) for name, data in small_samples().items()]
    paths = (path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file())
    found = (Sample(name=path.name, data=path.read_bytes()) for path in paths)
    return [*made, *(sample for sample in found if 0 < len(sample.data) <= _MAX_SAMPLE_BYTES)]


def mutated(samples: Sequence[Sample], seed: int, number: int) -> Sample:
    """Return the file of one round: always the same for the same samples, seed and number."""
    rng = random.Random(f"{seed}:{number}")
    # By format first: else the formats with many samples would get all the rounds.
    suffix = rng.choice(sorted({suffix_of(sample.name) for sample in samples}))
    sample = rng.choice([sample for sample in samples if suffix_of(sample.name) == suffix])
    data = mutate(rng, sample.data, [other.data for other in samples])[:_MAX_MUTATED_BYTES]
    name = rng.choice(samples).name if rng.random() < 0.05 else sample.name
    return Sample(name=name, data=data)


def outcome_of(path: Path, name: str) -> str:
    """Return "parsed" or "refused", else what is wrong in one line."""
    try:
        document = parse_file(path, name)
    except DocumentRejected as exc:
        return "refused" if name in exc.message else f"law: the message does not name the file: {exc.message}"
    except Exception as exc:  # noqa: BLE001 - these are the finds.
        ours = [frame for frame in traceback.extract_tb(exc.__traceback__) if "/ingest/" in frame.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "?"
        return f"{type(exc).__name__} in {place}: {str(exc)[:150]!r}"
    broken = broken_laws(document)
    return f"law: {broken[0]}" if broken else "parsed"


def _serve(pipe: int, samples: Sequence[Sample], seed: int, numbers: Sequence[int]) -> None:
    """In the child: run rounds, telling the parent of each when it begins and when it ends."""
    logging.disable()
    warnings.simplefilter("ignore")
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + _MEMORY_BYTES, mapped + _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        for number in numbers:
            sample = mutated(samples, seed, number)
            path.write_bytes(sample.data)
            _tell(pipe, number, suffix_of(sample.name), "begin")
            _tell(pipe, number, suffix_of(sample.name), outcome_of(path, sample.name))


def _tell(pipe: int, number: int, suffix: str, what: str) -> None:
    os.write(pipe, (json.dumps([number, suffix, what]) + "\n").encode())


class Campaign:
    """Rounds in forked children, with what came of them."""

    def __init__(self, samples: Sequence[Sample], seed: int, finds: Path | None = None) -> None:
        self._samples = samples
        self._seed = seed
        self._folder = finds
        # By format and outcome; finds by their line.
        self.outcomes: collections.Counter[tuple[str, str]] = collections.Counter()
        self.finds: dict[str, list[int]] = {}
        self.slowest: tuple[float, int] = (0.0, -1)

    def run(self, numbers: Sequence[int]) -> None:
        """Run these rounds, in as many children as it takes: a find may end its child."""
        rest = list(numbers)
        while rest:
            done = self._run_child(rest)
            rest = rest[rest.index(done) + 1 :] if done is not None else rest[1:]

    def _run_child(self, numbers: Sequence[int]) -> int | None:
        """Return the last round that began, or None where none did."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reader)
                _serve(writer, self._samples, self._seed, numbers)
                os._exit(0)
            finally:
                os._exit(1)
        os.close(writer)
        last: int | None = None
        suffix, began, is_open, pending = "", time.monotonic(), False, b""
        why = "the child ended"
        while True:
            ready, _, _ = select.select([reader], [], [], _MAX_SECONDS)
            piece = os.read(reader, 1 << 16) if ready else b""
            if not ready:
                why = f"took longer than {_MAX_SECONDS:g} s"
                os.kill(child, signal.SIGKILL)
            if not piece:
                break
            *lines, pending = (pending + piece).split(b"\n")
            for line in lines:
                last, suffix, what = json.loads(line)
                is_open = what == "begin"
                if is_open:
                    began = time.monotonic()
                else:
                    self._note(last, suffix, what, time.monotonic() - began)
        os.close(reader)
        _, status = os.waitpid(child, 0)
        if is_open and last is not None:
            self._note(last, suffix, f"{why} ({os.waitstatus_to_exitcode(status)})", time.monotonic() - began)
        return last

    def _note(self, number: int, suffix: str, what: str, seconds: float) -> None:
        self.slowest = max(self.slowest, (round(seconds, 1), number))
        self.outcomes[suffix, what if what in ("parsed", "refused") else "find"] += 1
        if what in ("parsed", "refused"):
            return
        rounds = self.finds.setdefault(_VARYING.sub("…", what), [])
        rounds.append(number)
        if self._folder is not None and len(rounds) <= _KEPT_PER_FIND:
            sample = mutated(self._samples, self._seed, number)
            (self._folder / f"{self._seed}-{number}-{sample.name}").write_bytes(sample.data)
            print(f"find: round {number} {sample.name}: {what}", flush=True)  # noqa: T201 - the log of a long run.

    def report(self) -> str:
        """Return a Markdown table of the formats and a list of the finds."""
        lines = ["| format | rounds | parsed | refused | finds |", "|---|---:|---:|---:|---:|"]
        for suffix in sorted({suffix for suffix, _ in self.outcomes}):
            counts = [self.outcomes[suffix, kind] for kind in ("parsed", "refused", "find")]
            lines.append(f"| {suffix} | {sum(counts)} | {counts[0]} | {counts[1]} | {counts[2]} |")
        lines.append(f"\nrounds: {self.outcomes.total()}; slowest: {self.slowest[0]} s (round {self.slowest[1]})")
        lines += [f"* {len(rounds)} x {find} (rounds {rounds[:3]})" for find, rounds in sorted(self.finds.items())]
        return "\n".join(lines)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("folders", nargs="*", type=Path, help="folders of files to mutate beside those made here")
    arguments.add_argument("--minutes", type=float, help="how long, instead of --rounds")
    arguments.add_argument("--rounds", type=int, default=1000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--first", type=int, default=0, help="number of the first round")
    arguments.add_argument("--only", type=int, help="run this round alone, here, with its trace")
    arguments.add_argument("--finds", type=Path, help="folder that keeps the files of the finds")
    options = arguments.parse_args()
    samples = read_samples(options.folders)
    if options.only is not None:
        sys.exit("\n".join(_run_here(mutated(samples, options.seed, options.only))) or None)
    campaign = Campaign(samples, options.seed, options.finds)
    end = math.inf if options.minutes is None else time.monotonic() + 60 * options.minutes
    last = options.first + options.rounds if options.minutes is None else sys.maxsize
    first = options.first
    while first < last and time.monotonic() < end:
        following = min(first + _ROUNDS_PER_CHILD, last)
        campaign.run(range(first, following))
        first = following
    print(campaign.report(), flush=True)  # noqa: T201 - it is the product.
    sys.exit(1 if campaign.finds else None)


def _run_here(sample: Sample) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        path.write_bytes(sample.data)
        return broken_laws(parse_file(path, sample.name))


if __name__ == "__main__":
    main()
