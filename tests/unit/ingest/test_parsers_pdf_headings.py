"""Headings of a PDF have the outline's levels, and what only tells the reader where they are is left out."""

from pathlib import Path

from reportlab.pdfgen.canvas import Canvas

from ingest.documents import Category, ParsedDocument
from tests.unit.ingest.test_parsers_pdf import HEIGHT, elements, parse, pdf, write

WORDS = ("apple", "pear", "plum", "cherry", "grape", "melon", "fig", "quince")


def paths(document: ParsedDocument) -> list[tuple[str, ...]]:
    """Return the path of each heading, itself included."""
    headings = (element for element in document.elements if element.category is Category.HEADING)
    return [(*element.headings, document.text[element.start : element.end]) for element in headings]


def bookmark(canvas: Canvas, title: str, level: int) -> None:
    canvas.bookmarkPage(title)
    canvas.addOutlineEntry(title, title, level)


def body(canvas: Canvas, top: float, word: str) -> None:
    write(
        canvas,
        72,
        top,
        f"The {word} grows on a tree in the garden behind the house, and it is",
        f"eaten as {word} pie.",
    )


def test_the_outline_gives_levels_and_the_title_on_the_cover_is_not_above_it(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        write(canvas, 72, 200, "The handbook", size=24)
        canvas.showPage()
        for chapter in ("1 Fruit", "2 Nuts"):
            bookmark(canvas, chapter, 0)
            write(canvas, 72, 100, chapter, size=16)
            bookmark(canvas, f"{chapter[0]}.1 Kinds", 1)
            write(canvas, 72, 140, f"{chapter[0]}.1 Kinds", size=12)
            body(canvas, 160, "apple")
            canvas.showPage()

    assert paths(parse(tmp_path, pdf(draw))) == [
        ("The handbook",),
        ("1 Fruit",),
        ("1 Fruit", "1.1 Kinds"),
        ("2 Nuts",),
        ("2 Nuts", "2.1 Kinds"),
    ]


def test_the_outline_tells_headings_that_look_like_text_and_their_levels_whatever_their_size(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        bookmark(canvas, "Part one", 0)
        write(canvas, 72, 100, "Part one", size=14)
        bookmark(canvas, "Plain section", 1)
        write(canvas, 72, 130, "Plain section")
        body(canvas, 160, "apple")

    document = parse(tmp_path, pdf(draw))
    assert paths(document) == [("Part one",), ("Part one", "Plain section")]


def test_an_outline_that_names_no_heading_is_ignored(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        bookmark(canvas, "Page 1", 0)
        write(canvas, 72, 100, "Title", size=20)
        write(canvas, 72, 140, "Section", size=14)
        body(canvas, 160, "apple")

    assert paths(parse(tmp_path, pdf(draw))) == [("Title",), ("Title", "Section")]


def test_a_running_head_that_varies_by_chapter_is_left_out(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for number, word in enumerate(WORDS, 1):
            chapter = f"{(number + 1) // 2} All about the {WORDS[(number - 1) // 2]}"
            write(canvas, 72, 40, "Handbook of fruit and nuts", size=8)
            canvas.drawRightString(520, HEIGHT - 40, chapter)
            if number % 2:
                write(canvas, 72, 80, chapter, size=16)
            body(canvas, 120, word)
            canvas.showPage()

    texts = [text for _, text in elements(parse(tmp_path, pdf(draw)))]
    assert not any("Handbook" in text for text in texts)
    assert sum("All about" in text for text in texts) == 4
    assert [text for text in texts if "grows" in text] == [
        f"The {word} grows on a tree in the garden behind the house, and it is eaten as {word} pie." for word in WORDS
    ]


def test_a_running_head_of_nothing_but_the_chapter_is_left_out(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for word in WORDS:
            write(canvas, 72, 40, f"About {word}", size=8)
            write(canvas, 72, 80, f"About {word}", size=16)
            body(canvas, 120, word)
            canvas.showPage()

    texts = [text for _, text in elements(parse(tmp_path, pdf(draw)))]
    assert [text for text in texts if "About" in text] == [f"About {word}" for word in WORDS]


def test_titles_at_the_top_of_slides_stay(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for word in WORDS:
            bookmark(canvas, f"A word on {word}", 0)
            write(canvas, 72, 60, f"A word on {word}", size=20)
            body(canvas, 120, word)
            canvas.showPage()

    texts = [text for _, text in elements(parse(tmp_path, pdf(draw)))]
    assert [text for text in texts if "A word" in text] == [f"A word on {word}" for word in WORDS]


def test_the_only_line_of_a_page_stays(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for _ in range(4):
            write(canvas, 72, 40, "Confidential")
            canvas.showPage()

    assert [text for _, text in elements(parse(tmp_path, pdf(draw)))] == ["Confidential"] * 4


def test_the_first_lines_of_text_at_one_height_are_not_running_heads(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for word in WORDS:
            write(canvas, 72, 60, f"{word} {word[::-1]}", f"{word[1:]} {word}.")
            write(canvas, 72, 100, *(f"The {word} of year {n} had its own {word} taste." for n in range(12)))
            canvas.showPage()

    text = parse(tmp_path, pdf(draw)).text
    assert all(f"{word} {word[::-1]} {word[1:]} {word}." in text for word in WORDS)


def test_running_heads_of_two_pages_are_left_out(tmp_path: Path) -> None:
    def draw(canvas: Canvas) -> None:
        for number, word in enumerate(WORDS[:2], 1):
            write(canvas, 72, 40, "Leaflet on fruit", size=8)
            write(canvas, 72, 80, f"The {word}", size=16)
            body(canvas, 120, word)
            write(canvas, 72, 800, f"Edition 4, page {number} of 2", size=8)
            canvas.showPage()

    texts = [text for _, text in elements(parse(tmp_path, pdf(draw)))]
    assert not any("Leaflet" in text or "Edition" in text for text in texts)
    assert [text for text in texts if len(text) < 12] == ["The apple", "The pear"]
