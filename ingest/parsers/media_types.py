"""Media types that the parsers know, by what a file's name ends with."""

from pathlib import PurePosixPath

PDF = "application/pdf"
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ODT = "application/vnd.oasis.opendocument.text"
ODP = "application/vnd.oasis.opendocument.presentation"
ODS = "application/vnd.oasis.opendocument.spreadsheet"
EPUB = "application/epub+zip"
RTF = "application/rtf"
OUTLOOK = "application/vnd.ms-outlook"
ZIP = "application/zip"
BMP = "image/bmp"
GIF = "image/gif"
JPEG = "image/jpeg"
PNG = "image/png"
TIFF = "image/tiff"
WEBP = "image/webp"
HTML = "text/html"
MARKDOWN = "text/markdown"
CSV = "text/csv"
EMAIL = "message/rfc822"
JSON = "application/json"
JSON_LINES = "application/x-ndjson"
XML = "application/xml"
PLAIN = "text/plain"

# Formats that are text to begin with. Only among these does the name decide: their content looks alike.
TEXT_BY_SUFFIX = {
    ".txt": PLAIN,
    ".text": PLAIN,
    ".log": PLAIN,
    ".rst": PLAIN,
    ".org": PLAIN,
    ".tex": "text/x-tex",
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".csv": CSV,
    ".tsv": CSV,
    ".tab": CSV,
    ".psv": CSV,
    ".eml": EMAIL,
    ".json": JSON,
    ".jsonl": JSON_LINES,
    ".ndjson": JSON_LINES,
    ".xml": XML,
    ".c": "text/x-c",
    ".h": "text/x-c",
    ".cc": "text/x-c++",
    ".cpp": "text/x-c++",
    ".hpp": "text/x-c++",
    ".cs": "text/x-csharp",
    ".css": "text/css",
    ".go": "text/x-golang",
    ".java": "text/x-java",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".jsx": "text/javascript",
    ".kt": "text/x-kotlin",
    ".php": "text/x-php",
    ".py": "text/x-python",
    ".r": "text/x-r",
    ".rb": "text/x-ruby",
    ".rs": "text/x-rust",
    ".scala": "text/x-scala",
    ".sh": "application/x-sh",
    ".sql": "application/sql",
    ".swift": "text/x-swift",
    ".toml": "application/toml",
    ".ts": "application/typescript",
    ".tsx": "application/typescript",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}

# Read as plain text but not as code: prose in a mark-up of its own.
_PROSE = frozenset({PLAIN, "text/x-tex"})
_MARKUP = frozenset({HTML, MARKDOWN, CSV, EMAIL, JSON, JSON_LINES, XML})


# Read by OCR.
IMAGES = frozenset({BMP, GIF, JPEG, PNG, TIFF, WEBP})

# Every type that a parser reads.
KNOWN = frozenset({PDF, *IMAGES, DOCX, PPTX, XLSX, ODT, ODP, ODS, EPUB, RTF, OUTLOOK, ZIP, *TEXT_BY_SUFFIX.values()})


def suffix_of(filename: str) -> str:
    """Return the lower-case ending of `filename` with its dot, or an empty string."""
    return PurePosixPath(filename.replace("\\", "/")).suffix.lower()


def is_code(media_type: str) -> bool:
    """Tell whether line breaks and indentation carry meaning in this text format."""
    return media_type in TEXT_BY_SUFFIX.values() and media_type not in _PROSE | _MARKUP
