"""Between supervisor and role: frames on a pipe, and the patience between two starts."""

from __future__ import annotations

import pytest

from appliance import role_charge, role_process
from appliance.role_charge import Charge, RoleName
from appliance.supervisor import keys_for
from mailstore.key_hierarchy import DepositKeys, KeyRing

RING = KeyRing(*(bytes([number]) * 32 for number in range(1, 11)))


def test_charge_comes_out_as_it_went_in() -> None:
    charge = Charge("/data", b"\x00\xff" * 40, {"smtp": 7})
    told, rest = role_charge.opened(charge.to_bytes() + b"more")
    assert told is not None
    assert Charge.of(told) == charge
    assert rest == b"more"


def test_frame_that_is_not_whole_yet_waits_for_the_rest() -> None:
    frame = role_charge.frame({"ready": True})
    for length in range(len(frame)):
        assert role_charge.opened(frame[:length]) == (None, frame[:length])


def test_frame_that_claims_to_be_huge_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        role_charge.opened(b"\xff\xff\xff\xff")


def test_charge_never_shows_its_keys() -> None:
    keys = b"\xaa" * 32
    shown = repr(Charge("/data", keys, {}))
    assert repr(keys) not in shown
    assert keys.hex() not in shown


def test_smtp_role_is_given_deposit_keys_and_the_others_the_ring() -> None:
    assert DepositKeys.from_bytes(keys_for(RoleName.SMTP, RING)) == RING.deposit_keys()
    for name in ("capture_private", "account_key", "archive_key", "index_key", "audit_seed", "certificate_seed"):
        assert getattr(RING, name) not in keys_for(RoleName.SMTP, RING)
    for role in (RoleName.MAIL, RoleName.WORKER):
        assert KeyRing.from_bytes(keys_for(role, RING)) == RING


def test_pause_doubles_up_to_half_a_minute() -> None:
    assert [role_process.pause_after(failures) for failures in (1, 2, 3, 7, 50)] == [0.5, 1.0, 2.0, 30.0, 30.0]
