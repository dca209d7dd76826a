"""What goes wrong between a client and a registry, in words that show no address and no secret."""

from __future__ import annotations

import email.utils
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from requests import Response


class StoppedError(Exception):
    """Another part of the same work failed, or the user said so: this one is given up."""


def faults() -> tuple[type[Exception], ...]:
    """What a network does wrong, as exceptions."""
    import requests
    import urllib3

    gone = requests.exceptions
    return (gone.ConnectionError, gone.Timeout, gone.ChunkedEncodingError, urllib3.exceptions.HTTPError, OSError)


def in_words(error: Exception) -> str:
    """A fault in words; its own text would show addresses."""
    import requests

    text = str(error)
    if isinstance(error, requests.exceptions.SSLError):
        reason = "the certificate is not trusted (REQUESTS_CA_BUNDLE=FILE or /etc/docker/certs.d/HOST/ca.crt)"
        return reason if "CERTIFICATE_VERIFY" in text else "no TLS is spoken there (--insecure for plain HTTP)"
    known = {
        "Name or service not known": "no such host",
        "Temporary failure in name resolution": "its name cannot be looked up",
        "Connection refused": "connection refused",
        "timed out": "no answer in time",
        "No route to host": "no route to the host",
        "Network is unreachable": "the network is unreachable",
    }
    return next((words for part, words in known.items() if part in text), "the connection was dropped")


def words_of(answer: Response) -> str:
    """What the registry says about a failed request, cut short (OCI distribution specification, "Error Codes")."""
    try:
        errors = answer.json()["errors"]
        said = "; ".join(f"{each.get('code', '')} {_text(each)}".strip() for each in errors[:3])
    except (ValueError, KeyError, TypeError, AttributeError, OSError):  # requests' own errors are OSErrors
        said = ""
    return f"{answer.status_code} {said or answer.reason or ''}".strip()[:400]


def _text(error: Mapping[str, Any]) -> str:
    """One error's message; docker-registry has the system's words, or their number, in the detail."""
    detail = error.get("detail")
    inner = detail.get("Enclosed", detail) if isinstance(detail, dict) else detail
    cause = inner.get("Err") if isinstance(inner, dict) else inner
    extra = os.strerror(cause) if isinstance(cause, int) else cause if isinstance(cause, str) else ""
    return f"{error.get('message', '')}{f' ({extra})' if extra else ''}"


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that a Retry-After header asks for: a number or a date; 0 for none."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
