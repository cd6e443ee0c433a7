"""The public methods of the resources that Footnote serves, found by introspection."""

import inspect
from typing import Any

RESOURCES = (
    "files",
    "uploads",
    "uploads.parts",
    "vector_stores",
    "vector_stores.files",
    "vector_stores.file_batches",
    "embeddings",
    "models",
    "responses",
    "responses.input_items",
    "responses.input_tokens",
    "conversations",
    "conversations.items",
    "chat.completions",
    "chat.completions.messages",
)
_WRAPPERS = ("with_raw_response", "with_streaming_response")


def methods(client: Any) -> list[str]:
    """Return their dotted names; a wrapper of a resource counts as one method."""
    return [f"{path}.{name}" for path in RESOURCES for name in _names(_resource(client, path))]


def _resource(client: Any, path: str) -> Any:
    for part in path.split("."):
        client = getattr(client, part)
    return client


def _names(resource: Any) -> list[str]:
    kind = type(resource)
    functions = [name for name in dir(kind) if inspect.isfunction(inspect.getattr_static(kind, name))]
    return [name for name in functions if not name.startswith("_")] + list(_WRAPPERS)
