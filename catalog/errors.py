"""One error root. Routes and the worker raise; one handler per edge answers.

FootnoteError
├── InvalidRequest            the caller's input is wrong
│   ├── RequestTooLarge
│   ├── UnsupportedParameter
│   └── PreviousResponseNotFound
├── NotFound                  no such object, or not the caller's
├── Unauthorized              missing or wrong API key
├── Forbidden                 a caller that this server does not answer
├── Conflict                  the object's state does not allow it
│   ├── IdempotencyConflict   an Idempotency-Key whose reply cannot be given
│   └── RequestInProgress     the same request is being carried out (retryable)
├── DocumentRejected          a file that cannot become a document
│   ├── InvalidFile           damaged, encrypted, empty or without text
│   ├── UnsupportedFile       a format that no parser reads
│   ├── ParseLimitExceeded    time, memory or size limit of the parser
│   └── ParserKilled          somebody else ended the parser (retryable)
├── LeaseLost                 another worker took the job over
├── IndexIncompatible         vectors of another embedding model
├── ServiceUnavailable        a dependency does not answer (retryable)
│   └── ModelReplaced         another embedding model is current since a moment ago
├── QueueFull                 too many files wait to be processed (retryable)
├── RateLimitExceeded         too many requests (retryable)
└── ConfigurationError        settings that cannot work
"""

from typing import ClassVar


class FootnoteError(Exception):
    """Footnote could not do what was asked."""

    code: ClassVar[str] = "server_error"
    retryable: ClassVar[bool] = False
    # When a retry can help, where that is known.
    retry_after_s: float | None = None

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


class PreviousResponseNotFound(InvalidRequest):
    """There is no such response to carry on from."""

    code = "previous_response_not_found"


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


class IdempotencyConflict(Conflict):
    """This Idempotency-Key belongs to another request, or to one whose reply is not kept."""

    code = "idempotency_conflict"


class RequestInProgress(Conflict):
    """Another request with this Idempotency-Key is being carried out."""

    code = "request_in_progress"
    retryable = True
    retry_after_s = 1.0


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


class ModelReplaced(ServiceUnavailable):
    """The embedding model was replaced, and this process is still to load the new one."""

    # About what loading takes, where it has not been done in advance.
    retry_after_s = 2.0


class QueueFull(FootnoteError):
    """Too many files wait to be processed."""

    code = "rate_limit_exceeded"
    retryable = True
    # Enough for a worker to make room, short enough for a person.
    retry_after_s = 5.0


class RateLimitExceeded(FootnoteError):
    """Too many requests within a minute."""

    code = "rate_limit_exceeded"
    retryable = True

    def __init__(self, message: str | None = None, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ConfigurationError(FootnoteError):
    """The settings cannot work."""

    code = "configuration_error"
