"""One error root. Routes and the worker raise; one handler per edge answers.

FootnoteError
├── InvalidRequest            the caller's input is wrong
│   ├── RequestTooLarge
│   └── UnsupportedParameter
├── NotFound                  no such object, or not the caller's
├── Unauthorized              missing or wrong API key
├── Forbidden                 a caller that this server does not answer
├── Conflict                  the object's state does not allow it
├── DocumentRejected          a file that cannot become a document
│   ├── InvalidFile           damaged, encrypted, empty or without text
│   ├── UnsupportedFile       a format that no parser reads
│   ├── ParseLimitExceeded    time, memory or size limit of the parser
│   └── ParserKilled          somebody else ended the parser (retryable)
├── LeaseLost                 another worker took the job over
├── IndexIncompatible         vectors of another embedding model
├── ServiceUnavailable        a dependency does not answer (retryable)
├── QueueFull                 too many files wait to be processed (retryable)
└── ConfigurationError        settings that cannot work
"""

from typing import ClassVar


class FootnoteError(Exception):
    """Footnote could not do what was asked."""

    code: ClassVar[str] = "server_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str | None = None, *, param: str | None = None) -> None:
        self.message = message or (self.__doc__ or "").strip()
        self.param = param
        super().__init__(self.message)


class InvalidRequest(FootnoteError):
    """The request is not valid."""

    code = "invalid_request"


class RequestTooLarge(InvalidRequest):
    """The request is larger than this server accepts."""

    code = "request_too_large"


class UnsupportedParameter(InvalidRequest):
    """A parameter is valid at OpenAI but not supported by this server."""

    code = "unsupported_parameter"


class NotFound(FootnoteError):
    """There is no such object."""

    code = "not_found"


class Unauthorized(FootnoteError):
    """The API key is missing or not valid."""

    code = "invalid_api_key"


class Forbidden(FootnoteError):
    """This server does not answer this caller."""

    code = "forbidden"


class Conflict(FootnoteError):
    """The object's state does not allow this."""

    code = "conflict"


class DocumentRejected(FootnoteError):
    """The file cannot become a document. `code` is OpenAI's `last_error.code`."""

    code = "invalid_file"


class InvalidFile(DocumentRejected):
    """The file is damaged, encrypted, empty or holds no text."""


class UnsupportedFile(DocumentRejected):
    """No parser reads this format."""

    code = "unsupported_file"


class ParseLimitExceeded(DocumentRejected):
    """The file needs more time, memory or space than the parser may use."""


class ParserKilled(DocumentRejected):
    """The parser was killed from outside, as where memory is short: perhaps not for this file's sake."""

    retryable = True


class LeaseLost(FootnoteError):
    """Another worker holds this job now, or the job is gone."""


class IndexIncompatible(FootnoteError):
    """The vectors of this store were made by another embedding model."""

    code = "index_incompatible"


class ServiceUnavailable(FootnoteError):
    """A service that this one depends on does not answer."""

    code = "service_unavailable"
    retryable = True


class QueueFull(FootnoteError):
    """Too many files wait to be processed."""

    code = "rate_limit_exceeded"
    retryable = True


class ConfigurationError(FootnoteError):
    """The settings cannot work."""

    code = "configuration_error"
