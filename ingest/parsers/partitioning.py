"""The package unstructured, made to work offline, and its elements in our terms.

Importing this module costs about a second; it belongs into the process that parses.
"""

import functools
import os
from collections.abc import Iterable

# unstructured reports every import and every document to its maker unless told not to before it is imported.
os.environ["DO_NOT_TRACK"] = "1"
os.environ["UNSTRUCTURED_DISABLE_NOTICE"] = "1"

import lxml.etree
import lxml.html
import spacy
from unstructured.documents import elements as un
from unstructured.nlp import tokenize
from unstructured.partition import docx, text_type
from unstructured.partition.html import parser, partition

from ingest.documents import Category, DocumentBuilder
from ingest.parsers.tables import markdown_table

# Stands in HTML where a paragraph ends without a tag that says so. A noncharacter: no text holds it, XML takes it.
PARAGRAPH_MARK = "\ufdd0"
# `languages` of the partitioners: no language detection, whose result nothing here uses.
NO_LANGUAGE_DETECTION = [""]

_CATEGORIES: tuple[tuple[type[un.Element], Category], ...] = (
    (un.ListItem, Category.LIST_ITEM),
    (un.CodeSnippet, Category.CODE),
    (un.Table, Category.TABLE),
)
_DROPPED = (un.PageBreak, un.Header, un.Footer, un.PageNumber)


@functools.lru_cache(maxsize=1)
def _pipeline() -> spacy.language.Language:
    """Return the spaCy pipeline for unstructured: its model where that is installed, else a blank English one.

    unstructured's own loader downloads the model at the first element and installs it into the running
    environment, which fails offline and is nothing a server should do. It only asks for verbs and sentences to
    tell narrative text from titles, a guess that Footnote does not use: headings come from styles and tags.
    """
    if spacy.util.is_package("en_core_web_sm"):
        return spacy.load("en_core_web_sm", exclude=["ner", "lemmatizer", "attribute_ruler"])
    blank = spacy.blank("en")
    blank.add_pipe("sentencizer")
    return blank


tokenize._get_nlp = _pipeline


def _text_or_item(text: str) -> type[un.Text]:
    return un.ListItem if text_type.is_bulleted_text(text) else un.Text


# unstructured's own choice drops paragraphs of one character ("7" is an answer), and asks spaCy for the rest.
parser.derive_element_type_from_text = _text_or_item


def _unchanged(text: str) -> str:
    return text


# unstructured takes a dash with a blank for the mark of a list item and drops it: "– 5 °C" became "5 °C".
parser.clean_bullets = _unchanged  # type: ignore[attr-defined] # Imported there, and so not exported.
docx.clean_bullets = _unchanged  # type: ignore[attr-defined]

# As unstructured makes it, but for `huge_tree`: without that libxml2 reads 10 MB of text and ends there without a word.
_parser = lxml.etree.HTMLParser(remove_comments=True, remove_pis=True, huge_tree=True)
_parser.set_element_class_lookup(parser.element_class_lookup)
partition.html_parser = _parser  # type: ignore[attr-defined]


def warm_up() -> None:
    """Build the spaCy pipeline and unstructured's word lists now: a forked child inherits them (100 ms each time)."""
    text_type.is_possible_narrative_text("Footnote reads documents here.")


def category_of(element: un.Element) -> Category:
    """Return what `element` is, headings apart: each format knows its own."""
    return next((ours for theirs, ours in _CATEGORIES if isinstance(element, theirs)), Category.TEXT)


def text_of(element: un.Element) -> str:
    """Return the text of `element`; a table becomes Markdown."""
    html = element.metadata.text_as_html
    if not isinstance(element, un.Table) or not html:
        return str(element.text)
    rows = lxml.html.fragment_fromstring(html).iter("tr")
    cells = ([" ".join(cell.itertext()) for cell in row if cell.tag in ("td", "th")] for row in rows)
    return markdown_table(cells) or str(element.text)


def add_elements(builder: DocumentBuilder, elements: Iterable[un.Element]) -> None:
    """Add `elements` of a format whose titles are headings by mark-up, with `category_depth` from 0.

    unstructured's titles are such in HTML and Word; in other formats many are guesses from the words.
    """
    for element in elements:
        text = text_of(element)
        if isinstance(element, un.Title):
            level = (element.metadata.category_depth or 0) + 1
            builder.add(text.replace(PARAGRAPH_MARK, " "), category=Category.HEADING, level=level)
        elif isinstance(element, un.Table):
            builder.add(text.replace(PARAGRAPH_MARK, " "), category=Category.TABLE)
        elif isinstance(element, un.CodeSnippet):
            builder.add(text.replace(PARAGRAPH_MARK, "\n\n"), category=Category.CODE)
        elif not isinstance(element, _DROPPED):
            for paragraph in text.split(PARAGRAPH_MARK):
                builder.add(paragraph, category=category_of(element))
