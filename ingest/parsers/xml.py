"""XML of any vocabulary: its text in document order, and the hardened reader that other XML formats use."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from catalog.errors import InvalidFile
from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers.decoding import decode, unreadable
from ingest.parsers.text import add_paragraphs

# A child of this name, in any vocabulary, names the element that it is in.
_TITLE_TAGS = frozenset({"title", "head", "heading", "name", "label"})
_LOOKS = frozenset({"class", "style", "lang", "dir", "align"})
# Leaves of different names with no longer texts are the fields of a record; else they are prose.
_MAX_FIELD_CHARS = 200
_ENTITY = b"<!ENTITY"
_FIRST_ELEMENT = re.compile(rb"<[A-Za-z_]")


class XmlParser:
    """A block per element without blocks in it; records as `field: value` lines; titles as headings."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        data = path.read_bytes()
        builder = DocumentBuilder(media_type)
        try:
            root = parse_xml(data, filename)
        except etree.XMLSyntaxError as exc:
            text = decode(data)
            add_paragraphs(builder, text)
            warning = f"this is not well-formed XML ({exc.msg}) and was read as plain text"
            return builder.build(warnings=[warning, *unreadable(text)])
        try:
            _add(builder, root, level=1)
        except RecursionError as exc:
            raise InvalidFile(f"{filename!r} is nested too deeply to be read; flatten its mark-up") from exc
        # Without a title, the name of the first record would be taken for that of all.
        return builder.build(title=next((_text(child) for child in _children(root) if _is_title(child)), filename))


def parse_xml(data: bytes, filename: str) -> etree._Element:
    """Return the root of the XML in `data`; nothing outside of it is opened and no entity is expanded.

    Raises InvalidFile (entities declared, nested too deeply) and lxml.etree.XMLSyntaxError.
    """
    if _declares_entities(data):
        raise _entities_declared(filename)
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as exc:
        if "depth" in (exc.msg or ""):
            raise InvalidFile(f"{filename!r} is nested too deeply to be read; flatten its mark-up") from exc
        if "XML_PARSE_HUGE" not in (exc.msg or ""):
            raise
        # A text of more than 10 MB. Not at once, as this takes the guard off what entities become in attributes.
        root = etree.fromstring(data, _parser(huge_tree=True))
    dtd = root.getroottree().docinfo.internalDTD
    if dtd is not None and any(True for _ in dtd.iterentities()):  # type: ignore[union-attr] # Not in lxml-stubs.
        raise _entities_declared(filename)
    return root


def _parser(*, huge_tree: bool = False) -> etree.XMLParser:
    return etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, attribute_defaults=False,
        huge_tree=huge_tree, remove_comments=True, remove_pis=True,
    )  # fmt: skip


def _declares_entities(data: bytes) -> bool:
    """Tell whether `<!ENTITY` stands before the first element: within one it may be a text about XML."""
    # Of two bytes for each character where one of the first is zero.
    plain = data.replace(b"\0", b"") if b"\0" in data[:4] else data
    return _ENTITY in plain and _ENTITY in _FIRST_ELEMENT.split(plain, maxsplit=1)[0]


def _entities_declared(filename: str) -> InvalidFile:
    return InvalidFile(f"{filename!r} declares XML entities, which are not expanded; save it without them")


def _add(builder: DocumentBuilder, node: etree._Element, *, level: int) -> None:
    """Add the text of `node`; a title in it becomes a heading of `level` and the rest comes below."""
    children = _children(node)
    if not children or _has_own_text(node):
        _add_mixed(builder, node, level)
        return
    title = next((_text(child) for child in children if _is_title(child)), "")
    builder.add(title, category=Category.HEADING, level=level)
    if _is_record(node, children):
        builder.add("\n".join(_fields(node, children)))
        return
    builder.add(_attributes(node))
    has_titles = False
    for child in children:
        if title and _is_title(child) and _text(child) == title:
            continue
        if _is_container(child):
            if has_titles and not any(_is_title(part) for part in _children(child)):
                # Without a heading of its own, it would seem to belong to the one before.
                builder.add(_name(child), category=Category.HEADING, level=level + bool(title))
            has_titles = has_titles or any(_is_title(part) for part in _children(child))
        _add(builder, child, level=level + bool(title))


def _add_mixed(builder: DocumentBuilder, node: etree._Element, level: int) -> None:
    """Add a paragraph whose inline elements are part of its text; lists and the like in it come apart."""
    run = node.text or ""
    for child in node:
        if isinstance(child.tag, str) and _is_container(child):
            builder.add(_one_line(run))
            _add(builder, child, level=level)
            run = child.tail or ""
        else:
            run += _raw_text(child) + (child.tail or "")
    builder.add(_with_attributes(_one_line(run), node))


def _is_record(node: etree._Element, children: list[etree._Element]) -> bool:
    """Tell whether the children are fields: leaves of different names, with short texts, more than one."""
    names = {_name(child) for child in children}
    are_leaves = all(not len(child) and len(child.text or "") <= _MAX_FIELD_CHARS for child in children)
    return are_leaves and len(names) == len(children) and (len(names) > 1 or bool(_attributes(node)))


def _fields(node: etree._Element, children: list[etree._Element]) -> Iterator[str]:
    yield _attributes(node)
    for child in children:
        yield f"{_name(child)}: {_with_attributes(_text(child), child)}"


def _with_attributes(text: str, node: etree._Element) -> str:
    attributes = _attributes(node)
    return f"{text} ({attributes})" if text and attributes else text or attributes


def _attributes(node: etree._Element) -> str:
    """Return the attributes of no namespace, in which some vocabularies keep all their data, but those of its looks."""
    return ", ".join(
        f"{name!s}: {value!s}"
        for name, value in node.attrib.items()
        if not str(name).startswith("{") and name not in _LOOKS
    )


def _children(node: etree._Element) -> list[etree._Element]:
    return [child for child in node if isinstance(child.tag, str)]


def _is_container(node: etree._Element) -> bool:
    return bool(_children(node)) and not _has_own_text(node)


def _is_title(node: etree._Element) -> bool:
    return _name(node).lower() in _TITLE_TAGS and not _is_container(node) and bool(_text(node))


def _has_own_text(node: etree._Element) -> bool:
    return bool((node.text or "").strip()) or any((child.tail or "").strip() for child in node)


def _name(node: etree._Element) -> str:
    return etree.QName(node).localname


def _text(node: etree._Element) -> str:
    return _one_line(_raw_text(node))


def _raw_text(node: etree._Element) -> str:
    """Return the text of `node`, its tail not included; an entity that a DTD elsewhere declares, by its HTML name."""
    if not isinstance(node.tag, str):
        return html.unescape(node.text or "")
    return (node.text or "") + "".join(_raw_text(child) + (child.tail or "") for child in node)


def _one_line(text: str) -> str:
    return " ".join(text.split())
