"""Why a server could not be used, read from any library's errors and told in plain words.

The transport of huggingface_hub was requests, then httpx, then httpx2, and gdown has its own:
only what they wrap is stable, so the whole chain of causes is searched.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple


class Cause(NamedTuple):
    """A stable code, and the reason for a person."""

    code: str
    reason: str


_STATUS: Final = {
    401: Cause("unauthorized", "it asks for a login (401): there is no token, or a wrong one"),
    403: Cause("forbidden", "it refuses access (403)"),
    404: Cause("not_found", "there is no such file (404)"),
    407: Cause("proxy", "the proxy asks for a login (407)"),
    429: Cause("rate_limited", "it has had too many requests (429); try again later"),
}
_DISK: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "disk_full"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "disk_refused"),
}
_UNTRUSTED: Final = Cause(
    "certificate",
    "its certificate is not trusted; behind a proxy that re-signs connections, name the "
    "organisation's authority in SSL_CERT_FILE",
)
_SECRETS: Final = (
    (re.compile(r"hf_\w{4,}"), "hf_***"),
    (re.compile(r"(?i)\b(bearer|basic) [\w.~+/=-]+"), r"\1 ***"),
    (re.compile(r"://[^/\s]+@"), "://***@"),
    (re.compile(r"\?[^\s'\"<>]+"), "?***"),
)
_NOTES: Final = (
    ("refused", "unreachable", "it cannot be reached: the connection is refused"),
    ("name resolution", "unreachable", "its name cannot be resolved"),
    ("not known", "unreachable", "its name cannot be resolved"),
    ("certificate", *_UNTRUSTED),
    ("timed out", "stalled", "it stopped answering"),
    ("error while downloading", "cut", "the connection was cut again and again"),
)
_LONGEST: Final = 300


def cause_of(error: BaseException) -> Cause:
    """The first cause in an error's chain that has a name, else the error itself, scrubbed."""
    for link in _chain(error):
        found = _answered(link) or _refused_by_name(link) or _refused_by_system(link)
        if found is not None:
            return found
    text = scrubbed(" ".join(str(error).split()))
    return Cause("transfer_failed", f"{type(error).__name__}: {text}"[:_LONGEST])


def status_cause(status: int) -> Cause:
    """What an HTTP status means."""
    if status in _STATUS:
        return _STATUS[status]
    if status >= 500:
        return Cause("server_error", f"the server fails ({status})")
    return Cause("refused", f"it answers {status}")


def cause_in(note: str) -> Cause | None:
    """Why huggingface_hub tries again, from what it logs; None if the note gives no reason."""
    found = re.search(r"HTTP Error (\d{3})", note)
    if found is not None:
        return status_cause(int(found[1]))
    words = note.lower()
    return next((Cause(*cause) for sign, *cause in _NOTES if sign in words), None)


def scrubbed(text: str) -> str:
    """Text without tokens, passwords in addresses, and the queries that sign addresses.

    >>> scrubbed("GET https://me:secret@host/a?X-Signature=1 with hf_abcdef")
    'GET https://***@host/a?*** with hf_***'
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    if token:
        text = text.replace(token, "***")
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        link = waiting.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        # urllib3 and requests also carry the cause in an attribute, or as an argument.
        reason = getattr(link, "reason", None)
        waiting += [link.__cause__, link.__context__, reason, *link.args]


def _answered(error: BaseException) -> Cause | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status_cause(status) if isinstance(status, int) and status >= 400 else None


def _refused_by_name(error: BaseException) -> Cause | None:
    """By the names that all transports share: their classes are not ours to import."""
    name = type(error).__name__
    if "Proxy" in name:
        found = re.search(r"\b[45]\d\d\b", str(error))
        if found is not None and found[0] == "407":
            return _STATUS[407]
        return Cause("proxy", "the proxy cannot be reached, or refuses")
    if name in ("RemoteProtocolError", "ChunkedEncodingError", "IncompleteRead", "ProtocolError"):
        return Cause("cut", "the connection was cut")
    if "Timeout" in name:
        return Cause("stalled", "it stopped answering")
    return None


def _refused_by_system(error: BaseException) -> Cause | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _UNTRUSTED
    if isinstance(error, ssl.SSLError):
        return Cause("tls", f"no secure connection could be made ({error.reason})")
    if isinstance(error, socket.gaierror):
        return Cause("unreachable", "its name cannot be resolved: there is no network, or no DNS")
    if isinstance(error, ConnectionRefusedError):
        return Cause("unreachable", "it cannot be reached: the connection is refused")
    if isinstance(error, ConnectionError):
        return Cause("cut", "the connection was cut")
    if isinstance(error, OSError) and error.errno in _DISK:
        return Cause(_DISK[error.errno], f"{os.strerror(error.errno)}")
    if isinstance(error, OSError) and error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        return Cause("unreachable", "it cannot be reached: there is no network")
    return None
