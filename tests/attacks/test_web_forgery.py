"""Other sites, other hosts, other paths: forged forms, Host headers, open redirects, htmx."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from portal.visit import local_path
from tests.portal_room import PortalRoom, Somebody, portal_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


@pytest.fixture
def patient(room: PortalRoom) -> Somebody:
    room.staff()
    return room.patient()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://portal.clinic.example"[:4] + "s://portal.clinic.example.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "null", "sec-fetch-site": "cross-site"},
    ],
)
def test_a_form_from_another_site_is_refused_even_with_the_token(
    room: PortalRoom, patient: Somebody, headers: dict[str, str]
) -> None:
    with room.visitor() as visitor:
        room.sign_in(visitor, patient)
        assert visitor.post("/account/sign-out-everywhere", {}, headers=headers).status_code == 403
        assert visitor.get("/account").status_code == 200
        assert visitor.at == "/account"


@pytest.mark.parametrize("headers", [{}, {"hx-request": "true"}, {"x-requested-with": "XMLHttpRequest"}])
def test_a_form_without_the_token_changes_nothing_whoever_asks(
    room: PortalRoom, patient: Somebody, headers: dict[str, str]
) -> None:
    with room.visitor() as visitor:
        room.sign_in(visitor, patient)
        answer = visitor.post("/account/sign-out-everywhere", {"form_token": "0" * 64}, headers=headers)
        assert answer.status_code == 403
        visitor.get("/account")
        assert visitor.at == "/account"


def test_a_form_is_not_read_from_the_address(room: PortalRoom, patient: Somebody) -> None:
    with room.visitor() as visitor:
        room.sign_in(visitor, patient)
        token = visitor.token()
        answer = visitor.client.post(f"/account/sign-out-everywhere?form_token={token}", follow_redirects=False)
        assert answer.status_code == 403


def test_a_json_body_is_no_form(room: PortalRoom, patient: Somebody) -> None:
    with room.visitor() as visitor:
        room.sign_in(visitor, patient)
        body = {"form_token": visitor.token()}
        assert visitor.client.post("/account/sign-out-everywhere", json=body).status_code == 400


@pytest.mark.parametrize(
    "host", ["evil.example", "portal.clinic.example.evil.example", "portal.clinic.example:1", "localhost", ""]
)
@pytest.mark.parametrize("path", ["/", "/sign-in", "/static/strongroom.css", "/m/" + "a" * 26])
def test_another_host_gets_nothing_of_ours(room: PortalRoom, host: str, path: str) -> None:
    with room.visitor() as visitor:
        answer = visitor.client.get(path, headers={"host": host}, follow_redirects=False)
        assert answer.status_code == 421
        assert not host or host not in answer.text
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/%0d%0aSet-Cookie:x",
        "javascript:alert(1)",
        "/\t/evil.example",
        "\\\\evil.example",
        "/" + "a" * 600,
        "/\r\nx: y",
    ],
)
def test_signing_in_never_leads_off_the_site(room: PortalRoom, patient: Somebody, wanted: str) -> None:
    with room.visitor() as visitor:
        visitor.get("/sign-in")
        visitor.post("/sign-in", {"login": patient.email, "password": patient.password, "next": wanted})
        data = {"code": room.code(patient.totp_secret), "next": wanted, "form_token": visitor.token()}
        answer = visitor.client.post("/sign-in/code", data=data, follow_redirects=False)
        assert answer.status_code == 303
        location = answer.headers["location"]
        assert location == "/conversations" or (location.startswith("/%0d") and "\n" not in location)


def test_a_path_of_ours_is_kept_through_signing_in(room: PortalRoom, patient: Somebody) -> None:
    with room.visitor() as visitor:
        room.sign_in(visitor, patient, "/account")
        assert visitor.at == "/account"
    assert local_path("/m/abc?x=y") == "/m/abc?x=y"


def test_htmx_changes_how_much_is_drawn_and_not_what_is_allowed(room: PortalRoom, patient: Somebody) -> None:
    with room.visitor() as visitor:
        answer = visitor.client.get("/conversations", headers={"hx-request": "true"}, follow_redirects=False)
        assert answer.headers["hx-redirect"].startswith("/sign-in")
        assert answer.text == ""
        room.sign_in(visitor, patient)
        whole, part = visitor.get("/conversations"), visitor.get("/conversations", **{"hx-request": "true"})
        assert "<!doctype html>" in whole.text
        assert "<!doctype html>" not in part.text
        assert "Your messages" in part.text
        restored = visitor.get("/conversations", **{"hx-request": "true", "hx-history-restore-request": "true"})
        assert "<!doctype html>" in restored.text


def test_every_answer_carries_the_security_headers(room: PortalRoom, patient: Somebody) -> None:
    del patient
    with room.visitor() as visitor:
        for path in ("/sign-in", "/nothing-here", "/static/portal.js", "/static/../app.py", "/m/x", "/sign-in/code"):
            headers = visitor.client.get(path, follow_redirects=False).headers
            assert "default-src 'none'" in headers["content-security-policy"], path
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "max-age" in headers["strict-transport-security"]
            assert headers["cross-origin-opener-policy"] == "same-origin"


def test_no_page_of_ours_has_inline_script_or_style(room: PortalRoom, patient: Somebody) -> None:
    with room.visitor() as visitor:
        room.sign_in(visitor, patient)
        for path in ("/conversations", "/write", "/account"):
            page = visitor.get(path).text.lower()
            assert "<style" not in page
            assert " style=" not in page
            assert " onclick=" not in page
            assert "<script>" not in page


@pytest.mark.parametrize(
    "name", ["../app.py", "..%2fapp.py", "%2e%2e/tables.py", "common-passwords.txt", ".", "x" * 300]
)
def test_only_named_files_are_served(room: PortalRoom, name: str) -> None:
    with room.visitor() as visitor:
        assert visitor.get(f"/static/{name}").status_code in {404, 405}
