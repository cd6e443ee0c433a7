"""Typeset the binary sample documents of ``data/sample`` from the texts in ``data/source``.

Run it from the repository root::

    .venv/bin/python data/make_sample.py

Each source file is a small Markdown dialect (see ``sample_source.py``) and becomes one document: the manuals as
PDF, the handbook and the contracts as DOCX, the deck as PPTX, the price list and the fleet register as XLSX. The
text formats of the sample (.txt, .md, .html, .csv, .eml) are committed as they are and not touched here.

The output is the same, byte for byte, on every run with the same library versions: no clock is read, dates in the
metadata come from the sources.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from sample_office import write_docx, write_pptx, write_xlsx
from sample_pdf import write_pdf
from sample_source import Source, read_source

HERE = Path(__file__).resolve().parent
Writer = Callable[[Source, Path], None]
DOCUMENTS: tuple[tuple[str, str, Writer], ...] = (
    ("rime40-operating-manual", ".pdf", write_pdf),
    ("delivery-and-siting-guide", ".pdf", write_pdf),
    ("employee-handbook", ".docx", write_docx),
    ("service-level-agreement", ".docx", write_docx),
    ("travel-expense-policy-2025", ".docx", write_docx),
    ("onboarding-deck", ".pptx", write_pptx),
    ("hire-price-list-2025", ".xlsx", write_xlsx),
    ("fleet-register-2025", ".xlsx", write_xlsx),
)


def main() -> None:
    """Write every document of ``DOCUMENTS`` into ``data/sample``."""
    target = HERE / "sample"
    target.mkdir(exist_ok=True)
    for name, suffix, write in DOCUMENTS:
        path = target / f"{name}{suffix}"
        write(read_source(HERE / "source" / f"{name}.md"), path)
        sys.stdout.write(f"{path.relative_to(HERE)}  {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
