"""Between supervisor and role: frames on a pipe, and the patience between two starts."""

from __future__ import annotations

import pytest

from appliance import role_charge, role_process
from appliance.role_charge import AgentCharge, Charge, SecretPlace


def test_charge_comes_out_as_it_went_in() -> None:
    charge = Charge("/data", {"smtp": 7})
    told, rest = role_charge.opened(charge.to_bytes() + b"more")
    assert told is not None
    assert Charge.of(told) == charge
    assert rest == b"more"


def test_charge_of_the_key_agent_comes_out_as_it_went_in() -> None:
    for secret in (None, SecretPlace("key_file", "/keys/unlock.key")):
        charge = AgentCharge("/data", 5, secret, {"mail": (600, 3000)}, {"smtp": 6})
        told, _rest = role_charge.opened(charge.to_bytes())
        assert told is not None
        assert AgentCharge.of(told) == charge


def test_frame_that_is_not_whole_yet_waits_for_the_rest() -> None:
    frame = role_charge.frame({"ready": True})
    for length in range(len(frame)):
        assert role_charge.opened(frame[:length]) == (None, frame[:length])


def test_frame_that_claims_to_be_huge_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        role_charge.opened(b"\xff\xff\xff\xff")


def test_pause_doubles_up_to_half_a_minute() -> None:
    assert [role_process.pause_after(failures) for failures in (1, 2, 3, 7, 50)] == [0.5, 1.0, 2.0, 30.0, 30.0]
