"""Somebody signed in as themselves reaching for what is not theirs, and fields that no form of ours has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.actor import Role
from tests.portal_room import OTHER_PATIENT_EMAIL, RUIZ, PortalRoom, Somebody, hidden, portal_room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[PortalRoom]:
    with portal_room(tmp_path / "vault") as opened:
        yield opened


def test_ids_of_others_are_not_found_and_look_like_ids_of_nothing(room: PortalRoom) -> None:
    ruiz, pat, olga = room.staff(), room.patient(), room.patient(OTHER_PATIENT_EMAIL, "Olga Smith")
    letter = room.letter(ruiz, pat, html_text="<p>secret</p>")
    room.letter(ruiz, olga)
    (theirs,) = room.portal.conversations.conversations(pat.actor)
    with room.visitor() as visitor:
        room.sign_in(visitor, olga)
        visitor.get("/conversations")
        for pattern, name in (
            ("/conversations/{}", theirs.id),
            ("/messages/{}/frame", letter),
            ("/messages/{}/attachments/0", letter),
            ("/m/{}", letter),
        ):
            real, invented = visitor.get(pattern.format(name)), visitor.get(pattern.format("b" * 26))
            assert (real.status_code, real.text) == (invented.status_code, invented.text)
            assert real.status_code == 404


def test_an_answer_into_somebody_elses_conversation_is_refused(room: PortalRoom) -> None:
    ruiz, pat, olga = room.staff(), room.patient(), room.patient(OTHER_PATIENT_EMAIL, "Olga Smith")
    room.letter(ruiz, pat)
    (theirs,) = room.portal.conversations.conversations(pat.actor)
    with room.visitor() as visitor:
        room.sign_in(visitor, olga)
        visitor.get("/write")
        fields = {"draft": hidden(visitor.page.text, "draft"), "text": "let me in"}
        assert visitor.post(f"/conversations/{theirs.id}/answer", fields).status_code == 404
    assert room.portal.conversations.conversations(pat.actor)[0].messages == 1


def test_fields_that_the_form_does_not_have_are_ignored(room: PortalRoom) -> None:
    room.staff()
    pat = room.patient()
    with room.visitor() as visitor:
        room.sign_in(visitor, pat)
        visitor.get("/write")
        fields = {
            "draft": hidden(visitor.page.text, "draft"),
            "contact": "pool-0",
            "subject": "Hello",
            "text": "Question",
            "to": "outside@elsewhere.example",
            "bcc": "outside@elsewhere.example",
            "from": RUIZ,
            "role": "admin",
            "author": "somebody",
            "answers": "a" * 26,
        }
        visitor.post("/write", fields)
        assert visitor.at == "/conversations"
    assert room.portal.people.by_email(pat.email).role is Role.PATIENT
    (listed,) = room.portal.conversations.conversations(pat.actor)
    recipients = room.portal.reading.recipients(pat.actor, listed.newest.stored.id)
    assert [each.address for each in recipients] == [RUIZ]
    assert listed.newest.summary.sender == pat.email


def test_anothers_passkey_cannot_be_removed(room: PortalRoom) -> None:
    ruiz, pat = room.staff(), room.patient()
    with room.database.write() as connection:
        key = (b"credential", b"public", 0)
        room.portal.desk.records.add_passkey(connection, ruiz.account.id, key, "Laptop", room.clock.now())
    (passkey,) = room.portal.own_account.passkeys_of(ruiz.actor)
    with room.visitor() as visitor:
        room.sign_in(visitor, pat)
        visitor.get("/account")
        assert visitor.post(f"/account/passkeys/{passkey.id}/remove", {}).status_code in {403, 404}
    assert len(room.portal.own_account.passkeys_of(ruiz.actor)) == 1


def crowd(room: PortalRoom) -> list[Somebody]:
    return [room.staff(f"{role}@clinic.example", role, f"Some {role}") for role in (Role.RECORDS, Role.ADMIN)]


def test_the_administrator_and_records_officers_have_no_key_to_a_patients_conversation(room: PortalRoom) -> None:
    ruiz, pat = room.staff(), room.patient()
    letter = room.letter(ruiz, pat, html_text="<p>secret</p>")
    for somebody in crowd(room):
        with room.visitor() as visitor:
            room.sign_in(visitor, somebody)
            assert visitor.get(f"/messages/{letter}/frame").status_code == 404
