"""The web page in a real browser, against a running Footnote."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.chat_server import MODEL, ChatServer, cites, drops_after, says, stalls_after
from tests.e2e.conftest import Server, footnote
from tests.zips import plain_zip

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
expect = sync_api.expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: apt-get install chromium")

READY_TIMEOUT = 60_000  # milliseconds; the first document waits until the models are loaded
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

HOUSE = (
    "👩🏽‍🚀 Notes on the house 🏡\n\n"
    "The garden lies to the south and is watered twice a week in summer. 🌻\n\n"
    "The boiler in the cellar was installed by Brandt Heating in the autumn of 2011. "
    "Its filter is changed every second spring.\n\n"
    "The roof was covered with slate and has a guarantee of forty years.\n"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, live_server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yield the page at a new collection of its own."""
    with opened(browser, live_server.url) as page:
        new_collection(page, request.node.name)
        yield page


@pytest.fixture
def refused_page(browser: Any, live_server: Server, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Yield the page for a test in which a request is refused: the browser may say so."""
    with opened(browser, live_server.url, forgiven="Failed to load resource") as page:
        new_collection(page, request.node.name)
        yield page


@contextmanager
def opened(browser: Any, url: str, forgiven: str | None = None) -> Iterator[Any]:
    """Yield the page; afterwards the browser must have nothing to complain about, but for what is forgiven."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.goto(url)
    yield page
    context.close()
    assert [each for each in complaints if forgiven is None or forgiven not in each] == []


@pytest.fixture(scope="module")
def model() -> Iterator[ChatServer]:
    """Yield a language model that says what it is told."""
    server = ChatServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def fluent_server(model: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that answers with the language model, from two documents that contradict each other."""
    home = tmp_path_factory.mktemp("fluent") / "home"
    settings = {
        "embedding_backend": "hashing",
        "generator": "openai",
        "generator_url": model.url,
        "generator_model": MODEL,
        "generator_retries": 0,
    }
    documents = home.parent / "documents"
    documents.mkdir()
    home.mkdir()
    (documents / "newer.md").write_text("The pond 🐟 is two metres deep, which are 2 m.\n")
    (documents / "older.md").write_text("The pond 🐟 is nine metres deep, which are 9 m.\n")
    done = footnote("ingest", str(documents), "--store", "Pond", home=home, embedding_backend="hashing")
    assert done.returncode == 0, done.stderr
    server = Server(home, **settings)
    yield server
    server.end()


@pytest.fixture
def fluent_page(browser: Any, fluent_server: Server) -> Iterator[Any]:
    """Yield the page of a server with a language model."""
    with opened(browser, fluent_server.url) as page:
        yield page


def new_collection(page: Any, name: str) -> None:
    page.get_by_role("button", name="New…").click()
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_label("Collection", exact=True).locator("option:checked")).to_have_text(name)


def choose(page: Any, name: str, text: str) -> None:
    payload = {"name": name, "mimeType": "text/plain", "buffer": text.encode()}
    page.get_by_label("Files to add").set_input_files(payload)


def drop(page: Any, name: str, text: str) -> None:
    page.evaluate(
        """([name, text]) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([text], name, { type: "text/plain" }));
            for (const type of ["dragenter", "dragover", "drop"]) {
                const event = new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer });
                document.body.dispatchEvent(event);
            }
        }""",
        [name, text],
    )


def row(page: Any, name: str) -> Any:
    return page.get_by_role("list", name="Documents in this collection").get_by_role("listitem").filter(has_text=name)


def wait_until_ready(page: Any, name: str) -> None:
    expect(row(page, name)).to_contain_text("Ready", timeout=READY_TIMEOUT)


def add_house(page: Any) -> None:
    choose(page, "house.txt", HOUSE)
    wait_until_ready(page, "house.txt")


def ask(page: Any, question: str) -> Any:
    """Ask and wait for the end of the answer, which is returned."""
    page.get_by_label("Your question").fill(question)
    page.keyboard.press("Enter")
    answer = page.get_by_role("article").last
    expect(answer.get_by_role("heading", name=question)).to_be_visible()
    expect(answer).to_have_attribute("aria-busy", "false", timeout=READY_TIMEOUT)
    return answer


def ask_about_boiler(page: Any) -> Any:
    return ask(page, "When was the boiler in the cellar installed?")


TWO, NINE = "The pond 🐟 is two metres deep, which are 2 m.", "The pond 🐟 is nine metres deep, which are 9 m."
SHARKS = "Sharks swim there."


def highlighted(page: Any) -> str:
    marks = page.get_by_role("dialog").locator("mark")
    expect(marks.first).to_be_visible()
    return "".join(marks.all_text_contents())


def test_a_chosen_text_file_becomes_ready(page: Any) -> None:
    """A file taken from the file dialog is uploaded, read and reported as ready with its passages."""
    add_house(page)
    expect(row(page, "house.txt")).to_contain_text(re.compile(r"\d+ passages?"))


def test_a_dropped_text_file_becomes_ready(page: Any) -> None:
    """A file dropped anywhere onto the page is uploaded, read and reported as ready."""
    drop(page, "dropped.txt", HOUSE)
    wait_until_ready(page, "dropped.txt")


def test_the_files_of_an_archive_are_documents_of_their_own(page: Any) -> None:
    """They appear in the list when the archive has been unpacked, each with its path and its state."""
    packed = plain_zip({"cellar/house.txt": HOUSE.encode(), "cellar/noise.bin": bytes(range(256))})
    payload = {"name": "all.zip", "mimeType": "application/zip", "buffer": packed}
    page.get_by_label("Files to add").set_input_files(payload)
    for name in ("all.zip", "house.txt"):
        wait_until_ready(page, name)
    expect(page.get_by_role("button", name="house.txt", exact=True)).to_have_attribute("title", "cellar/house.txt")
    expect(row(page, "noise.bin")).to_contain_text("which no parser reads", timeout=READY_TIMEOUT)
    expect(ask_about_boiler(page)).to_contain_text("2011")
    page.get_by_role("button", name="Delete all.zip").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    for name in ("all.zip", "house.txt", "noise.bin"):
        expect(row(page, name)).to_have_count(0)


def test_documents_are_still_listed_after_a_reload(page: Any) -> None:
    """The chosen collection and its documents are shown again when the page is loaded anew."""
    add_house(page)
    page.reload()
    wait_until_ready(page, "house.txt")


def test_an_answer_carries_a_footnote_with_quote_and_document(page: Any) -> None:
    """A question that the document answers is answered, and the footnote quotes the sentence and names the file."""
    add_house(page)
    answer = ask_about_boiler(page)
    expect(answer.get_by_role("button", name="Footnote 1", exact=True).first).to_be_visible()
    notes = answer.get_by_role("list", name="Footnotes")
    expect(notes).to_contain_text("2011")
    expect(notes).to_contain_text("house.txt")


def test_a_footnote_opens_the_document_with_its_quote_highlighted(page: Any) -> None:
    """The highlighted text is exactly the quote, although emoji precede it in the document."""
    add_house(page)
    answer = ask_about_boiler(page)
    quote = answer.locator("q").first.text_content()
    answer.get_by_role("button", name="Footnote 1", exact=True).first.click()
    passage = highlighted(page)
    assert passage == quote
    assert HOUSE.index("🏡") < HOUSE.index(passage)
    expect(page.get_by_role("dialog").locator("mark").first).to_be_in_viewport()


@pytest.mark.parametrize("width", [1400, 360])
def test_escape_closes_the_document_and_gives_the_focus_back(page: Any, width: int) -> None:
    """Beside the answers and over them alike, Esc leads back to the footnote that was opened."""
    add_house(page)
    mark = ask_about_boiler(page).get_by_role("button", name="Footnote 1", exact=True).first
    page.set_viewport_size({"width": width, "height": 800})
    mark.press("Enter")
    highlighted(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(mark).to_be_focused()


def test_an_answer_is_rated_with_the_keyboard_alone(page: Any, live_server: Server) -> None:
    """The thumb is pressed, a form for the right words opens behind it, and the server has what was said last."""
    add_house(page)
    with page.expect_response(lambda reply: reply.url.endswith("/v1/responses")) as asked:
        answer = ask_about_boiler(page)
    response = re.search(r'"id": ?"(resp_\w+)"', asked.value.text())
    assert response
    group = answer.get_by_role("group", name="Is this answer right?")
    wrong = group.get_by_role("button", name="Wrong")
    expect(wrong).to_have_attribute("aria-pressed", "false")
    wrong.focus()
    page.keyboard.press("Enter")
    expect(wrong).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status").filter(has_text="Thank you.")).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.type("Which spring?")
    page.keyboard.press("Tab")
    expect(group.get_by_label("Words of a document that answer it")).to_be_focused()
    page.keyboard.type("Its filter is changed every second spring.")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(wrong).to_be_focused()
    expect(group.get_by_role("button", name="Send")).to_have_count(0)
    (said,) = live_server.get(f"/v1/responses/{response[1]}/feedback")["data"]
    assert (said["rating"], said["text"], said["expected_quote"]) == (
        "down",
        "Which spring?",
        "Its filter is changed every second spring.",
    )


def test_what_is_not_in_the_documents_is_said_to_be_absent(page: Any) -> None:
    """A question that the documents do not answer gets an answer that says so, without a footnote or an error."""
    add_house(page)
    answer = ask(page, "Who painted the ceiling of the Sistine Chapel?")
    expect(answer.get_by_text("Not in these documents", exact=True)).to_be_visible()
    expect(answer.get_by_role("button", name="Footnote")).to_have_count(0)


def test_sentences_without_a_source_are_marked_in_words(fluent_page: Any, model: ChatServer) -> None:
    """Each, however emoji precede it, with an explanation; a sentence with a footnote is not marked."""
    model.deeds = [cites(f"{TWO} [newer.md] {SHARKS} They are blue.\n\n{NINE} [older.md] {SHARKS}")]
    answer = ask(fluent_page, "How deep is the pond?")
    assert answer.locator(".unsupported").all_text_contents() == [f"{SHARKS} They are blue.", SHARKS]
    expect(answer.locator("p").filter(has_text=TWO)).to_contain_text(f"{SHARKS} They are blue. [no source]")
    cautions = answer.get_by_role("list", name="Cautions")
    expect(cautions).to_contain_text("nothing that this answer cites says this")


def test_a_sentence_without_a_source_is_marked_while_the_answer_is_written(fluent_page: Any, model: ChatServer) -> None:
    """A reader need not wait for the end."""
    model.deeds = [stalls_after(f"{SHARKS} ", "It is deep. [1] And so is ", "the sea.")]
    fluent_page.get_by_label("Your question").fill("How deep is the pond?")
    fluent_page.keyboard.press("Enter")
    answer = fluent_page.get_by_role("article").last
    expect(answer.locator(".unsupported").first).to_contain_text(SHARKS)
    expect(answer.get_by_role("list", name="Cautions")).to_contain_text("[no source]")
    expect(answer).to_have_attribute("aria-busy", "true")
    fluent_page.get_by_role("button", name="Stop").click()
    expect(answer.locator(".unsupported").first).to_contain_text(SHARKS)
    expect(answer.get_by_role("button", name="Ask again")).to_be_visible()


def test_footnotes_that_contradict_each_other_are_named(fluent_page: Any, model: ChatServer) -> None:
    """Beside the sources, and each leads to its passage, by the keyboard too."""
    model.deeds = [cites(f"{TWO} [newer.md] {NINE} [older.md]")]
    answer = ask(fluent_page, "How deep is the pond?")
    dispute = answer.get_by_role("list", name="Cautions").get_by_role("listitem")
    expect(dispute).to_have_text("Footnotes 1 and 2 seem to contradict each other: they give different numbers.")
    for number, name, text in ((1, "newer.md", TWO), (2, "older.md", NINE)):
        dispute.get_by_role("button", name=f"Open footnote {number} in {name}").press("Enter")
        expect(fluent_page.get_by_role("dialog", name=name)).to_be_visible()
        assert highlighted(fluent_page) == text
        fluent_page.keyboard.press("Escape")
    expect(answer.locator(".unsupported")).to_have_count(0)


def test_an_answer_that_was_cut_off_says_so(fluent_page: Any, model: ChatServer) -> None:
    """A language model that is not done at the limit of tokens leaves half an answer."""
    model.deeds = [says("sharks " * 1100)]
    expect(ask(fluent_page, "Who swims there?")).to_contain_text("The answer was cut off: it reached its length limit.")


def test_an_answer_whose_model_dies_says_so(fluent_page: Any, model: ChatServer) -> None:
    """What came stands, and the question can be asked again."""
    model.deeds = [drops_after(f"{TWO} ")]
    answer = ask(fluent_page, "How deep is the pond now?")
    expect(answer).to_contain_text("two metres")
    expect(answer.locator(".message")).to_be_visible()
    model.deeds = [cites(f"{TWO} [newer.md]")]
    answer.get_by_role("button", name="Ask again").click()
    expect(fluent_page.get_by_role("article").last.get_by_role("list", name="Footnotes")).to_contain_text("2 m.")


def test_an_answer_without_a_footnote_that_holds_is_said_to_have_none(fluent_page: Any, model: ChatServer) -> None:
    """It is not set like an answer that the documents support."""
    model.deeds = [cites(f"{SHARKS} [newer.md]")]
    answer = ask(fluent_page, "Who swims there?")
    expect(answer.get_by_text("Not supported by these documents", exact=True)).to_be_visible()
    expect(answer.get_by_role("button", name="Footnote")).to_have_count(0)


def test_a_follow_up_is_read_with_the_question_before(page: Any) -> None:
    """Alone "And when?" asks nothing that a document could answer; in another collection it stands alone."""
    add_house(page)
    ask(page, "Who installed the boiler in the cellar?")
    expect(ask(page, "And when?").get_by_role("list", name="Footnotes")).to_contain_text("2011")
    new_collection(page, "empty of follow-ups")
    expect(ask(page, "And when?").get_by_text("Not in these documents", exact=True)).to_be_visible()


def test_a_follow_up_on_an_answer_that_is_gone_stands_alone(refused_page: Any) -> None:
    """An answer goes with the document that it quotes; the next question is answered all the same."""
    page = refused_page
    add_house(page)
    ask_about_boiler(page)
    page.get_by_role("button", name="Delete house.txt").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row(page, "house.txt")).to_have_count(0)
    choose(page, "other.txt", HOUSE)
    wait_until_ready(page, "other.txt")
    with page.expect_response(lambda reply: reply.url.endswith("/v1/responses") and reply.status == 400):
        answer = ask(page, "What was the roof covered with?")
    expect(answer.get_by_role("list", name="Footnotes")).to_contain_text("slate")


def test_a_question_without_documents_is_told_that_there_are_none(page: Any) -> None:
    """Rather than that they do not hold the answer."""
    answer = ask_about_boiler(page)
    expect(answer).to_contain_text("There are no documents yet.")
    add_house(page)
    answer.get_by_role("button", name="Ask again").click()
    expect(page.get_by_role("article").last.get_by_role("list", name="Footnotes")).to_contain_text("2011")


def test_an_upload_that_was_refused_is_not_to_be_tried_again(refused_page: Any) -> None:
    """The server would refuse it again; one that did not reach the server may be repeated."""
    page = refused_page
    choose(page, "empty.txt", "")
    expect(row(page, "empty.txt")).to_contain_text("The file is empty")
    expect(row(page, "empty.txt").get_by_role("button", name="Try again")).to_have_count(0)
    page.route("**/v1/files", lambda route: route.abort())
    choose(page, "house.txt", HOUSE)
    expect(row(page, "house.txt")).to_contain_text("The upload broke off")
    page.unroute("**/v1/files")
    row(page, "house.txt").get_by_role("button", name="Try again").click()
    wait_until_ready(page, "house.txt")


def test_an_awkward_file_name_is_shown_as_text(page: Any) -> None:
    """Quotes, markup, emoji and right-to-left letters in a file name are shown as they are."""
    name = 'the "final" <b>plan</b> 🚀 خطة.txt'
    choose(page, name, HOUSE)
    wait_until_ready(page, name)
    expect(row(page, name).locator("b")).to_have_count(0)
    expect(ask_about_boiler(page).get_by_role("list", name="Footnotes")).to_contain_text(name)


def test_a_deleted_document_is_gone_from_the_list_and_from_answers(page: Any) -> None:
    """After a confirmed deletion the document is neither listed nor cited."""
    add_house(page)
    page.get_by_role("button", name="Delete house.txt").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(row(page, "house.txt")).to_have_count(0)
    expect(ask_about_boiler(page).get_by_role("list", name="Footnotes")).to_have_count(0)


def test_nothing_is_cut_off_on_a_narrow_screen(page: Any) -> None:
    """At 360 px the page fits the screen, with the documents shown and with an answer."""
    page.set_viewport_size({"width": 360, "height": 640})
    page.get_by_role("button", name="Documents", exact=True).click()
    choose(page, "a-rather-long-file-name-without-any-space-in-it-that-would-not-fit.txt", HOUSE)
    wait_until_ready(page, "a-rather-long-file-name")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    ask_about_boiler(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
