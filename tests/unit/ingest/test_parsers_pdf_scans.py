"""Scanned pages of a PDF are read by OCR, and stated where they are not; good text layers are left alone."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import reportlab
from PIL import Image
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from catalog.errors import InvalidFile
from ingest.documents import Category, ParsedDocument
from ingest.parsers import OcrOptions, parse_file
from tests.scans import (
    DPI,
    a_picture,
    draw_scan,
    encoded,
    hocr,
    hocr_line,
    hocr_word,
    needs_tesseract,
    scanned_pdf,
    stand_in,
)

SENTENCES = (
    "The pump needs no oil before the first start.",
    "Turn the wheel to the left, and then close it.",
    "Whoever hears the alarm leaves the room now.",
)
FAILING = "exit 1"


def pdf(*pages: Callable[[Canvas], None]) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for draw in pages:
        draw(canvas)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def write(*lines: str, invisible: bool = False) -> Callable[[Canvas], None]:
    def draw(canvas: Canvas) -> None:
        text = canvas.beginText(40, 150)
        text.setTextRenderMode(3 if invisible else 0)
        text.textLines("\n".join(lines))
        canvas.drawText(text)

    return draw


def scan(*lines: str, turn: Image.Transpose | None = None) -> Callable[[Canvas], None]:
    image = a_picture(*lines)
    return lambda canvas: draw_scan(canvas, image if turn is None else image.transpose(turn))


def both(*layers: Callable[[Canvas], None]) -> Callable[[Canvas], None]:
    def draw(canvas: Canvas) -> None:
        for layer in layers:
            layer(canvas)

    return draw


def parse(tmp_path: Path, content: bytes, ocr: OcrOptions | None = None) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return parse_file(path, "a.pdf", ocr=ocr or OcrOptions())


def use_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    """Let OCR read `words` on every page, and keep the last picture."""
    placed = [hocr_word(word, (30 + 100 * i, 60, 110 + 100 * i, 90)) for i, word in enumerate(words.split())]
    answer = hocr(hocr_line(*placed, size=30))
    monkeypatch.setenv("PATH", stand_in(tmp_path, f"cat > {tmp_path}/picture; cat <<'END'\n{answer}\nEND"))


def picture_size(tmp_path: Path) -> tuple[int, int]:
    with Image.open(tmp_path / "picture") as picture:
        return picture.size


def pages(document: ParsedDocument) -> list[tuple[int | None, str]]:
    return [(element.page, document.text[element.start : element.end]) for element in document.elements]


@needs_tesseract
def test_scanned_and_written_pages_are_one_document(tmp_path: Path) -> None:
    """Each page is in its place, and the ones that were read by OCR are named."""
    content = pdf(write("This page was written."), scan(*SENTENCES), write("So was this one."))
    document = parse(tmp_path, content)
    assert pages(document) == [(1, "This page was written."), (2, " ".join(SENTENCES)), (3, "So was this one.")]
    assert (document.pages, document.pages_read) == (3, 3)
    assert document.warnings == ("page 2 was read by OCR; errors are possible",)


@needs_tesseract
def test_boxes_of_scanned_text_are_points_of_the_page(tmp_path: Path) -> None:
    """They are where the picture shows the text."""
    box = parse(tmp_path, scanned_pdf(a_picture(SENTENCES[0]))).elements[0].box
    assert box is not None
    assert box[0] == pytest.approx(60 * 72 / DPI, abs=2)
    assert 60 * 72 / DPI < box[1] < box[3] < 100 * 72 / DPI
    assert box[2] < 1000 * 72 / DPI


@needs_tesseract
@pytest.mark.parametrize("turn", [Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180])
def test_a_page_that_was_scanned_sideways_is_read(tmp_path: Path, turn: Image.Transpose) -> None:
    """Its boxes are on the page as it is shown."""
    document = parse(tmp_path, pdf(scan(*SENTENCES, turn=turn)))
    assert document.text == " ".join(SENTENCES)
    box = document.elements[0].box
    assert box is not None
    if turn is Image.Transpose.ROTATE_90:
        assert (box[2] - box[0]) < (box[3] - box[1])
        assert box[0] < 60
    else:
        assert box[3] > 500 * 72 / DPI - 60


@needs_tesseract
def test_headings_of_scanned_pages_are_told_among_written_ones(tmp_path: Path) -> None:
    """Body text of both kinds counts as one size, whatever the scan's."""
    image = a_picture("", "", "", "", *SENTENCES, *SENTENCES)
    image.paste(a_picture("Alarm", size=(1000, 160), text_size=56), (0, 0))

    def written(canvas: Canvas) -> None:
        canvas.setFont("Helvetica", 12)
        for number, line in enumerate(SENTENCES * 3):
            canvas.drawString(40, 700 - 14 * number, line)

    document = parse(tmp_path, pdf(written, lambda canvas: draw_scan(canvas, image)))
    assert [(e.category, e.page) for e in document.elements if e.category is Category.HEADING] == [
        (Category.HEADING, 2)
    ]
    assert document.elements[-1].headings == ("Alarm",)


def test_without_ocr_scanned_pages_are_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not count as read, and what to install is said."""
    monkeypatch.setenv("PATH", "")
    document = parse(tmp_path, pdf(write("Words."), scan("Lost"), scan("Lost"), write("Words."), scan("Lost")))
    assert document.warnings == (
        "pages 2 to 3 and 5 have no text layer and no OCR is installed (apt install tesseract-ocr)",
    )
    assert (document.pages, document.pages_read) == (5, 2)


def test_without_ocr_a_scan_is_refused_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zero text is a failure, not a success."""
    monkeypatch.setenv("PATH", "")
    expected = r"'a\.pdf' holds no text: page 1 has no text layer and no OCR is installed \(apt install tesseract-ocr\)"
    with pytest.raises(InvalidFile, match=expected):
        parse(tmp_path, scanned_pdf(a_picture("Lost")))


def test_a_blank_page_needs_no_ocr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is drawn on it; nor does a scan of white paper hide any text."""
    monkeypatch.setenv("PATH", stand_in(tmp_path, FAILING))
    document = parse(tmp_path, pdf(write("Words."), lambda canvas: None, scan()))
    assert (document.pages, document.pages_read, document.warnings) == (3, 3, ())


def test_a_page_that_shows_no_text_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drawing may hold text that OCR did not find."""
    use_stand_in(tmp_path, monkeypatch, "")
    document = parse(tmp_path, pdf(write("Words."), lambda canvas: canvas.rect(100, 100, 200, 200, fill=1)))
    assert (document.pages_read, document.warnings) == (1, ("page 2: OCR found no text",))


def test_the_stamp_of_a_scanner_does_not_hide_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few words over a picture of the page are not its text."""
    use_stand_in(tmp_path, monkeypatch, "Scanned with care and all the rest")
    document = parse(tmp_path, pdf(both(scan("The rest"), write("Scanned with care"))))
    assert document.text == "Scanned with care and all the rest"
    assert document.warnings == ("page 1 was read by OCR; errors are possible",)


def test_without_ocr_a_stamped_scan_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stamp stays as text, but the page does not count as read."""
    monkeypatch.setenv("PATH", "")
    document = parse(tmp_path, pdf(both(scan("The rest"), write("Scanned with care"))))
    assert (document.text, document.pages_read) == ("Scanned with care", 0)
    assert document.warnings == (
        "page 1 may show more than its text layer says, and no OCR is installed (apt install tesseract-ocr)",
    )


def test_a_caption_on_a_photo_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where OCR finds no more than the text layer has, the text layer is the truth."""
    use_stand_in(tmp_path, monkeypatch, "The harb0ur in spring")
    document = parse(tmp_path, pdf(both(scan("photo"), write("The harbour in spring"))))
    assert (document.text, document.pages_read, document.warnings) == ("The harbour in spring", 1, ())


def test_the_text_layer_of_a_scan_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scanner's own OCR left enough words: the page is not read again."""
    monkeypatch.setenv("PATH", stand_in(tmp_path, FAILING))
    document = parse(tmp_path, pdf(both(scan("picture"), write(*SENTENCES, invisible=True))))
    assert (document.text, document.warnings) == (" ".join(SENTENCES), ())


@pytest.fixture
def symbols() -> None:
    """Register a font that can be told private characters, as one without a table of letters tells them."""
    folder = Path(reportlab.__file__).parent / "fonts"
    pdfmetrics.registerFont(TTFont("Vera", str(folder / "Vera.ttf")))


def unknown(text: str) -> Callable[[Canvas], None]:
    def draw(canvas: Canvas) -> None:
        canvas.setFont("Vera", 12)
        canvas.drawString(40, 150, text)

    return draw


@pytest.mark.usefixtures("symbols")
def test_a_text_layer_of_unknown_characters_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shapes are drawn and read, though no picture covers the page."""
    use_stand_in(tmp_path, monkeypatch, "The valve needs some oil")
    document = parse(tmp_path, pdf(unknown("\ue001\ue002\ue003 \ue004\ue005 oil")))
    assert document.text == "The valve needs some oil"
    assert document.warnings == ("page 1 was read by OCR; errors are possible",)


@pytest.mark.usefixtures("symbols")
def test_a_few_symbols_do_not_make_a_text_layer_doubtful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bullets are often private characters."""
    monkeypatch.setenv("PATH", stand_in(tmp_path, FAILING))
    document = parse(tmp_path, pdf(unknown("\ue001 The valve needs some oil")))
    assert (document.pages_read, document.warnings) == (1, ())


@pytest.mark.parametrize(
    ("size", "page", "expected"),
    [
        ((1000, 700), (500, 350), (1000, 700)),
        ((4200, 3000), (420, 300), (1750, 1250)),
        ((100, 70), (500, 350), (2084, 1459)),
    ],
    ids=["as sharp as the scan", "at most 300 dpi", "an ornament is no scan"],
)
def test_a_page_is_drawn_as_sharp_as_its_scan(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, int],
    page: tuple[int, int],
    expected: tuple[int, int],
) -> None:
    """Enlarging brings noise forward; more than 300 dpi brings nothing."""

    def draw(canvas: Canvas) -> None:
        canvas.setPageSize(page)
        canvas.drawInlineImage(a_picture("x", size=size, text_size=size[1] // 5), 0, 0, *page)

    use_stand_in(tmp_path, monkeypatch, "word")
    parse(tmp_path, pdf(draw))
    assert picture_size(tmp_path) == pytest.approx(expected, abs=1)


def test_a_huge_page_is_drawn_within_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of three by three metres gets 30 million pixels, and a place in points all the same."""

    def draw(canvas: Canvas) -> None:
        canvas.setPageSize((8640, 8640))
        canvas.rect(1000, 1000, 4000, 4000, fill=1)

    use_stand_in(tmp_path, monkeypatch, "word")
    box = parse(tmp_path, pdf(draw)).elements[0].box
    width, height = picture_size(tmp_path)
    assert width * height == pytest.approx(30_000_000, rel=0.01)
    assert box == pytest.approx([pixel * 8640 / width for pixel in (30, 60, 110, 90)], abs=0.1)


def test_a_picture_in_a_form_counts_as_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some scanners wrap the picture of the page; its sharpness is found all the same."""

    def draw(canvas: Canvas) -> None:
        canvas.setPageSize((500, 350))
        canvas.beginForm("page")
        canvas.drawInlineImage(a_picture("x", size=(1000, 700)), 0, 0, 500, 350)
        canvas.endForm()
        canvas.doForm("page")

    use_stand_in(tmp_path, monkeypatch, "word")
    parse(tmp_path, pdf(draw))
    assert picture_size(tmp_path) == (1000, 700)


def test_a_page_with_a_picture_that_is_too_large_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not unpacked, and the other pages are read."""
    bomb = Image.new("1", (20_000, 20_000), 1)
    content = io.BytesIO()
    Image.new("1", (1000, 700), 0).save(content, "PDF", save_all=True, append_images=[bomb])
    use_stand_in(tmp_path, monkeypatch, "word")
    Path(tmp_path / "b.pdf").write_bytes(content.getvalue())
    # The first page is black from edge to edge, which is blank to OCR.
    with pytest.raises(
        InvalidFile, match="page 2 was not read: it has a picture of 20000 x 20000 pixels; the limit is"
    ):
        parse(tmp_path, content.getvalue())


def test_when_time_is_over_the_pages_that_were_read_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long scan becomes what there was time for, and the rest is named."""
    answer = hocr(hocr_line(hocr_word("word", (30, 60, 90, 90)), size=30))
    script = f"if [ $(wc -c) -lt 600000 ]; then cat <<'END'\n{answer}\nEND\nelse exec sleep 60; fi"
    monkeypatch.setenv("PATH", stand_in(tmp_path, script))
    images = [a_picture("x", size=(700, 600)), *(a_picture("x", size=(1000, 700)) for _ in range(4))]
    ocr = OcrOptions(deadline=time.monotonic() + 4.0, limit_s=5.0)
    document = parse(tmp_path, pdf(*(lambda canvas, i=image: draw_scan(canvas, i) for image in images)), ocr)
    assert pages(document) == [(1, "word")]
    assert (document.pages, document.pages_read) == (5, 1)
    assert document.warnings == (
        "page 1 was read by OCR; errors are possible",
        "pages 2 to 5 were not read: the time limit of 5 s was reached; split the document",
    )


def test_a_missing_language_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The languages come with the options."""
    use_stand_in(tmp_path, monkeypatch, "word")
    with pytest.raises(InvalidFile, match=r"page 1 has no text layer and OCR has no data for 'fra' \(apt install"):
        parse(tmp_path, scanned_pdf(a_picture("word")), OcrOptions(languages=("fra",)))


@needs_tesseract
def test_every_element_of_a_scan_lies_in_the_text_and_on_the_page(tmp_path: Path) -> None:
    """The laws of offsets and boxes hold for skewed pages too."""
    image = a_picture(*SENTENCES, "", *SENTENCES).rotate(2, fillcolor=255, resample=Image.Resampling.BICUBIC)
    document = parse(tmp_path, scanned_pdf(image))
    assert document.elements
    position = 0
    for element in document.elements:
        assert position <= element.start < element.end <= len(document.text)
        position = element.end
        assert element.box is not None
        left, top, right, bottom = element.box
        assert 0 <= left < right <= 1000 * 72 / DPI + 0.01
        assert 0 <= top < bottom <= 500 * 72 / DPI + 0.01


def test_a_jpeg_in_a_pdf_is_not_taken_for_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is what its first bytes say."""
    monkeypatch.setenv("PATH", "")
    content = encoded(a_picture("word"), "JPEG") + pdf(write("Words."))
    with pytest.raises(InvalidFile, match=r"'a\.pdf' is an image"):
        parse(tmp_path, content)
