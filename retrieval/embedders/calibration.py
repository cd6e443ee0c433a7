"""Which number format a converted model is run in on this machine: measured once, in a process of its own.

What a format gives depends on the processor: with AMX bf16 has three times the speed of fp32, elsewhere none at all. So
each is measured for speed and for agreement with fp32, and the fastest that agrees well enough is taken.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from filelock import FileLock
from tokenizers import Tokenizer

from catalog.errors import ConfigurationError
from retrieval.embedders.conversion import ModelManifest, read_manifest
from retrieval.embedders.inference import Precision, compiled, padded, supported_precisions
from retrieval.embedders.samples import SENTENCES

# The lowest mean and minimum cosine to fp32 of a format that is taken unasked. bf16 has .9999; int8 with about .994
# changes one in ten of the first ten passages, which is for whoever runs the service to choose.
MIN_MEAN_COSINE: Final = 0.999
MIN_COSINE: Final = 0.995
# Tokens of the texts that are timed: a window of ours, and as much as the default model reads.
LENGTHS: Final = (120, 250)
_ROWS: Final = 16
_QUERY_TOKENS: Final = 12
# The best of so many counts: other work on the machine only ever makes a run slower.
_ROUNDS: Final = 3
_QUERY_ROUNDS: Final = 20

# Measures the model in a folder and stores the calibration in a file.
Measurement = Callable[[Path, Path], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One number format on this machine."""

    precision: Precision
    # At each of LENGTHS, or at what the model reads where that is less.
    texts_per_s: tuple[float, ...]
    # Milliseconds for one short query.
    query_ms: float
    # To fp32, over SENTENCES.
    mean_cosine: float
    min_cosine: float

    @property
    def agrees(self) -> bool:
        return self.mean_cosine >= MIN_MEAN_COSINE and self.min_cosine >= MIN_COSINE

    @property
    def seconds_per_text(self) -> float:
        return sum(1 / rate for rate in self.texts_per_s)


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """The trials of a model on a machine."""

    # Processor and its instructions, count of processors, version of OpenVINO.
    machine: str
    trials: tuple[Trial, ...]

    @property
    def chosen(self) -> Precision:
        """The fastest format that agrees with fp32; fp32 agrees with itself, so there is one."""
        return min((trial for trial in self.trials if trial.agrees), key=lambda trial: trial.seconds_per_text).precision


def ensure_calibrated(
    folder: Path, *, anew: bool = False, machine: str | None = None, measure: Measurement | None = None
) -> Calibration:
    """Return the calibration of the converted model in `folder` on a machine, measuring it if need be.

    It takes some seconds. Safe to call from several processes: one measures, the others wait. Another processor,
    another count of processors or another OpenVINO is another machine. `machine` is this one by default, and `measure`
    runs in a process of its own. Raises ConfigurationError.
    """
    machine = machine or this_machine()
    path = folder / f"calibration-{hashlib.sha256(machine.encode()).hexdigest()[:12]}.json"
    with FileLock(path.with_suffix(".lock")):
        known = None if anew else _read(path)
        if known is None:
            (measure or _measure_in_child)(folder, path)
            known = _read(path)
    if known is None:
        raise ConfigurationError(f"The calibration in {path} cannot be read; delete it, and start again.")
    return known


def this_machine() -> str:
    """Return what the speed of a format depends on; clouds give many processors one name, so that is not enough."""
    of_processor = _cpu_fields()
    flags = hashlib.sha256(of_processor.get("flags", "").encode()).hexdigest()[:8]
    name = of_processor.get("model name") or platform.processor() or platform.machine()
    kind = "/".join(of_processor.get(field, "?") for field in ("cpu family", "model", "stepping"))
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name} {kind}, instructions {flags}, {count} processors, OpenVINO {version('openvino')}"


def _cpu_fields() -> dict[str, str]:
    """Return what Linux says of the first processor; nothing elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}


def measure(folder: Path) -> Calibration:
    """Try every format that this processor computes in."""
    manifest = read_manifest(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(manifest.max_sequence_tokens)
    ids = [encoding.ids for encoding in tokenizer.encode_batch(list(SENTENCES))]
    stream = [token for row in ids for token in row]
    candidates = {precision: _Candidate(folder, manifest, precision) for precision in supported_precisions()}
    vectors = {precision: candidate.vectors(ids) for precision, candidate in candidates.items()}
    lengths = [min(length, manifest.max_sequence_tokens) for length in LENGTHS]
    seconds = [_fastest(candidates, [_cut(stream, length, start) for start in range(_ROWS)]) for length in lengths]
    query = _fastest(candidates, [_cut(stream, _QUERY_TOKENS, 0)], rounds=_QUERY_ROUNDS)
    trials = []
    for precision in candidates:
        cosines = np.sum(vectors[precision] * vectors["f32"], axis=1)
        trial = Trial(
            precision=precision,
            texts_per_s=tuple(round(_ROWS / times[precision], 1) for times in seconds),
            query_ms=round(query[precision] * 1000, 2),
            mean_cosine=round(float(cosines.mean()), 6),
            min_cosine=round(float(cosines.min()), 6),
        )
        trials.append(trial)
    return Calibration(machine=this_machine(), trials=tuple(trials))


class _Candidate:
    """A model compiled for one format."""

    def __init__(self, folder: Path, manifest: ModelManifest, precision: Precision) -> None:
        self._manifest = manifest
        self._request: Any = compiled(folder, precision).create_infer_request()

    def vectors(self, ids: Sequence[Sequence[int]]) -> Any:
        """Return float32, shape (len(ids), dimension), norm 1."""
        rows = self._request.infer(padded(ids, self._manifest))[0].astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def seconds(self, ids: Sequence[Sequence[int]]) -> float:
        tensors = padded(ids, self._manifest)
        started = time.perf_counter()
        self._request.infer(tensors, share_inputs=True)
        return time.perf_counter() - started


def _fastest(
    candidates: Mapping[Precision, _Candidate], ids: Sequence[Sequence[int]], *, rounds: int = _ROUNDS
) -> dict[Precision, float]:
    """Return the least seconds of each candidate. They take turns, so that other work slows all of them down."""
    for candidate in candidates.values():
        candidate.seconds(ids)
    turns = [{name: candidate.seconds(ids) for name, candidate in candidates.items()} for _ in range(rounds)]
    return {name: min(turn[name] for turn in turns) for name in candidates}


def _cut(stream: Sequence[int], length: int, start: int) -> list[int]:
    """Return `length` tokens of a stream that repeats itself."""
    return [stream[(start + position) % len(stream)] for position in range(length)]


def _read(path: Path) -> Calibration | None:
    """Return what is stored, None where there is nothing, or nothing that this version understands."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        trials = tuple(Trial(**{**trial, "texts_per_s": tuple(trial["texts_per_s"])}) for trial in fields["trials"])
        return Calibration(machine=fields["machine"], trials=trials)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measure_in_child(folder: Path, path: Path) -> None:
    """A process of its own: models in several formats would stay in the memory of one that goes on to serve."""
    command = [sys.executable, "-m", "retrieval.embedders.calibration", str(folder), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ConfigurationError(
            f"The embedding model in {folder} could not be calibrated: {reason}. Set embedding_precision to 'f32'."
        )


def store(calibration: Calibration, path: Path) -> None:
    """Write the file whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(calibration), indent=1), encoding="utf-8")
    partial.replace(path)


if __name__ == "__main__":
    store(measure(Path(sys.argv[1])), Path(sys.argv[2]))
