"""Charts and diagrams of Office files, which no library reads whole: their parts as tables and lists."""

from collections.abc import Iterator
from itertools import groupby

from lxml import etree

from ingest.documents import Category, DocumentBuilder
from ingest.parsers.tables import markdown_table

# Last parts of the types of relationship that lead to them.
CHART, DIAGRAM = "chart", "diagramData"

_CHART = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"

# Category or value by its position.
_Points = dict[int, str]


def add_drawing(builder: DocumentBuilder, root: etree._Element, *, page: int | None = None) -> None:
    """Add the chart or diagram in the part with this root: a chart's title and values, a diagram's words."""
    if root.tag == f"{_CHART}chartSpace":
        title = root.find(f"{_CHART}chart/{_CHART}title")
        builder.add(_words(title) if title is not None else "", page=page)
        for categories, series in groupby(map(_series, root.iter(f"{_CHART}ser")), key=lambda one: one[0]):
            table = _table(categories, [(name, values) for _, name, values in series])
            builder.add(markdown_table(table), category=Category.TABLE, page=page)
    for point in root.iter(f"{_DIAGRAM}pt"):
        builder.add(_words(point), category=Category.LIST_ITEM, page=page)


def _series(series: etree._Element) -> tuple[_Points, str, _Points]:
    """Return a series' categories, name and values, as the program that wrote the file has cached them."""
    name = " ".join(str(value.text or "") for value in series.iterfind(f"{_CHART}tx//{_CHART}v"))
    return _points(series, "cat", "xVal"), name, _points(series, "val", "yVal")


def _points(series: etree._Element, *names: str) -> _Points:
    points: _Points = {}
    for name in names:
        for point in series.iterfind(f"{_CHART}{name}//{_CHART}pt"):
            index, text = int(point.get("idx") or 0), point.findtext(f"{_CHART}v") or ""
            # Categories on several levels have a text on each.
            points[index] = f"{points[index]} / {text}" if index in points else _number(text)
    return points


def _number(text: str) -> str:
    """Return a number without the digits that its binary form has too many."""
    try:
        return f"{float(text):.15g}" if "." in text else text
    except ValueError:
        return text


def _table(categories: _Points, series: list[tuple[str, _Points]]) -> Iterator[list[str]]:
    yield ["", *(name for name, _ in series)]
    for index in sorted(set(categories).union(*(values for _, values in series))):
        yield [categories.get(index, ""), *(values.get(index, "") for _, values in series)]


def _words(node: etree._Element) -> str:
    paragraphs = node.iter(f"{_DRAWING}p")
    return "\n".join("".join(str(t.text or "") for t in paragraph.iter(f"{_DRAWING}t")) for paragraph in paragraphs)
