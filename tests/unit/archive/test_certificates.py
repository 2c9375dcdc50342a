from __future__ import annotations

from pathlib import Path

import pytest

from archive import verify_certificate
from archive.two_persons import NotPermittedError
from mailstore.errors import NotFoundError
from tests.records_room import APPROVER, CLINICIAN, RECORDS, RecordsRoom


@pytest.fixture
def room(tmp_path: Path) -> RecordsRoom:
    return RecordsRoom(tmp_path / "data")


def test_issued_certificate_is_handed_out_as_it_was_signed(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    disposal = room.approved()
    path = room.desk.disposal_run.run(RECORDS, disposal).certificate
    certificates = room.desk.certificates
    assert path is not None
    assert certificates.of(APPROVER, disposal).document == path.read_bytes()
    assert certificates.picture(APPROVER, disposal) == path.with_suffix(".pdf").read_bytes()
    assert certificates.problems(APPROVER, disposal) == ()
    assert verify_certificate.problems_of(path.read_bytes(), certificates.key_of(APPROVER, disposal)) == []
    with pytest.raises(NotPermittedError):
        certificates.of(CLINICIAN, disposal)


def test_disposal_that_was_not_carried_out_has_no_certificate(room: RecordsRoom) -> None:
    room.put_in_force()
    room.receive()
    with pytest.raises(NotFoundError):
        room.desk.certificates.of(RECORDS, room.desk.disposals.propose(RECORDS).id)
