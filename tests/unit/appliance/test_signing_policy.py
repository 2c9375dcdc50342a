"""What the key agent signs: whole documents of their kind and of this moment, for those who make such documents."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from appliance import signing_policy
from appliance.key_agent_policy import Asker
from appliance.key_use import TreeHead
from archive import ledger_page, verify_certificate, verify_drill_report
from archive.drill_report import DrilledGeneration, DrillReport
from mailstore import audit_tree, backup_listing
from mailstore.backup_listing import GenerationKind, Listing
from mailstore.document_signing import DocumentKind, SeedSigner
from mailstore.errors import RefusedError
from tests.formats import test_ledger_page
from tests.unit.archive.certificate_samples import SIGNER, at, certificate, changed, completion, disposal, proof

NOW = at(1002)
CERTIFICATE = verify_certificate.signed_bytes(verify_certificate.read(certificate()))


def drill_report() -> bytes:
    generation = DrilledGeneration(1, at(900), "0" * 64, 1, 10)
    report = DrillReport(
        id="d" * 26,
        practice="Clinic",
        target="t" * 26,
        opened_with="the ring of the appliance",
        begun_at=at(1001),
        ended_at=NOW,
        data=generation,
        keys=generation,
        missing_pieces=0,
        in_backup=0,
        without_key=0,
        sample=(),
        salts=(),
        pages=0,
        destroyed=0,
        with_key=0,
        problems=(),
    )
    return verify_drill_report.signed_bytes(json.loads(report.signed(SIGNER)))


def listing(made_at: datetime = NOW) -> bytes:
    told = Listing(
        practice="p",
        target="t",
        kind=GenerationKind.KEYS,
        sequence=2,
        previous="0" * 64,
        as_of=at(900),
        made_at=made_at,
        base=1,
        contents="c",
        pieces=(("0" * 64, 10),),
        sealed_for="s",
        ways_in="w",
        seen={},
    )
    return backup_listing.HEADING + backup_listing.canonical(told.told())


def page() -> bytes:
    told = json.loads(ledger_page.signed(test_ledger_page.PAGE, SIGNER))
    told.pop("signature")
    return b"strongroom/ledger/v1\n" + backup_listing.canonical(told)


DOCUMENTS = {
    DocumentKind.CERTIFICATE: (CERTIFICATE, NOW),
    DocumentKind.DRILL_REPORT: (drill_report(), NOW),
    DocumentKind.BACKUP_LISTING: (listing(), NOW),
    DocumentKind.LEDGER_PAGE: (page(), test_ledger_page.THEN),
}


def signed(kind: DocumentKind, document: bytes, now: datetime, signer: SeedSigner = SIGNER) -> bytes:
    return signing_policy.signed(kind, document, signer=signer, now=now)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_whole_document_of_this_moment_is_signed(kind: DocumentKind) -> None:
    document, now = DOCUMENTS[kind]
    assert signed(kind, document, now) == SIGNER.signature(kind, document)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_no_document_is_signed_as_another_kind_nor_with_a_byte_too_many_or_too_few(kind: DocumentKind) -> None:
    document, now = DOCUMENTS[kind]
    told = [each for other, (each, _) in DOCUMENTS.items() if other is not kind]
    told += [document[:-1], document[1:], document + b" ", document.replace(b":", b": ", 1), b"", b"x", b"{}"]
    told += [document.partition(b"\n")[0] + b"\n" + each for each in (b"", b"[]", b"null", b"{}", b"[" * 5000)]
    told += [audit_tree.note(1, bytes(32), now)]
    for each in told:
        with pytest.raises(RefusedError):
            signed(kind, each, now)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_document_of_another_time_is_not_signed(kind: DocumentKind) -> None:
    document, now = DOCUMENTS[kind]
    later = now + timedelta(hours=1)
    with pytest.raises(RefusedError):
        signed(kind, document, now - timedelta(hours=1))
    if kind is not DocumentKind.BACKUP_LISTING:  # a backup of the data is begun hours before it is there
        with pytest.raises(RefusedError):
            signed(kind, document, later)


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["approved"].update(account=told["proposed"]["account"]),
        lambda told: told.update(count=2),
        lambda told: told["leaves"].pop(),
        lambda told: told["audit"].update(index=1),
        lambda told: told.update(disposal="x" * 26),
        lambda told: told.update(more="1"),
        lambda told: told["audit"]["checkpoint"].update(size=10),
    ],
)
def test_certificate_that_no_verifier_would_take_is_not_signed(change: Callable[[dict[str, Any]], object]) -> None:
    document = verify_certificate.signed_bytes(changed(change))
    with pytest.raises(RefusedError):
        signed(DocumentKind.CERTIFICATE, document, NOW)


def test_certificate_over_somebody_elses_log_is_not_signed() -> None:
    other = SeedSigner(audit_seed=b"o" * 32, certificate_seed=SIGNER.certificate_seed)
    with pytest.raises(RefusedError, match="not this practice's"):
        signed(DocumentKind.CERTIFICATE, CERTIFICATE, NOW, other)


def test_certificate_of_what_the_log_does_not_say_was_completed_is_not_signed() -> None:
    told = changed(lambda told: told.update(audit=proof(completion(disposal(4))).told()))
    with pytest.raises(RefusedError, match="audit entry says something else"):
        signed(DocumentKind.CERTIFICATE, verify_certificate.signed_bytes(told), NOW)


def checkpoint(size: int, root: bytes = b"r" * 32, at_: datetime = NOW) -> bytes:
    return audit_tree.note(size, root, at_)


def test_audit_log_only_grows() -> None:
    before = signing_policy.tree_of(checkpoint(5), before=None, now=NOW)
    assert before == TreeHead(5, b"r" * 32)
    assert signing_policy.tree_of(checkpoint(5), before=before, now=NOW) == before
    assert signing_policy.tree_of(checkpoint(6, b"s" * 32), before=before, now=NOW).size == 6
    for size, root in ((4, b"r" * 32), (0, audit_tree.EMPTY_ROOT), (5, b"s" * 32)):
        with pytest.raises(RefusedError, match="audit log"):
            signing_policy.tree_of(checkpoint(size, root), before=before, now=NOW)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\n\n\n\n",
        checkpoint(5).replace(b"\n5\n", b"\n05\n"),
        checkpoint(5).replace(b"\n5\n", b"\n-5\n"),
        checkpoint(5).replace(b"checkpoint v1", b"checkpoint v2"),
        checkpoint(5).upper(),
        checkpoint(5) + b"\n",
        checkpoint(5, b"r" * 31),
        checkpoint(5, at_=NOW - timedelta(hours=1)),
        checkpoint(5, at_=NOW + timedelta(hours=1)),
        page(),
    ],
)
def test_what_is_no_checkpoint_of_now_is_not_signed_as_one(document: bytes) -> None:
    with pytest.raises(RefusedError):
        signing_policy.tree_of(document, before=None, now=NOW)


def test_nobody_has_signed_what_he_does_not_make() -> None:
    granted = {asker: {kind for kind in DocumentKind if signing_policy.may_have_signed(asker, kind)} for asker in Asker}
    for asker in (Asker.SMTP, Asker.OPENING, Asker.SEALED_SMTP, Asker.SEALED_MAIL):
        assert granted[asker] == set()
    assert DocumentKind.CERTIFICATE not in granted[Asker.WORKER]
    assert granted[Asker.MAIL] & {DocumentKind.BACKUP_LISTING, DocumentKind.DRILL_REPORT} == set()
    assert all(DocumentKind.DECOMMISSION_ORDER not in kinds for kinds in granted.values())
