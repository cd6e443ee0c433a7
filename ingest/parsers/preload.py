"""What the fork server imports before it forks: every parser, so that a document costs a fork and no imports.

For the fork server alone (`ingest.sandbox` names it): importing this hides torch from the whole process. spaCy's
thinc imports torch wherever it is installed, 2 s and 180 MB for nothing here.
"""

import gc
import os
import sys

# What is imported stays: no time for looking through it for garbage.
gc.disable()
sys.modules["torch"] = None  # type: ignore[assignment]
# A thread pool does not survive a fork; without one there is nothing to lose.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

from ingest.parsers import (  # noqa: E402, F401 - only after torch is hidden
    archive,
    delimited,
    docx,
    email,
    epub,
    html,
    image,
    json,
    markdown,
    opendocument,
    outlook,
    partitioning,
    pdf,
    pptx,
    rtf,
    text,
    xlsx,
    xml,
)

partitioning.warm_up()
# Out of the collector's sight: a collection in a child would copy every page that it looks at.
gc.collect()
gc.freeze()
gc.enable()
