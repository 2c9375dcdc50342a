"""What a server that speaks S3 answered when it did not do as asked, in our words: what happened and what to do.

Only codes and our own sentences come through. What a server writes into its messages stays there: it may be long,
hostile, or name keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from http.client import HTTPException
from xml.etree import ElementTree as ET

from minio.error import MinioException, S3Error, ServerError
from urllib3 import exceptions as transport

from mailstore.errors import ObjectStoreDownError, StorageUnavailableError

FAULTS: tuple[type[Exception], ...] = (
    MinioException,
    transport.HTTPError,
    HTTPException,
    OSError,
    ET.ParseError,
    ValueError,
    AttributeError,
    KeyError,
    TypeError,
)
"""All that the client raises for a request that was not done, the last five when an answer is no S3 at all."""

_CREDENTIALS = (
    "the object store does not take our credentials",
    "put a valid access key and secret into the credentials file of the object store",
)
_CLOCK = (
    "the clocks of this machine and of the object store are too far apart",
    "set both clocks, and use a time server",
)
_ROOM = ("the object store is full", "make room in the object store")
_REGION = ("the object store wants another region", "set region in [object_store] of strongroom.toml")
_CA = "name the file of the authority that signed it as ca_file in [object_store] of strongroom.toml"
_BUSY = ("the object store cannot answer now", "look into the object store's own log")

_DENIED = "AccessDenied"
_BY_CODE = {
    **dict.fromkeys(
        (
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "ExpiredToken",
            "InvalidToken",
            "InvalidTokenId",
            "TokenRefreshRequired",
            "AccountProblem",
            "InvalidSecurity",
            "XMinioInvalidAccessKeyID",
        ),
        _CREDENTIALS,
    ),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired"), _CLOCK),
    **dict.fromkeys(
        ("XMinioStorageFull", "StorageFull", "InsufficientStorage", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"),
        _ROOM,
    ),
    **dict.fromkeys(("AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect"), _REGION),
    _DENIED: (
        "the object store does not allow this to our access key",
        "let the policy of the access key allow what docs/operations/object-store.md lists",
    ),
    "NoSuchBucket": (
        "the bucket of the object store is not there",
        "make sure that [object_store] url names the right server and bucket; restore the bucket if it was lost",
    ),
}

_PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses of which the server itself says that trying again may help (RFC 9110 section 15)."""


@dataclass(frozen=True)
class Fault:
    """One failed request. ``code`` is S3's word when there was one, ``status`` the HTTP status or 0."""

    status: int
    code: str
    message: str
    fix: str
    is_silent: bool = False
    """The server could not be reached or did not answer in time: asking again at once costs the same again."""

    @property
    def may_pass(self) -> bool:
        """True when trying again in a moment is worth it."""
        return self.status in _PASSING or (self.status == 0 and not self.is_silent)

    def as_error(self) -> StorageUnavailableError:
        """What callers get: an ``ObjectStoreDownError`` when anything else would fail in the same way now."""
        concerns_all = self.status == 0 or (self.code in _BY_CODE and self.code != _DENIED)
        kind = ObjectStoreDownError if concerns_all else StorageUnavailableError
        return kind(self.message, fix=self.fix)


def fault_of(error: Exception, *, endpoint: str) -> Fault:
    """What an exception of the client means."""
    match error:
        case S3Error():
            return _of_code(error.response.status, error.code or "")
        case ServerError():
            return _of_code(error.status_code, "")
        case transport.HTTPError() | HTTPException() | OSError():
            return _of_connection(error, f"start the object store at {endpoint}, or mend the way to it")
        case _:
            fix = f"make sure that what answers at {endpoint} is the object store and not something in front of it"
            return Fault(0, "", "the object store gave an answer that is not S3's", fix)


def _of_connection(error: Exception, fix: str) -> Fault:
    match error:
        case transport.SSLError():
            return Fault(0, "", "the object store's certificate cannot be trusted", _CA, is_silent=True)
        case transport.NewConnectionError():
            return Fault(0, "", "the object store cannot be reached", fix)
        case transport.TimeoutError() | TimeoutError():
            return Fault(0, "", "the object store does not answer in time", fix, is_silent=True)
        case _:
            return Fault(0, "", "the connection to the object store broke off", fix)


def _of_code(status: int, code: str) -> Fault:
    message, fix = _BY_CODE.get(code, _BUSY)
    if code not in _BY_CODE and code.isalnum():
        message = f"{message} ({code[:40]})"
    return Fault(status, code, message, fix)
