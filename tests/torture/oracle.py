"""What was promised, written down outside the appliance as it was told, and held against what is there afterwards."""

from __future__ import annotations

import base64
import mmap
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.flows.receiving_server import Arrived
from tests.torture.letter import NAME, Letter
from tests.torture.theatre import Event, Played

DUPLICATE_MARK = b"X-Possible-Duplicate"
FINAL_STATES = {"delivered", "opened"}


class Breach(StrEnum):
    """The ways in which a promise can be broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    PARTIAL = "partial"
    RESURRECTED = "resurrected"
    HELD_DEAD = "held_dead"
    NOT_INDEXED = "not_indexed"
    LOG_BROKEN = "log_broken"
    NOT_SOUND = "not_sound"
    STUCK = "stuck"


@dataclass(frozen=True)
class Found:
    """One promise that was broken, and by what one can tell."""

    breach: Breach
    what: str


@dataclass
class Oracle:
    """One practice's promises: what was sent, and by its name the id under which each letter was promised."""

    letters: dict[str, Letter] = field(default_factory=dict)
    promised: dict[str, str] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    holds: set[str] = field(default_factory=set)
    probes: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    certified: set[str] = field(default_factory=set)
    arrived: list[Arrived] = field(default_factory=list)
    log: tuple[int, str] = (0, "")
    may_dispose: bool = False
    interruptions: int = 0

    def sends(self, letters: Iterable[Letter]) -> list[dict[str, Any]]:
        """Remember letters that are about to be handed over; answers them as the child is told of them."""
        given = list(letters)
        self.letters.update({letter.name: letter for letter in given})
        return [letter.told() for letter in given]

    def hears(self, played: Played, arrived: Sequence[Arrived] = ()) -> Played:
        """Write down what a scene told and what arrived outside meanwhile, and hand the scene on."""
        self.arrived += arrived
        self.interruptions += played.was_killed
        self.may_dispose |= played.call.scene in {"dispose", "recover"}
        for event in played.events:
            self._hears(event)
        return played

    def _hears(self, event: Event) -> None:
        match event["event"]:
            case "accepted":
                self.promised[event["name"]] = event["id"]
                if self.holds and self.letters[event["name"]].is_litigated:
                    self.held.add(event["id"])
            case "held":
                self.holds.add(event["id"])
                litigated = {id_ for name, id_ in self.promised.items() if self.letters[name].is_litigated}
                self.held |= litigated.intersection(event["alive"])
            case "releasing":
                self.holds.discard(event["id"])
                if not self.holds:
                    self.held.clear()
            case "doomed":
                self.probes[event["id"]] = tuple(base64.b64decode(probe) for probe in event["probes"])
            case "disposed" if event["certificate"]:
                self.certified.add(event["certificate"])

    def judge(self, inspected: Played, places: Sequence[tuple[Path, bool]]) -> list[Found]:
        """Everything that does not hold, when nothing is under way any more.

        ``places`` are the directories that may hold bytes; True where only keys are looked for.
        """
        if inspected.problem or inspected.code:
            return [Found(Breach.NOT_SOUND, f"cannot be inspected: {inspected.problem or inspected.code}")]
        told = {event["event"]: event for event in inspected.events}
        there = {item["id"]: item for item in told["messages"]["items"]}
        self._learns_ids(there)
        dead = {item["id"]: item["left"] for item in told["destroyed"]["items"]}
        found = [
            *self._of_messages(there, dead),
            *self._of_mailbox(told["mailbox"], there),
            *_of_index(told["index"], there),
            *self._of_dead(dead, places),
            *self._of_objects(told["objects"]["names"], there),
            *self._of_deliveries(there),
            *self._of_log(told["audit"], there, dead),
            *(Found(Breach.NOT_SOUND, problem) for problem in told["doctor"]["problems"]),
        ]
        self.log = (told["audit"]["size"], told["audit"]["root"])
        return found

    def _learns_ids(self, there: Mapping[str, Any]) -> None:
        """Over SMTP a client is told no id: the letter is known by its name."""
        ids = {item.get("name"): id_ for id_, item in there.items()}
        self.promised.update({name: ids.get(name, "") for name, id_ in self.promised.items() if not id_})

    def _of_messages(self, there: Mapping[str, Any], dead: Collection[str]) -> Iterator[Found]:
        """Lost, doubled, partial, held and dead."""
        for name, id_ in self.promised.items():
            may_be_dead = self.may_dispose and self.letters[name].is_doomed and id_ not in self.held
            if id_ not in there and not (may_be_dead and id_ in dead):
                yield Found(Breach.HELD_DEAD if id_ in self.held else Breach.LOST, f"{name} ({id_})")
        for id_, item in there.items():
            name = item.get("name", "")
            if "problem" in item:
                yield Found(Breach.HELD_DEAD if id_ in self.held else Breach.PARTIAL, f"{id_}: {item['problem']}")
            elif name not in self.letters or item["digest"] != self.letters[name].digest:
                yield Found(Breach.PARTIAL, f"{name or id_} is not what was sent")
        names = Counter(item.get("name") for item in there.values() if "problem" not in item)
        yield from (
            Found(Breach.DOUBLED, f"{name} is stored {times} times") for name, times in names.items() if times > 1
        )

    def _of_mailbox(self, mailbox: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[Found]:
        """Each message lies once in the folder it belongs into."""
        for folder, is_outbound in (("inbox", False), ("sent", True)):
            lies = Counter(mailbox[folder])
            expected = {
                id_ for id_, item in there.items() if "name" in item and self._is_outbound(item["name"]) is is_outbound
            }
            yield from (Found(Breach.LOST, f"{id_} is not in {folder}") for id_ in expected - lies.keys())
            yield from (Found(Breach.RESURRECTED, f"{id_} is still in {folder}") for id_ in lies.keys() - there.keys())
            yield from (Found(Breach.DOUBLED, f"{id_} in {folder}") for id_, times in lies.items() if times > 1)

    def _is_outbound(self, name: str) -> bool | None:
        return self.letters[name].is_outbound if name in self.letters else None

    def _of_dead(self, dead: Mapping[str, Sequence[str]], places: Sequence[tuple[Path, bool]]) -> Iterator[Found]:
        """A destroyed message is nowhere: not in rows, keys, index, nor in any byte of any file."""
        for id_, left in dead.items():
            yield from (Found(Breach.RESURRECTED, f"{id_}: {what}") for what in left)
        for place, is_for_keys in places:
            wanted = {probe: id_ for id_ in dead for probe in self.probes.get(id_, ())[-1 if is_for_keys else 0 :]}
            for path in sorted(place.rglob("*")) if wanted else ():
                yield from (Found(Breach.RESURRECTED, f"{id_}: bytes in {path}") for id_ in _holders(path, wanted))

    def _of_objects(self, names: Sequence[str], there: Mapping[str, Any]) -> Iterator[Found]:
        """One object a message and one a file that messages enclose: more would be somebody's remains."""
        living = [self.letters[item["name"]] for item in there.values() if item.get("name") in self.letters]
        most = len(there) + len({letter.enclosed for letter in living} - {""})
        if len(names) > most:
            yield Found(Breach.RESURRECTED, f"{len(names)} objects for {len(there)} messages: {most} at most")

    def _of_deliveries(self, there: Mapping[str, Any]) -> Iterator[Found]:
        """Everything promised arrived outside; after each crash at most one copy more, which is marked (promise I4).

        A disk or a server that fails between the delivery and its record is as good as a crash.
        """
        most = 1 + max(1, self.interruptions)
        copies: dict[str, list[bytes]] = {}
        for each in self.arrived:
            found = NAME.search(each.content)
            copies.setdefault(found[0].decode() if found else "", []).append(each.content)
        for name in (name for name in self.promised if self.letters[name].is_outbound):
            states = there.get(self.promised[name], {}).get("states", [])
            if not copies.get(name) or not FINAL_STATES.issuperset(states):
                yield Found(Breach.LOST, f"{name} did not arrive: {len(copies.get(name, []))} copies, {states}")
        for name, contents in copies.items():
            unmarked = sum(DUPLICATE_MARK not in content for content in contents)
            if name in self.letters and (unmarked > 1 or len(contents) > most):
                yield Found(Breach.DOUBLED, f"{name} arrived {len(contents)} times, {unmarked} unmarked")

    def _of_log(self, audit: Mapping[str, Any], there: Collection[str], dead: Collection[str]) -> Iterator[Found]:
        """The log holds, is the one that was seen before and more, and knows of everything that is here."""
        size, root = self.log
        if audit["fault"]:
            yield Found(Breach.LOG_BROKEN, audit["fault"])
        if size and audit["then"] != root:
            yield Found(Breach.LOG_BROKEN, f"its first {size} entries are not those that were seen before")
        accepted = Counter(audit["accepted"])
        known = set(there) | set(dead)
        yield from (Found(Breach.LOG_BROKEN, f"{id_} is not in it") for id_ in known - accepted.keys())
        yield from (Found(Breach.LOST, f"{id_} was accepted and is gone") for id_ in accepted.keys() - known)
        yield from (Found(Breach.LOG_BROKEN, f"{id_} was accepted {n} times") for id_, n in accepted.items() if n > 1)


def _of_index(index: Mapping[str, Any], there: Collection[str]) -> Iterator[Found]:
    """Every message is in the archive and can be found, once; and nothing else can."""
    archived = set(index["archived"])
    yield from (Found(Breach.NOT_INDEXED, f"{id_} is not in the archive") for id_ in set(there) - archived)
    for id_ in there:
        hits = index["hits"].get(id_, 0)
        if hits != 1:
            yield Found(Breach.DOUBLED if hits else Breach.NOT_INDEXED, f"{id_} is {hits} times in the index")
    if index["documents"] > len(there):
        yield Found(Breach.RESURRECTED, f"the index holds {index['documents']} of {len(there)} messages")


def _holders(path: Path, wanted: Mapping[bytes, str]) -> Iterator[str]:
    """Whose bytes lie in a file."""
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        yield from sorted({id_ for probe, id_ in wanted.items() if content.find(probe) >= 0})
