"""The race on the accept path: Strongroom beside Postfix -> Dovecot with mail_crypt, in turn, on this machine.

    python -m tests.bench.mail_race [--pairs 5] [--messages 3000] [--tls] [--work DIR]

Both get the same mail from the same load generator over loopback. A message counts when it is *delivered*: for
the peer a file in a Maildir's ``new/``, for us a row of a mailbox, which is committed before the 250. CPU is user
plus system time. ``cpu_ms_to_deliver`` is what delivering took: the peer's two process trees until the last message
is delivered, our tree without the worker. The worker, which does what the peer does not do at all (archive, search
index, move into the object store), runs at the same time; ``cpu_ms_with_follow_up`` is our whole tree until the
worker has nothing left, so that nothing is hidden.
Needs Debian's postfix, dovecot-core, dovecot-lmtpd, gcc and libssl-dev; rewrites /etc/postfix, so: test machines only.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench import measured_practice, practice_mail
from tests.bench.measured_practice import MAILBOXES
from tests.bench.process_cpu import cpu_seconds, resident_bytes
from tests.running_practice import children_of

HERE = Path(__file__).resolve().parent
CONNECTIONS = 16
MESSAGES_PER_CONNECTION = 50
PEER_PORT = 22525


@dataclass(frozen=True)
class Lap:
    """One run of one server."""

    server: str
    delivered_per_second: float
    cpu_ms_to_deliver: float
    cpu_ms_with_follow_up: float
    p50_ms: float
    p99_ms: float
    resident_mb: float


def run(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """A command that has to succeed."""
    return subprocess.run(words, check=True, capture_output=True, text=True, **options)


def prepare(work: Path) -> None:
    """The load generator and its list of messages."""
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "smtpload").exists():
        run("gcc", "-O2", "-o", str(work / "smtpload"), str(HERE / "smtpload.c"), "-lssl", "-lcrypto", "-lpthread")
    (work / "list.txt").write_text("".join(f"{path}\n" for path in practice_mail.files()))


def load(work: Path, port: int, messages: int, *, tls: bool) -> dict[str, Any]:
    """Send the messages; the generator says how long each 250 took."""
    counts = (CONNECTIONS, MESSAGES_PER_CONNECTION, messages, int(tls))
    words = [str(work / "smtpload"), str(port), *map(str, counts), str(work / "list.txt"), str(MAILBOXES)]
    answer: dict[str, Any] = json.loads(run(*words).stdout)
    if answer["errs"]:
        raise SystemExit(f"{answer['errs']} connections failed on port {port}: the lap does not count")
    return answer


class Peer:
    """Postfix handing over to Dovecot with mail_crypt."""

    name = "postfix-dovecot-mail_crypt"
    port = PEER_PORT

    def __init__(self, work: Path) -> None:
        self._work = work / "peer"
        self._env = dict(os.environ, W=str(self._work), PORT=str(PEER_PORT))

    def start(self) -> None:
        """A fresh queue and fresh mailboxes."""
        self._script("start", "mail_crypt")

    def stop(self) -> None:
        """End both servers."""
        self._script("stop")

    def _script(self, *words: str) -> None:
        """The daemons keep what they inherit open, so nothing of theirs may be waited for."""
        silent: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
        }
        subprocess.run(["bash", str(HERE / "peer_mail.sh"), *words], check=True, env=self._env, **silent)

    def delivering(self) -> list[int]:
        """All of it."""
        return self.roots()

    def roots(self) -> list[int]:
        """The main processes of the two servers."""
        pids = (Path("/var/spool/postfix/pid/master.pid"), self._work / "run" / "master.pid")
        return [int(path.read_text().split()[0]) for path in pids]

    def delivered(self) -> int:
        """Files that have arrived in a Maildir."""
        return sum(len(files) for folder, _, files in os.walk(self._work / "mail") if folder.endswith("/new"))

    def follow_up_waiting(self) -> int:
        """Nothing follows: delivery is the end."""
        return 0


class Ours:
    """``strongroom serve`` as a practice runs it, in a directory made for the lap."""

    name = "strongroom"

    def __init__(self, work: Path) -> None:
        self._practice = measured_practice.fresh(work / "ours")
        self.port = self._practice.base + 25
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """The server, ready."""
        self._process = self._practice.start()
        if not self._practice.ready_line(self._process)["ready"]:
            raise SystemExit("strongroom is not ready: the lap does not count")

    def stop(self) -> None:
        """End it as systemd would."""
        if self._process is not None:
            self._practice.stop(self._process)

    def delivering(self) -> list[int]:
        """The role that takes mail in, and the one with the pages, which rests; the supervisor does not work."""
        return [pid for root in self.roots() for name, pid in children_of(root).items() if name != "worker"]

    def roots(self) -> list[int]:
        """The supervisor."""
        return [self._process.pid] if self._process is not None else []

    def delivered(self) -> int:
        """Rows of mailboxes."""
        return measured_practice.delivered(self._practice)

    def follow_up_waiting(self) -> int:
        """Items of follow-up work not done yet."""
        return measured_practice.waiting(self._practice).total()


def wait_until(done: Any, *, seconds: float) -> None:
    """Poll until it is so; a lap that never ends is an error."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise SystemExit("the lap did not end")
        time.sleep(0.1)


def used_by(roots: list[int]) -> float:
    """Processor seconds of these processes and all below them."""
    return sum(map(cpu_seconds, roots))


def lap(server: Peer | Ours, work: Path, messages: int, *, tls: bool) -> Lap:
    """Start, load, wait for the last delivery, measure, stop."""
    server.start()
    try:
        cpu, whole, begin = used_by(server.delivering()), used_by(server.roots()), time.monotonic()
        answer = load(work, server.port, messages, tls=tls)
        wait_until(lambda: server.delivered() >= messages, seconds=300)
        seconds, used = time.monotonic() - begin, used_by(server.delivering()) - cpu
        resident = sum(map(resident_bytes, server.roots())) / 1e6
        wait_until(lambda: server.follow_up_waiting() == 0, seconds=900)
        whole = used_by(server.roots()) - whole
    finally:
        server.stop()
    return Lap(
        server.name,
        round(messages / seconds, 1),
        round(used / messages * 1000, 3),
        round(whole / messages * 1000, 3),
        answer["p50_ms"],
        answer["p99_ms"],
        round(resident, 1),
    )


def main() -> None:
    """Race in pairs and print the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "strongroom-bench")
    chosen = parser.parse_args()
    prepare(chosen.work)
    laps: list[tuple[Lap, Lap]] = []
    for number in range(chosen.pairs):
        pair = tuple(lap(s(chosen.work), chosen.work, chosen.messages, tls=chosen.tls) for s in (Peer, Ours))
        laps.append((pair[0], pair[1]))
        print(f"pair {number + 1} of {chosen.pairs}: {pair[0]} {pair[1]}", file=sys.stderr)
    ratios = {
        "delivered_per_second": statistics.median(o.delivered_per_second / p.delivered_per_second for p, o in laps),
        "cpu_to_deliver": statistics.median(o.cpu_ms_to_deliver / p.cpu_ms_to_deliver for p, o in laps),
        "cpu_with_follow_up": statistics.median(o.cpu_ms_with_follow_up / p.cpu_ms_to_deliver for p, o in laps),
    }
    print(json.dumps({"ratios": ratios, "laps": [[asdict(p), asdict(o)] for p, o in laps]}, indent=1))


if __name__ == "__main__":
    main()
