"""What the crash rounds upload: small documents of many formats, good ones and bad ones, the same for the same seed."""

import io
import random
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import docx
from reportlab.lib.pagesizes import A5
from reportlab.pdfgen.canvas import Canvas

from tests.conftest import ROOT

ARCHIVE_SUFFIX: Final = ".zip"
_WORDS: Final = re.findall(
    r"\w+",
    """
    compressor condenser valve coolant pressure gauge depot driver invoice warranty service interval alarm door seal
    temperature probe battery charger manual harvest pallet rack delivery ramp fuse relay circuit filter drain pump
    hose bracket lever panel display firmware update sensor reading record every week before after under above
    checks replaces opens closes measures reports holds needs keeps shows runs the a its each no
    """,
)
# Of data/sample those that are read quickly: a worker is through with one in 0.1 s.
_SAMPLES: Final = ("depot-directory.csv", "minutes-depot-leads-2025-02-11.txt", "mail-harvest-rota.eml")


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A file to be uploaded. `name` has no tag of a round yet."""

    name: str
    content: bytes


def random_document(dice: random.Random, number: int) -> Document:
    """Return a document of a random format; most are text, and one in ten cannot be read."""
    makers: dict[Callable[[random.Random, int], Document], int] = {
        _plain: 30,
        _markdown: 20,
        _web_page: 15,
        _table: 8,
        _long: 7,
        _word: 5,
        _pdf: 5,
        _sample: 5,
        _archive: 5,
        _bad: 10,
    }
    return dice.choices(list(makers), list(makers.values()))[0](dice, number)


def generation(dice: random.Random, name: str, number: int) -> bytes:
    """Return one version of a file that is replaced; the word `generationN` stands in each of its paragraphs.

    An archive holds some of three files in this version.
    """
    if name.endswith(ARCHIVE_SUFFIX):
        members = dice.sample(range(3), dice.randint(1, 3))
        return zipped({f"{name}-{m}.txt": generation(dice, "", number) for m in members})
    return "\n\n".join(f"generation{number} {_sentences(dice, 30)}" for _ in range(dice.randint(3, 12))).encode()


def zipped(contents: Mapping[str, bytes]) -> bytes:
    """Return an archive of these files; the same bytes for the same contents."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def is_whole(text: str) -> bool:
    """Tell whether a document that begins with a mark of ours ends with it too, and is of one generation."""
    begun, ended = (re.findall(rf"{word} of document (\d+)\.", text) for word in ("Begin", "End"))
    return begun == ended and len(set(re.findall(r"generation\d", text))) <= 1


def _sentences(dice: random.Random, words: int) -> str:
    text = []
    while words > 0:
        length = dice.randint(5, 15)
        text.append(" ".join(dice.choices(_WORDS, k=length)).capitalize() + ".")
        words -= length
    return " ".join(text)


def _marks(number: int) -> tuple[str, str]:
    return f"Begin of document {number}.", f"End of document {number}."


def _paragraphs(dice: random.Random, count: int) -> list[str]:
    return [_sentences(dice, dice.randint(20, 80)) for _ in range(count)]


def _plain(dice: random.Random, number: int, paragraphs: int | None = None) -> Document:
    first, last = _marks(number)
    body = "\n\n".join((first, *_paragraphs(dice, paragraphs or dice.randint(2, 30)), last))
    return Document(name="note.txt", content=body.encode())


def _long(dice: random.Random, number: int) -> Document:
    """Several hundred chunks: a worker takes long enough over it to be hit in each stage."""
    return _plain(dice, number, paragraphs=dice.randint(400, 800))


def _markdown(dice: random.Random, number: int) -> Document:
    first, last = _marks(number)
    sections = [f"## {_sentences(dice, 3)}\n\n{_sentences(dice, 60)}" for _ in range(dice.randint(1, 12))]
    rows = "\n".join(f"| P-{row} | {dice.randint(1, 900)} |" for row in range(dice.randint(1, 40)))
    body = "\n\n".join((first, *sections, f"| Part | Price |\n|---|---|\n{rows}", last))
    return Document(name="guide.md", content=body.encode())


def _web_page(dice: random.Random, number: int) -> Document:
    first, last = _marks(number)
    body = "".join(f"<h2>{_sentences(dice, 3)}</h2><p>{text}</p>" for text in _paragraphs(dice, dice.randint(1, 12)))
    html = f"<!DOCTYPE html><html><body><p>{first}</p>{body}<p>{last}</p></body></html>"
    return Document(name="page.html", content=html.encode())


def _table(dice: random.Random, number: int) -> Document:
    rows = [f"P-{number}-{row},{_sentences(dice, 6)},{dice.randint(1, 900)}" for row in range(dice.randint(3, 120))]
    return Document(name="parts.csv", content="\n".join(("Part,Use,Price", *rows)).encode())


def _word(dice: random.Random, number: int) -> Document:
    return Document(name="letter.docx", content=_made_once(_letter, dice.randrange(3)))


def _pdf(dice: random.Random, number: int) -> Document:
    return Document(name="sheet.pdf", content=_made_once(_sheet, dice.randrange(3)))


def _sample(dice: random.Random, number: int) -> Document:
    name = dice.choice(_SAMPLES)
    return Document(name=name, content=(ROOT / "data" / "sample" / name).read_bytes())


def _archive(dice: random.Random, number: int) -> Document:
    """Each of its files becomes a document of its own; one of them may be bad."""
    makers = [_plain, _markdown, _table, _bad]
    members = [dice.choice(makers)(dice, 100 * number + n) for n in range(dice.randint(1, 4))]
    contents = {f"d{number}-{n}-{member.name}": member.content for n, member in enumerate(members)}
    return Document(name=f"box{ARCHIVE_SUFFIX}", content=zipped(contents))


def _bad(dice: random.Random, number: int) -> Document:
    """A file that ends as `failed`, for a reason that is stated."""
    garbage = dice.randbytes(dice.randint(100, 5000))
    return dice.choice(
        [
            Document(name="blank.txt", content=b" \n" * dice.randint(1, 50)),
            Document(name="torn.pdf", content=b"%PDF-1.7\n" + garbage),
            Document(name="torn.docx", content=b"PK\x03\x04" + garbage),
            Document(name="noise.bin", content=b"\x00\xff" + garbage),
        ]
    )


@cache
def _made_once(maker: Callable[[random.Random], bytes], seed: int) -> bytes:
    """Making these takes longer than reading them, and their bytes hold the time of day."""
    return maker(random.Random(seed))


def _letter(dice: random.Random) -> bytes:
    document, target = docx.Document(), io.BytesIO()
    for text in _paragraphs(dice, 8):
        document.add_heading(_sentences(dice, 3), level=2)
        document.add_paragraph(text)
    document.save(target)
    return target.getvalue()


def _sheet(dice: random.Random) -> bytes:
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A5)
    for _ in range(3):
        for line in range(20):
            canvas.drawString(40, 540 - 20 * line, _sentences(dice, 5))
        canvas.showPage()
    canvas.save()
    return target.getvalue()
