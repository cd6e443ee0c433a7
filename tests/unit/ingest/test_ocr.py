"""Tesseract is found, asked for what is needed, stopped in time, and its absence is stated."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from PIL import Image

from ingest.parsers.base import OcrOptions
from ingest.parsers.ocr import (
    OcrUnavailable,
    Scan,
    Tesseract,
    Unread,
    ocr_warnings,
    open_tesseract,
    read_scans,
    unread_warnings,
)
from tests.scans import a_picture, hocr, hocr_line, hocr_word, needs_tesseract, stand_in

StandIn = Callable[..., Tesseract]
PICTURE = Scan(a_picture("Some words"), 1.0)


@pytest.fixture
def tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Return what opens a stand-in that runs a shell script for a page."""

    def opened(script: str, *, listed: str | None = None, **options: object) -> Tesseract:
        with monkeypatch.context() as patch:
            patch.setenv("PATH", stand_in(tmp_path, script, **({"listed": listed} if listed else {})))
            return open_tesseract(OcrOptions(**options))  # type: ignore[arg-type]

    return opened


def answering(*lines: str) -> str:
    """Return a script that reads the picture and answers with `lines`."""
    return f"cat > /dev/null\n{said(*lines)}"


def said(*lines: str) -> str:
    return f"cat <<'END'\n{hocr(*lines)}\nEND\n"


def words(text: str, confidence: int = 96) -> str:
    return hocr_line(
        *(hocr_word(w, (100 * i, 0, 100 * i + 90, 30), confidence) for i, w in enumerate(text.split())), size=30
    )


def read(tesseract: Tesseract, numbers: Sequence[int] = (1,), picture: Scan = PICTURE) -> list[str]:
    """Return the warnings after the pages have been read."""
    return list(ocr_warnings(read_scans(tesseract, numbers, lambda number: picture), tesseract))


def test_without_tesseract_the_way_to_install_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason goes on after "page 7 has no text layer and"."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(OcrUnavailable, match=r"^no OCR is installed \(apt install tesseract-ocr\)$"):
        open_tesseract(OcrOptions())


def test_a_tesseract_that_does_not_run_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that is missing, for example, is not the file's fault."""
    monkeypatch.setenv("PATH", stand_in(tmp_path, "", listed="'; echo no library >&2; exit 127; '"))
    with pytest.raises(OcrUnavailable, match=r"the OCR program '.*tesseract' does not run \(no library\)"):
        open_tesseract(OcrOptions())


def test_a_file_that_is_no_program_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's words say why it cannot be started."""
    (tmp_path / "tesseract").write_bytes(b"\x00")
    (tmp_path / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OcrUnavailable, match="does not run"):
        open_tesseract(OcrOptions())


def test_the_installed_ones_of_the_languages_are_used(tesseract: StandIn) -> None:
    """The order stays, which is Tesseract's order of preference; what is missing is known."""
    opened = tesseract("", languages=("deu", "fra", "eng", "deu"))
    assert (opened.languages, opened.missing_languages) == (("deu", "eng"), ("fra",))


def test_a_missing_language_is_a_warning_with_the_package(tesseract: StandIn) -> None:
    """Text was read, but not in the language it may be in."""
    opened = tesseract(answering(words("Some words")), languages=("eng", "chi_sim"))
    assert read(opened) == [
        "page 1 was read by OCR; errors are possible",
        "OCR read 'eng' alone: it has no data for 'chi_sim' (apt install tesseract-ocr-chi-sim)",
    ]


def test_without_any_of_the_languages_there_is_no_ocr(tesseract: StandIn) -> None:
    """A name that cannot be installed is no crash either."""
    with pytest.raises(OcrUnavailable, match=r"^OCR has no data for 'fra', '\.\./x' \(apt install tesseract-ocr-fra "):
        tesseract("", languages=("fra", "../x"))


@pytest.mark.parametrize(("listed", "expected"), [("eng\\nosd\\n", "--psm 1"), ("eng\\n", "--psm 3")])
def test_orientation_is_asked_for_where_its_data_is_installed(
    tesseract: StandIn, tmp_path: Path, listed: str, expected: str
) -> None:
    """Without osd.traineddata pages are read as they lie."""
    opened = tesseract(f"echo $* > {tmp_path}/asked; cat > /dev/null", listed=f"List of (2):\\n{listed}")
    read(opened)
    assert (tmp_path / "asked").read_text().split(" hocr")[0].endswith(f"-l eng {expected} -c thresholding_method=2")


def test_one_thread_is_used_for_a_page(tesseract: StandIn, tmp_path: Path) -> None:
    """More than one for a page costs more than it gains, and two pages are read at once."""
    read(tesseract(f"echo $OMP_THREAD_LIMIT > {tmp_path}/threads; cat > /dev/null"))
    assert (tmp_path / "threads").read_text() == "1\n"


def test_a_blank_picture_is_not_given_to_tesseract(tesseract: StandIn) -> None:
    """A back side of paper, with its noise, is a blank page and not an unread one."""
    paper = Image.effect_noise((400, 300), 12).point(lambda shade: shade + 80)
    result = read_scans(tesseract("exit 1"), [1], lambda number: Scan(paper, 2.0))
    assert (result.readings[1].page.is_blank, result.readings[1].page.width) == (True, 200)
    assert list(ocr_warnings(result, tesseract("exit 1"))) == []


def test_pages_come_with_how_sure_they_are(tesseract: StandIn) -> None:
    """Errors are possible or, where Tesseract says so itself, likely."""
    assert read(tesseract(answering(words("Some words")))) == ["page 1 was read by OCR; errors are possible"]
    assert read(tesseract(answering(words("Some words", 60)))) == [
        "page 1 was read by OCR with little certainty; many errors are likely"
    ]


def test_a_page_on_which_nothing_is_found_is_stated(tesseract: StandIn) -> None:
    """It shows something, so it is not blank."""
    assert read(tesseract(answering()), [1, 2]) == ["pages 1 to 2: OCR found no text"]


def test_low_lines_are_read_again_enlarged_and_the_better_reading_counts(tesseract: StandIn) -> None:
    """The stand-in is surer of the larger picture; places are in points of the page all the same."""
    small = hocr_line(hocr_word("word", (0, 0, 20, 9), 60), size=9)
    large = hocr_line(hocr_word("Word", (0, 0, 40, 18), 95), size=18)
    script = f"if [ $(wc -c) -lt 600000 ]; then\n{said(small)}else\n{said(large)}fi"
    result = read_scans(tesseract(script), [1], lambda number: PICTURE)
    assert [(line.text, line.box) for line in result.readings[1].page.lines] == [("Word", (0, 0, 20, 9))]


def test_a_page_that_lies_on_its_side_is_read_again_upright(tesseract: StandIn) -> None:
    """Lines are of the second reading, and the page knows how it was turned."""
    lying = hocr_line(hocr_word("lying", (0, 0, 30, 90)), size=30, angle=90)
    # The height of the picture stands third in the header of the format.
    script = (
        "height=$(head -c 15 | head -n 2 | tail -n 1 | cut -d ' ' -f 2); cat > /dev/null\n"
        f"if [ $height = 500 ]; then\n{said(lying)}else\n{said(words('upright'))}fi"
    )
    page = read_scans(tesseract(script), [1], lambda number: PICTURE).readings[1].page
    assert (page.angle, page.width, page.height) == (90, 500, 1000)
    assert [line.text for line in page.lines] == ["upright"]
    assert page.shown((0, 0, 90, 30)) == (0, 410, 30, 500)


def test_a_large_picture_is_scaled_down_first(tesseract: StandIn, tmp_path: Path) -> None:
    """Tesseract gets at most 30 million pixels; places are in points of the page all the same."""
    large = Scan(a_picture("Some words", size=(8000, 6000)), 4.0)
    script = f"wc -c > {tmp_path}/bytes\n{said(words('word'))}"
    page = read_scans(tesseract(script), [1], lambda number: large).readings[1].page
    assert int((tmp_path / "bytes").read_text()) == pytest.approx(30_000_000, rel=0.01)
    assert (page.width, page.height) == (pytest.approx(2000, abs=1), pytest.approx(1500, abs=1))


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("cat > /dev/null; echo 'Error in pixRead' >&2; exit 1", "Error in pixRead"),
        ("cat > /dev/null; exit 3", "exit status 3"),
        ("kill -SEGV $$", "SIGSEGV"),
    ],
)
def test_a_page_on_which_tesseract_fails_costs_that_page(tesseract: StandIn, script: str, reason: str) -> None:
    """The reason is stated, and the other pages are read."""
    assert read(tesseract(script)) == [f"page 1 was not read: OCR failed on it ({reason})"]


def test_a_page_that_takes_too_long_costs_that_page(tesseract: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The document has time left, but not for this page alone."""
    monkeypatch.setattr("ingest.parsers.ocr._PAGE_TIMEOUT_S", 0.2)
    assert read(tesseract("exec sleep 60")) == ["page 1 was not read: OCR took more than 0.2 s for it"]


def test_when_time_is_over_what_was_read_stays_and_the_rest_is_stated(tesseract: StandIn) -> None:
    """Small pictures are answered at once here, large ones never."""
    script = f"if [ $(wc -c) -lt 100000 ]; then\n{said(words('word'))}else exec sleep 60; fi"
    opened = tesseract(script, deadline=time.monotonic() + 4.0, limit_s=5.0)
    small = Scan(a_picture("word", size=(200, 200)), 1.0)
    begin = time.monotonic()
    result = read_scans(opened, range(1, 10), lambda number: small if number <= 2 else PICTURE)
    assert time.monotonic() - begin < 30
    assert list(ocr_warnings(result, opened)) == [
        "pages 1 to 2 were read by OCR; errors are possible",
        "pages 3 to 9 were not read: the time limit of 5 s was reached; split the document",
    ]


def test_no_picture_is_taken_when_time_is_over(tesseract: StandIn) -> None:
    """A page of a thousand is not drawn in vain."""

    def never(number: int) -> Scan:
        raise AssertionError(f"page {number} was drawn")

    opened = tesseract("", deadline=-math.inf, limit_s=3.0)
    assert read_scans(opened, [4, 5], never).unread == {"the time limit of 3 s was reached; split the document": [4, 5]}


def test_a_picture_that_cannot_be_taken_costs_that_page(tesseract: StandIn) -> None:
    """Reasons are grouped, and pages are in order though they fail at different times."""

    def take(number: int) -> Scan:
        if number == 2:
            raise Unread("it is damaged")
        return PICTURE

    result = read_scans(tesseract("sleep 0.2; cat > /dev/null; echo 'it broke' >&2; exit 1"), [1, 2, 3], take)
    assert list(unread_warnings(result.unread)) == [
        "page 2 was not read: it is damaged",
        "pages 1 and 3 were not read: OCR failed on it (it broke)",
    ]


@needs_tesseract
def test_printed_words_are_read() -> None:
    """The real program finds the text, its place and its size."""
    scan = Scan(a_picture("The pump needs no oil.", "", "The valve needs some."), 150 / 72)
    opened = open_tesseract(OcrOptions())
    reading = read_scans(opened, [1], lambda number: scan).readings[1]
    assert [line.text for line in reading.page.lines] == ["The pump needs no oil.", "The valve needs some."]
    left, top, _, bottom = reading.page.lines[0].box
    assert left == pytest.approx(60 * 72 / 150, abs=3)
    assert 60 * 72 / 150 - 2 < top < bottom < (60 + 1.4 * 28) * 72 / 150
    assert reading.confidence > 80
    assert reading.angle == 0


@needs_tesseract
@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270])
def test_a_page_scanned_sideways_or_upside_down_is_read(turn: Image.Transpose) -> None:
    """Places are those on the page as it was scanned."""
    opened = open_tesseract(OcrOptions())
    if not opened.has_orientation:
        pytest.skip("tesseract-ocr-osd is not installed")
    lines = [f"Line {word} of the page says that the pump needs no oil." for word in ("one", "two", "three", "four")]
    image = a_picture(*lines).transpose(turn)
    page = read_scans(opened, [1], lambda number: Scan(image, 2.0)).readings[1].page
    assert [line.text for line in page.lines] == lines
    left, top, right, bottom = page.shown(page.lines[0].box)
    assert 0 <= left < right <= image.width / 2
    assert 0 <= top < bottom <= image.height / 2
    # The first line is at the edge that was the top one.
    assert {
        Image.Transpose.ROTATE_90: left < 60,
        Image.Transpose.ROTATE_180: bottom > image.height / 2 - 60,
        Image.Transpose.ROTATE_270: right > image.width / 2 - 60,
    }[turn]
