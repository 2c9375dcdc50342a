"""Under the names of these files there is nothing else, and under all other names nothing of them."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree.ElementTree import Element

import defusedxml.ElementTree
import pytest

from appliance import dns_records, mail_program_setup
from appliance.published_files import MOST_ASKED_BYTES, POLICY_PATH, PublishedFiles
from tests.dns_names import DOMAIN, MX, NAMES, PORTAL

POLICY_HOST = f"mta-sts.{DOMAIN}"
THUNDERBIRD, OUTLOOK = f"autoconfig.{DOMAIN}", f"autodiscover.{DOMAIN}"
SETUP, DISCOVER = "/mail/config-v1.1.xml", "/autodiscover/autodiscover.xml"
ASKED = (
    b'<?xml version="1.0"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/'
    b'requestschema/2006"><Request><EMailAddress>%b</EMailAddress></Request></Autodiscover>'
)


@dataclass
class Told:
    """What came of one request."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """What stands behind: it answers to everything."""
    del scope, receive
    await send({"type": "http.response.start", "status": 299, "headers": [(b"set-cookie", b"session=1")]})
    await send({"type": "http.response.body", "body": b"pages"})


def ask(host: str, path: str, *, method: str = "GET", body: bytes = b"") -> Told:
    told = Told()
    sent = [body[start : start + 1000] for start in range(0, len(body), 1000)] or [b""]

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.sleep(0)
        if not sent:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": sent.pop(0), "more_body": bool(sent)}

    async def send(message: MutableMapping[str, Any]) -> None:
        await asyncio.sleep(0)
        if message["type"] == "http.response.start":
            told.status = message["status"]
            told.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            told.body += message["body"]

    app = PublishedFiles(pages, NAMES, practice="Lake & <Side>")
    scope = {"type": "http", "method": method, "path": path, "headers": [(b"host", host.encode())]}
    asyncio.run(app(scope, receive, send))
    return told


def test_policy_is_served_under_its_name() -> None:
    """RFC 8461 section 3.3."""
    told = ask(POLICY_HOST, POLICY_PATH)
    assert (told.status, told.headers["content-type"]) == (200, "text/plain")
    assert told.body == dns_records.policy_text(NAMES).encode()
    assert f"mx: {MX}\r\n".encode() in told.body


def test_head_tells_the_length_alone() -> None:
    told = ask(POLICY_HOST, POLICY_PATH, method="HEAD")
    assert (told.status, told.body, int(told.headers["content-length"])) == (
        200,
        b"",
        len(dns_records.policy_text(NAMES)),
    )


def test_thunderbird_is_told_of_outgoing_mail_alone() -> None:
    told = ask(f"{THUNDERBIRD}:443", SETUP)
    found = defusedxml.ElementTree.fromstring(told.body)
    assert found.findtext("emailProvider/displayName") == "Lake & <Side>"
    servers = found.findall("emailProvider/outgoingServer")
    assert [(each.findtext("hostname"), each.findtext("port"), each.findtext("socketType")) for each in servers] == [
        (MX, "465", "SSL"),
        (MX, "587", "STARTTLS"),
    ]
    assert found.findall("emailProvider/incomingServer") == []


def outlook(body: bytes) -> Element:
    told = ask(OUTLOOK, "/Autodiscover/Autodiscover.xml", method="POST", body=body)
    assert told.status == 200
    found: Element = defusedxml.ElementTree.fromstring(told.body)
    return found


def texts(found: Element, name: str) -> list[str | None]:
    return [each.text for each in found.iter() if each.tag.endswith("}" + name)]


def test_outlook_is_told_with_the_name_to_sign_in_by() -> None:
    found = outlook(ASKED % b"Ann@Clinic.Example")
    assert texts(found, "Type") == ["SMTP", "SMTP"]
    assert texts(found, "Server") == [MX, MX]
    assert [text and text.lower() for text in texts(found, "LoginName")] == [f"ann@{DOMAIN}"] * 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff" * 100,
        ASKED % b"ann@other.example",
        ASKED % b"no address",
        ASKED % b"<EMailAddress>&xxe;</EMailAddress>",
        b'<!DOCTYPE x [<!ENTITY xxe SYSTEM "file:///etc/passwd">]>' + ASKED % b"&xxe;@clinic.example",
        ASKED % (b"x" * 5000 + b"@clinic.example"),
    ],
)
def test_outlook_is_told_nothing_that_a_stranger_put_in(body: bytes) -> None:
    """XML by strangers is not parsed: one address of the domain is looked for, and nothing else is echoed."""
    assert texts(outlook(body), "LoginName") == []


def test_what_a_stranger_puts_in_is_escaped() -> None:
    told = mail_program_setup.for_outlook(NAMES, ASKED % b'"a\'b"@clinic.example')
    defusedxml.ElementTree.fromstring(told)


def test_too_much_is_refused_before_it_is_read() -> None:
    assert ask(OUTLOOK, DISCOVER, method="POST", body=b"x" * (MOST_ASKED_BYTES + 1)).status == 413


@pytest.mark.parametrize("host", [POLICY_HOST, THUNDERBIRD, OUTLOOK])
@pytest.mark.parametrize("path", ["/", "/sign-in", "/static/strongroom.css", POLICY_PATH + "/..", "/unseal"])
def test_pages_do_not_stand_under_these_names(host: str, path: str) -> None:
    told = ask(host, path)
    assert (told.status, told.body) == (404, b"")
    assert "set-cookie" not in told.headers


@pytest.mark.parametrize("host", [PORTAL, DOMAIN, MX, f"x.{POLICY_HOST}", ""])
def test_all_else_goes_to_the_pages(host: str) -> None:
    assert ask(host, POLICY_PATH).status == 299


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_files_are_only_asked_for(method: str) -> None:
    assert ask(POLICY_HOST, POLICY_PATH, method=method, body=b"x").status == 405


def test_two_hosts_are_none() -> None:
    app = PublishedFiles(pages, NAMES, practice="x")
    told: list[int] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        await asyncio.sleep(0)
        told.append(message.get("status", 0))

    headers = [(b"host", POLICY_HOST.encode()), (b"host", PORTAL.encode())]
    scope = {"type": "http", "method": "GET", "path": POLICY_PATH, "headers": headers}
    asyncio.run(app(scope, receive, send))
    assert told[0] == 299, "the pages refuse it as they refuse every unknown host"
