"""The content decides what a file is; the name decides only between kinds of text."""

import io
import zipfile
from pathlib import Path

import pytest

from catalog.errors import InvalidFile, UnsupportedFile
from ingest.parsers import media_types
from ingest.parsers.decoding import decode
from ingest.parsers.detect import detect_media_type

OLE_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def detect(tmp_path: Path, name: str, content: bytes) -> str:
    path = tmp_path / "upload"
    path.write_bytes(content)
    return detect_media_type(path, name)


def package(main_part: str) -> bytes:
    """Return a zip archive that calls itself an Office file of `main_part`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", f"<Types><Override ContentType='x/{main_part}.main+xml'/></Types>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.pdf", b"%PDF-1.7\n...", media_types.PDF),
        ("a.pdf", b"\n\n junk before %PDF-1.4", media_types.PDF),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\x0d", media_types.PNG),
        ("a.png", b"\xff\xd8\xff\xe0\0\x10JFIF\0", media_types.JPEG),
        ("a.txt", b"GIF89a\0\1", media_types.GIF),
        ("a.tif", b"II*\0\x08\0\0\0", media_types.TIFF),
        ("a.tif", b"MM\0*\0\0\0\x08", media_types.TIFF),
        ("a.tif", b"II+\0\x08\0\0\0", media_types.TIFF),
        ("a.bmp", b"BM\x9a\1\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", media_types.BMP),
        ("a.webp", b"RIFF\0\0\0\0WEBPVP8 \0\0", media_types.WEBP),
        ("a.jpg", b"\xff\xd8\xff\xe1 %PDF- in a comment", media_types.JPEG),
        ("a.jpg", b"\xff\xd8\xff\xe0" + package("wordprocessingml.document"), media_types.JPEG),
        ("notes", b"BMW and other cars", media_types.PLAIN),
        ("a.docx", package("wordprocessingml.document"), media_types.DOCX),
        ("a.pptx", package("presentationml.presentation"), media_types.PPTX),
        ("a.xlsx", package("spreadsheetml.sheet"), media_types.XLSX),
        ("a.doc", b"{\\rtf1 hello}", media_types.RTF),
        ("a.txt", b"plain", media_types.PLAIN),
        ("a.MD", b"# head", media_types.MARKDOWN),
        ("a.htm", b"<p>x", media_types.HTML),
        ("a.tsv", b"a\tb", media_types.CSV),
        ("a.eml", b"Subject: x\n\nbody", media_types.EMAIL),
        ("a.py", b"import os", "text/x-python"),
        ("a.json", b"{not json", media_types.JSON),
        ("a.ndjson", b"{}", media_types.JSON_LINES),
        ("export", b' {"a": 1}\n', media_types.JSON),
        ("export", b'{"a": 1}\n{"a": 2}', media_types.JSON_LINES),
        ("export", b"[" * 100_000, media_types.JSON),
        ("a.txt", b'{"a": 1}', media_types.PLAIN),
        ("notes", b"[1] a reference", media_types.PLAIN),
        ("notes", b"[1] [2] two references", media_types.PLAIN),
        ("a.xml", b"<a/>", media_types.XML),
        ("feed", b"\xef\xbb\xbf<?xml version='1.0'?><rss/>", media_types.XML),
        ("page", b"<?xml version='1.0'?>\n<html/>", media_types.HTML),
        ("README", b"no ending", media_types.PLAIN),
        ("page", b"  <!DOCTYPE html><html></html>", media_types.HTML),
        ("a.txt", "ÄÖÜ in UTF-16".encode("utf-16"), media_types.PLAIN),
        ("a.txt", "no mark, still UTF-16".encode("utf-16-be"), media_types.PLAIN),
    ],
)
def test_each_format_is_known_by_its_content(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    assert detect(tmp_path, name, content) == expected


def test_a_pdf_named_txt_is_a_pdf(tmp_path: Path) -> None:
    assert detect(tmp_path, "notes.txt", b"%PDF-1.4 ...") == media_types.PDF


def test_a_text_named_pdf_is_text(tmp_path: Path) -> None:
    assert detect(tmp_path, "notes.pdf", b"only words") == media_types.PLAIN


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"'empty.txt' is empty \(0 bytes\)"):
        detect(tmp_path, "empty.txt", b"")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"RIFF\0\0\0\0WAVEfmt \0\0", "application/octet-stream"),
        (b"BM\x01\x02\x03 no bitmap", "application/octet-stream"),
        (b"\0\0\0\x18ftypheic\0\0", "image/heic"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "application/gzip"),
        (b"\0\0\0\x18ftypmp42\0\0", "video/mp4"),
        (b"x" * 257 + b"ustar\0", "application/x-tar"),
        (bytes(range(256)), "application/octet-stream"),
    ],
)
def test_a_binary_is_refused_with_its_type_in_the_message(tmp_path: Path, content: bytes, found: str) -> None:
    with pytest.raises(UnsupportedFile, match=found):
        detect(tmp_path, "thing.txt", content)


@pytest.mark.parametrize(
    ("stream", "way_out"),
    [("WordDocument", "docx"), ("PowerPoint Document", "pptx"), ("Workbook", "xlsx")],
)
def test_a_legacy_office_file_is_refused_with_the_format_to_use(tmp_path: Path, stream: str, way_out: str) -> None:
    with pytest.raises(UnsupportedFile, match=way_out):
        detect(tmp_path, "old.doc", OLE_MAGIC + bytes(600) + stream.encode("utf-16-le"))


def test_a_damaged_outlook_message_is_refused_as_damaged(tmp_path: Path) -> None:
    content = OLE_MAGIC + bytes(600) + "__properties_version1.0".encode("utf-16-le")
    with pytest.raises(InvalidFile, match=r"'a\.msg' is a damaged Outlook message"):
        detect(tmp_path, "a.msg", content)


def test_an_unknown_compound_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match="ole-storage"):
        detect(tmp_path, "thing.bin", OLE_MAGIC + bytes(600))


def test_an_encrypted_office_file_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"'a\.docx' is encrypted; remove the password and upload again"):
        detect(tmp_path, "a.docx", OLE_MAGIC + bytes(600) + "EncryptedPackage".encode("utf-16-le"))


def test_an_office_file_with_macros_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match="macros"):
        detect(tmp_path, "a.docm", package("ms-word.document.macroEnabled"))


def test_a_zip_file_that_is_nothing_else_is_an_archive(tmp_path: Path) -> None:
    """Whatever it is called, and whatever its files are called."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("../evil.txt", "text")
    assert detect(tmp_path, "a.docx", buffer.getvalue()) == media_types.ZIP


def zip_declaring(media_type: str) -> bytes:
    """Return a zip archive that names its type as OpenDocument and EPUB do."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", media_type)
    return buffer.getvalue()


@pytest.mark.parametrize("known", [media_types.ODT, media_types.ODP, media_types.ODS, media_types.EPUB])
def test_a_zip_archive_is_what_its_mimetype_says(tmp_path: Path, known: str) -> None:
    assert detect(tmp_path, "a.bin", zip_declaring(known)) == known


def test_an_open_document_template_is_a_document_of_its_kind(tmp_path: Path) -> None:
    assert detect(tmp_path, "a.ott", zip_declaring(media_types.ODT + "-template")) == media_types.ODT


def test_an_open_document_of_another_kind_is_refused_with_its_type(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match=r"opendocument\.graphics.*save it as PDF"):
        detect(tmp_path, "a.odg", zip_declaring("application/vnd.oasis.opendocument.graphics"))


def test_a_truncated_office_file_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"'a\.docx' is a damaged zip container"):
        detect(tmp_path, "a.docx", package("wordprocessingml.document")[:60])


def test_a_member_whose_name_is_not_utf_8_is_damage(tmp_path: Path) -> None:
    content = zip_declaring(media_types.ODT).replace(b"mimetype", b"mimetyp\xff")
    flagged = content.replace(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\0\x08")
    assert flagged != content
    with pytest.raises(InvalidFile, match=r"'a\.odt' is a damaged zip container"):
        detect(tmp_path, "a.odt", flagged)


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüße aus Köln", "utf-8"),
        ("Grüße aus Köln", "utf-8-sig"),
        ("Grüße aus Köln", "utf-16"),
        ("Grüße aus Köln", "utf-32"),
        ("Hello without a mark", "utf-16-le"),
        ("Die Straßen von Köln sind schöner als gedacht, größer und grüner übrigens auch.", "cp1252"),
        ("Le garçon a mangé très vite à la fête de l'été, où il était. El niño.", "cp1252"),
        ("Zażółć gęślą jaźń, proszę państwa, to jest zdanie po polsku i wszystko jest dobrze.", "cp1250"),
        ("Однажды, в студеную зимнюю пору, я из лесу вышел; был сильный мороз.", "cp1251"),
    ],
)
def test_text_is_decoded_from_the_encodings_that_occur(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text
