"""Attack: kill -9 at every step of sending. No copy is lost, at most one more arrives, and it is marked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mailstore.message import RecipientState
from mailstore.outbox import Kind
from tests.flows.outbound_practice import practice, route
from tests.flows.receiving_server import CertificateAuthority, ReceivingServer, receiving

MX = "mx.partner.example"
PATIENT = "patient@partner.example"
STEPS = {"outbound.after_intention": 1, "outbound.after_answer": 2, "outbound.after_settling": 1}
"""Each step, and how many copies arrive when the process dies right behind it."""

WORKER = """
import sys
from pathlib import Path
from tests.flows.outbound_practice import practice, route
with practice(Path(sys.argv[1]), make=False) as house:
    house.routes.append(route("partner.example", int(sys.argv[2]), sys.argv[3]))
    house.step()
"""


def killed_worker(folder: Path, server: ReceivingServer, ca_file: str, step: str) -> int:
    """Run a worker in a process of its own that dies behind ``step``."""
    return subprocess.run(
        [sys.executable, "-c", WORKER, str(folder), str(server.port), ca_file],
        env={**os.environ, "STRONGROOM_FAILPOINT": f"{step}:kill", "PYTHONPATH": str(Path.cwd())},
        timeout=60,
        check=False,
    ).returncode


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_at_any_step_loses_nothing_and_marks_the_copy_more(tmp_path: Path, step: str) -> None:
    authority = CertificateAuthority(tmp_path)
    with receiving(authority.server(MX)) as server:
        with practice(tmp_path) as house:
            message = house.send(PATIENT)
        assert killed_worker(tmp_path, server, authority.ca_file, step) == -signal.SIGKILL
        with practice(tmp_path, make=False) as house:
            house.routes.append(route("partner.example", server.port, authority.ca_file))
            house.start_worker_once()
            assert house.recipient(message).state is RecipientState.DELIVERED
            assert house.waiting(Kind.DELIVER) == 0
    assert len(server.arrived) == STEPS[step]
    unmarked = [arrived for arrived in server.arrived if b"X-Possible-Duplicate" not in arrived.content]
    assert len(unmarked) <= 1
