"""Where the exceptions of httpx and openai end and ours begin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import cast

import httpx
import openai

from app.errors import (
    BackendAnswerInvalid,
    BackendRejected,
    BackendTimeout,
    BackendUnavailable,
    ServiceError,
    UnknownAdapter,
)

_BUSY = {408, 409, 425, 429}
_LONGEST = 300


@contextmanager
def translated(server: str, adapter: str | None = None) -> Iterator[None]:
    """Raises BackendError or UnknownAdapter for what goes wrong with `server` inside, the cause kept."""
    try:
        yield
    except (openai.APITimeoutError, httpx.TimeoutException, TimeoutError) as error:
        raise BackendTimeout(f"{server} did not answer in time.") from error
    except (openai.APIConnectionError, httpx.TransportError) as error:
        raise BackendUnavailable(f"{server} cannot be reached: {error.__cause__ or error}.") from error
    except openai.APIStatusError as error:
        # Typed for httpx2; it is the response of the client that was handed in.
        raise of_status(server, cast("httpx.Response", error.response), adapter) from error
    except httpx.HTTPStatusError as error:
        raise of_status(server, error.response, adapter) from error
    except (openai.APIResponseValidationError, JSONDecodeError, UnicodeDecodeError) as error:
        raise BackendAnswerInvalid(f"{server} answered something else than JSON.") from error
    except openai.APIError as error:
        # In the middle of a stream the server can only send the error as an event.
        raise BackendUnavailable(f"{server} broke off: {error.message[:_LONGEST]}") from error


def of_status(server: str, response: httpx.Response, adapter: str | None = None) -> ServiceError:
    """The error that an answer of 400 or more means."""
    status = response.status_code
    detail = f"{server} answered {status}: {_said(response)}"
    if status == 404 and adapter is not None:
        unknown = UnknownAdapter(f"The backend does not have the adapter {adapter!r}.")
        unknown.calls = 1
        return unknown
    if status >= 500 or status in _BUSY:
        return BackendUnavailable(detail, retry_after=_retry_after(response))
    return BackendRejected(detail)


def _said(response: httpx.Response) -> str:
    """The message of {"error": {"message": ...}}; the beginning of anything else."""
    try:
        body = response.json()
        message = body["error"]["message"]
    except (ValueError, KeyError, TypeError, httpx.ResponseNotRead):
        return response.reason_phrase
    return str(message)[:_LONGEST]


def _retry_after(response: httpx.Response) -> float | None:
    seconds = response.headers.get("retry-after", "")
    return float(seconds) if seconds.isdigit() else None
