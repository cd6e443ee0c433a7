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

from catalog.errors import DocumentRejected, InvalidFile, ParserKilled, UnsupportedFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.sandbox import ParseCancelled, ParseLimits, Sandbox, parse_in_child, warm_up
from tests.scans import a_picture, encoded, hocr, hocr_line, hocr_word, needs_tesseract, stand_in

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT.parent / "shared" / "eval" / "parser_docs" / "files"

# What a parser is made to do in the child.
ENDLESS = "while True: pass"
SLEEPING = "import time; time.sleep(600)"


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
        # The fork server inherits sys.path; sitecustomize from there replaces the parser in every process. The other
        # parsers, which the fork server would import, take two seconds.
        (self.folder / "sitecustomize.py").write_text(
            "import sys\n"
            "import ingest.parsers.text as text\n"
            "sys.modules['ingest.parsers.preload'] = text\n"
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
            return process.communicate(timeout=120)[0].strip()


def test_a_document_comes_back_whole(tmp_path: Path) -> None:
    builder = DocumentBuilder("text/plain")
    for paragraph in ("one", "two"):
        builder.add(paragraph, category=Category.TEXT)
    assert parse(text_file(tmp_path, "one\n\ntwo")) == builder.build()


def test_a_result_of_more_than_ten_megabytes_comes_back_whole(tmp_path: Path) -> None:
    text = "\n\n".join(f"Paragraph {number} of a long text." for number in range(400_000))
    assert parse(text_file(tmp_path, text)).text == text


@pytest.mark.parametrize(
    ("content", "expected"), [(b"", InvalidFile), (b"\x7fELF\0\0", UnsupportedFile), (b" ", InvalidFile)]
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
    assert time.monotonic() - begin < 120


def test_a_child_that_takes_too_much_processor_time_is_killed(saboteur: Saboteur) -> None:
    assert saboteur.outcome(ENDLESS, "cpu_s=1") == (
        "ParseLimitExceeded 'a.txt' took more than 1 s of processor time; split it, or raise the limit"
    )


def test_a_child_that_takes_too_much_memory_ends_in_a_reason(saboteur: Saboteur) -> None:
    outcome = saboteur.outcome("bytearray(10**9)", "memory_bytes=300 * 2**20")
    assert outcome == "ParseLimitExceeded 'a.txt' needs more than 300 MiB of memory to read; split the document"


def test_a_child_that_is_killed_ends_in_a_reason(saboteur: Saboteur) -> None:
    assert saboteur.outcome("import os; os.kill(os.getpid(), 9)").startswith(
        "ParserKilled the parser was killed while it read 'a.txt'"
    )


def test_a_crash_in_native_code_ends_in_a_reason(saboteur: Saboteur) -> None:
    assert saboteur.outcome("import ctypes; ctypes.string_at(0)") == (
        "InvalidFile the parser crashed on 'a.txt' (SIGSEGV); save the file anew or convert it to PDF"
    )


def test_a_message_becomes_one_that_can_be_stored(saboteur: Saboteur) -> None:
    """No database takes a lone surrogate or a zero, and the words are those of a child that a file may have taken."""
    misdeed = "from catalog.errors import InvalidFile; raise InvalidFile('bad \\udc80 \\0 name' * 1000)"
    assert saboteur.outcome(misdeed).startswith("InvalidFile bad   name")


def test_an_unexpected_error_names_file_and_error(saboteur: Saboteur) -> None:
    assert saboteur.outcome("raise KeyError('styles')") == (
        "InvalidFile 'a.txt' could not be read (KeyError: 'styles'); save the file anew"
    )


def test_a_result_of_foreign_classes_is_not_loaded(saboteur: Saboteur) -> None:
    misdeed = (
        "from multiprocessing import util; import gc, os, pickle; from multiprocessing.connection import Connection; "
        "pipe = next(o for o in gc.get_objects() if isinstance(o, Connection) and o.writable); "
        "import struct; forged = pickle.dumps(os.system); "
        "os.write(pipe.fileno(), struct.pack('<Q', len(forged)) + forged); os._exit(0)"
    )
    assert "a result may not contain posix.system" in saboteur.outcome(misdeed)


def test_too_much_text_is_cut(tmp_path: Path) -> None:
    document = parse(text_file(tmp_path, "word\n" * 100), max_text_chars=100)
    assert document.text == "\n".join(["word"] * 20)
    assert "cut at line 21" in document.warnings[0]


def test_a_cancelled_parse_ends_soon(saboteur: Saboteur, tmp_path: Path) -> None:
    with pytest.raises(ParseCancelled):
        parse_in_child(text_file(tmp_path), filename="a.txt", cancelled=lambda: True)


def test_children_die_with_their_worker(saboteur: Saboteur) -> None:
    (saboteur.folder / "pid").unlink(missing_ok=True)
    note = f"import os; open({str(saboteur.folder / 'pid')!r}, 'w').write(str(os.getpid())); "
    with saboteur.start(note + "exec('while True: pass')") as worker:
        child = psutil.Process(wait_for_pid(saboteur.folder / "pid"))
        worker.send_signal(signal.SIGKILL)
    child.wait(timeout=60)


@pytest.mark.parametrize(
    ("end", "limits"),
    [
        ("program.wait()", "timeout_s=20.0"),
        ("os.kill(os.getpid(), 9)", ""),
        ("import ctypes; ctypes.string_at(0)", ""),
        ("self.forgotten = program; return DocumentBuilder(media_type).build()", ""),
    ],
    ids=["time", "killed", "crashed", "done"],
)
def test_programs_that_a_parser_started_end_with_it(saboteur: Saboteur, end: str, limits: str) -> None:
    """Tesseract is one; however its parser ends, it does not go on."""
    start = (
        "import os, subprocess; from ingest.documents import DocumentBuilder; "
        "program = subprocess.Popen(['sleep', '600']); "
        f"open({str(saboteur.folder / 'pid')!r}, 'w').write(str(program.pid)); "
    )
    saboteur.outcome(start + end, limits)
    assert_gone(wait_for_pid(saboteur.folder / "pid"))


def test_programs_that_a_parser_started_end_with_the_worker(saboteur: Saboteur) -> None:
    """A worker that is killed cannot kill anybody; its child does."""
    start = (
        "import subprocess; program = subprocess.Popen(['sleep', '600']); "
        f"open({str(saboteur.folder / 'pid')!r}, 'w').write(str(program.pid)); program.wait()"
    )
    with saboteur.start(start) as worker:
        program = wait_for_pid(saboteur.folder / "pid")
        assert psutil.pid_exists(program)
        worker.send_signal(signal.SIGKILL)
    assert_gone(program)


def assert_gone(pid: int) -> None:
    """Wait until the process has ended; where nobody takes its exit status, what is left of it is a zombie."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} goes on")


class Scanner:
    """Runs `parse_in_child` on an image, in a fresh interpreter that finds a stand-in for Tesseract."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = folder / "pid"

    def start(self, script: str, limits: str, *, cancelled: str = "False", frames: int = 1) -> subprocess.Popen[str]:
        """`script` is the stand-in's, `cancelled` an expression; each frame shows the same."""
        images = [a_picture("word", size=(700, 600)) for _ in range(frames)]
        (self.folder / "scan").write_bytes(encoded(images[0], "TIFF", save_all=True, append_images=images[1:]))
        main = self.folder / "main.py"
        main.write_text(
            "from pathlib import Path\n"
            "from ingest.sandbox import ParseLimits, parse_in_child\n"
            f"pid = Path({str(self.pid)!r})\n"
            "try:\n"
            f"    document = parse_in_child(Path({str(self.folder / 'scan')!r}), filename='a.tif', "
            f"limits=ParseLimits({limits}), cancelled=lambda: {cancelled})\n"
            "    print(document.pages_read, document.text, *document.warnings, sep='|')\n"
            "except BaseException as error:\n"
            "    print(type(error).__name__, error)\n"
        )
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PATH": stand_in(self.folder, script)}
        return subprocess.Popen([sys.executable, str(main)], env=environment, stdout=subprocess.PIPE, text=True)

    @property
    def endless(self) -> str:
        """A script that notes its process and then does not end."""
        return f"echo $$ > {self.pid}.new; mv {self.pid}.new {self.pid}; exec sleep 600"


@pytest.fixture
def scanner(tmp_path: Path) -> Scanner:
    return Scanner(tmp_path)


def test_ocr_ends_in_time_and_the_document_says_what_was_not_read(scanner: Scanner) -> None:
    """A part of it is left to make a document of the pages that were read before."""
    answer = hocr(hocr_line(hocr_word("word", (60, 60, 130, 90)), size=30))
    script = f"if mkdir {scanner.folder}/first 2>/dev/null; then cat <<'END'\n{answer}\nEND\nelse {scanner.endless}; fi"
    with scanner.start(script, "timeout_s=90.0, cpu_s=6", frames=5) as process:
        output = process.communicate(timeout=120)[0].strip()
    pages_read, text, _, unread = output.split("|")
    assert (pages_read, text) == ("1", "word")
    assert unread.endswith("were not read: the time limit of 6 s was reached; split the document")
    assert_gone(wait_for_pid(scanner.pid))


def test_a_cancelled_parse_ends_ocr_too(scanner: Scanner) -> None:
    """Cancelled while Tesseract is at work, both are gone."""
    with scanner.start(scanner.endless, "", cancelled="pid.exists()") as process:
        assert process.communicate(timeout=120)[0].startswith("ParseCancelled")
    assert_gone(wait_for_pid(scanner.pid))


def test_a_killed_worker_ends_ocr_too(scanner: Scanner) -> None:
    """Tesseract does not go on for a document that nobody waits for."""
    with scanner.start(scanner.endless, "") as worker:
        pid = wait_for_pid(scanner.pid)
        worker.send_signal(signal.SIGKILL)
    assert_gone(pid)


@needs_tesseract
def test_a_scan_is_read_within_the_default_limits(tmp_path: Path) -> None:
    """Tesseract inherits the limits of the child and gets by with them."""
    (tmp_path / "upload").write_bytes(encoded(a_picture("The pump needs no oil before the first start."), "PNG"))
    document = parse_in_child(tmp_path / "upload", filename="a.png")
    assert document.text == "The pump needs no oil before the first start."


def test_the_languages_of_ocr_reach_the_child(tmp_path: Path) -> None:
    """A language that is not installed is named; so is OCR that is not installed."""
    (tmp_path / "upload").write_bytes(encoded(a_picture("word"), "PNG"))
    with pytest.raises(InvalidFile, match=r"no data for 'xyz'|no OCR is installed"):
        parse_in_child(tmp_path / "upload", filename="a.png", limits=ParseLimits(ocr_languages=("xyz",)))


def wait_for_pid(path: Path) -> int:
    deadline = time.monotonic() + 60
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
    """Often enough to meet each other where multiprocessing reads the exit status of somebody else's child."""
    warm_up()
    path = text_file(tmp_path)
    texts: list[str] = []

    def parse_many() -> None:
        for _ in range(25):
            texts.append(parse(path).text)

    threads = [threading.Thread(target=parse_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["some words"] * 100


def test_files_of_one_sandbox_are_read_by_one_child(tmp_path: Path) -> None:
    """For a small file a child of its own would take longer than the parser."""
    with Sandbox() as sandbox:
        children = set()
        for text in ("one", "two", "three"):
            assert sandbox.parse(text_file(tmp_path, text), filename="a.txt").text == text
            children.update(parsers())
        assert len(children) == 1
    assert parsers() == []


def test_a_file_that_gave_no_document_ends_its_child(tmp_path: Path) -> None:
    """What it left in the child's memory cannot spoil the next one; that is read by a new child."""
    with Sandbox() as sandbox:
        sandbox.parse(text_file(tmp_path), filename="a.txt")
        (first,) = parsers()
        with pytest.raises(InvalidFile):
            sandbox.parse(text_file(tmp_path, " "), filename="a.txt")
        assert parsers() == []
        assert sandbox.parse(text_file(tmp_path), filename="a.txt").text == "some words"
        assert parsers() not in ([], [first])


def test_a_child_that_is_killed_while_it_waits_costs_one_retry(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        sandbox.parse(text_file(tmp_path), filename="a.txt")
        (child,) = parsers()
        os.kill(child, signal.SIGKILL)
        with pytest.raises(ParserKilled):
            sandbox.parse(text_file(tmp_path), filename="a.txt")
        assert sandbox.parse(text_file(tmp_path), filename="a.txt").text == "some words"


def parsers() -> list[int]:
    """Return the children of this process's fork server. Services of other tests may run beside it."""
    servers = [child for child in psutil.Process().children() if "multiprocessing.forkserver" in str(child.cmdline())]
    found = [child for server in servers for child in server.children()]
    return sorted(child.pid for child in found if child.status() != psutil.STATUS_ZOMBIE)


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
