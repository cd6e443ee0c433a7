"""PowerPoint, on unstructured; a slide is a page."""

from collections.abc import Iterable
from pathlib import Path

import pptx
from unstructured.documents import elements as un
from unstructured.partition.pptx import partition_pptx

from ingest.documents import Category, DocumentBuilder, ParsedDocument
from ingest.parsers import partitioning
from ingest.parsers.packages import check_package, reading


class PptxParser:
    """Slides from top to bottom and left to right, each followed by its speaker notes."""

    def parse(self, path: Path, *, filename: str, media_type: str) -> ParsedDocument:
        check_package(path, filename)
        builder = DocumentBuilder(media_type)
        with reading(filename):
            presentation = pptx.Presentation(str(path))
            notes = {
                number: slide.notes_slide.notes_text_frame
                for number, slide in enumerate(presentation.slides, 1)
                if slide.has_notes_slide
            }
            elements = partition_pptx(
                filename=str(path),
                include_slide_notes=False,
                include_page_breaks=False,
                languages=partitioning.NO_LANGUAGE_DETECTION,
            )
            for number in range(1, len(presentation.slides) + 1):
                _add_slide(builder, (e for e in elements if e.metadata.page_number == number), number)
                frame = notes.get(number)
                if frame is not None:
                    builder.add(frame.text, page=number)
            title = presentation.core_properties.title
        count = len(presentation.slides)
        return builder.build(title=_real_title(title), pages=count, pages_read=count)


def _add_slide(builder: DocumentBuilder, elements: Iterable[un.Element], number: int) -> None:
    for element in elements:
        # Depth 0 is the slide's title shape; the other titles are guesses from the words.
        is_heading = isinstance(element, un.Title) and not element.metadata.category_depth
        category = Category.HEADING if is_heading else partitioning.category_of(element)
        builder.add(partitioning.text_of(element), category=category, page=number)


def _real_title(title: str | None) -> str | None:
    """Return the title unless it is the one that the program's template came with."""
    return None if title in ("PowerPoint Presentation", "PowerPoint-Präsentation", "Presentation") else title
