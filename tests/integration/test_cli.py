"""The commands, run in this process against a state folder of their own."""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from api.cli import main
from retrieval.embedders.calibration import ensure_calibrated
from retrieval.embedders.conversion import DEFAULT_MODEL, ensure_converted
from retrieval.lexical import LexicalIndex
from tests.builders import a_publication
from tests.chat_server import MODEL, ChatServer, cites
from tests.integration.conftest import HOUSE, running


@dataclass(frozen=True, kw_only=True)
class Result:
    status: int
    out: str
    err: str


DOCTORS_CHECKS = ("python", "home", "catalog", "blobs", "embedding", "index", "generator", "ocr", "workers")

Command = Callable[..., Result]


@pytest.fixture
def command(tmp_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Return what runs `footnote ARGUMENTS` as the console script does."""
    monkeypatch.setenv("FOOTNOTE_HOME", str(tmp_home))
    monkeypatch.setenv("FOOTNOTE_EMBEDDING_BACKEND", "hashing")
    monkeypatch.chdir(tmp_home)
    interrupt = signal.getsignal(signal.SIGINT)

    def run(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["footnote", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Result(status=int(ended.value.code or 0), out=captured.out, err=captured.err)

    yield run
    signal.signal(signal.SIGINT, interrupt)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with documents at two levels, a hidden file, and an empty one."""
    folder = tmp_path / "documents"
    (folder / "plans").mkdir(parents=True)
    (folder / "house.txt").write_text(HOUSE)
    (folder / "plans" / "garden.md").write_text("# Garden\n\nThe pond is two metres deep.\n")
    (folder / ".hidden.txt").write_text("Never read.")
    return folder


@pytest.fixture
def chat_server() -> Iterator[ChatServer]:
    """Yield a server of a language model."""
    server = ChatServer()
    yield server
    server.close()


def rows(result: Result) -> dict[str, list[str]]:
    """Return the words of each line by its first one."""
    return {line.split()[0]: line.split()[1:] for line in result.out.splitlines() if line.split()}


def blob_of(home: Path, name: str) -> Path:
    """Return where the bytes of the file with this name are stored."""
    connection = sqlite3.connect(home / "catalog.sqlite")
    (digest,) = connection.execute("SELECT sha256 FROM files WHERE filename = ?", (name,)).fetchone()
    connection.close()
    return next((home / "blobs").rglob(digest))


def change(home: Path, statement: str) -> None:
    """Damage the state on purpose."""
    connection = sqlite3.connect(home / "catalog.sqlite")
    with connection:
        connection.execute(statement)
    connection.close()


def test_a_folder_is_ingested_and_every_file_reported(command: Command, folder: Path) -> None:
    """Files of all levels are ready, hidden ones are passed over, and the exit status is 0."""
    result = command("ingest", str(folder))
    assert result.status == 0, result
    found = rows(result)
    assert found["house.txt"][:2] == ["added", "completed"]
    assert found["plans/garden.md"][:2] == ["added", "completed"]
    assert "hidden" not in result.out


def test_ingesting_again_leaves_everything_as_it_is(command: Command, folder: Path, tmp_home: Path) -> None:
    """The second run reports all files unchanged and writes no document."""
    command("ingest", str(folder))
    before = command("search", "pond", "--limit", "10").out
    result = command("ingest", str(folder))
    assert result.status == 0
    assert {rows(result)[name][0] for name in ("house.txt", "plans/garden.md")} == {"unchanged"}
    assert command("search", "pond", "--limit", "10").out == before


def test_a_changed_file_replaces_its_old_text(command: Command, folder: Path) -> None:
    """After the second run only the new words are found, and fsck finds no leftovers."""
    command("ingest", str(folder))
    (folder / "house.txt").write_text("The boiler was replaced by a heat pump in 2024.")
    found = rows(command("ingest", str(folder)))
    assert (found["house.txt"][:2], found["plans/garden.md"][0]) == (["replaced", "completed"], "unchanged")
    hits = command("search", "boiler in the cellar", "--limit", "10").out
    assert "heat pump" in hits
    assert "Brandt" not in hits
    fresh = rows(command("status"))
    assert any(words[-4:] == ["2", "0", "0", "0"] for words in fresh.values())
    assert command("fsck", "--repair").status == 0


def test_a_file_that_cannot_be_read_is_reported_with_its_reason(command: Command, folder: Path) -> None:
    """The other files are taken in, the bad ones are named with the cause, and the exit status is 1."""
    (folder / "empty.pdf").touch()
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    result = command("ingest", str(folder))
    assert result.status == 1
    found = rows(result)
    assert found["empty.pdf"][0] == "refused"
    assert found["picture.png"][:2] == ["added", "failed"]
    assert found["house.txt"][:2] == ["added", "completed"]
    assert "damaged" in result.out
    assert "damaged" in command("status").out
    assert rows(command("ingest", str(folder)))["picture.png"][:2] == ["retried", "failed"]


def test_ask_prints_the_answer_with_a_numbered_footnote(command: Command, folder: Path) -> None:
    """The sentence carries its mark, and the footnote names file and place and quotes."""
    command("ingest", str(folder), "--store", "home")
    result = command("ask", "Who installed the boiler in the cellar?", "--store", "home")
    assert result.status == 0
    assert "Brandt Heating in the autumn of 2011. [1]" in result.out
    assert "[1] house.txt, characters " in result.out


def test_ask_says_when_the_documents_do_not_hold_the_answer(command: Command, folder: Path) -> None:
    """It is no failure of the command."""
    command("ingest", str(folder))
    result = command("ask", "Qxzv blorp wibble?")
    assert result.status == 0
    assert "do not contain the answer" in result.out
    assert "[1]" not in result.out


def test_search_shows_scores_places_and_texts(command: Command, folder: Path) -> None:
    """Best first, at most as many as asked for."""
    command("ingest", str(folder))
    result = command("search", "How deep is the pond?", "--limit", "1")
    assert "garden.md, characters " in result.out
    assert "two metres deep" in result.out
    assert "house.txt" not in result.out


def test_an_unknown_store_is_a_stated_error(command: Command) -> None:
    """One line on stderr and exit status 2, without a traceback."""
    for arguments in (("ask", "What?", "--store", "none"), ("search", "What?", "--store", "none")):
        result = command(*arguments)
        assert result.status == 2
        assert "'none'" in result.err
        assert "Traceback" not in result.err


def test_a_folder_that_is_not_there_is_a_stated_error(command: Command, tmp_path: Path) -> None:
    """The path is named."""
    result = command("ingest", str(tmp_path / "nowhere"))
    assert result.status == 2
    assert "nowhere" in result.err


def test_a_wrong_setting_is_a_stated_error(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command names the variable and ends with status 2."""
    monkeypatch.setenv("FOOTNOTE_PROT", "80")
    result = command("status")
    assert result.status == 2
    assert "FOOTNOTE_PROT" in result.err


def test_fsck_of_a_sound_state_is_clean(command: Command, folder: Path) -> None:
    """Before and after the first documents."""
    assert command("fsck").status == 0
    command("ingest", str(folder))
    result = command("fsck")
    assert result.status == 0
    assert result.out.startswith("Clean")


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        ("UPDATE chunks SET text = 'other words' WHERE id = 1", "false span"),
        ("UPDATE chunks SET vectors = x'00' WHERE id = 1", "broken vector"),
        ("DELETE FROM chunks WHERE id = 1", "lost chunks"),
        (
            'INSERT INTO chunks SELECT 999, 999, 0, start, "end", text, context, page, box, tokens, windows, vectors, '
            "embedding_key FROM chunks WHERE id = 1",
            "orphan chunks",
        ),
        ("DELETE FROM changes", "unannounced document"),
        ("DELETE FROM documents WHERE id = (SELECT min(id) FROM documents)", "lost document"),
        (
            "UPDATE documents SET vector_store_file_id = 999 WHERE id = (SELECT min(id) FROM documents)",
            "orphan document",
        ),
        ("UPDATE vector_store_files SET status = 'in_progress', owner = 'x', lease_until = 1", "stuck job"),
    ],
)
def test_fsck_finds_planted_damage(command: Command, folder: Path, tmp_home: Path, damage: str, kind: str) -> None:
    """Each kind of damage to the catalog is named, with exit status 1."""
    command("ingest", str(folder))
    change(tmp_home, damage)
    result = command("fsck")
    assert result.status == 1
    assert f"{kind}: " in result.out


def test_fsck_finds_a_lost_blob_and_repairs_an_unused_one(command: Command, folder: Path, tmp_home: Path) -> None:
    """Bytes that are needed and gone are a problem; old bytes that nobody needs are deleted by --repair."""
    command("ingest", str(folder))
    orphan = tmp_home / "blobs" / "00" / ("0" * 64)
    orphan.parent.mkdir(exist_ok=True)
    orphan.write_bytes(b"nobody's")
    os.utime(orphan, (1, 1))
    assert "orphan blob: " in command("fsck").out
    assert command("fsck", "--repair").status == 0
    assert not orphan.exists()
    blob_of(tmp_home, "house.txt").unlink()
    result = command("fsck")
    assert result.status == 1
    assert "lost blob: " in result.out


def test_fsck_compares_the_lexical_index_in_both_directions(command: Command, folder: Path, tmp_home: Path) -> None:
    """Postings that are missing and postings too many are both found."""
    command("ingest", str(folder))
    command("search", "pond")
    assert command("fsck").status == 0
    index = LexicalIndex(tmp_home / "lexical")
    index.rewrite([[a_publication(index.position, 999, "x")]], wait_s=5)
    index.close()
    result = command("fsck")
    assert result.status == 1
    assert "unindexed document: " in result.out
    assert "orphan postings: " in result.out


def test_status_counts_the_files_of_every_store(command: Command, folder: Path, tmp_home: Path) -> None:
    """Each store is a line with its name and the number of files in each state."""
    command("ingest", str(folder), "--store", "home")
    with running(tmp_home) as footnote:
        footnote.store(name="queue", file_ids=[footnote.upload()])
    lines = command("status").out.splitlines()
    assert any("home" in line and line.split()[-4:] == ["2", "0", "0", "0"] for line in lines)
    assert any("queue" in line and line.split()[-4:] == ["0", "1", "0", "0"] for line in lines)


def test_doctor_reports_every_part_as_ok(command: Command) -> None:
    """On a sound machine the exit status is 0, and the embedder and the state folder are named."""
    result = command("doctor")
    assert result.status == 0, result
    found = rows(result)
    assert {found[name][0] for name in DOCTORS_CHECKS} == {"ok"}
    assert "schema revision" in result.out
    assert "0 running on this machine" in result.out


def test_doctor_names_the_part_that_does_not_work(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other parts are still checked, and the exit status is 1."""
    monkeypatch.setenv("FOOTNOTE_DATABASE_URL", "oracle://nowhere")
    result = command("doctor")
    assert result.status == 1
    found = rows(result)
    assert (found["catalog"][0], found["embedding"][0]) == ("failed", "ok")


def test_doctor_asks_the_servers_of_language_models(command: Command, tmp_home: Path, chat_server: ChatServer) -> None:
    """Each profile with its generator; one whose server has another model fails the check, by name."""
    wrong = '[profiles.wrong]\ngenerator = "openai"\ngenerator_model = "other"\n'
    right = f'generator_url = "{chat_server.url}"\n[profiles.fluent]\ngenerator = "openai"\n'
    right += f'generator_model = "{MODEL}"\n'
    (tmp_home / "footnote.toml").write_text(right)
    sound = command("doctor")
    assert sound.status == 0
    told = " ".join(sound.out.split())
    assert f"footnote answers with extractive; fluent answers with openai, {chat_server.url} serves {MODEL}" in told
    (tmp_home / "footnote.toml").write_text(right + wrong)
    result = command("doctor")
    assert (result.status, rows(result)["generator"][0]) == (1, "failed")
    assert "profile wrong:" in " ".join(result.out.split())


def test_a_question_may_name_a_profile(command: Command, folder: Path, tmp_home: Path, chat_server: ChatServer) -> None:
    """`--model` chooses who answers; an unknown one is an error."""
    (tmp_home / "footnote.toml").write_text(
        f'[profiles.fluent]\ngenerator = "openai"\ngenerator_url = "{chat_server.url}"\ngenerator_model = "{MODEL}"\n'
    )
    command("ingest", str(folder))
    assert "The pond is two metres deep" in command("ask", "How deep is the pond?").out
    assert "red pump" in command("ask", "How deep is the pond?", "--model", "fluent").out
    assert "There is no model 'none'" in command("ask", "How deep is the pond?", "--model", "none").err


@pytest.fixture
def fluent(folder: Path, tmp_home: Path, chat_server: ChatServer) -> ChatServer:
    """Return the language model that answers, of a folder with two documents that contradict each other."""
    (tmp_home / "footnote.toml").write_text(
        f'generator = "openai"\ngenerator_url = "{chat_server.url}"\ngenerator_model = "{MODEL}"\n'
    )
    (folder / "plans" / "garden.md").unlink()
    (folder / "newer.md").write_text("The pond is two metres deep, which are 2 m.\n")
    (folder / "older.md").write_text("The pond is nine metres deep, which are 9 m.\n")
    return chat_server


def test_an_answer_names_what_is_to_be_doubted(command: Command, folder: Path, fluent: ChatServer) -> None:
    """Sentences without a source in the text, and below the notes the footnotes that contradict each other."""
    command("ingest", str(folder))
    two, nine = "The pond is two metres deep, which are 2 m.", "The pond is nine metres deep, which are 9 m."
    fluent.deeds = [cites(f"{two} [newer.md] Sharks swim there. {nine} [older.md]")]
    told = " ".join(command("ask", "How deep is the pond?").out.split())
    assert f"{two} [1] Sharks swim there. [no source] {nine} [2]" in told
    cautions = told[told.rindex("[no source]") :]
    assert cautions.endswith("Footnotes 1 and 2 seem to contradict each other: they give different numbers.")
    assert "nothing that this answer cites says this" in cautions
    assert told.index("[2] older.md") < told.rindex("[no source]")


def test_an_answer_without_a_footnote_that_holds_is_said_to_have_none(
    command: Command, folder: Path, fluent: ChatServer
) -> None:
    """An answer that the documents support has no such line."""
    command("ingest", str(folder))
    fluent.deeds = [cites("Sharks swim there. [newer.md]"), cites("The pond is nine metres deep. [older.md]")]
    assert "Not supported by these documents." in command("ask", "Who swims there?").out
    sound = command("ask", "How deep is the pond?").out
    assert "[1] older.md" in sound
    assert "supported" not in sound
    assert "[no source]" not in sound


def test_doctor_says_when_no_blob_can_be_written(command: Command, tmp_path: Path) -> None:
    """A folder that is a file; nothing is left behind where blobs can be written."""
    assert command("doctor").status == 0
    blobs = Path(os.environ["FOOTNOTE_HOME"]) / "blobs"
    assert [path for path in blobs.rglob("*") if path.is_file()] == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOOTNOTE_BLOB_URL", (tmp_path / "file").as_uri())
        (tmp_path / "file").write_text("not a folder")
        result = command("doctor")
    assert (result.status, rows(result)["blobs"][0]) == (1, "failed")


def test_doctor_counts_the_workers_that_live(command: Command, tmp_home: Path) -> None:
    """By the locks that they hold; that of a dead one does not count."""
    folder = tmp_home / "workers"
    folder.mkdir()
    (folder / "dead-1-abc.lock").write_bytes(b"")
    with FileLock(folder / "alive-2-def.lock"):
        assert "1 running on this machine" in command("doctor").out


def test_doctor_shows_and_renews_the_calibration(
    command: Command, monkeypatch: pytest.MonkeyPatch, model_cache: Path
) -> None:
    """Each number format with its speed and agreement, and which one is used and why; fp32 is always among them."""
    monkeypatch.setenv("FOOTNOTE_EMBEDDING_BACKEND", "openvino")
    monkeypatch.setenv("FOOTNOTE_MODELS", str(model_cache))
    folder = ensure_converted(DEFAULT_MODEL, model_cache)
    ensure_calibrated(folder)
    stored = next(folder.glob("calibration-*.json"))
    before = stored.stat().st_mtime_ns
    found = rows(command("doctor"))
    assert found["f32"][3:5] == ["1.00000", "1.00000"]
    assert sum("yes" in words for words in found.values()) == 1
    assert stored.stat().st_mtime_ns == before
    monkeypatch.setenv("FOOTNOTE_EMBEDDING_PRECISION", "f32")
    result = command("doctor", "--calibrate")
    assert rows(result)["f32"][-2:] == ["yes", "(embedding_precision)"]
    assert stored.stat().st_mtime_ns > before


def test_a_key_is_made_listed_and_revoked(command: Command, tmp_home: Path) -> None:
    """The clear text is shown once and stored nowhere; the list tells the key's state."""
    clear, _, *words = command("keys", "create", "portal").out.split()
    key_id = words[-1].rstrip(".")
    listed = command("keys", "list").out
    assert "portal" in listed
    assert "active" in listed
    assert clear not in listed
    assert clear.encode() not in (tmp_home / "catalog.sqlite").read_bytes()
    assert command("keys", "revoke", key_id).status == 0
    assert "revoked" in command("keys", "list").out
    assert command("keys", "revoke", "key_none").status == 2


def test_a_key_is_made_for_a_part_of_a_project(command: Command, folder: Path) -> None:
    """Project, scopes, stores, limit and end are options; the list tells them, as a table and as JSON."""
    command("ingest", str(folder), "--store", "home")
    store = next(one for one in command("status").out.split() if one.startswith("vs_"))
    options = ("--scope", "read", "--scope", "mint", "--store", store, "--requests-per-minute", "60", "--expires", "30")
    assert command("keys", "create", "portal", *options).status == 0
    assert command("keys", "create", "other", "--project", "proj_other").status == 0
    first, second = json.loads(command("keys", "list", "--json").out)
    assert (first["scopes"], first["stores"], first["requests_per_minute"]) == (["read", "mint"], [store], 60)
    assert first["expires_at"] - first["created_at"] == 30 * 86_400
    assert (second["project"], second["scopes"], second["stores"]) == ("proj_other", ["write"], None)
    table = command("keys", "list").out
    assert all(word in table for word in ("read, mint", store, "60", "until 20", "proj_other", "all", "default"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--store", "vs_none"), "vs_none"),
        (("--project", "a/b"), "a/b"),
        (("--scope", "everything"), "everything"),
        (("--expires", "0"), "--expires"),
    ],
)
def test_a_key_for_what_is_not_there_is_not_made(command: Command, options: tuple[str, str], words: str) -> None:
    """The message names what is wrong, and the exit status is 2."""
    result = command("keys", "create", "portal", *options)
    assert (result.status, words in result.err) == (2, True)
    assert json.loads(command("keys", "list", "--json").out) == []


def test_the_api_sees_what_the_command_line_ingested(command: Command, folder: Path, tmp_home: Path) -> None:
    """One state, two doors."""
    command("ingest", str(folder), "--store", "home")
    with running(tmp_home) as footnote:
        (store,) = footnote.get("/v1/vector_stores")["data"]
        assert store["name"] == "home"
        listed = footnote.get(f"/v1/vector_stores/{store['id']}/files")["data"]
        assert {entry["source"] for entry in listed} == {"house.txt", "plans/garden.md"}


def test_explain_names_the_stage_that_lost_a_passage(command: Command, folder: Path) -> None:
    """The right passage is followed by document and words; what is not there is said."""
    command("ingest", str(folder), "--store", "house")
    found = command("explain", "How deep is the pond?", "--gold", "garden.md")
    assert (found.status, "Found, at rank 1" in found.out, "fused" in found.out) == (0, True, True)
    lost = command("explain", "How deep is the pond?", "--gold", "house.txt", "--limit", "1")
    assert (lost.status, "Lost at 'loaded'" in lost.out) == (0, True)
    assert "1 passage counts as right" in found.out
    assert "sharing words with the query" in found.out
    assert "There is no model 'none'" in command("explain", "pond", "--gold", "garden.md", "--model", "none").err
    assert "No document named 'x.txt'" in command("explain", "pond", "--gold", "x.txt").err
    assert "No passage" in command("explain", "pond", "--gold", "garden.md", "--quote", "not there").err
