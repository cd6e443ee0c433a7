"""Parsing in a child process that can be killed: a hostile file costs one job, never the worker.

The child comes from a fork server that has every parser imported, so it costs a fork instead of seconds of imports,
and the worker itself never imports a parser. The child limits its own memory and CPU time, and those of each program
that it starts, as Tesseract, and dies with the worker; the worker keeps the wall clock, and ends those programs with
the child. Only a document or a DocumentRejected comes back.
"""

import io
import logging
import multiprocessing
import os
import pickle
import resource
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import IO, Any

from catalog.errors import DocumentRejected, InvalidFile, ParseLimitExceeded, ParserKilled, ServiceUnavailable
from ingest.documents import MAX_TEXT_CHARS, ParsedDocument
from ingest.parsers import OcrOptions, parse_file
from ingest.unpacking import Unpacking

_logger = logging.getLogger(__name__)

# How often the worker looks whether the job was cancelled.
_POLL_INTERVAL = 0.2  # seconds
_READ_BYTES = 1 << 20
# The pickle of a text in ASCII is about as long as the text; elements add some 100 bytes each.
_RESULT_BYTES_PER_CHAR = 8
# What multiprocessing reports when the fork server, which alone knows a child's exit status, has ended.
_FORK_SERVER_GONE = 255
# Classes that a result may consist of. A child that a file took over must not get code into the worker.
_RESULT_CLASSES = {
    ("ingest.documents", "ParsedDocument"),
    ("ingest.documents", "Element"),
    ("ingest.documents", "Category"),
    ("ingest.documents", "Member"),
    ("catalog.errors", "InvalidFile"),
    ("catalog.errors", "UnsupportedFile"),
    ("catalog.errors", "ParseLimitExceeded"),
    ("catalog.errors", "ServiceUnavailable"),
}
# Share of the time after which OCR ends; in the rest, what has been read becomes a document.
_OCR_SHARE = 0.9
# What a child may answer in place of a document.
_Stated = (DocumentRejected, ServiceUnavailable)
_Outcome = ParsedDocument | DocumentRejected | ServiceUnavailable


@dataclass(frozen=True, kw_only=True)
class ParseLimits:
    """What one document may cost."""

    # Wall clock, the wait for a processor included.
    timeout_s: float = 300.0
    # Processor time of the child.
    cpu_s: int = 300
    # Address space on top of what the imported parsers take.
    memory_bytes: int = 4 * 1024**3
    # Length of the text that comes out; a longer one is cut.
    max_text_chars: int = MAX_TEXT_CHARS
    # What scans are read in, in Tesseract's names; of these the installed ones are used.
    ocr_languages: tuple[str, ...] = ("eng",)


DEFAULT_LIMITS = ParseLimits()


class ParseCancelled(Exception):
    """The caller's `cancelled` became true; the child has been killed."""


def parse_in_child(
    path: Path,
    *,
    filename: str,
    limits: ParseLimits = DEFAULT_LIMITS,
    unpacking: Unpacking | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> ParsedDocument:
    """Return the document in the file at `path`, parsed in a child process that is gone when this returns.

    The files of an archive go where `unpacking` says. `cancelled` is asked several times a second. Safe to call from
    several threads.

    Raises InvalidFile, UnsupportedFile and ParseLimitExceeded, with a message for the uploader that says what to do,
    also where the parser crashed; ParserKilled; ParseCancelled; and ServiceUnavailable when the fork server itself was
    killed, or when there is no room for the files of an archive.
    """
    deadline = time.monotonic() + limits.timeout_s
    receiver, sender = _context().Pipe(duplex=False)
    child = _context().Process(target=_serve, args=(sender, path, filename, limits, unpacking, deadline), daemon=True)
    try:
        with _without_main_module():
            child.start()
        sender.close()
        payload = _receive(receiver, child, filename, limits, deadline, cancelled)
        child.join(max(deadline - time.monotonic(), _POLL_INTERVAL))
        return _result(payload, child.exitcode, filename, limits)
    finally:
        receiver.close()
        sender.close()
        if child.pid is not None:
            child.kill()
            _kill_group(child.pid)
            child.join()
            child.close()


def _kill_group(pid: int) -> None:
    """Kill the programs that the child with this `pid` has started and not waited for."""
    with suppress(ProcessLookupError, PermissionError):  # None there; on macOS none that lives.
        os.killpg(pid, signal.SIGKILL)


def warm_up() -> None:
    """Start the fork server and its imports in the background, so that the first document does not wait for them."""
    _context()
    forkserver.ensure_running()


def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    # Without "__main__", which is the default: nothing of the worker is needed there.
    context.set_forkserver_preload(["ingest.parsers.preload"])
    return context


_main_lock = threading.Lock()


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide `__main__` while a child starts: multiprocessing would run it again in every child.

    There it is the console script, whose import of the API takes longer than most documents.
    """
    with _main_lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _receive(
    receiver: Connection,
    child: ForkServerProcess,
    filename: str,
    limits: ParseLimits,
    deadline: float,
    cancelled: Callable[[], bool],
) -> bytes:
    """Return all that the child writes until it closes its end, which the end of the process does too.

    Reads while the child writes, in pieces: a pipe holds 64 KiB, and a child may stop in the middle.
    """
    payload = bytearray()
    while True:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise _too_slow(filename, limits)
        if cancelled():
            raise ParseCancelled(f"parsing of {filename!r} was cancelled")
        if not wait([receiver], min(remaining, _POLL_INTERVAL)):
            continue
        piece = os.read(receiver.fileno(), _READ_BYTES)
        if not piece:
            return bytes(payload)
        payload += piece
        if len(payload) > limits.max_text_chars * _RESULT_BYTES_PER_CHAR:
            raise ParseLimitExceeded(f"{filename!r} holds more text and elements than fit into memory; split it")


def _result(payload: bytes, exitcode: int | None, filename: str, limits: ParseLimits) -> ParsedDocument:
    """Return the document that the child sent, or raise what it sent or what its end means."""
    if exitcode == 0:
        try:
            outcome = _ResultUnpickler(io.BytesIO(payload)).load()
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as exc:
            raise InvalidFile(f"{filename!r} made the parser send an unreadable result ({exc})") from exc
        if isinstance(outcome, _Stated):
            raise outcome
        if isinstance(outcome, ParsedDocument):
            return outcome
        raise InvalidFile(f"{filename!r} made the parser send a {type(outcome).__name__}, not a document")
    if exitcode == -signal.SIGXCPU:
        raise ParseLimitExceeded(
            f"{filename!r} took more than {limits.cpu_s} s of processor time; split it, or raise the limit"
        )
    if exitcode == _FORK_SERVER_GONE:
        raise ServiceUnavailable(f"the fork server of the parsers ended while {filename!r} was read; try again")
    if exitcode is None:
        raise _too_slow(filename, limits)
    if exitcode == -signal.SIGKILL:
        raise ParserKilled(
            f"the parser was killed while it read {filename!r}, most likely for lack of memory; split the document"
        )
    cause = signal.Signals(-exitcode).name if exitcode < 0 else f"exit status {exitcode}"
    raise InvalidFile(f"the parser crashed on {filename!r} ({cause}); save the file anew or convert it to PDF")


def _too_slow(filename: str, limits: ParseLimits) -> ParseLimitExceeded:
    return ParseLimitExceeded(
        f"{filename!r} took longer than {limits.timeout_s:g} s to read; split it, or raise the time limit"
    )


class _ResultUnpickler(pickle.Unpickler):
    """Loads results and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _RESULT_CLASSES:
            raise pickle.UnpicklingError(f"a result may not contain {module}.{name}")
        return super().find_class(module, name)


# From here on: in the child.


def _serve(
    sender: Connection,
    path: Path,
    filename: str,
    limits: ParseLimits,
    unpacking: Unpacking | None,
    deadline: float,
) -> None:
    """Parse one document and send the outcome; the exit status says whether that is complete."""
    # A group of its own, which is killed whole: Tesseract may be at work when this process is.
    os.setpgid(0, 0)
    threading.Thread(target=_die_with_worker, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _limit_resources(limits)
    outcome = _parse(path, filename, limits, unpacking, _ocr_options(limits, deadline))
    with os.fdopen(os.dup(sender.fileno()), "wb") as pipe:
        _send(outcome, pipe)
    sender.close()
    # At once: interpreter shutdown would take longer than a small document, and a full pipe has been read by now.
    os._exit(0)


def _die_with_worker() -> None:
    """End this process, and what it started, when the worker ends, however: the kernel closes its end of a pipe.

    PR_SET_PDEATHSIG would watch the fork server, which is the parent here, instead of the worker.
    """
    worker = multiprocessing.parent_process()
    if worker is not None:
        worker.join()
        os.killpg(0, signal.SIGKILL)


def _limit_resources(limits: ParseLimits) -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():  # Linux; macOS has no such file and does not enforce the limit either.
        # What is mapped already is what the fork server's imports take in every child.
        ceiling = int(statm.read_text().split()[0]) * resource.getpagesize() + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    # The soft limit kills by SIGXCPU, which the worker can tell from other ends.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _ocr_options(limits: ParseLimits, deadline: float) -> OcrOptions:
    """Return until when OCR may go on: with less processor time than time, as if all of it were used at once."""
    now = time.monotonic()
    limit_s = min(limits.timeout_s, limits.cpu_s)
    share = _OCR_SHARE * min(deadline - now, limits.cpu_s)
    return OcrOptions(languages=limits.ocr_languages, deadline=now + share, limit_s=limit_s)


def _parse(path: Path, filename: str, limits: ParseLimits, unpacking: Unpacking | None, ocr: OcrOptions) -> _Outcome:
    try:
        return parse_file(path, filename, ocr=ocr, unpacking=unpacking, max_chars=limits.max_text_chars)
    except _Stated as exc:
        return exc
    except MemoryError:
        return ParseLimitExceeded(
            f"{filename!r} needs more than {limits.memory_bytes // 2**20} MiB of memory to read; split the document"
        )
    except Exception as exc:  # Whatever a file makes a parser raise is that file's failure.
        _logger.exception("parser failed on %r", filename)
        return InvalidFile(f"{filename!r} could not be read ({type(exc).__name__}: {exc}); save the file anew")


def _send(outcome: _Outcome, pipe: IO[bytes]) -> None:
    if isinstance(outcome, _Stated):
        # A chained cause may hold objects that do not pickle; it has been logged or said in the message.
        outcome = type(outcome)(outcome.message)
    pickle.dump(outcome, pipe, protocol=pickle.HIGHEST_PROTOCOL)
