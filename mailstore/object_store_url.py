"""Core: where an object store lies that speaks S3, as one line: ``s3+https://HOST:PORT/BUCKET?prefix=NAME``.

Plain ``s3+http`` is taken for loopback addresses alone. What we put is sealed, but names, sizes, times and the right to
delete travel in requests whose answers anybody on the way could forge.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from mailstore.errors import RefusedError

SCHEMES = {"s3+http": 80, "s3+https": 443}
FORM = "s3+https://HOST:PORT/BUCKET, or s3+http:// for a store on this machine"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]\Z")
"""The names that every server takes: no dots, which break the check of certificates (S3 bucket naming rules)."""
_PREFIX = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?\Z")


@dataclass(frozen=True)
class ObjectStoreUrl:
    """One bucket of one server. Names of objects begin with ``prefix`` and a slash when there is one."""

    host: str
    port: int
    bucket: str
    prefix: str
    is_tls: bool

    @property
    def endpoint(self) -> str:
        """Host and port as an HTTP client takes them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_on_this_machine(self) -> bool:
        """True for a loopback address, or the name that means one (RFC 6761 section 6.3)."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        scheme = "s3+https" if self.is_tls else "s3+http"
        return f"{scheme}://{self.endpoint}/{self.bucket}" + (f"?prefix={self.prefix}" if self.prefix else "")


def parsed(text: str) -> ObjectStoreUrl:
    """The URL, understood. ``RefusedError`` says what is wrong with it."""
    if not text.isprintable() or " " in text:
        raise _refused("is one line without blanks")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise _refused("is not a URL") from error
    if parts.scheme not in SCHEMES:
        raise _refused("begins with s3+http:// or s3+https://")
    if parts.username is not None or parts.password is not None:
        raise _refused("holds no credentials: they go into a file of their own")
    if parts.fragment or [key for key, _ in query] not in ([], ["prefix"]):
        raise _refused("may be followed by ?prefix=NAME and by nothing else")
    url = ObjectStoreUrl(
        host=_checked_host(host),
        port=port or SCHEMES[parts.scheme],
        bucket=parts.path.strip("/"),
        prefix=query[0][1] if query else "",
        is_tls=parts.scheme == "s3+https",
    )
    _refuse_bad_names(url, has_prefix=bool(query))
    return url


def problem(text: str) -> str:
    """What is wrong with a URL, as settings say it; nothing when it can be used, or when there is none."""
    try:
        if text:
            parsed(text)
    except RefusedError as error:
        return error.message
    return ""


def _checked_host(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        if not _HOST.match(host):
            raise _refused("names a host") from None
        return host


def _refuse_bad_names(url: ObjectStoreUrl, *, has_prefix: bool) -> None:
    if not _BUCKET.match(url.bucket):
        raise _refused("names one bucket of 3 to 63 lower-case letters, digits and hyphens")
    if has_prefix and not _PREFIX.match(url.prefix):
        raise _refused("has a prefix of lower-case letters, digits and hyphens")
    if not url.is_tls and not url.is_on_this_machine:
        raise _refused("may begin with s3+http:// only for a loopback address: use s3+https")


def _refused(sentence: str) -> RefusedError:
    return RefusedError(f"the URL of an object store {sentence}", fix=f"say it as {FORM}")
