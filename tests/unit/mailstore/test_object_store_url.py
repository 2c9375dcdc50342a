from __future__ import annotations

import pytest

from mailstore import object_store_url
from mailstore.errors import RefusedError


@pytest.mark.parametrize(
    ("text", "endpoint", "bucket", "prefix"),
    [
        ("s3+http://127.0.0.1:9000/mail", "127.0.0.1:9000", "mail", ""),
        ("s3+http://localhost:9000/mail", "localhost:9000", "mail", ""),
        ("s3+http://[::1]:9000/mail", "[::1]:9000", "mail", ""),
        ("s3+https://store.clinic.example/mail", "store.clinic.example:443", "mail", ""),
        ("s3+https://10.0.0.7:9000/mail?prefix=north", "10.0.0.7:9000", "mail", "north"),
    ],
)
def test_url_is_understood(text: str, endpoint: str, bucket: str, prefix: str) -> None:
    url = object_store_url.parsed(text)
    assert (url.endpoint, url.bucket, url.prefix) == (endpoint, bucket, prefix)
    assert object_store_url.parsed(str(url)) == url
    assert object_store_url.problem(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1/mail",
        "s3://mail",
        "s3+http://10.0.0.7:9000/mail",  # not this machine, and not TLS
        "s3+http://store.clinic.example/mail",
        "s3+http://127.0.0.1.evil.example/mail",
        "s3+https://key:secret@host/mail",
        "s3+https://host/",
        "s3+https://host/a/b",
        "s3+https://host/../keys",
        "s3+https://host/Mail",
        "s3+https://host/ma",
        "s3+https://host:99999/mail",
        "s3+https://host:port/mail",
        "s3+https:///mail",
        "s3+https://host/mail?prefix=",
        "s3+https://host/mail?prefix=../x",
        "s3+https://host/mail?prefix=a&prefix=b",
        "s3+https://host/mail?versionId=x",
        "s3+https://host/mail#x",
        "s3+https://ho st/mail",
        "s3+https://[::1/mail",
        "mail",
        "s3+https://host/mail\n",
    ],
)
def test_anything_else_is_refused_with_the_form_it_should_have(text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        object_store_url.parsed(text)
    assert "s3+https://HOST:PORT/BUCKET" in refused.value.fix
    assert object_store_url.problem(text) == refused.value.message


def test_no_url_is_no_problem() -> None:
    assert object_store_url.problem("") == ""
