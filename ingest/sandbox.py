"""Parsing in a child process that can be killed: a hostile file costs one job, never the worker.

The child comes from a fork server that has every parser imported, so it costs a fork instead of seconds of imports,
and the worker itself never imports a parser. The child limits its own memory and CPU time, and those of each program
that it starts, as Tesseract, and dies with the worker; the worker keeps the wall clock, and ends those programs with
the child. Only a document or a DocumentRejected comes back. A child that gave a document may read another file of the
same owner: for a small one the fork takes longer than the parser.
"""

import io
import logging
import math
import multiprocessing
import os
import pickle
import resource
import signal
import struct
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import IO, Any, Self

from catalog.errors import DocumentRejected, InvalidFile, ParseLimitExceeded, ParserKilled, ServiceUnavailable
from ingest.documents import MAX_TEXT_CHARS, ParsedDocument, normalize_text
from ingest.parsers import OcrOptions, parse_file
from ingest.unpacking import Unpacking

_logger = logging.getLogger(__name__)

# How often the worker looks whether the job was cancelled.
_POLL_INTERVAL = 0.2  # seconds
_READ_BYTES = 1 << 20
# In front of a result.
_LENGTH = struct.Struct("<Q")
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
_MAX_MESSAGE_CHARS = 2000
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


class Sandbox:
    """Parses files one after the other: in one child, and in a new one after each file that gave no document.

    For files of one owner, since a file that takes its child over reads and answers for those that follow. A context
    manager, at whose end the child is gone. Not for several threads at once; each may have its own.
    """

    def __init__(self, limits: ParseLimits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None

    def parse(
        self,
        path: Path,
        *,
        filename: str,
        unpacking: Unpacking | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> ParsedDocument:
        """Return the document in the file at `path`.

        The files of an archive go where `unpacking` says. `cancelled` is asked several times a second.

        Raises InvalidFile, UnsupportedFile and ParseLimitExceeded, with a message for the uploader that says what to
        do, also where the parser crashed; ParserKilled; ParseCancelled; and ServiceUnavailable when the fork server
        itself was killed, or when there is no room for the files of an archive.
        """
        deadline = time.monotonic() + self._limits.timeout_s
        self._child = self._child or _Child(self._limits)
        order = _Order(path=path, filename=filename, unpacking=unpacking, deadline=deadline)
        try:
            return self._child.parse(order, cancelled)
        except BaseException:
            self._child.end()
            self._child = None
            raise


def parse_in_child(
    path: Path,
    *,
    filename: str,
    limits: ParseLimits = DEFAULT_LIMITS,
    cancelled: Callable[[], bool] = lambda: False,
) -> ParsedDocument:
    """Parse one file in a child of its own, which is gone when this returns. Raises what `Sandbox.parse` raises."""
    with Sandbox(limits) as sandbox:
        return sandbox.parse(path, filename=filename, cancelled=cancelled)


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What the child is to parse."""

    path: Path
    filename: str
    unpacking: Unpacking | None
    # As time.monotonic() counts, which is the same clock in every process.
    deadline: float


class _Child:
    """One child process, as the worker sees it."""

    def __init__(self, limits: ParseLimits) -> None:
        self._limits = limits
        self._connection, theirs = _context().Pipe()
        self._process = _context().Process(target=_serve, args=(theirs, limits), daemon=True)
        try:
            with _without_main_module():
                self._process.start()
        except BaseException:
            self._connection.close()
            raise
        finally:
            theirs.close()

    def end(self) -> None:
        """Kill the child and the programs that it has started."""
        self._connection.close()
        self._process.kill()
        if self._process.pid is not None:
            _kill_group(self._process.pid)
        self._exit_code()
        with _processes_lock:
            self._process.close()

    def parse(self, order: _Order, cancelled: Callable[[], bool]) -> ParsedDocument:
        with suppress(OSError):  # It ended while it waited: then its exit status says why.
            self._connection.send(order)
        payload = self._receive(order, cancelled)
        if payload is None:
            exit_code = self._exit_code(max(order.deadline - time.monotonic(), _POLL_INTERVAL))
            raise _failure(exit_code, order.filename, self._limits)
        return _document(payload, order.filename)

    def _receive(self, order: _Order, cancelled: Callable[[], bool]) -> IO[bytes] | None:
        """Return the result, or None when the child ended before it was complete.

        Reads while the child writes, in pieces: a pipe holds 64 KiB, and a child may stop in the middle.
        """
        received = io.BytesIO()
        length = self._limits.max_text_chars * _RESULT_BYTES_PER_CHAR
        while received.tell() < _LENGTH.size + length:
            remaining = order.deadline - time.monotonic()
            if remaining <= 0:
                raise _too_slow(order.filename, self._limits)
            if cancelled():
                raise ParseCancelled(f"parsing of {order.filename!r} was cancelled")
            if not wait([self._connection], min(remaining, _POLL_INTERVAL)):
                continue
            piece = self._read()
            if not piece:
                return None
            was_known = received.tell() >= _LENGTH.size
            received.write(piece)
            if not was_known and received.tell() >= _LENGTH.size:
                (announced,) = _LENGTH.unpack_from(received.getbuffer())
                if announced > length:
                    raise ParseLimitExceeded(f"{order.filename!r} holds more text than fits into memory; split it")
                length = announced
        received.seek(_LENGTH.size)
        return received

    def _read(self) -> bytes:
        try:
            return os.read(self._connection.fileno(), _READ_BYTES)
        except ConnectionResetError:  # It ended with an order unread.
            return b""

    def _exit_code(self, timeout: float | None = None) -> int | None:
        """Return the exit status, or None when the child has not ended after `timeout` seconds."""
        wait([self._process.sentinel], timeout)
        with _processes_lock:
            return self._process.exitcode


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
    context.set_forkserver_preload(["ingest.parsers.preload", "ingest.sandbox"])
    return context


# A child's exit status can be read once, and multiprocessing reads those of all children whenever it starts one.
_processes_lock = threading.Lock()


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hide `__main__` while a child starts: multiprocessing would run it again in every child.

    There it is the console script, whose import of the API takes longer than most documents.
    """
    with _processes_lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


def _document(payload: IO[bytes], filename: str) -> ParsedDocument:
    """Return the document that the child sent, or raise what it sent instead."""
    try:
        outcome = _ResultUnpickler(payload).load()
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError, AttributeError, IndexError) as exc:
        raise InvalidFile(f"{filename!r} made the parser send an unreadable result ({exc})") from exc
    if isinstance(outcome, _Stated):
        # The words are the child's: in a form that every log and database can hold.
        raise type(outcome)(normalize_text(str(outcome.message))[:_MAX_MESSAGE_CHARS])
    if isinstance(outcome, ParsedDocument):
        return outcome
    raise InvalidFile(f"{filename!r} made the parser send a {type(outcome).__name__}, not a document")


def _failure(exit_code: int | None, filename: str, limits: ParseLimits) -> Exception:
    """Return what the end of a child means that has not sent a result."""
    if exit_code is None:
        return _too_slow(filename, limits)
    if exit_code == -signal.SIGXCPU:
        return ParseLimitExceeded(
            f"{filename!r} took more than {limits.cpu_s} s of processor time; split it, or raise the limit"
        )
    if exit_code == _FORK_SERVER_GONE:
        return ServiceUnavailable(f"the fork server of the parsers ended while {filename!r} was read; try again")
    if exit_code == -signal.SIGKILL:
        return ParserKilled(
            f"the parser was killed while it read {filename!r}, most likely for lack of memory; split the document"
        )
    cause = signal.Signals(-exit_code).name if exit_code < 0 else f"exit status {exit_code}"
    return InvalidFile(f"the parser crashed on {filename!r} ({cause}); save the file anew or convert it to PDF")


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


def _serve(orders: Connection, limits: ParseLimits) -> None:
    """Parse what is ordered and send the outcomes, each after its length, until no order can come any more."""
    # A group of its own, which is killed whole: Tesseract may be at work when this process is.
    os.setpgid(0, 0)
    threading.Thread(target=_die_with_worker, daemon=True).start()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    _limit_memory(limits)
    with os.fdopen(os.dup(orders.fileno()), "wb") as results:
        while True:
            try:
                order = orders.recv()
            except EOFError:
                # At once: interpreter shutdown would take longer than a small document.
                os._exit(0)
            _limit_time(limits)
            result = _pickled(_parse(order, limits))
            results.write(_LENGTH.pack(len(result)))
            results.write(result)
            results.flush()


def _die_with_worker() -> None:
    """End this process, and what it started, when the worker ends, however: the kernel closes its end of a pipe.

    PR_SET_PDEATHSIG would watch the fork server, which is the parent here, instead of the worker.
    """
    worker = multiprocessing.parent_process()
    if worker is not None:
        worker.join()
        os.killpg(0, signal.SIGKILL)


def _limit_memory(limits: ParseLimits) -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():  # Linux; macOS has no such file and does not enforce the limit either.
        # What is mapped already is what the fork server's imports take in every child.
        ceiling = int(statm.read_text().split()[0]) * resource.getpagesize() + limits.memory_bytes
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(limits: ParseLimits) -> None:
    """Let the process live for so many seconds of processor time from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    end = math.ceil(used.ru_utime + used.ru_stime) + limits.cpu_s
    # The soft limit kills by SIGXCPU, which the worker can tell from other ends; a hard one cannot be raised again.
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (end if hard == resource.RLIM_INFINITY else min(end, hard), hard))


def _ocr_options(limits: ParseLimits, deadline: float) -> OcrOptions:
    """Return until when OCR may go on: with less processor time than time, as if all of it were used at once."""
    now = time.monotonic()
    limit_s = min(limits.timeout_s, limits.cpu_s)
    share = _OCR_SHARE * min(deadline - now, limits.cpu_s)
    return OcrOptions(languages=limits.ocr_languages, deadline=now + share, limit_s=limit_s)


def _parse(order: _Order, limits: ParseLimits) -> _Outcome:
    filename, ocr = order.filename, _ocr_options(limits, order.deadline)
    try:
        return parse_file(order.path, filename, ocr=ocr, unpacking=order.unpacking, max_chars=limits.max_text_chars)
    except _Stated as exc:
        return exc
    except MemoryError:
        return ParseLimitExceeded(
            f"{filename!r} needs more than {limits.memory_bytes // 2**20} MiB of memory to read; split the document"
        )
    except Exception as exc:  # Whatever a file makes a parser raise is that file's failure.
        _logger.exception("parser failed on %r", filename)
        return InvalidFile(f"{filename!r} could not be read ({type(exc).__name__}: {exc}); save the file anew")


def _pickled(outcome: _Outcome) -> bytes:
    if isinstance(outcome, _Stated):
        # A chained cause may hold objects that do not pickle; it has been logged or said in the message.
        outcome = type(outcome)(outcome.message)
    return pickle.dumps(outcome, protocol=pickle.HIGHEST_PROTOCOL)
