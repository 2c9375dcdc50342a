"""Signing at a rate, in parts, within bounds: with the agent's own account, and no process around it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from appliance import key_agent_protocol, key_agent_signing
from appliance.key_agent_policy import Asker
from appliance.key_agent_signing import Draft, Signing, SigningKeys
from appliance.key_use_record import KeyUseRecord
from mailstore import audit_tree
from mailstore.document_signing import DocumentKind
from mailstore.errors import LimitExceededError, StorageUnavailableError
from mailstore.wall_clock import SetClock
from tests.formats import test_ledger_page
from tests.unit.appliance.test_signing_policy import page
from tests.unit.archive.certificate_samples import SIGNER

KEYS = SigningKeys(SIGNER, (b"u" * 32,))


@pytest.fixture
def clock() -> SetClock:
    return SetClock(test_ledger_page.THEN)


@pytest.fixture
def use(tmp_path: Path, clock: SetClock) -> KeyUseRecord:
    return KeyUseRecord(tmp_path / "audit" / "key-use.jsonl", clock)


def signed(signing: Signing, kind: DocumentKind, document: bytes, draft: Draft | None = None) -> bytes:
    """As a role asks, part by part."""
    draft = draft or Draft()
    for question in key_agent_protocol.sign_requests(kind, document):
        told = signing.answer(draft, Asker.WORKER, question, lambda: KEYS)
    return key_agent_protocol.signature_of(told)


def test_beyond_its_rate_an_asker_waits_is_told_on_and_gets_its_signature_all_the_same(
    use: KeyUseRecord, clock: SetClock
) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        clock.advance(timedelta(hours=1))

    signing = Signing(use, clock, wait=wait)
    for _ in range(key_agent_signing.RATE.at_once):
        signed(signing, DocumentKind.LEDGER_PAGE, page())
    assert not waits
    while not waits:
        last = signed(signing, DocumentKind.LEDGER_PAGE, page())
    assert last == SIGNER.signature(DocumentKind.LEDGER_PAGE, page())
    told = use.told()
    assert [(each["alarm"], each["asker"]) for each in told["alarms"]] == [("slowed", "worker")]
    assert told["signed"]["worker"] > key_agent_signing.RATE.at_once


def test_documents_that_wait_never_take_more_memory_than_is_for_them(
    use: KeyUseRecord, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_agent_signing, "MOST_WAITING", 100_000)
    signing, drafts = Signing(use, clock), [Draft() for _ in range(5)]
    part = {"kind": "ledger-page", "part": "00" * key_agent_protocol.PART_BYTES, "last": False}
    for draft in drafts[:4]:
        signing.answer(draft, Asker.WORKER, part, lambda: KEYS)
    with pytest.raises(LimitExceededError, match="too many"):
        signing.answer(drafts[4], Asker.WORKER, part, lambda: KEYS)
    for draft in drafts:
        signing.forget(draft)
    assert signed(signing, DocumentKind.LEDGER_PAGE, page())


def test_checkpoint_that_cannot_be_noted_is_not_signed(use: KeyUseRecord, clock: SetClock, tmp_path: Path) -> None:
    signing = Signing(use, clock)
    (tmp_path / "audit").write_text("no folder", "ascii")
    with pytest.raises(StorageUnavailableError):
        signed(signing, DocumentKind.CHECKPOINT, audit_tree.note(9, b"r" * 32, clock.now()))
    (tmp_path / "audit").unlink()
    assert signed(signing, DocumentKind.CHECKPOINT, audit_tree.note(5, b"r" * 32, clock.now()))


def test_account_changed_by_somebody_else_is_not_where_the_length_of_the_log_is_taken_from(
    use: KeyUseRecord, clock: SetClock, tmp_path: Path
) -> None:
    signed(Signing(use, clock), DocumentKind.CHECKPOINT, audit_tree.note(9, b"r" * 32, clock.now()))
    path = tmp_path / "audit" / "key-use.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole + whole.replace(b'"tree":[9,', b'"tree":[3,'))
    tree = KeyUseRecord(path, clock).tree(KEYS.seeds)
    assert tree is not None
    assert tree.size == 9
    assert KeyUseRecord(path, clock).tree((b"v" * 32,)) is None
