"""What a message weighs when it has come to rest: Strongroom beside Dovecot with mail_crypt and zlib, on the same mail.

    python -m tests.bench.stored_bytes [--messages 3000] [--mail DIR]... [--work DIR]

Both hold mail already, ours enough for a dictionary; what further mail adds is counted, everything of it: for the peer
mails and mailbox indexes, for us objects, shared parts, rows (audit log, archive and mailbox entries with all their
indexes), keys, and the whole dictionary. Two measures: bytes of the files, and the disk blocks that they take.
The search index is a cache and is not counted, Dovecot has none here; nor is work that waits in the outbox, which is
gone when the mail is at rest.

Needs Debian's dovecot-core, dovecot-lmtpd and openssl, and root. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import smtplib
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from appliance import archive_wiring, store_wiring
from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from mailstore.addresses import parse_mailbox
from mailstore.message import Envelope, MessageId, Origin, ReceivedMessage
from mailstore.tables import mail_dictionaries, messages, shared_parts
from tests.bench import measured_practice, practice_mail
from tests.bench.measured_practice import DOMAIN, MAILBOXES

BLOCK = 512
GROUP = 64
EARLIER = 1_300
"""Messages that are here already: enough for a dictionary."""

SENDER = re.compile(rb"^from:.*?([\w.+-]+@[\w-]+(?:\.[\w-]+)+)", re.IGNORECASE | re.MULTILINE)

DOVECOT = """
base_dir = {work}/run
state_dir = {work}/state
log_path = {work}/dovecot.log
protocols = lmtp
listen = 127.0.0.1
ssl = no
first_valid_uid = 100
mail_uid = vmail
mail_gid = vmail
mail_location = maildir:~/Maildir
mail_plugins = mail_crypt zlib
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=vmail gid=vmail home={work}/mail/%n allow_all_users=yes
}}
service lmtp {{
  unix_listener lmtp-measured {{
    mode = 0600
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
plugin {{
  mail_crypt_global_private_key = <{work}/private.pem
  mail_crypt_global_public_key = <{work}/public.pem
  mail_crypt_save_version = 2
  zlib_save = gz
}}
"""


@dataclass(frozen=True)
class Weight:
    """Bytes of files, and bytes of the disk blocks that they take."""

    files: int = 0
    blocks: int = 0

    def __add__(self, other: Weight) -> Weight:
        return Weight(self.files + other.files, self.blocks + other.blocks)

    def __sub__(self, other: Weight) -> Weight:
        return Weight(self.files - other.files, self.blocks - other.blocks)

    def shared_by(self, count: int) -> Weight:
        return Weight(round(self.files / count), round(self.blocks / count))


@dataclass(frozen=True)
class Held:
    """What one server holds, by kind."""

    kinds: dict[str, Weight] = field(default_factory=dict)

    @property
    def total(self) -> Weight:
        return sum(self.kinds.values(), start=Weight())

    def since(self, before: Held) -> Held:
        return Held({kind: weight - before.kinds.get(kind, Weight()) for kind, weight in self.kinds.items()})


def weight_of(paths: Iterator[Path]) -> Weight:
    """A file with several names counts once."""
    seen = {(found.st_dev, found.st_ino): found for found in (path.lstat() for path in paths)}
    return Weight(
        sum(found.st_size for found in seen.values()), sum(found.st_blocks * BLOCK for found in seen.values())
    )


class Peer:
    """Dovecot, given mail over LMTP as a mail server does."""

    def __init__(self, work: Path) -> None:
        self._work = work / "dovecot"

    @contextmanager
    def started(self) -> Iterator[smtplib.LMTP]:
        shutil.rmtree(self._work, ignore_errors=True)
        for folder in ("run", "state", "mail"):
            (self._work / folder).mkdir(parents=True)
        for path in (self._work, self._work.parent):
            path.chmod(0o755)
        if subprocess.run(["id", "vmail"], check=False, capture_output=True).returncode:
            subprocess.run(["useradd", "-r", "vmail"], check=True, capture_output=True)
        shutil.chown(self._work / "mail", "vmail", "vmail")
        self._keys()
        configuration = self._work / "dovecot.conf"
        configuration.write_text(DOVECOT.format(work=self._work))
        silent: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.run(["dovecot", "-c", str(configuration)], check=True, **silent)
        try:
            time.sleep(1)
            with smtplib.LMTP(str(self._work / "run" / "lmtp-measured")) as client:
                client.ehlo_or_helo_if_needed()
                yield client
        finally:
            subprocess.run(["doveadm", "-c", str(configuration), "stop"], check=True, capture_output=True)

    def _keys(self) -> None:
        private, public = self._work / "private.pem", self._work / "public.pem"
        made = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        subprocess.run([*made, "-out", str(private)], check=True, capture_output=True)
        subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
        private.chmod(0o644)

    def held(self) -> Held:
        everything = [path for path in (self._work / "mail").rglob("*") if not path.is_symlink()]
        mails = [path for path in everything if path.parent.name in {"new", "cur"}]
        others = [path for path in everything if path not in set(mails) and path.is_file()]
        return Held({"mails": weight_of(iter(mails)), "mailbox indexes": weight_of(iter(others))})


class Ours:
    """A practice whose mail was taken in, promoted and captured by the appliance's own parts."""

    def __init__(self, appliance: Appliance, work: Path) -> None:
        self._appliance = appliance
        self._work = work
        self._intake = archive_wiring.intake(appliance)
        self._promotion = store_wiring.promotion(appliance)
        self.promote_seconds = 0.0

    def take(self, contents: Sequence[bytes], first: int) -> None:
        """Mail as it comes from outside, one recipient each."""
        with self._appliance.front_door() as front:
            for start in range(0, len(contents), GROUP):
                group = contents[start : start + GROUP]
                answers = [
                    front.acceptance.submit(self._received(content, first + start + at))
                    for at, content in enumerate(group)
                ]
                self._follow(answers)

    def _follow(self, answers: Sequence[object]) -> None:
        taken = [MessageId(answer.result()) for answer in answers if hasattr(answer, "result")]
        began = time.process_time()
        self._promotion.promote_all(taken)
        self.promote_seconds += time.process_time() - began
        self._intake.capture_all(taken)

    def _received(self, content: bytes, number: int) -> ReceivedMessage:
        to = parse_mailbox(f"user{number % MAILBOXES}@{DOMAIN}")
        envelope = Envelope(parse_mailbox(sender_of(content, number)), (to,))
        return ReceivedMessage(envelope, content, self._appliance.clock.now(), Origin.SMTP)

    def settle(self) -> None:
        """What the clock's duties do: a dictionary, and nothing left in the spool."""
        store_wiring.dictionary_training(self._appliance).run()
        store_wiring.release(self._appliance).run()

    def held(self) -> Held:
        data = self._appliance.data
        with self._appliance.database.read() as connection:
            parts = int(connection.execute(select(func.sum(shared_parts.c.object_length))).scalar() or 0)
            blobs = connection.execute(select(func.length(mail_dictionaries.c.sealed_dictionary))).scalars().all()
        objects = weight_of(path for path in data.objects.rglob("*") if path.is_file())
        rows = self._at_rest(data.rows)
        dictionaries = Weight(sum(blobs), sum(blobs))
        return Held(
            {
                "objects": objects - Weight(parts, parts),
                "shared parts": Weight(parts, parts),
                "rows": rows - dictionaries,
                "keys": self._at_rest(data.keystore),
                "dictionary": dictionaries,
            }
        )

    def _at_rest(self, database: Path) -> Weight:
        """A database file without the work that waits, written anew as it is after much mail."""
        copy = self._work / f"copy of {database.name}"
        copy.unlink(missing_ok=True)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy),))
        with closing(sqlite3.connect(copy)) as connection:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'outbox'").fetchone():
                connection.execute("DELETE FROM outbox")
                connection.commit()
                connection.execute("VACUUM")
        return weight_of(iter([copy]))

    def content_bytes(self) -> int:
        """Bytes of the messages as they came."""
        with self._appliance.database.read() as connection:
            return int(connection.execute(select(func.sum(messages.c.size_bytes))).scalar() or 0)


def sender_of(content: bytes, number: int) -> str:
    """Who wrote it, never one of ours: others may not send in their name."""
    found = SENDER.search(content[:20_000])
    address = found.group(1).decode("ascii", "replace").lower() if found else f"someone{number}@elsewhere.example"
    return address.replace(DOMAIN, "partner.example")


def race(contents: Sequence[bytes], work: Path) -> dict[str, object]:
    """One corpus through both."""
    earlier, later = contents[:EARLIER], contents[EARLIER:]
    theirs = of_the_peer(earlier[-MAILBOXES * 10 :], later, work)
    ours, promote_us = of_ours(earlier, later, work)
    ratio = {
        measure: round(getattr(ours.total, measure) / getattr(theirs.total, measure), 3)
        for measure in ("files", "blocks")
    }
    content_ratio = sum(
        weight.files for kind, weight in ours.kinds.items() if kind in {"objects", "shared parts", "dictionary"}
    )
    return {
        "messages_counted": len(later),
        "raw_bytes_per_message": sum(map(len, later)) // len(later),
        "peer": {kind: asdict(weight.shared_by(len(later))) for kind, weight in theirs.kinds.items()},
        "strongroom": {kind: asdict(weight.shared_by(len(later))) for kind, weight in ours.kinds.items()},
        "ratio": ratio,
        "ratio_of_sealed_content_in_files": round(content_ratio / theirs.kinds["mails"].files, 3),
        "promotion_cpu_us_per_message": promote_us,
    }


def of_the_peer(earlier: Sequence[bytes], later: Sequence[bytes], work: Path) -> Held:
    """What the later mail adds to Dovecot."""
    peer = Peer(work)
    with peer.started() as client:
        deliver(client, earlier, 0)
        before = peer.held()
        deliver(client, later, len(earlier))
    return peer.held().since(before)


def deliver(client: smtplib.LMTP, contents: Sequence[bytes], first: int) -> None:
    """Give mail to Dovecot, one recipient each."""
    for number, content in enumerate(contents, start=first):
        client.mail(sender_of(content, number))
        client.rcpt(f"user{number % MAILBOXES}@{DOMAIN}")
        code, words = client.data(content)
        if b"2.1.5" not in words and code not in {250, 200}:
            raise SystemExit(f"Dovecot did not take message {number}: {words!r}")


def of_ours(earlier: Sequence[bytes], later: Sequence[bytes], work: Path) -> tuple[Held, int]:
    """What the later mail adds to us, the whole dictionary included, and the processor time of promoting it."""
    practice = measured_practice.fresh(work / "ours")
    with Appliance.opened(DataDirectory(practice.data)) as appliance:
        ours = Ours(appliance, work)
        ours.take(earlier, 0)
        ours.settle()
        before = ours.held()
        ours.promote_seconds = 0.0
        ours.take(later, len(earlier))
        ours.settle()
        held = ours.held()
    added = held.since(before)
    return Held({**added.kinds, "dictionary": held.kinds["dictionary"]}), round(ours.promote_seconds / len(later) * 1e6)


def corpora(folders: Sequence[Path], count: int) -> Iterator[tuple[str, list[bytes]]]:
    """The practice mail, its messages without files, and whatever folders were named."""
    mail = [as_sent(path) for path in practice_mail.files()]
    yield "practice mail", mail[:count]
    yield "practice mail without files", [each for each in mail if b'boundary="=_mix_' not in each][:count]
    for folder in folders:
        found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SOURCE.md")
        yield folder.name, [as_sent(path) for path in found][:count]


def as_sent(path: Path) -> bytes:
    """A message as it travels."""
    return path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def main() -> None:
    """Race every corpus and print what a message weighs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=3000)
    parser.add_argument("--mail", type=Path, action="append", default=[])
    parser.add_argument("--only", default="")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "strongroom-stored-bytes")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    os.umask(0o022)
    told = {
        name: race(contents, chosen.work)
        for name, contents in corpora(chosen.mail, chosen.messages)
        if chosen.only in name
    }
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
