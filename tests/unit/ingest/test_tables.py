"""Rows become Markdown within limits, and what passes them is stated with its place."""

from collections.abc import Iterable, Sequence

from ingest.documents import DocumentBuilder
from ingest.parsers.tables import SheetWriter, markdown_table


def written(*sheets: tuple[str, Iterable[Sequence[str]]], max_cells: int = 100) -> tuple[str, list[str]]:
    builder = DocumentBuilder("text/csv")
    writer = SheetWriter(builder, max_cells=max_cells)
    warnings = [warning for name, rows in sheets for warning in writer.add(name, rows)]
    return builder.build().text, warnings


def test_rows_without_text_and_columns_without_text_go() -> None:
    """The others keep their place."""
    assert markdown_table([["a", "", "b"], ["", ""], ["", "", "c", ""]]) == "| a | b |\n| --- | --- |\n|  | c |"


def test_a_table_that_is_mostly_padding_is_not_padded() -> None:
    """Its first row still says how many columns there are."""
    rows = [["a"], *([["x"]] * 2000), [""] * 1 + ["y"] * 1000]
    lines = markdown_table(rows).split("\n")
    assert {lines[0].count("|"), lines[1].count("|"), lines[-1].count("|")} == {1002}
    assert lines[2] == "| x |"


def test_a_sheet_ends_where_its_workbook_has_too_many_cells() -> None:
    """Blank ends of rows do not count, and the next sheet has what is left."""
    wide = [["1", "2", *[""] * 50]] * 3
    text, warnings = written(("A", wide), ("B", wide), ("C", [[]]), max_cells=9)
    assert text.count("| 1 | 2 |") == 4
    assert warnings == [
        "sheet 'B': rows after 1 were not read, as the workbook claims more than 9 cells; split it",
        "sheet 'C' holds no values",
    ]


def test_a_sheet_is_its_tables_with_their_captions() -> None:
    """Blank rows part tables; a single cell above one is its caption."""
    text, warnings = written(("A", [["t"], ["a", "b"], ["1", "2"], [], ["c", "d"]]))
    assert text == "A\n\nt\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n\n| c | d |\n| --- | --- |"
    assert warnings == []
