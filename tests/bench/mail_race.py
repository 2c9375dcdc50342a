"""The race on the accept path: Strongroom beside Postfix -> Dovecot with mail_crypt, in turn, on this machine.

    python -m tests.bench.mail_race [--pairs 5] [--messages 3000] [--tls] [--pipelined] [--work DIR]
        [--database URL] [--keystore URL] [--object-store URL --object-store-credentials FILE]

The options of the second line go to ``init``. The databases they name are **emptied** before every lap; ``{lap}`` in
the URL of the object store becomes another word for every lap, as in ``s3+http://HOST:PORT/BUCKET?prefix={lap}``.

Both get the same mail from the same load generator over loopback; with ``--pipelined`` it sends MAIL, RCPT and DATA
in one piece, as mail servers do to those that announce PIPELINING, and both do. A message counts when it is
*delivered*: for the peer a file in a Maildir's ``new/``, for us a row of a mailbox, which is committed before the 250.
CPU is user plus system time. ``cpu_ms_to_deliver`` is what delivering took: the peer's two process trees until the
last message is delivered, our tree without the worker. The worker, which does what the peer does not do at all
(archive, search index, move into the object store), runs at the same time; ``cpu_ms_with_follow_up`` is our whole tree
until the worker has nothing left, so that nothing is hidden.
Needs Debian's postfix, dovecot-core, dovecot-lmtpd, gcc and libssl-dev; rewrites /etc/postfix, so: test machines only.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import psycopg

from tests.bench import measured_practice, practice_mail
from tests.bench.measured_practice import MAILBOXES
from tests.bench.process_cpu import cpu_seconds, resident_bytes
from tests.running_practice import children_of

HERE = Path(__file__).resolve().parent
TITLES = (
    "| pair | ours, delivered/s | peer | ratio | ours, CPU ms to deliver | peer | ratio | ours, CPU ms with follow-up"
    " | ours, ms to 250: p50 / p99 |"
)
CONNECTIONS = 16
MESSAGES_PER_CONNECTION = 50
PEER_PORT = 22525


@dataclass(frozen=True)
class Talk:
    """How the load generator speaks to both: with STARTTLS, and with envelopes in one piece (RFC 2920)."""

    tls: bool = False
    pipelined: bool = False


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


def load(work: Path, port: int, messages: int, talk: Talk) -> dict[str, Any]:
    """Send the messages; the generator says how long each 250 took."""
    counts = (CONNECTIONS, MESSAGES_PER_CONNECTION, messages, int(talk.tls))
    words = [str(work / "smtpload"), str(port), *map(str, counts), str(work / "list.txt"), str(MAILBOXES)]
    words.append(str(int(talk.pipelined)))
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


@dataclass(frozen=True)
class Stores:
    """Where ours keeps things, when not in its own directory. Empty: there."""

    database: str = ""
    keystore: str = ""
    object_store: str = ""
    object_store_credentials: str = ""

    def init_options(self) -> list[str]:
        """What to tell ``init``, with stores that hold nothing yet."""
        for url in filter(None, (self.database, self.keystore)):
            with psycopg.connect(url.replace("+psycopg", "", 1), autocommit=True) as server:
                server.execute("DROP SCHEMA public CASCADE")
                server.execute("CREATE SCHEMA public")
        told = asdict(self)
        told["object_store"] = self.object_store.replace("{lap}", secrets.token_hex(4))
        options = ((f"--{name.replace('_', '-')}", value) for name, value in told.items() if value)
        return [word for option in options for word in option]


class Ours:
    """``strongroom serve`` as a practice runs it, in a directory made for the lap."""

    name = "strongroom"

    def __init__(self, work: Path, stores: Stores) -> None:
        self._practice = measured_practice.fresh(work / "ours", *stores.init_options())
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


def lap(server: Peer | Ours, work: Path, messages: int, talk: Talk) -> Lap:
    """Start, load, wait for the last delivery, measure, stop."""
    server.start()
    try:
        cpu, whole, begin = used_by(server.delivering()), used_by(server.roots()), time.monotonic()
        answer = load(work, server.port, messages, talk)
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


def table(laps: Sequence[tuple[Lap, Lap]]) -> str:
    """The pairs and the medians of their ratios, as they stand in docs/performance.md."""
    rows = [
        (
            str(number),
            f"{ours.delivered_per_second:.0f}",
            f"{peer.delivered_per_second:.0f}",
            f"{ours.delivered_per_second / peer.delivered_per_second:.2f}",
            f"{ours.cpu_ms_to_deliver:.2f}",
            f"{peer.cpu_ms_to_deliver:.2f}",
            f"{ours.cpu_ms_to_deliver / peer.cpu_ms_to_deliver:.3f}",
            f"{ours.cpu_ms_with_follow_up:.2f}",
            f"{ours.p50_ms:.0f} / {ours.p99_ms:.0f}",
        )
        for number, (peer, ours) in enumerate(laps, 1)
    ]
    delivered = statistics.median(ours.delivered_per_second / peer.delivered_per_second for peer, ours in laps)
    cpu = statistics.median(ours.cpu_ms_to_deliver / peer.cpu_ms_to_deliver for peer, ours in laps)
    whole = statistics.median(ours.cpu_ms_with_follow_up / peer.cpu_ms_to_deliver for peer, ours in laps)
    rows.append(
        ("**median**", "", "", f"**{delivered:.2f}**", "", "", f"**{cpu:.3f}**", f"{whole:.2f} of the peer's", "")
    )
    return "\n".join([TITLES, re.sub(r"[^|]+", "---", TITLES), *(f"| {' | '.join(row)} |" for row in rows)])


def main(words: Sequence[str] | None = None) -> None:
    """Race in pairs and print the median ratios. ``words``: the options, when not those of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--pipelined", action="store_true")
    for name in fields(Stores):
        parser.add_argument(f"--{name.name.replace('_', '-')}", default="")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "strongroom-bench")
    chosen = parser.parse_args(words)
    stores = Stores(**{each.name: getattr(chosen, each.name) for each in fields(Stores)})
    talk = Talk(tls=chosen.tls, pipelined=chosen.pipelined)
    prepare(chosen.work)
    laps: list[tuple[Lap, Lap]] = []
    for number in range(chosen.pairs):
        peer = lap(Peer(chosen.work), chosen.work, chosen.messages, talk)
        ours = lap(Ours(chosen.work, stores), chosen.work, chosen.messages, talk)
        laps.append((peer, ours))
        print(f"pair {number + 1} of {chosen.pairs}: {peer} {ours}", file=sys.stderr)
    print(table(laps))


if __name__ == "__main__":
    main()
