"""What backups are sealed to: the keys of now, also by a process that was handed older ones, and nobody else's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from appliance import backup_wiring
from appliance.front_door_wiring import settings_of
from appliance.key_agent_client import AgentOpener, AgentSigner
from appliance.key_agent_policy import Asker
from appliance.wiring import Appliance
from mailstore import key_custody, key_file_form, key_rotation
from mailstore.errors import StorageUnavailableError
from mailstore.key_hierarchy import CaptureKeyPair
from mailstore.slot_key_file import KeyFile
from mailstore.wall_clock import SystemClock
from mailstore.working_keys import HandedKeys
from tests import key_agent_room, lived_practice
from tests.lived_practice import LivedPractice


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> LivedPractice:
    made = lived_practice.founded(tmp_path_factory.mktemp("practice"))
    shutil.copy(made.data.unlock_key, made.path / "unlock.key")
    return made


@contextmanager
def working_with(practice: LivedPractice, keys: HandedKeys) -> Iterator[Appliance]:
    """A worker that was handed these keys, beside a key agent that opened what lies in the directory now."""
    with key_agent_room.running(practice.path) as room:
        agent = room.client(Asker.WORKER)
        opener, signer = AgentOpener(agent, keys.capture_public), AgentSigner.of(agent, keys)
        with Appliance.with_keys(practice.data, settings_of(practice.data), keys, opener, signer) as appliance:
            yield appliance


def test_worker_that_was_handed_older_keys_seals_backups_to_those_of_now(practice: LivedPractice) -> None:
    before = HandedKeys.of(key_custody.unlock(practice.data.keys, KeyFile(practice.data.unlock_key)))
    now = SystemClock().now()
    after = key_rotation.rotate(practice.data.keys, KeyFile(practice.data.unlock_key), os.urandom, now=now)
    assert after.keys_recovery_public != before.keys_recovery_public
    with working_with(practice, before) as worker:
        assert backup_wiring.seals(worker).keys_recovery_public == after.keys_recovery_public


def test_half_that_somebody_else_published_is_never_sealed_to(practice: LivedPractice) -> None:
    published = practice.data.keys / key_file_form.RECOVERY
    keys = HandedKeys.of(key_custody.unlock(practice.data.keys, KeyFile(practice.data.unlock_key)))
    with working_with(practice, keys) as worker:
        whole = published.read_bytes()
        theirs = key_file_form.text(CaptureKeyPair.of(os.urandom(32)).public)
        ours = key_file_form.text(keys.keys_recovery_public)
        published.write_bytes(whole.replace(ours.encode(), theirs.encode()))
        with pytest.raises(StorageUnavailableError, match=r"recovery\.json"):
            backup_wiring.seals(worker)
        published.write_bytes(whole)
