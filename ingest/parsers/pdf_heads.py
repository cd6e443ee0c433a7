"""Running heads and feet: what stands at the edge of page after page and is no part of the text. Pure."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ingest.parsers.pdf_lines import Page

_NUMBER = re.compile(r"\d+|\b[ivxl]+$")


def drop_running_heads(pages: Sequence[Page]) -> list[Page]:
    """Return `pages` without the lines that repeat near the top or bottom of most pages; numbers in them may differ.

    They repeat at one place, or as the first or last line of pages of different length.
    """
    margins = [_margin_lines(page) for page in pages]
    seen = Counter(key for lines in margins for key in {key for keys in lines.values() for key in keys})
    # Left and right pages may have different ones.
    often = max(3, 0.4 * len(pages))
    return [
        replace(
            page,
            lines=tuple(
                line
                for index, line in enumerate(page.lines)
                if not any(seen[key] >= often for key in lines.get(index, ()))
            ),
        )
        for page, lines in zip(pages, margins, strict=True)
    ]


def _margin_lines(page: Page) -> dict[int, list[str]]:
    """Return comparable forms of each line that may be a running head, by the line's index."""
    lines = page.lines
    if not lines:
        return {}
    outer = 0.12 * page.height
    found = {
        index: [f"{round(line.box[1] / 4)} {_NUMBER.sub('#', line.text)}"]
        for index, line in enumerate(lines)
        if line.box[3] < outer or line.box[1] > page.height - outer
    }
    first = min(range(len(lines)), key=lambda index: lines[index].box[1])
    last = max(range(len(lines)), key=lambda index: lines[index].box[1])
    for index, place in ((first, "first"), (last, "last")):
        found.setdefault(index, []).append(f"{place} {_NUMBER.sub('#', lines[index].text)}")
    return found
