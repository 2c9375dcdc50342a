"""Uploads: bounded, in memory alone, and only from people who are signed in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from portal import drafts
from tests.portal_room import NURSE, PortalRoom, Somebody, hidden, portal_room

CANARY = b"CANARY-OF-THE-UPLOAD-"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault", upload_limit_bytes=4_000_000) as opened:
        yield opened


@pytest.fixture
def pat(room: PortalRoom) -> Somebody:
    room.staff()
    return room.patient()


def opened_files() -> set[str]:
    """Every file that this process has open, deleted ones included: where a spooled upload would show."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        try:
            found.add(str(each.readlink()))
        except OSError:
            continue
    return {name for name in found if name.startswith(("/", "#"))}


def test_a_photograph_never_lies_on_a_disk_in_plain(
    room: PortalRoom, pat: Somebody, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Temporary files would go to a folder that is watched; a file made there would break the request."""
    forbidden = tmp_path / "nowhere"
    monkeypatch.setattr(tempfile, "tempdir", str(forbidden))
    photo = (CANARY * 150_000)[:3_000_000]
    with room.visitor() as visitor:
        room.sign_in(visitor, pat)
        visitor.get("/write")
        fields = {
            "draft": hidden(visitor.page.text, "draft"),
            "contact": "pool-0",
            "subject": "Rash",
            "text": "See photo",
        }
        before = opened_files()
        visitor.post("/write", fields, [("files", ("photo.jpg", photo, "image/jpeg"))])
        assert visitor.at == "/conversations"
        assert {name for name in opened_files() - before if str(room.directory) not in name} == set()
    assert not forbidden.exists()
    assert not room.vault.files_hold(CANARY)
    (listed,) = room.portal.conversations.conversations(pat.actor)
    opened = room.portal.reading.open_message(pat.actor, listed.newest.stored.id)
    assert opened.parsed.attachments[0].content == photo


def test_files_over_the_limit_are_refused_and_what_was_typed_is_kept(room: PortalRoom, pat: Somebody) -> None:
    with room.visitor() as visitor:
        room.sign_in(visitor, pat)
        visitor.get("/write")
        fields = {
            "draft": hidden(visitor.page.text, "draft"),
            "contact": "pool-0",
            "subject": "Rash",
            "text": "See photo",
        }
        answer = visitor.post("/write", fields, [("files", ("photo.jpg", bytes(4_500_000), "image/jpeg"))])
        assert answer.status_code == 422
        assert "See photo" in answer.text
        assert "larger than 4 MB" in answer.text
        assert "Choose your files again" in answer.text
        assert "photo.jpg" in answer.text


def test_an_answer_that_comes_back_says_that_its_files_must_be_chosen_again(room: PortalRoom, pat: Somebody) -> None:
    """Else its writer sends it again and believes that the photograph went along."""
    letter = room.letter(room.staff(NURSE), pat)
    with room.visitor() as visitor:
        room.sign_in(visitor, pat, f"/m/{letter}")
        assert "Choose your files again" not in visitor.page.text
        fields = {"draft": hidden(visitor.page.text, "draft"), "text": ""}
        answer = visitor.post(f"{visitor.at}/answer", fields, [("files", ("photo.jpg", b"x", "image/jpeg"))])
        assert answer.status_code == 422
        assert "Choose your files again" in answer.text


def test_a_body_far_over_the_limit_is_not_read(room: PortalRoom, pat: Somebody) -> None:
    with room.visitor() as visitor:
        room.sign_in(visitor, pat)
        visitor.get("/write")
        answer = visitor.post("/write", {"text": "x"}, [("files", ("photo.jpg", bytes(6_000_000), "image/jpeg"))])
        assert answer.status_code == 413


def test_drafts_of_one_person_do_not_fill_the_disk(
    room: PortalRoom, pat: Somebody, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "MOST_OPEN", 3)
    kept = room.portal.writing.drafts
    first = kept.new_id()
    with room.visitor() as visitor:
        room.sign_in(visitor, pat)
        visitor.get("/write")
        token = visitor.token()
        for draft in (first, kept.new_id(), kept.new_id()):
            assert visitor.post("/drafts", {"form_token": token, "draft": draft, "text": "a"}).status_code == 200
        assert visitor.post("/drafts", {"form_token": token, "draft": kept.new_id(), "text": "a"}).status_code == 409
        assert visitor.post("/drafts", {"form_token": token, "draft": first, "text": "b"}).status_code == 200
        long = {"form_token": token, "draft": first, "text": "c" * (drafts.LONGEST_KEPT + 1)}
        assert visitor.post("/drafts", long).status_code == 413
    assert kept.find(pat.actor, first).fields == {"text": "b"}


def test_a_stranger_sends_no_files_at_all(room: PortalRoom) -> None:
    with room.visitor() as visitor:
        visitor.get("/sign-in")
        answer = visitor.client.post(
            "/write",
            data={"form_token": visitor.token()},
            files=[("files", ("photo.jpg", bytes(3_000_000), "image/jpeg"))],
            follow_redirects=False,
        )
        assert answer.status_code == 303
        assert answer.headers["location"] == "/sign-in"


def test_a_page_without_files_takes_a_megabyte_at_most(room: PortalRoom) -> None:
    with room.visitor() as visitor:
        visitor.get("/sign-in")
        assert visitor.post("/sign-in", {"login": "x" * 1_100_000, "password": "x"}).status_code == 413


def test_more_than_ten_files_are_refused(room: PortalRoom, pat: Somebody) -> None:
    with room.visitor() as visitor:
        room.sign_in(visitor, pat)
        visitor.get("/write")
        files = [("files", (f"{number}.txt", b"x", "text/plain")) for number in range(11)]
        assert visitor.post("/write", {"text": "x"}, files).status_code == 413
