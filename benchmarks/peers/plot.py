"""Bars as SVG, without a library: one panel per measure, one bar per system."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

_WIDTH: Final = 860
_COLUMNS: Final = 2
_ROW: Final = 22
_LABEL: Final = 105
_VALUE: Final = 60
_HEAD: Final = 34
_GAP: Final = 20
_OURS: Final = "#0b6e4f"
_OTHERS: Final = "#9aa5b1"
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}"
    "@media(prefers-color-scheme:dark){text{fill:#d0d7de}}"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    title: str
    # By system; the first one is drawn in its own colour.
    values: Mapping[str, float]
    digits: int = 0


def svg(panels: Sequence[Panel]) -> str:
    """Return a picture with the panels side by side in rows of two; each panel has a scale of its own, from 0."""
    width = (_WIDTH - _GAP * (_COLUMNS - 1)) / _COLUMNS
    parts, top = [], 0.0
    for first in range(0, len(panels), _COLUMNS):
        row = panels[first : first + _COLUMNS]
        for column, panel in enumerate(row):
            parts += _panel(panel, left=column * (width + _GAP), top=top, width=width)
        top += _HEAD + _ROW * max(len(panel.values) for panel in row) + _GAP
    title = escape(", ".join(panel.title for panel in panels))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top:.0f}" width="{_WIDTH}" role="img">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(panel: Panel, *, left: float, top: float, width: float) -> list[str]:
    scale = (width - _LABEL - _VALUE) / (max(panel.values.values(), default=0.0) or 1.0)
    parts = [f'<text class="title" x="{left:.0f}" y="{top + 20:.0f}">{escape(panel.title)}</text>']
    for position, (name, value) in enumerate(panel.values.items()):
        y = top + _HEAD + _ROW * position
        colour = _OTHERS if position else _OURS
        end = left + _LABEL + scale * value
        parts += [
            f'<text x="{left:.0f}" y="{y + 13:.0f}">{escape(name)}</text>',
            f'<rect x="{left + _LABEL:.0f}" y="{y:.0f}" width="{scale * value:.1f}" height="{_ROW - 6}" '
            f'fill="{colour}"/>',
            f'<text x="{end + 5:.0f}" y="{y + 13:.0f}">{value:,.{panel.digits}f}</text>',
        ]
    return parts
