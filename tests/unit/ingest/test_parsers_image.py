"""Images become documents by OCR: a page for each frame, with places, or a reason."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from catalog.errors import InvalidFile, ParseLimitExceeded
from ingest.documents import Category, ParsedDocument
from ingest.parsers import OcrOptions, parse_file
from tests.scans import a_picture, encoded, hocr, hocr_line, hocr_word, needs_tesseract, stand_in

LINES = ("The pump needs no oil before the first start.", "Turn the wheel to the left, then close it.")
TEXT = " ".join(LINES)


def parse(tmp_path: Path, content: bytes, ocr: OcrOptions | None = None) -> ParsedDocument:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return parse_file(path, "a.png", ocr=ocr or OcrOptions())


def parse_by_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> tuple[ParsedDocument, bytes]:
    """Return the document, in which each page is one word, and what Tesseract got for the last page."""
    answer = hocr(hocr_line(hocr_word("word", (30, 60, 90, 90)), size=30))
    script = f"cat > {tmp_path}/picture; cat <<'END'\n{answer}\nEND"
    monkeypatch.setenv("PATH", stand_in(tmp_path, script))
    return parse(tmp_path, content), (tmp_path / "picture").read_bytes()


def pixels_of(picture: bytes) -> np.ndarray:
    """Return what Tesseract got as an array of shape (height, width)."""
    return np.asarray(Image.open(io.BytesIO(picture)))


def test_without_ocr_an_image_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The uploader learns what an operator can install, and what to upload instead."""
    monkeypatch.setenv("PATH", "")
    expected = r"^'a\.png' is an image, and no OCR is installed \(apt install tesseract-ocr\); or upload its text$"
    with pytest.raises(InvalidFile, match=expected):
        parse(tmp_path, encoded(a_picture(*LINES), "PNG"))


@needs_tesseract
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP"])
def test_each_format_is_read(tmp_path: Path, kind: str) -> None:
    """The lines are one paragraph with page and box, and the text came by OCR."""
    document = parse(tmp_path, encoded(a_picture(*LINES), kind))
    assert document.media_type == f"image/{kind.lower()}"
    assert document.text == TEXT
    (element,) = document.elements
    assert (element.start, element.end, element.category, element.page) == (0, len(TEXT), Category.TEXT, 1)
    assert element.box is not None
    left, top, right, bottom = element.box
    # A BMP cannot leave its resolution out: 96 dots per inch, which makes the page three quarters as large.
    scale = 0.75 if kind == "BMP" else 1.0
    assert 55 < left / scale < 65
    assert 60 < top / scale < bottom / scale < 150
    assert 400 < right / scale < 800
    assert (document.pages, document.pages_read) == (1, 1)
    assert document.warnings == ("page 1 was read by OCR; errors are possible",)


@needs_tesseract
def test_larger_lines_are_headings(tmp_path: Path) -> None:
    """The layout is told as with a text layer, and the heading is the title."""
    image = a_picture("", "", "", "", *LINES, *LINES)
    image.paste(a_picture("Pump manual", size=(1000, 160), text_size=56), (0, 0))
    document = parse(tmp_path, encoded(image, "PNG"))
    assert [(e.category, document.text[e.start : e.end]) for e in document.elements] == [
        (Category.HEADING, "Pump manual"),
        (Category.TEXT, f"{TEXT} {TEXT}"),
    ]
    assert document.title == "Pump manual"
    assert document.elements[1].headings == ("Pump manual",)


@needs_tesseract
def test_two_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    """A line of one column is not joined with the line beside it."""
    left = [f"The left column has line {word} here" for word in ("one", "two", "three", "four", "five", "six")]
    right = [f"On the right stands line {word} now" for word in ("one", "two", "three", "four", "five", "six")]
    image = a_picture(*left, size=(1400, 500))
    image.paste(a_picture(*right, size=(680, 500)), (720, 0))
    assert parse(tmp_path, encoded(image, "PNG")).text.replace("\n\n", " ") == " ".join([*left, *right])


@needs_tesseract
def test_each_frame_of_a_tiff_is_a_page(tmp_path: Path) -> None:
    """A blank frame is read and has no text; elements carry the number of their frame."""
    frames = [a_picture("The first page of a fax."), a_picture(), a_picture("The third page of a fax.")]
    content = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    document = parse(tmp_path, content)
    assert [(e.page, document.text[e.start : e.end]) for e in document.elements] == [
        (1, "The first page of a fax."),
        (3, "The third page of a fax."),
    ]
    assert (document.pages, document.pages_read) == (3, 3)
    assert document.warnings == ("pages 1 and 3 were read by OCR; errors are possible",)


@needs_tesseract
def test_an_image_without_text_is_refused_with_the_reason(tmp_path: Path) -> None:
    """A picture of something is not a blank one."""
    image = a_picture()
    image.paste(60, (300, 100, 700, 400))
    with pytest.raises(InvalidFile, match=r"^'a\.png' holds no text: page 1: OCR found no text$"):
        parse(tmp_path, encoded(image, "PNG"))


def test_a_blank_image_is_refused_as_blank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tesseract is not asked."""
    monkeypatch.setenv("PATH", stand_in(tmp_path, "exit 1"))
    with pytest.raises(InvalidFile, match=r"^'a\.png' holds no text: it is blank$"):
        parse(tmp_path, encoded(a_picture(), "PNG"))


def test_boxes_are_in_points_where_the_image_says_its_resolution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 144 dots per inch two pixels are a point."""
    content = encoded(a_picture("word"), "PNG", dpi=(144, 144))
    (element,) = parse_by_stand_in(tmp_path, monkeypatch, content)[0].elements
    assert element.box == pytest.approx((15, 30, 45, 45), abs=0.01)


@pytest.mark.parametrize("dpi", [(1, 1), (100_000, 100_000)])
def test_a_resolution_that_nobody_means_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dpi: tuple[int, int]
) -> None:
    """Then a pixel is a point."""
    content = encoded(a_picture("word"), "TIFF", dpi=dpi)
    (element,) = parse_by_stand_in(tmp_path, monkeypatch, content)[0].elements
    assert element.box == (30, 60, 90, 90)


def test_the_lines_of_a_fax_are_drawn_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With half as many rows as columns per inch, letters get their height back before they are read."""
    content = encoded(a_picture("word", size=(400, 100)), "TIFF", dpi=(200, 100))
    document, picture = parse_by_stand_in(tmp_path, monkeypatch, content)
    assert pixels_of(picture).shape == (200, 400)
    assert document.elements[0].box == pytest.approx((10.8, 21.6, 32.4, 32.4))


@pytest.mark.parametrize(("orientation", "expected"), [(1, (100, 400)), (3, (100, 400)), (6, (400, 100))])
def test_a_photo_is_read_as_the_camera_was_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orientation: int, expected: tuple[int, int]
) -> None:
    """The orientation in EXIF turns the page."""
    image = a_picture("word", size=(400, 100))
    exif = image.getexif()
    exif[0x0112] = orientation
    _, picture = parse_by_stand_in(tmp_path, monkeypatch, encoded(image, "JPEG", exif=exif, quality=95))
    assert pixels_of(picture).shape == expected


def test_what_is_transparent_is_white(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Black letters on nothing, as in a logo, can be read."""
    image = Image.new("RGBA", (100, 60), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (20, 20, 60, 40))
    _, picture = parse_by_stand_in(tmp_path, monkeypatch, encoded(image, "PNG"))
    pixels = pixels_of(picture)
    assert (pixels[0, 0], pixels[30, 30]) == (255, 0)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_grey_is_spread_over_the_shades_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: type
) -> None:
    """Scanners write 16 bits per pixel; a plain conversion would make all of it white."""
    pixels = np.full((60, 100), 40_000, dtype=dtype)
    pixels[20:40, 20:60] = 1000
    _, picture = parse_by_stand_in(tmp_path, monkeypatch, encoded(Image.fromarray(pixels), "TIFF"))
    shades = pixels_of(picture)
    assert (shades[0, 0], shades[30, 30]) == (255, 0)


def test_a_second_picture_in_a_photo_is_no_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cameras put a preview after the photo itself."""
    content = encoded(a_picture("word"), "MPO", save_all=True, append_images=[a_picture("word", size=(100, 50))])
    assert parse_by_stand_in(tmp_path, monkeypatch, content)[0].pages == 1


def png_header(width: int, height: int) -> bytes:
    """Return a PNG of that size which has no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    """The message names the size and the limit."""
    expected = (
        r"^'a\.png' is too large to read: .*10000000000 pixels.* limit of 178956970 pixels; upload it scaled down"
    )
    with pytest.raises(ParseLimitExceeded, match=expected):
        parse(tmp_path, png_header(100_000, 100_000))


def test_a_large_image_within_the_limit_is_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns from half of the limit on; that is not for the uploader."""
    content = encoded(Image.new("1", (12_000, 10_000), 1), "PNG")
    monkeypatch.setenv("PATH", stand_in(tmp_path, "exit 1"))
    with pytest.raises(InvalidFile, match="it is blank"):
        parse(tmp_path, content)


@pytest.mark.parametrize(
    "content", [b"\x89PNG\r\n\x1a\n" + bytes(64), b"\xff\xd8\xff" + bytes(64), b"GIF89a" + bytes(9)]
)
def test_an_image_without_a_head_is_damaged(tmp_path: Path, content: bytes) -> None:
    """The message does not name the place where the upload is kept."""
    with pytest.raises(InvalidFile, match=r"^'a\.png' is a damaged (PNG|JPEG|GIF) image; save it anew") as caught:
        parse(tmp_path, content)
    assert str(tmp_path) not in caught.value.message


def test_an_image_that_was_cut_off_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a picture is not taken for a whole one."""
    monkeypatch.setenv("PATH", stand_in(tmp_path, "exit 1"))
    content = encoded(a_picture(*LINES), "PNG")
    with pytest.raises(InvalidFile, match=r"^'a\.png' holds no text: page 1 was not read: it is damaged \("):
        parse(tmp_path, content[: len(content) // 2])


def test_a_damaged_frame_costs_that_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other frames are read, and the missing one is stated."""
    frames = [a_picture("word", size=(300, 200)), a_picture("word", size=(300, 200))]
    content = bytearray(encoded(frames[0], "TIFF", compression="tiff_deflate", save_all=True, append_images=frames[1:]))
    second = content.rindex(b"\x78\x9c")
    content[second : second + 40] = bytes(40)
    document, _ = parse_by_stand_in(tmp_path, monkeypatch, bytes(content))
    assert (document.text, document.pages, document.pages_read) == ("word", 2, 1)
    assert document.warnings[1].startswith("page 2 was not read: it is damaged (")


def test_text_inside_an_image_file_is_not_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comments of a PNG are no text of the page."""
    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", "A hidden word.")
    monkeypatch.setenv("PATH", stand_in(tmp_path, "exit 1"))
    with pytest.raises(InvalidFile, match="it is blank"):
        parse(tmp_path, encoded(a_picture(), "PNG", pnginfo=comment))
