"""A role that was taken over wants signatures: a shortened log, a made-up certificate, anything. A real agent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from appliance import key_agent_protocol
from appliance.data_directory import DataDirectory
from appliance.key_agent_client import AgentSigner
from appliance.key_agent_policy import Asker
from appliance.key_use_duty import KeyUseDuty
from appliance.key_use_record import lines_of
from archive import verify_certificate
from archive.disposal_certificate import public_key_pem
from mailstore import audit_trail, audit_tree
from mailstore.audit_entry import AuditFact
from mailstore.audit_tree import Frontier, checkpoint_from, signed_checkpoint
from mailstore.document_signing import DocumentKind, SeedSigner
from mailstore.errors import LimitExceededError, RefusedError, SealedError
from mailstore.wall_clock import SystemClock
from tests import key_agent_room
from tests.attacks.test_key_agent_socket import asked
from tests.key_agent_room import AgentRoom
from tests.unit.archive import certificate_samples
from tests.vault_room import Vault


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentRoom]:
    with key_agent_room.running(tmp_path_factory.mktemp("agent")) as made:
        yield made


def signer_of(room: AgentRoom, asker: Asker) -> AgentSigner:
    client = room.client(asker)
    return AgentSigner.of(client, client.working_keys())


def tree(entries: int) -> Frontier:
    frontier = Frontier()
    for number in range(entries):
        frontier.append(bytes([number]) * 32)
    return frontier


def now() -> datetime:
    return SystemClock().now()


def not_signed(room: AgentRoom) -> list[str]:
    """Whose asking for signatures raised an alarm."""
    alarms = room.client(Asker.COMMAND).status()["use"]["alarms"]
    return [each["asker"] for each in alarms if each["alarm"] == "not-signed"]


def test_seeds_are_handed_to_nobody(room: AgentRoom) -> None:
    for asker in (Asker.MAIL, Asker.WORKER, Asker.COMMAND):
        handed = room.client(asker).working_keys()
        assert room.ring.audit_seed not in handed.to_bytes()
        assert room.ring.certificate_seed not in handed.to_bytes()
        signer, own = AgentSigner.of(room.client(asker), handed), SeedSigner.of(room.ring)
        assert (signer.audit_public, signer.certificate_public) == (own.audit_public, own.certificate_public)


def test_worker_that_was_taken_over_gets_no_checkpoint_of_a_shorter_or_another_log_also_after_a_restart(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "practice"
    with key_agent_room.running(directory) as room:
        worker = signer_of(room, Asker.WORKER)
        good = signed_checkpoint(tree(5), at=now(), signer=worker)
        assert checkpoint_from(good.line()).is_signed_by(worker.audit_public)
        with pytest.raises(RefusedError, match="shorter"):
            signed_checkpoint(tree(4), at=now(), signer=worker)
    with key_agent_room.running(directory) as room:
        for asker in (Asker.WORKER, Asker.MAIL, Asker.COMMAND):
            taken_over = signer_of(room, asker)
            with pytest.raises(RefusedError, match="shorter"):
                signed_checkpoint(tree(4), at=now(), signer=taken_over)
            with pytest.raises(RefusedError, match="another root"):
                taken_over.signature(DocumentKind.CHECKPOINT, audit_tree.note(5, b"x" * 32, now()))
        assert signed_checkpoint(tree(6), at=now(), signer=signer_of(room, Asker.MAIL)).size == 6
        assert set(not_signed(room)) == {"worker", "mail", "command"}


def test_refusal_is_in_the_agents_own_account_and_reaches_the_audit_log(tmp_path: Path) -> None:
    directory = tmp_path / "practice"
    with key_agent_room.running(directory) as room:
        worker = signer_of(room, Asker.WORKER)
        with pytest.raises(RefusedError):
            worker.signature(DocumentKind.CERTIFICATE, b"a certificate")
        vault = Vault(tmp_path / "vault")
        KeyUseDuty(vault.database, room.client(Asker.WORKER).status, clock=vault.clock).run()
        with vault.database.read() as connection:
            [entry] = audit_trail.of_events(connection, ["key_agent.alarm"])
        assert dict(entry.detail) == {"alarm": "not-signed", "asker": "worker"}
        room.client(Asker.COMMAND).seal()
        assert room.agent.process.wait(60) == 0
    told = [json.loads(line) for line in lines_of(DataDirectory(directory).key_use)]
    assert [event for line in told for event in line["events"]] == ["not-signed:worker", "sealed:command"]


def test_certificate_out_of_policy_is_refused_to_whoever_may_have_some_signed(room: AgentRoom) -> None:
    made_up = verify_certificate.signed_bytes(verify_certificate.read(certificate_samples.certificate()))
    for asker, why in ((Asker.WORKER, "not for you"), (Asker.MAIL, "nobody would take"), (Asker.COMMAND, "nobody")):
        with pytest.raises(RefusedError, match=why):
            signer_of(room, asker).signature(DocumentKind.CERTIFICATE, made_up)
    assert {"worker", "mail", "command"} <= set(not_signed(room))


def test_certificate_of_what_the_log_says_is_signed_for_the_pages_and_a_stranger_finds_it_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with key_agent_room.running(tmp_path) as room:
        mail = signer_of(room, Asker.MAIL)
        monkeypatch.setattr(certificate_samples, "START", now() - timedelta(minutes=1002))
        monkeypatch.setattr(certificate_samples, "AUDIT_SEED", room.ring.audit_seed)
        monkeypatch.setattr(certificate_samples, "SIGNER", mail)
        document = certificate_samples.certificate()
    assert verify_certificate.problems_of(document, public_key_pem(mail.certificate_public)) == []


@pytest.mark.parametrize("kind", DocumentKind)
def test_role_facing_the_internet_and_the_opening_one_have_nothing_signed(room: AgentRoom, kind: DocumentKind) -> None:
    for asker in (Asker.SMTP, Asker.OPENING, Asker.SEALED_SMTP, Asker.SEALED_MAIL):
        with pytest.raises(RefusedError, match="not for you"):
            room.client(asker).signature(kind, audit_tree.note(1, bytes(32), now()))


def test_bytes_of_ones_own_choice_are_signed_as_no_kind(room: AgentRoom) -> None:
    signer = signer_of(room, Asker.COMMAND)
    for kind in DocumentKind:
        for document in (b"x", b"strongroom/key-succession/v1\n{}", os.urandom(50_000)):
            with pytest.raises(RefusedError):
                signer.signature(kind, document)


def test_garbage_for_a_part_ends_the_connection_and_nothing_else(room: AgentRoom) -> None:
    good = {"ask": "sign", "kind": "checkpoint", "part": "00", "last": False}
    for change in (
        {"kind": "letter"},
        {"kind": 5},
        {"part": ""},
        {"part": "0"},
        {"part": 7},
        {"part": "00" * (key_agent_protocol.PART_BYTES + 1)},
        {"last": 1},
        {"last": None},
    ):
        with room.raw(Asker.WORKER) as connection:
            assert asked(connection, {**good, **change}) is None
    with room.raw(Asker.WORKER) as connection:
        assert asked(connection, good) == {}
        assert asked(connection, {**good, "kind": "ledger-page"}) is None
    assert signed_checkpoint(tree(1), at=now(), signer=signer_of(room, Asker.WORKER)).size == 1


def test_document_that_never_ends_is_given_up_and_leaves_room_for_others(room: AgentRoom) -> None:
    client = room.client(Asker.WORKER)
    with pytest.raises(LimitExceededError):
        client.signature(DocumentKind.CHECKPOINT, b"x" * 5_000)
    assert signed_checkpoint(tree(2), at=now(), signer=signer_of(room, Asker.WORKER)).size == 2


def test_sealed_agent_signs_nothing(tmp_path: Path) -> None:
    with key_agent_room.running(tmp_path, opens=False) as room:
        for asker in (Asker.WORKER, Asker.MAIL, Asker.COMMAND):
            with pytest.raises(SealedError):
                room.client(asker).signature(DocumentKind.CHECKPOINT, audit_tree.note(1, bytes(32), now()))


def test_log_of_a_practice_is_signed_by_way_of_the_agent(room: AgentRoom, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault")
    path, signer = tmp_path / "checkpoints.jsonl", signer_of(room, Asker.WORKER)
    with vault.database.write() as connection:
        audit_trail.append(connection, [AuditFact("tested", "system")] * 7, now=now())
    audit_trail.write_checkpoint(vault.database, path, signer=signer, now=now())
    report = audit_trail.verify(vault.database, public_key=signer.audit_public, checkpoints_path=path)
    assert (report.entries, report.first_bad) == (7, None)
