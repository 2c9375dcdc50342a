"""How the cost of daily work grows with the archive: ``python -m tests.bench.growth [--marks 1000 3000 10000]``.

One vault with its archive grows from mark to mark; at each mark the same work is measured: take a message in, open one,
list an inbox, index a message, search, propose a disposal (what is due has to be opened). The last column draws
the line through the last two marks out to a million messages, an extrapolation, printed as such. Prints one JSON
object.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from archive import search_query
from archive.certification import StaffMember
from archive.intake import Intake
from mailstore import mailboxes, message_records
from mailstore.actor import Actor, Role
from mailstore.mailboxes import Folder
from mailstore.message import AccountId, MessageId
from tests.archive_room import VaultArchive
from tests.bench import practice_mail
from tests.bench.index_race import for_us, queries
from tests.vault_room import Vault, a_deposit

MAILBOXES = 20
GROUP = 64
SAMPLE = 200
FAR = 1_000_000
OFFICER = Actor(AccountId("r" * 26), Role.RECORDS)
APPROVER = Actor(AccountId("p" * 26), Role.APPROVER)
SCHEDULE = """
[category.passing]
retain = "0 days"
clock = "receipt"
citation = "Practice policy"

[[rule]]
category = "passing"
match = "insulin"
"""


@dataclass
class Growing:
    """The vault, its archive, and the mail that is still to come."""

    vault: Vault
    archive: VaultArchive
    intake: Intake
    mails: Iterator[bytes]
    boxes: Sequence[str]
    messages: list[MessageId] = field(default_factory=list)

    def take_in(self, count: int) -> float:
        """Deposit messages; CPU milliseconds for each."""
        deposits = [
            a_deposit(content, mailbox=self.boxes[number % MAILBOXES])
            for number, content in enumerate(itertools.islice(self.mails, count))
        ]
        spent, ids = measured(lambda: self.vault.deposit(*deposits))
        self.messages += ids
        return spent / count

    def follow_up(self, count: int) -> float:
        """Capture and index the newest messages; CPU milliseconds for each, without the one that reads attachments."""
        newest = self.messages[-count:]
        spent, _ = measured(lambda: self._capture(newest))
        return spent / count

    def _capture(self, messages: Sequence[MessageId]) -> None:
        for at in range(0, len(messages), GROUP):
            self.intake.capture_all(messages[at : at + GROUP])
            self.intake.index(messages[at : at + GROUP])


def measured(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU milliseconds of this process, all its threads, and what the work answers."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    answer = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime), answer


def timed(works: Sequence[Callable[[], Any]]) -> list[float]:
    """Wall milliseconds of each piece of work, sorted."""
    times = []
    for work in works:
        begin = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - begin))
    return sorted(times)


def begun(directory: Path) -> Growing:
    """An empty practice with a schedule in force."""
    vault = Vault(directory)
    archive = VaultArchive(vault, lambda _account: StaffMember("Ruth", "records"), cooling_off=timedelta(0))
    boxes = [vault.mailbox(f"{number:026d}", f"user{number}@clinic.example") for number in range(MAILBOXES)]
    archive.desk.schedules.approve(APPROVER, archive.desk.schedules.propose(OFFICER, SCHEDULE))
    intake = Intake(
        database=vault.database,
        documents=archive.documents,
        index=archive.index,
        schedule_in_force=archive.desk.schedules.in_force,
        living_holds=archive.desk.living_holds,
        evidence=archive.desk.evidence,
        clock=vault.clock,
        trusted_clock=vault.trusted_clock,
    )
    return Growing(vault, archive, intake, practice_mail.mails(), boxes)


def grow(growing: Growing, mark: int) -> dict[str, float]:
    """Fill up to a mark, measuring the last part of the way, and then the daily work."""
    last = min(10 * GROUP, mark - len(growing.messages))
    while len(growing.messages) < mark - last:
        growing.take_in(min(10 * GROUP, mark - last - len(growing.messages)))
        growing.follow_up(min(10 * GROUP, len(growing.messages)))
        print(f"{len(growing.messages)} of {mark}", end="\r", file=sys.stderr)
    return {"take_in_cpu_ms": growing.take_in(last), "index_cpu_ms": growing.follow_up(last), **daily(growing)}


def daily(growing: Growing) -> dict[str, float]:
    """Opening, listing, searching, proposing, in milliseconds of wall time."""
    chooser = random.Random(1)  # noqa: S311 -- which messages are opened, the same in every run
    retrieval = growing.vault.retrieval()
    sample = chooser.sample(growing.messages, SAMPLE)
    opened = timed([partial(retrieval.content, message) for message in sample])
    listed = timed([partial(inbox, growing.vault, box) for box in growing.boxes])
    asked = [search_query.parse(for_us(query)) for query in queries()]
    growing.archive.index.document_count()
    searched = timed([partial(growing.archive.index.search, query, limit=20) for query in asked])
    due: list[int] = []
    [proposed] = timed([lambda: due.append(withdrawn(growing.archive))])
    return {
        "open_p50_ms": statistics.median(opened),
        "list_inbox_p50_ms": statistics.median(listed),
        "search_p50_ms": statistics.median(searched),
        "search_p95_ms": searched[int(len(searched) * 0.95)],
        "propose_disposal_ms": proposed,
        "propose_disposal_ms_each_due": proposed / max(1, *due),
    }


def inbox(vault: Vault, box: str) -> int:
    """The newest fifty messages of a mailbox with what a list shows of them."""
    with vault.database.read() as connection:
        entries = mailboxes.entries(connection, box, Folder.INBOX, limit=50)
        stored = message_records.stored_many(connection, [entry.message for entry in entries])
    return len(vault.retrieval().summaries(stored))


def withdrawn(archive: VaultArchive) -> int:
    """Propose a disposal and take it back; answers how many messages were due."""
    proposed = archive.desk.disposals.propose(OFFICER)
    archive.desk.disposals.withdraw(OFFICER, proposed.id)
    return proposed.messages


def drawn_out(marks: Sequence[int], found: Sequence[dict[str, float]]) -> dict[str, float]:
    """The straight line through the last two marks at a million messages; never less than was measured."""
    (m, n), (before, after) = marks[-2:], found[-2:]
    return {
        name: round(max(value, value + (value - before[name]) / (n - m) * (FAR - n)), 2)
        for name, value in after.items()
    }


def main() -> None:
    """Grow from mark to mark and print what each costs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--marks", type=int, nargs="+", default=[1_000, 3_000, 10_000])
    marks = sorted(parser.parse_args().marks)
    with tempfile.TemporaryDirectory() as folder:
        growing = begun(Path(folder) / "vault")
        found = [grow(growing, mark) for mark in marks]
        growing.archive.close()
    told: dict[str, Any] = {
        str(mark): {name: round(value, 2) for name, value in each.items()}
        for mark, each in zip(marks, found, strict=True)
    }
    if len(marks) > 1:
        told[f"{FAR}, extrapolated"] = drawn_out(marks, found)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
