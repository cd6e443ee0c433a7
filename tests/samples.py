"""One small valid file of every format, made here: what hostile and mutated files are derived from."""

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from email.message import EmailMessage

import docx
import openpyxl
import pptx
from pptx.util import Inches
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from ingest.parsers import media_types
from tests.compound_files import attachment, message, recipient

_OASIS = "urn:oasis:names:tc:opendocument:xmlns"
_PREFIXES = {"text": "text", "table": "table", "draw": "drawing", "presentation": "presentation", "office": "office"}
_XMLNS = " ".join(f'xmlns:{prefix}="{_OASIS}:{name}:1.0"' for prefix, name in _PREFIXES.items())

HTML = """<!DOCTYPE html><html><head><title>Pumps</title></head><body><h1>Pumps</h1><p>The pump needs <b>no</b> oil.</p>
<ul><li>One</li><li>Two<ul><li>Two and a half</li></ul></li></ul>
<table><caption>Prices</caption><tr><th>Part</th><th colspan="2">Price</th></tr>
<tr><td rowspan="2">P-1</td><td>10</td><td>€</td></tr><tr><td>12</td><td>$</td></tr></table>
<pre><code>pump --start
</code></pre></body></html>"""
MARKDOWN = """---
title: Pumps
---
# Pumps

The pump needs *no* oil[^1].

- One
    - Two
1. Three

> Quoted

| Part | Price |
|------|-------|
| P-1  | 10    |

```sh
pump --start
```
"""
CSV = 'Part;Price;Note\nP-1;10,50;"two\nlines"\nP-2;;"a ""quote"""\n'
TSV = "Part\tPrice\nP-1\t10,50\nP-2\t\n"
RTF = r"""{\rtf1\ansi\ansicpg1250\deff0{\fonttbl{\f0 Arial;}}{\info{\title Pumps}}
{\pard\outlinelevel0 Pumps\par}\pard The pump needs \b no\b0  oil: \'e8esky, \u269?.\par
\trowd\cellx1000\cellx2000 P-1\cell 10\cell\row
\trowd\cellx1000\cellx2000 P-2\cell 12\cell\row
\pard {\field{\*\fldinst{HYPERLINK "http://localhost/"}}{\fldrslt A link}}\par}"""
XML = """<?xml version="1.0" encoding="UTF-8"?><parts><title>Parts</title>
<part id="P-1"><name>Pump</name><price>10</price></part><part id="P-2"><name>Hose</name><price>12</price></part>
<note>Some <b>mixed</b> text &amp; more.</note></parts>"""
RECORDS = [{"id": "P-1", "name": "Pump", "sizes": [1, 2.5], "open": None}, {"id": "P-2", "stock": {"Bonn": True}}]
CODE = 'def pump(oil: int) -> str:\n    """Pump."""\n    if oil:\n        return "x"\n\n\nclass Hose:\n    length = 2\n'


def archive(members: Mapping[str, str | bytes]) -> bytes:
    """Return a zip archive of `members` by name, in this order."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in members.items():
            package.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def open_document(body: str, *, kind: str = "text") -> bytes:
    """Return an OpenDocument file whose body is of `kind`: text, spreadsheet or presentation."""
    content = f"<office:document-content {_XMLNS}><office:body><office:{kind}>{body}</office:{kind}></office:body>"
    return archive(
        {
            "mimetype": f"application/vnd.oasis.opendocument.{kind}",
            "content.xml": f"{content}</office:document-content>",
        }
    )


def book(pages: Mapping[str, str], *, spine: str | None = None) -> bytes:
    """Return an EPUB of `pages` by file name; `spine` in place of one entry for each."""
    items = "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in pages)
    order = "".join(f'<itemref idref="{name}"/>' for name in pages) if spine is None else spine
    return archive(
        {
            "mimetype": media_types.EPUB,
            "META-INF/container.xml": '<container><rootfiles><rootfile full-path="o/c.opf"/></rootfiles></container>',
            "o/c.opf": f"<package><metadata><title>Pumps</title></metadata><manifest>{items}"
            '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/></manifest>'
            f"<spine>{order}</spine></package>",
            "o/toc.ncx": "<ncx><navMap><navPoint><navLabel><text>Hoses</text></navLabel>"
            '<content src="b.xhtml"/></navPoint></navMap></ncx>',
            **{f"o/{name}": page for name, page in pages.items()},
        }
    )


def word_file() -> bytes:
    document = docx.Document()
    document.core_properties.title = "Pumps"
    document.add_heading("Pumps", 1)
    document.add_paragraph("The pump needs no oil.")
    document.add_paragraph("One", style="List Bullet")
    table = document.add_table(rows=3, cols=3)
    for number, cell in enumerate(cell for row in table.rows for cell in row.cells):
        cell.text = f"cell {number}"
    table.cell(0, 0).merge(table.cell(1, 1))
    document.sections[0].header.paragraphs[0].text = "A running head"
    return _saved(document.save)


def slides() -> bytes:
    presentation = pptx.Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Pumps"
    slide.placeholders[1].text = "One\nTwo"
    slide.notes_slide.notes_text_frame.text = "Say it slowly."
    table = slide.shapes.add_table(2, 2, Inches(1), Inches(4), Inches(6), Inches(1)).table
    table.cell(0, 0).text, table.cell(1, 1).text = "Part", "10"
    return _saved(presentation.save)


def workbook() -> bytes:
    book_ = openpyxl.Workbook()
    sheet = book_.active
    assert sheet is not None
    sheet.title = "Parts"
    for row in (["Price list"], ["Part", "Price", "Share"], ["P-1", 10.5, 0.25], ["007", None, True]):
        sheet.append(row)
    sheet["C3"].number_format = "0%"
    sheet.merge_cells("A5:B6")
    sheet["A5"] = "=SUM(B3:B4)"
    book_.create_sheet("Empty")
    return _saved(book_.save)


def pdf(*, pages: int = 2, lines: int = 20, **options: object) -> bytes:
    """Return an A4 file of one heading and `lines` lines of text per page; `options` are those of the canvas."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, **options)  # type: ignore[arg-type]
    for page in range(1, pages + 1):
        canvas.setFont("Helvetica-Bold", 18)
        canvas.drawString(72, 760, f"Pumps {page}")
        canvas.bookmarkHorizontal(f"p{page}", 0, 760)
        canvas.addOutlineEntry(f"Pumps {page}", f"p{page}")
        canvas.setFont("Helvetica", 10)
        for line in range(lines):
            canvas.drawString(72, 720 - 14 * line, f"Line {line} of page {page} says that a pump needs no oil.")
        canvas.rect(72, 300, 200, 40)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def mail() -> bytes:
    outer, inner = EmailMessage(), EmailMessage()
    for one, subject in ((outer, "Pumps für alle"), (inner, "Hoses")):
        one["From"], one["To"], one["Subject"] = "Ada <ada@example.org>", "bob@example.org", subject
        one["Date"] = "Tue, 20 May 2025 10:30:00 +0200"
        one.set_content("The pump needs no oil – ever.\n\nAda")
    outer.add_alternative("<h2>Pumps</h2><p>The pump needs <b>no</b> oil.</p>", subtype="html")
    outer.add_attachment(CSV, filename="parts.csv")
    outer.add_attachment(inner)
    return outer.as_bytes()


def outlook() -> bytes:
    people = {"__recip_version1.0_#00000000": recipient("Bob", "bob@example.org", 1)}
    files = {"__attach_version1.0_#00000000": attachment("a.pdf")}
    return message({0x1000: "The pump needs no oil.\r\n\r\nAda"}, **people, **files)


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    save(buffer)
    return buffer.getvalue()


_OPEN_TABLE = """<table:table table:name="Parts"><table:table-row><table:table-cell><text:p>Part</text:p>
</table:table-cell><table:table-cell table:number-columns-repeated="2"><text:p>Price</text:p></table:table-cell>
</table:table-row><table:table-row table:number-rows-repeated="3"><table:table-cell><text:p>P-1</text:p>
</table:table-cell><table:covered-table-cell/><table:table-cell><text:p>10</text:p></table:table-cell>
</table:table-row></table:table>"""
_OPEN_TEXT = f"""<text:h text:outline-level="1">Pumps</text:h>
<text:p>The pump<text:s text:c="3"/>needs no oil.<text:note><text:note-body><text:p>Ever.</text:p></text:note-body>
</text:note></text:p><text:list><text:list-item><text:p>One</text:p></text:list-item></text:list>{_OPEN_TABLE}"""
_OPEN_SLIDES = """<draw:page>
<draw:frame presentation:class="title"><draw:text-box><text:p>Pumps</text:p></draw:text-box></draw:frame>
<draw:frame><draw:text-box><text:p>No oil.</text:p></draw:text-box></draw:frame>
<presentation:notes><draw:frame><draw:text-box><text:p>Slowly.</text:p></draw:text-box></draw:frame>
</presentation:notes></draw:page>"""


def small_samples() -> dict[str, bytes]:
    """Return a valid file of every format by name, each of some kilobytes."""
    pages = {"a.xhtml": HTML, "b.xhtml": "<html><body><p>More about hoses.</p></body></html>"}
    texts = {
        "a.txt": "The pump needs no oil.\n\nDie Pumpe braucht kein Öl.\n",
        "a.md": MARKDOWN,
        "a.html": HTML,
        "a.csv": CSV,
        "a.tsv": TSV,
        "a.rtf": RTF,
        "a.xml": XML,
        "a.json": json.dumps({"title": "Parts", "parts": RECORDS}, indent=1),
        "a.jsonl": "\n".join(map(json.dumps, RECORDS)),
        "a.py": CODE,
    }
    return {name: text.encode() for name, text in texts.items()} | {
        "a.pdf": pdf(),
        "a.docx": word_file(),
        "a.pptx": slides(),
        "a.xlsx": workbook(),
        "a.odt": open_document(_OPEN_TEXT),
        "a.ods": open_document(_OPEN_TABLE, kind="spreadsheet"),
        "a.odp": open_document(_OPEN_SLIDES, kind="presentation"),
        "a.epub": book(pages),
        "a.eml": mail(),
        "a.msg": outlook(),
    }
