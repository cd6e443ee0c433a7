"""Excel, on openpyxl.

Not through unstructured: it reads with pandas, which drops the cells NA, None and null (0.27.32, measured).
"""

import datetime
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import openpyxl
from openpyxl.cell.cell import Cell, MergedCell
from openpyxl.worksheet.worksheet import Worksheet

from ingest.documents import DocumentBuilder, ParsedDocument
from ingest.parsers.packages import check_package, reading
from ingest.parsers.tables import add_sheet

Row = tuple[str, ...]

_SHEET_PART = re.compile(r"xl/worksheets/sheet\d+\.xml")
_UNSTORED_FORMULA = re.compile(rb"<f>[^<]*</f>\s*(?:<v\s*/>|<v></v>|</c>)")


class XlsxParser:
    """Each sheet is a heading with its tables, which blank rows separate; formulas count by their stored results."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        check_package(path, filename)
        builder = DocumentBuilder(media_type)
        warnings: list[str] = []
        with reading(filename), path.open("rb") as file:
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            for sheet in workbook.worksheets:
                # The stated size of a sheet is often wrong, and cells outside it would be skipped.
                sheet.reset_dimensions()
                if not add_sheet(builder, sheet.title, _rows(sheet)):
                    warnings.append(f"sheet {sheet.title!r} holds no values")
            title = workbook.properties.title
            workbook.close()
            warnings += _unstored_formulas(path, [sheet.title for sheet in workbook.worksheets])
        return builder.build(title=title, warnings=warnings)


def _unstored_formulas(path: Path, names: Sequence[str]) -> Iterator[str]:
    """Yield a sentence for each sheet with formulas that no program has calculated yet: they read as empty cells."""
    with zipfile.ZipFile(path) as package:
        parts = [name for name in package.namelist() if _SHEET_PART.fullmatch(name)]
        # Parts are numbered in the order of the sheets by every known writer; a wrong name would only mislead.
        parts.sort(key=lambda name: int("".join(filter(str.isdigit, name))))
        for number, part in enumerate(parts):
            count = len(_UNSTORED_FORMULA.findall(package.read(part)))
            name = f"sheet {names[number]!r}" if len(parts) == len(names) else "a sheet"
            if count:
                yield (
                    f"{name} has {count} {'formula' if count == 1 else 'formulas'} without a stored result; "
                    "open the file in a spreadsheet program and save it"
                )


def _rows(sheet: Worksheet) -> Iterator[Row]:
    for row in sheet.iter_rows():
        yield tuple(_cell_text(cell) for cell in row)


def _cell_text(cell: Cell | MergedCell) -> str:
    """Return a cell's value in words: dates in ISO form, percentages as they are shown, whole floats without .0."""
    value = cell.value
    match value:
        case None:
            text = ""
        case bool():
            text = str(value).upper()
        case int() | float() if "%" in (cell.number_format or ""):
            text = f"{value * 100:.10g}%"
        case float():
            text = f"{value:.15g}"
        case datetime.datetime() if value.time() == datetime.time():
            text = value.date().isoformat()
        case datetime.datetime():
            text = value.isoformat(" ", "seconds")
        case _:
            text = str(value).strip()
    return text
