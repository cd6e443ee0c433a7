"""Excel, on openpyxl.

Not through unstructured: it reads with pandas, which drops the cells NA, None and null (0.27.32, measured).
"""

import datetime
import functools
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import openpyxl
from openpyxl.cell.cell import Cell, MergedCell
from openpyxl.utils.exceptions import CellCoordinatesException, InvalidFileException
from openpyxl.worksheet.worksheet import Worksheet

from ingest.documents import DocumentBuilder, ParsedDocument
from ingest.parsers.embedded import unread_parts
from ingest.parsers.packages import check_package, reading
from ingest.parsers.tables import SheetWriter

Row = tuple[str, ...]

# Of a sheet, by the format. openpyxl makes a row for every number up to the one that a row claims.
_MAX_ROWS = 1_048_576
_UNSTORED_FORMULA = re.compile(rb"<f[^<>]*(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>|</c>)")
_VALUE = re.compile(rb"<v(?: [^<>]*)?>[^<]|<is[ >]")
# Literal text in a number format: the % in `0"%"` does not multiply by a hundred.
_LITERAL = re.compile(r"\"[^\"]*\"|\\.")


class XlsxParser:
    """Each sheet is a heading with its tables, which blank rows separate; formulas count by their stored results."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        check_package(path, filename)
        builder = DocumentBuilder(media_type)
        writer = SheetWriter(builder)
        warnings: list[str] = []
        with (
            reading(filename, CellCoordinatesException, InvalidFileException),
            path.open("rb") as file,
            zipfile.ZipFile(path) as package,
        ):
            workbook = openpyxl.load_workbook(file, read_only=True, data_only=True)
            for sheet in workbook.worksheets:
                # The stated size of a sheet is often wrong, and cells outside it would be skipped.
                sheet.reset_dimensions()
                reader = _SheetReader(sheet)
                warnings += writer.add(sheet.title, reader)
                warnings += reader.losses(package)
            title = workbook.properties.title
            workbook.close()
            warnings += unread_parts(path, filename)
        return builder.build(title=title, warnings=warnings)


class _SheetReader:
    """Iterates over the rows of a sheet, and compares afterwards with what its part holds."""

    def __init__(self, sheet: Worksheet) -> None:
        self._sheet = sheet
        self._values = 0
        self._is_whole = False

    def __iter__(self) -> Iterator[Row]:
        for row in self._sheet.iter_rows(max_row=_MAX_ROWS):
            self._values += sum(cell.value is not None for cell in row)
            yield tuple(_cell_text(cell) for cell in row)
        self._is_whole = True

    def losses(self, package: zipfile.ZipFile) -> Iterator[str]:
        """Yield a sentence for formulas without a result and for cells that openpyxl has passed over.

        Formulas that no program has calculated yet read as empty cells. Rows that come twice or out of order, which
        only damage explains, are not read at all.
        """
        # The one place where openpyxl says which part a sheet is.
        part = package.read(self._sheet._worksheet_path)  # type: ignore[attr-defined]
        name = f"sheet {self._sheet.title!r}"
        if count := len(_UNSTORED_FORMULA.findall(part)):
            yield (
                f"{name} has {count} {'formula' if count == 1 else 'formulas'} without a stored result; "
                "open the file in a spreadsheet program and save it"
            )
        lost = len(_VALUE.findall(part)) - self._values
        if self._is_whole and lost > 0:
            yield f"{name}: {lost} {'cell' if lost == 1 else 'cells'} at impossible places could not be read"


def _cell_text(cell: Cell | MergedCell) -> str:
    """Return a cell's value in words: dates in ISO form, percentages as they are shown, whole floats without .0."""
    value = cell.value
    match value:
        case None:
            text = ""
        case bool():
            text = str(value).upper()
        case int() | float() if _is_percentage(cell.number_format or ""):
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


@functools.lru_cache(maxsize=256)
def _is_percentage(number_format: str) -> bool:
    return "%" in _LITERAL.sub("", number_format)
