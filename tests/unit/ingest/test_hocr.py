"""What Tesseract tells becomes lines in points, straight, with sizes and weights, and without noise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.documents import Box
from ingest.parsers.hocr import Reading, read_hocr
from ingest.parsers.pdf_lines import Page, turned
from tests.scans import hocr, hocr_line, hocr_word

BLANK = np.full((1000, 800), 255, dtype=np.uint8)


def read(*lines: str, pixels: NDArray[np.uint8] = BLANK, scale: float = 2.0) -> Reading:
    return read_hocr(hocr(*lines).encode(), pixels, number=3, scale=scale)


def texts(reading: Reading) -> list[str]:
    return [line.text for line in reading.page.lines]


def test_lines_are_in_points_and_know_the_size_of_their_letters() -> None:
    """Pixels are divided by the scale; the page is as large as the picture."""
    page = read(hocr_line(hocr_word("Two", (20, 40, 60, 56)), hocr_word("words", (70, 42, 130, 60)), size=24)).page
    assert (page.number, page.width, page.height, page.is_blank) == (3, 400, 500, False)
    assert [(line.text, line.box, line.size) for line in page.lines] == [("Two words", (10, 20, 65, 30), 12)]


def test_lines_stay_in_the_order_that_tesseract_found() -> None:
    """Its layout analysis knows columns; nothing is sorted here."""
    lower = hocr_line(hocr_word("first", (10, 500, 60, 520)))
    assert texts(read(lower, hocr_line(hocr_word("second", (400, 10, 460, 30))))) == ["first", "second"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([("stain", 40), ("ink", 45)], []),
        ([("doubtful", 55), ("word", 60)], ["doubtful word"]),
        ([("sure", 96), ("blot", 9)], ["sure"]),
        ([("certainly", 96), ("mis", 12)], ["certainly mis"]),
        ([("sure", 96), ("~", 45)], ["sure"]),
        ([("sure", 96), ("&amp;", 60)], ["sure &"]),
        ([("___", 96), ("cell", 96), ("¦", 96)], ["cell"]),
        ([("—", 96), ("...", 96)], []),
    ],
)
def test_what_tesseract_is_least_sure_of_is_left_out(words: list[tuple[str, int]], expected: list[str]) -> None:
    """Lines below 50 % go, words below 10 %, signs without a letter below 50 %, rules, and lines of signs alone."""
    placed = [hocr_word(text, (100 * i, 0, 100 * i + 60, 20), confidence) for i, (text, confidence) in enumerate(words)]
    assert texts(read(hocr_line(*placed, size=50))) == expected


@pytest.mark.parametrize(
    ("text", "height", "expected"),
    [("|", 15, "I saw"), ("|", 40, "saw"), ("|", 2, "saw"), ("|’ve", 15, "I’ve saw"), ("||", 15, "saw")],
)
def test_an_upright_stroke_is_a_letter_only_if_it_is_as_high_as_one(text: str, height: int, expected: str) -> None:
    """Tesseract takes many an I for the rule of a table, which is higher or only a dot."""
    assert texts(read(hocr_line(hocr_word(text, (0, 0, 4, height)), hocr_word("saw", (20, 0, 60, 15)), size=20))) == [
        expected
    ]


def test_confidence_is_the_mean_over_letters() -> None:
    """A long word counts more than a short one."""
    reading = read(hocr_line(hocr_word("abcdefgh", (0, 0, 90, 20), 90), hocr_word("ab", (100, 0, 130, 20), 60)))
    assert (reading.letters, reading.confidence, reading.certainty) == (10, 84, 840)


def test_a_hyphen_at_the_end_is_taken_for_a_divided_word() -> None:
    """The line says so, and its text has no hyphen, as with a text layer."""
    line = read(hocr_line(hocr_word("the", (0, 0, 40, 20)), hocr_word("exam-", (50, 0, 99, 20)))).page.lines[0]
    assert (line.text, line.is_hyphenated) == ("the exam", True)


def test_ligatures_become_letters() -> None:
    """The same words are found whether a text layer or OCR spelled them."""
    assert texts(read(hocr_line(hocr_word("oﬃce", (0, 0, 40, 20))))) == ["office"]


def test_a_wide_gap_divides_a_line_into_cells() -> None:
    """Segments end where more than one and a half sizes are empty."""
    words = (hocr_word("Unit", (0, 0, 40, 20)), hocr_word("price", (50, 0, 90, 20)), hocr_word("12", (200, 0, 220, 20)))
    line = read(hocr_line(*words, size=20)).page.lines[0]
    assert [(s.text, s.left, s.right) for s in line.segments] == [("Unit price", 0, 45), ("12", 100, 110)]


def test_a_line_in_thick_strokes_is_bold() -> None:
    """Weight is told by how long ink lasts in a row of pixels, compared with the rest of the page."""
    pixels = BLANK.copy()
    for top, stroke in ((0, 3), (50, 3), (100, 6)):
        for left in range(0, 200, 12):
            pixels[top : top + 20, left : left + stroke] = 0
    lines = [hocr_line(hocr_word("letters", (0, top, 200, top + 20))) for top in (0, 50, 100)]
    weights = [line.weight for line in read(*lines, pixels=pixels).page.lines]
    assert weights[0] == weights[1] < weights[2]


def test_light_strokes_on_dark_are_measured_as_well() -> None:
    """What covers less of a line than the rest is its ink."""
    pixels = BLANK.copy()
    for top, stroke in ((0, 3), (50, 3), (100, 6)):
        pixels[top : top + 20, :204] = 0
        for left in range(0, 200, 12):
            pixels[top : top + 20, left : left + stroke] = 255
    lines = [hocr_line(hocr_word("letters", (0, top, 204, top + 20))) for top in (0, 50, 100)]
    weights = [line.weight for line in read(*lines, pixels=pixels).page.lines]
    assert weights[0] == weights[1] < weights[2]


def test_the_page_is_turned_by_the_angle_of_most_letters() -> None:
    """A stamp in the margin does not turn a page."""
    upright = hocr_line(hocr_word("stamp", (0, 0, 90, 20)))
    assert read(upright, hocr_line(hocr_word("sideways", (0, 0, 20, 200)), angle=90)).angle == 90
    assert read(upright, hocr_line(hocr_word("side", (0, 0, 20, 100)), angle=90)).angle == 0


def test_a_skewed_page_comes_straight_and_leads_back() -> None:
    """Lines that fall by a tenth get one height; a box of theirs covers what it is of on the page as shown."""
    words = [hocr_word(f"word{i}", (100 * i, 100 + 10 * i, 100 * i + 80, 120 + 10 * i)) for i in range(6)]
    page = read(hocr_line(*words), scale=1.0).page
    assert page.slope == pytest.approx(0.1)
    left, top, right, bottom = page.lines[0].box
    assert bottom - top == pytest.approx(20, abs=0.1)
    left, top, right, bottom = page.shown(page.lines[0].box)
    assert (left, right) == (0, 580)
    assert top <= 100 < top + 5
    assert bottom >= 170 > bottom - 5


@pytest.mark.parametrize("broken", [b"", b"no markup", b"<html>", b"<html><span class='ocr_line' title=''>\x0c</span>"])
def test_broken_hocr_is_a_page_without_lines(broken: bytes) -> None:
    """Nothing that Tesseract writes makes the reader fail."""
    reading = read_hocr(broken, BLANK, number=1, scale=1.0)
    assert (reading.page.lines, reading.letters, reading.confidence, reading.line_height) == ((), 0, 0.0, 0.0)


def test_control_characters_in_hocr_cost_one_word_at_most() -> None:
    """Tesseract may take a stain for one, which XML does not allow."""
    assert texts(read(hocr_line(hocr_word("be\x0bfore", (0, 0, 60, 20)), hocr_word("after", (70, 0, 99, 20)))))[
        0
    ].endswith("after")


places = st.tuples(st.integers(0, 300), st.integers(0, 300), st.integers(1, 100), st.integers(1, 100)).map(
    lambda p: (float(p[0]), float(p[1]), float(p[0] + p[2]), float(p[1] + p[3]))
)


@given(places, st.sampled_from([0, 90, 180, 270]))
def test_a_box_on_a_turned_page_leads_back_to_its_place(box: Box, angle: int) -> None:
    """What `turned` does clockwise, `Page.shown` undoes."""
    width, height = 500.0, 400.0
    after = turned(box, (width, height), angle)
    if angle in (90, 270):
        width, height = height, width
    page = Page(number=1, width=width, height=height, lines=(), is_blank=False, angle=angle)
    assert page.shown(after) == box
    assert 0 <= after[0] < after[2] <= width
    assert 0 <= after[1] < after[3] <= height


@given(places, st.sampled_from([0, 90, 180, 270]), st.floats(-0.1, 0.1))
def test_a_box_is_never_beyond_the_page(box: Box, angle: int, slope: float) -> None:
    """A straightened line may lie beyond the edge; where it is shown, it does not."""
    page = Page(number=1, width=500.0, height=400.0, lines=(), is_blank=False, angle=angle, slope=slope)
    left, top, right, bottom = page.shown(box)
    width, height = (400.0, 500.0) if angle in (90, 270) else (500.0, 400.0)
    assert 0 <= left <= right <= width
    assert 0 <= top <= bottom <= height
