"""More keys are renewed on request: the index is made anew under its own, and certificates of before stay valid."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance import archive_wiring
from archive import key_succession
from archive.certification import PUBLIC_KEY_FILE
from archive.disposal_certificate import public_key_pem
from archive.index_secret import IndexSecrets
from mailstore import key_custody
from mailstore.slot_key_file import KeyFile
from tests import lived_practice
from tests.lived_practice import RUTH, actor

pytestmark = pytest.mark.sqlite_files(reason="it looks into the files of a data directory")


def test_certificate_and_index_keys_are_renewed_and_nothing_of_before_is_lost(tmp_path: Path) -> None:
    practice = lived_practice.lived(tmp_path)
    secret = KeyFile(practice.data.unlock_key)
    before = key_custody.unlock(practice.data.keys, secret)
    old_pem = (practice.data.certificates / PUBLIC_KEY_FILE).read_bytes()
    practice.told("key", "rotate", "--with-index", "--with-certificates")
    after = key_custody.unlock(practice.data.keys, secret)
    assert after.index_key != before.index_key
    assert after.certificate_seed != before.certificate_seed
    assert {key.name for key in after.retired} == {"capture_private", "keys_recovery"}
    assert IndexSecrets(practice.data.index_secrets, after.index_key).known() == []
    with practice.opened() as appliance:
        assert archive_wiring.index_care(appliance, archive_wiring.intake(appliance)).tend()
        assert archive_wiring.index(appliance).document_count() == 3
        desk = archive_wiring.desk(appliance)
        [disposal] = [each.id for each in desk.disposals.all(actor(appliance, RUTH))]
        assert desk.certificates.problems(actor(appliance, RUTH), disposal) == ()
        assert desk.certificates.problems_in(practice.data.certificates) == (1, [])
        assert desk.certificates.key_of(actor(appliance, RUTH), disposal) == old_pem, (
            "it is handed out to check it with"
        )
        new_pem = public_key_pem(appliance.signer.certificate_public)
        assert key_succession.keys(practice.data.certificates, old_pem) == (old_pem, new_pem)
        assert new_pem != old_pem
    assert practice.told("certificate", "verify", str(practice.certificate))["valid"]
    assert IndexSecrets(practice.data.index_secrets, before.index_key).known() == []
    assert practice.told("check")["problems"] == []
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    for file in (practice.certificate, practice.data.certificates / key_succession.FILE):
        shutil.copy(file, stranger)
    (stranger / "new.pem").write_bytes(new_pem)
    answer = practice.ask("certificate", "verify", str(stranger / practice.certificate.name))
    assert answer.json["valid"]
