"""Files that were made to harm their reader: each of some kilobytes or of little more than its claim needs."""

import base64
import io
import struct
import zipfile
from collections.abc import Iterable, Mapping

from reportlab.lib.pdfencrypt import StandardEncryption

from tests.compound_files import compound_file
from tests.samples import archive, book, open_document, pdf, word_file, workbook

# More than 16 MiB packed a thousand times smaller: what a bomb is to Footnote.
BOMB = b" " * (20 * 1024 * 1024)
_LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
BILLION_LAUGHS = f'<!DOCTYPE x [<!ENTITY l0 "lol">{_LAUGHS}]>'
_ENCRYPTED_FLAG = 0x1


def repacked(package: bytes, changes: Mapping[str, bytes | None]) -> bytes:
    """Return a zip package with members replaced, added or, for None, removed."""
    with zipfile.ZipFile(io.BytesIO(package)) as old:
        members = {name: old.read(name) for name in old.namelist()}
    return archive({name: content for name, content in (members | dict(changes)).items() if content is not None})


def part_of(package: bytes, member: str) -> bytes:
    with zipfile.ZipFile(io.BytesIO(package)) as archive_:
        return archive_.read(member)


def with_prolog(package: bytes, member: str, prolog: str) -> bytes:
    """Return the package with `prolog` before the first element of a part."""
    content = part_of(package, member)
    declaration = content[: content.find(b"?>") + 2] if content.startswith(b"<?xml") else b""
    return repacked(package, {member: declaration + prolog.encode() + content[len(declaration) :]})


def with_entity(package: bytes, member: str, prolog: str, entity: str) -> bytes:
    """Return the package with a document type in a part and a reference to its entity in the part's text."""
    content = part_of(package, member)
    for word in (b"oil", b"Pumps", b"Parts"):
        content = content.replace(word, f"&{entity};".encode(), 1)
    return with_prolog(repacked(package, {member: content}), member, prolog)


def with_lying_sizes(package: bytes, member: str, content: bytes, claimed: int) -> bytes:
    """Return the package with a member that unpacks to more than both of its headers say."""
    data = bytearray(repacked(package, {member: content}))
    real = struct.pack("<I", len(content))
    for place in _all(data, real):
        data[place : place + 4] = struct.pack("<I", claimed)
    return bytes(data)


def with_encrypted_members(package: bytes) -> bytes:
    """Return the package with the flag of encryption set on every member."""
    data = bytearray(package)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for place in _all(data, signature):
            data[place + offset] |= _ENCRYPTED_FLAG
    return bytes(data)


def _all(data: bytearray, wanted: bytes) -> Iterable[int]:
    place = data.find(wanted)
    while place >= 0:
        yield place
        place = data.find(wanted, place + len(wanted))


def encrypted_office_file() -> bytes:
    """Return what Office writes under a password: a compound file around the encrypted package."""
    return compound_file({"EncryptionInfo": b"\x04\0\x04\0", "EncryptedPackage": bytes(100)})


def encrypted_pdf() -> bytes:
    return pdf(encrypt=StandardEncryption("secret", ownerPassword="owner", canPrint=0))


def encrypted_open_document() -> bytes:
    manifest = (
        '<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0">'
        '<manifest:file-entry manifest:full-path="content.xml"><manifest:encryption-data/></manifest:file-entry>'
        "</manifest:manifest>"
    )
    return repacked(open_document("<text:p>x</text:p>"), {"META-INF/manifest.xml": manifest.encode()})


def pdf_of(*objects: str) -> bytes:
    """Return a PDF of these objects, numbered from 1; the first is the catalog."""
    out = bytearray(b"%PDF-1.7\n")
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{content}\nendobj\n".encode("latin-1")
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer\n<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


_FONT = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
_WORDS = "BT /F1 12 Tf 72 700 Td (Some words.) Tj ET"
_STREAM = f"<</Length {len(_WORDS)}>>stream\n{_WORDS}\nendstream"
_PAGE = "<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 3 0 R>>>>>>"


def pdf_with_cyclic_pages() -> bytes:
    """Return a PDF whose page tree holds itself beside a page."""
    tree = "<</Type/Pages/Kids[5 0 R 2 0 R]/Count 2>>"
    return pdf_of("<</Type/Catalog/Pages 2 0 R>>", tree, _FONT, _STREAM, _PAGE)


def pdf_with_cyclic_outline() -> bytes:
    outline = "<</Type/Outlines/First 7 0 R/Last 7 0 R/Count 1>>"
    item = "<</Title(Again)/Parent 6 0 R/Next 7 0 R/First 7 0 R/Dest[5 0 R/Fit]>>"
    tree = "<</Type/Pages/Kids[5 0 R]/Count 1>>"
    return pdf_of("<</Type/Catalog/Pages 2 0 R/Outlines 6 0 R>>", tree, _FONT, _STREAM, _PAGE, outline, item)


def pdf_with_cyclic_form() -> bytes:
    """Return a PDF whose page shows a form that shows itself."""
    itself = "/Resources<</XObject<</X 6 0 R>>>>"
    form = f"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]{itself}/Length 5>>stream\n/X Do\nendstream"
    page = _PAGE.replace("<</F1 3 0 R>>", "<</F1 3 0 R>>/XObject<</X 6 0 R>>")
    words = _WORDS + " /X Do"
    stream = f"<</Length {len(words)}>>stream\n{words}\nendstream"
    return pdf_of("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[5 0 R]/Count 1>>", _FONT, stream, page, form)


def pdf_with_many_pages(count: int) -> bytes:
    kids = " ".join(f"{number} 0 R" for number in range(5, count + 5))
    tree = f"<</Type/Pages/Kids[{kids}]/Count {count}>>"
    return pdf_of("<</Type/Catalog/Pages 2 0 R>>", tree, _FONT, _STREAM, *[_PAGE] * count)


def word_file_that_relates_to_itself() -> bytes:
    """Return a Word file whose main part is its own header, footnotes and chart, and has its own relationships."""
    package = word_file()
    member = "word/_rels/document.xml.rels"
    kinds = ("header", "footnotes", "chart", "officeDocument")
    base = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    more = "".join(
        f'<Relationship Id="c{n}" Type="{base}/{kind}" Target="document.xml"/>' for n, kind in enumerate(kinds)
    )
    content = part_of(package, member).replace(b"</Relationships>", f"{more}</Relationships>".encode())
    return repacked(package, {member: content})


def word_file_under_other_names(content: bytes) -> bytes:
    """Return a Word file whose main part has a name without the ending of XML."""
    package = word_file()
    types = part_of(package, "[Content_Types].xml").replace(b"/word/document.xml", b"/word/document.dat")
    relations = part_of(package, "_rels/.rels").replace(b"word/document.xml", b"word/document.dat")
    own = part_of(package, "word/_rels/document.xml.rels")
    return repacked(
        package,
        {
            "[Content_Types].xml": types,
            "_rels/.rels": relations,
            "word/document.xml": None,
            "word/_rels/document.xml.rels": None,
            "word/document.dat": content,
            "word/_rels/document.dat.rels": own,
        },
    )


def word_table_of(columns: int) -> bytes:
    """Return a Word file with a table cell that claims to be over `columns` columns."""
    cell = f'<w:tc><w:tcPr><w:gridSpan w:val="{columns}"/></w:tcPr><w:p><w:r><w:t>wide</w:t></w:r></w:p></w:tc>'
    table = f"<w:tbl><w:tblPr/><w:tblGrid><w:gridCol/></w:tblGrid><w:tr>{cell}</w:tr></w:tbl><w:sectPr"
    package = word_file()
    body = part_of(package, "word/document.xml").replace(b"<w:sectPr", table.encode(), 1)
    return repacked(package, {"word/document.xml": body})


def sheet_with(rows: str, *, dimension: str = "A1") -> bytes:
    """Return a workbook whose first sheet has these rows as XML."""
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = f'<worksheet xmlns="{namespace}"><dimension ref="{dimension}"/><sheetData>{rows}</sheetData></worksheet>'
    return repacked(workbook(), {"xl/worksheets/sheet1.xml": sheet.encode()})


def book_in_a_circle(rounds: int) -> bytes:
    """Return a book whose spine goes through its two chapters again and again."""
    pages = {"a.xhtml": "<h1>One</h1><a href='b.xhtml'>on</a>", "b.xhtml": "<h1>Two</h1><a href='a.xhtml'>back</a>"}
    return book(pages, spine='<itemref idref="a.xhtml"/><itemref idref="b.xhtml"/>' * rounds)


def mail_in_mail(depth: int) -> bytes:
    """Return a message that holds a message, and so on."""
    head = b"Subject: level %d\nMIME-Version: 1.0\nContent-Type: message/rfc822\n\n"
    return b"".join(head % level for level in range(depth)) + b"Subject: innermost\n\ndeep words\n"


def parts_in_parts(depth: int) -> bytes:
    """Return a message of multiparts in multiparts."""
    out = ["Subject: parts\nMIME-Version: 1.0\n"]
    out += [f'Content-Type: multipart/mixed; boundary="b{level}"\n\n--b{level}\n' for level in range(depth)]
    out += ["Content-Type: text/plain\n\ndeep words\n", *(f"--b{level}--\n" for level in reversed(range(depth)))]
    return "".join(out).encode()


def messages_in_messages(depth: int) -> bytes:
    """Return a message whose attachment is encoded, and is such a message itself."""
    content = b"Subject: innermost\n\ndeep words\n"
    for level in range(depth):
        head = f"Subject: level {level}\nMIME-Version: 1.0\nContent-Type: message/rfc822\n"
        content = head.encode() + b"Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(content)
    return content
