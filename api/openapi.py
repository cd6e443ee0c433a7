"""What the server says of itself at /openapi.json."""

from typing import Any, Final

from fastapi import FastAPI
from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    message: str = Field(description="What was wrong, with which value, and what to do.")
    type: str
    param: str | None = Field(description="The parameter that was wrong.")
    code: str | None


class ErrorReply(BaseModel):
    """OpenAI's error object."""

    error: ErrorDetail


_MEANING: Final = {
    400: "The request is wrong.",
    401: "No key, or a wrong one.",
    403: "The key, or the place that the request comes from, does not allow it.",
    404: "No such object, or another project's.",
    409: "It conflicts with what is there.",
    413: "The body is larger than the settings allow.",
    429: "Too many requests, or too many files that wait; try again after `retry-after`.",
    500: "A fault of the server; its log has it.",
    503: "Database or blob store does not answer; try again.",
}
# Every endpoint may answer with these.
ERROR_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorReply, "description": meaning} for status, meaning in _MEANING.items()
}
# FastAPI documents its own form of validation errors for every endpoint; none is ever sent (api.errors).
_FOREIGN_STATUS: Final = "422"
_FOREIGN_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")


def describe(app: FastAPI) -> None:
    """Let the application's document tell of the errors that are sent, and of no others."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = original()
            for operations in document["paths"].values():
                for operation in operations.values():
                    operation["responses"].pop(_FOREIGN_STATUS, None)
            for name in _FOREIGN_SCHEMAS:
                document["components"]["schemas"].pop(name, None)
        return original()

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to change the document.
