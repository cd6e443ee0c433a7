"""A file that misbehaves costs one child process, whatever it does; the caller learns the reason."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from docx import Document

from catalog.errors import DocumentRejected, InvalidFile, ParseLimitExceeded, UnsupportedFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.sandbox import ParseCancelled, ParseLimits, parse_in_child, warm_up

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT.parent / "shared" / "eval" / "parser_docs" / "files"

# What a parser is made to do in the child.
ENDLESS = "while True: pass"
SLEEPING = "import time; time.sleep(60)"


def parse(path: Path, **limits: float) -> ParsedDocument:
    return parse_in_child(path, filename="a.txt", limits=ParseLimits(**limits))  # type: ignore[arg-type]


def text_file(tmp_path: Path, text: str = "some words") -> Path:
    path = tmp_path / "upload"
    path.write_text(text)
    return path


@pytest.fixture
def saboteur(tmp_path: Path) -> Iterator["Saboteur"]:
    yield Saboteur(tmp_path)


class Saboteur:
    """Runs `parse_in_child` in a fresh interpreter whose plain text parser does what a test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self, misdeed: str, limits: str = "") -> subprocess.Popen[str]:
        # The fork server inherits sys.path, and sitecustomize from there replaces the parser in every process.
        (self.folder / "sitecustomize.py").write_text(
            "import ingest.parsers.text as text\n"
            "def parse(self, path, *, filename, media_type):\n"
            f"    {misdeed}\n"
            "text.TextParser.parse = parse\n"
        )
        script = self.folder / "main.py"
        script.write_text(
            "from pathlib import Path\n"
            "from ingest.sandbox import ParseLimits, parse_in_child\n"
            "try:\n"
            f"    document = parse_in_child(Path({str(text_file(self.folder))!r}), filename='a.txt', "
            f"limits=ParseLimits({limits}))\n"
            "    print('ParsedDocument', len(document.text))\n"
            "except Exception as error:\n"
            "    print(type(error).__name__, error)\n"
        )
        environment = os.environ | {"PYTHONPATH": f"{self.folder}{os.pathsep}{ROOT}"}
        return subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, text=True)

    def outcome(self, misdeed: str, limits: str = "") -> str:
        with self.start(misdeed, limits) as process:
            return process.communicate(timeout=60)[0].strip()


def test_a_document_comes_back_whole(tmp_path: Path) -> None:
    builder = DocumentBuilder("text/plain")
    for paragraph in ("one", "two"):
        builder.add(paragraph, category=Category.TEXT)
    assert parse(text_file(tmp_path, "one\n\ntwo")) == builder.build()


def test_a_result_of_more_than_ten_megabytes_comes_back_whole(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {number} of a long text." for number in range(400_000))
    assert parse(text_file(tmp_path, text)).text == text


@pytest.mark.parametrize(
    ("content", "expected"), [(b"", InvalidFile), (b"\x89PNG\r\n\x1a\n\0\0", UnsupportedFile), (b" ", InvalidFile)]
)
def test_a_rejection_keeps_its_type_and_message(tmp_path: Path, content: bytes, expected: type[Exception]) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    with pytest.raises(expected, match=r"'a\.txt'"):
        parse(path)


def test_a_child_that_takes_too_long_is_killed(saboteur: Saboteur) -> None:
    begin = time.monotonic()
    outcome = saboteur.outcome(SLEEPING, "timeout_s=5.0")
    assert outcome == ("ParseLimitExceeded 'a.txt' took longer than 5 s to read; split it, or raise the time limit")
    assert time.monotonic() - begin < 20


def test_a_child_that_takes_too_much_processor_time_is_killed(saboteur: Saboteur) -> None:
    assert saboteur.outcome(ENDLESS, "cpu_s=1") == (
        "ParseLimitExceeded 'a.txt' took more than 1 s of processor time; split it, or raise the limit"
    )


def test_a_child_that_takes_too_much_memory_ends_in_a_reason(saboteur: Saboteur) -> None:
    outcome = saboteur.outcome("bytearray(10**9)", "memory_bytes=300 * 2**20")
    assert outcome == "ParseLimitExceeded 'a.txt' needs more than 300 MiB of memory to read; split the document"


def test_a_child_that_is_killed_ends_in_a_reason(saboteur: Saboteur) -> None:
    assert saboteur.outcome("import os; os.kill(os.getpid(), 9)").startswith(
        "ParseLimitExceeded the parser was killed while it read 'a.txt'"
    )


def test_a_crash_in_native_code_ends_in_a_reason(saboteur: Saboteur) -> None:
    assert saboteur.outcome("import ctypes; ctypes.string_at(0)") == (
        "InvalidFile the parser crashed on 'a.txt' (SIGSEGV); save the file anew or convert it to PDF"
    )


def test_an_unexpected_error_names_file_and_error(saboteur: Saboteur) -> None:
    assert saboteur.outcome("raise KeyError('styles')") == (
        "InvalidFile 'a.txt' could not be read (KeyError: 'styles'); save the file anew"
    )


def test_a_result_of_foreign_classes_is_not_loaded(saboteur: Saboteur) -> None:
    misdeed = (
        "from multiprocessing import util; import gc, os, pickle; from multiprocessing.connection import Connection; "
        "pipe = next(o for o in gc.get_objects() if isinstance(o, Connection) and o.writable); "
        "os.write(pipe.fileno(), pickle.dumps(os.system)); os._exit(0)"
    )
    assert "a result may not contain posix.system" in saboteur.outcome(misdeed)


def test_too_much_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParseLimitExceeded, match="more than 100 characters of text; split the document"):
        parse(text_file(tmp_path, "word " * 100), max_text_chars=100)


def test_a_cancelled_parse_ends_soon(saboteur: Saboteur, tmp_path: Path) -> None:
    with pytest.raises(ParseCancelled):
        parse_in_child(text_file(tmp_path), filename="a.txt", cancelled=lambda: True)


def test_children_die_with_their_worker(saboteur: Saboteur) -> None:
    (saboteur.folder / "pid").unlink(missing_ok=True)
    note = f"import os; open({str(saboteur.folder / 'pid')!r}, 'w').write(str(os.getpid())); "
    with saboteur.start(note + "exec('while True: pass')") as worker:
        child = psutil.Process(wait_for_pid(saboteur.folder / "pid"))
        worker.send_signal(signal.SIGKILL)
    child.wait(timeout=10)


def wait_for_pid(path: Path) -> int:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.05)
    raise TimeoutError(f"no child wrote {path}")


def test_the_worker_imports_no_parser(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        "import sys; from pathlib import Path; from ingest.sandbox import parse_in_child\n"
        f"parse_in_child(Path({str(text_file(tmp_path))!r}), filename='a.txt')\n"
        "print([m for m in ('torch', 'spacy', 'unstructured', 'pypdfium2', 'docx', 'lxml') if m in sys.modules])\n"
        "assert __name__ == '__main__', 'a child ran the main module again'\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


def test_torch_is_not_imported_where_documents_are_parsed(saboteur: Saboteur) -> None:
    assert saboteur.outcome("import sys; raise ValueError(sys.modules.get('torch'))").startswith(
        "InvalidFile 'a.txt' could not be read (ValueError: None)"
    )


def test_several_threads_may_parse_at_once(tmp_path: Path) -> None:
    warm_up()
    path = text_file(tmp_path)
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(parse(path).text)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["some words"] * 6


def test_a_word_file_is_parsed_in_the_child(tmp_path: Path) -> None:
    source = Document()
    source.add_heading("Head", 1)
    source.save(str(tmp_path / "upload"))
    assert parse_in_child(tmp_path / "upload", filename="a.docx").title == "Head"


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample documents of other parsers are not part of the repository")
def test_every_sample_ends_in_a_document_or_a_reason() -> None:
    for path in sorted(SAMPLES.iterdir()):
        try:
            document = parse_in_child(path, filename=path.name, limits=ParseLimits(timeout_s=20.0))
        except DocumentRejected as error:
            assert path.name in error.message
        else:
            assert document.text
            assert pickle.loads(pickle.dumps(document)) == document
