"""Every error that the service raises on purpose.

ServiceError                      500
├─ InvalidInput                   422   the caller's words are off
├─ Unauthorized                   401
├─ Forbidden                      403
├─ NotFound                       404
│  └─ UnknownAdapter              404   a `lora_name` not allowed or not to be had
├─ Conflict                       409   the same thing was said before, differently
├─ StorageError                   503   retryable
├─ ConfigError                    500   a setting is wrong; the start stops
├─ TrainingFailed                 500   a process that trains or evaluates ended in error
└─ BackendError                   502   a language model or embedder failed
   ├─ BackendUnavailable          503   retryable: no connection, 5xx
   ├─ BackendTimeout              504   retryable
   ├─ BackendOverloaded           503   our own limit or breaker says not now
   ├─ BackendRejected             502   it answered 4xx: the request is at fault, not the backend
   ├─ BackendAnswerInvalid        502   the answer did not parse, or was empty
   └─ NotSupported                501   this backend cannot do the task
"""

from __future__ import annotations

from typing import ClassVar


class ServiceError(Exception):
    """The service failed in a way it did not foresee."""

    status: ClassVar[int] = 500
    slug: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False
    calls: int = 0
    """Requests that a backend was sent in vain, retries included."""

    def __init__(self, detail: str | None = None, *, retry_after: float | None = None) -> None:
        self.detail = detail or (type(self).__doc__ or "").strip()
        self.retry_after = retry_after
        super().__init__(self.detail)


class InvalidInput(ServiceError):
    """The request is not valid."""

    status, slug, title = 422, "invalid-input", "Invalid input"


class Unauthorized(ServiceError):
    """Send `Authorization: Bearer KEY` with a key from API_KEYS."""

    status, slug, title = 401, "unauthorized", "Unauthorized"


class Forbidden(ServiceError):
    """This key has not the scope that the call needs."""

    status, slug, title = 403, "forbidden", "Forbidden"


class NotFound(ServiceError):
    """There is no such thing here."""

    status, slug, title = 404, "not-found", "Not found"


class UnknownAdapter(NotFound):
    """This adapter is not allowed or not available."""

    slug, title = "unknown-adapter", "Unknown adapter"


class Conflict(ServiceError):
    """This contradicts what was said before."""

    status, slug, title = 409, "conflict", "Conflict"


class StorageError(ServiceError):
    """The database did not answer; nothing was acknowledged."""

    status, slug, title, retryable = 503, "storage-unavailable", "Storage unavailable", True


class ConfigError(ServiceError):
    """A setting is wrong."""

    slug, title = "bad-configuration", "Bad configuration"


class TrainingFailed(ServiceError):
    """A process that trains or evaluates ended in error; its log says why."""

    slug, title = "training-failed", "Training failed"


class BackendError(ServiceError):
    """A language model or embedder failed."""

    status, slug, title = 502, "backend-error", "Backend error"
    calls = 1


class BackendUnavailable(BackendError):
    """The backend cannot be reached or is failing."""

    status, slug, title, retryable = 503, "backend-unavailable", "Backend unavailable", True


class BackendTimeout(BackendError):
    """The backend did not answer in time."""

    status, slug, title, retryable = 504, "backend-timeout", "Backend timeout", True


class BackendOverloaded(BackendError):
    """The backend has as much work as it is allowed, or is resting after failures."""

    status, slug, title = 503, "backend-overloaded", "Backend overloaded"
    calls = 0


class BackendRejected(BackendError):
    """The backend refused the request."""

    slug, title = "backend-rejected", "Backend rejected the request"


class BackendAnswerInvalid(BackendError):
    """The backend's answer did not parse or was empty."""

    slug, title = "backend-answer-invalid", "Backend answer invalid"


class NotSupported(BackendError):
    """The backend cannot do this task."""

    status, slug, title = 501, "not-supported", "Not supported"
    calls = 0
