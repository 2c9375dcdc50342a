"""Where cycles begin: practices that were made once and are copied for each, and a mail server of the outside world."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from tests.flows.receiving_server import Arrived, CertificateAuthority, ReceivingServer, receiving
from tests.free_ports import free_base
from tests.torture import theatre
from tests.torture.home import FilesHome, Home, MovingHome, PostgresqlHome, S3Home
from tests.torture.letter import PARTNER_DOMAIN
from tests.torture.oracle import Oracle
from tests.torture.scenario import LIFE, Act
from tests.torture.theatre import Call, Played, Stage

MX = f"mx.{PARTNER_DOMAIN}"
HOMES: Mapping[str, Callable[[], Home]] = {
    "files": FilesHome,
    "postgresql": PostgresqlHome,
    "moving": MovingHome,
    "s3": S3Home,
}


@dataclass
class World:
    """What all cycles of one rehearsal share. ``passes`` remembers which failpoints an undisturbed scene comes by.

    ``rival`` is a second stage, for scenes that are played at the same time.
    """

    place: Path
    stage: Stage
    server: ReceivingServer
    closing: ExitStack
    base: int
    route: Mapping[str, object]
    rival: Stage = field(init=False)
    passes: dict[str, Mapping[str, int]] = field(default_factory=dict)
    _seen: int = 0
    _homes: dict[str, Home] = field(default_factory=dict)
    _pasts: dict[tuple[str, tuple[Act, ...]], tuple[Path, Oracle]] = field(default_factory=dict)

    def home(self, name: str) -> Home:
        """Where practices of this sort keep everything. Servers are started when the first one needs them."""
        if name not in self._homes:
            self._homes[name] = HOMES[name]()
        return self._homes[name]

    def begun(self, home: str, before: tuple[Act, ...], name: str) -> tuple[Path, Oracle]:
        """A practice of its own after these acts, and an oracle that saw them."""
        place = self.place / name
        place.mkdir()
        if not self.home(home).can_be_copied:
            return place, self._lived(home, before, place)
        past, oracle = self._past(home, before)
        self.home(home).copy(past, place)
        return place, copy.deepcopy(oracle)

    def forget(self, home: str, place: Path) -> None:
        """Clear a practice away."""
        self.home(home).forget(place)
        shutil.rmtree(place)

    @cached_property
    def false_clock(self) -> Stage:
        """A stage whose children are told another time, as ``FAKETIME`` of their environment says."""
        told = {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        made = self.closing.enter_context(theatre.stage("faketime", "-f", "+0", environment=told))
        return self.warmed(made)

    def warmed(self, stage: Stage) -> Stage:
        """Have the stage itself play a whole life, so that its children find there what is made once a process."""
        place, oracle = self.begun("files", (), "warm")
        for act in LIFE:
            self._act(replace(self._call("files", act, place, oracle), warms=True), oracle, stage)
        self.forget("files", place)
        return stage

    def newly_arrived(self) -> list[Arrived]:
        """What the server outside took since this was asked last."""
        new = self.server.arrived[self._seen :]
        self._seen += len(new)
        return new

    def _past(self, home: str, before: tuple[Act, ...]) -> tuple[Path, Oracle]:
        """The practice after these acts, which is lived through once."""
        if (home, before) not in self._pasts:
            if before:
                self._past(home, before[:-1])
            place = self.place / f"past{len(self._pasts)}"
            if before:
                place, oracle = self.begun(home, before[:-1], place.name)
                self._lives(home, before[-1], place, oracle)
            else:
                place.mkdir()
                oracle = self._lived(home, (), place)
            self._pasts[home, before] = place, oracle
        return self._pasts[home, before]

    def _lived(self, home: str, before: tuple[Act, ...], place: Path) -> Oracle:
        """Found a practice in a place and live through these acts there."""
        told = {"route": self.route, "base": self.base, "words": list(self.home(home).words(place))}
        _refuse(self.stage.play(Call("found", place, told)), is_killed=False)
        oracle = Oracle()
        for act in before:
            self._lives(home, act, place, oracle)
        return oracle

    def _lives(self, home: str, act: Act, place: Path, oracle: Oracle) -> None:
        self._act(self._call(home, act, place, oracle), oracle, self.false_clock if act.clock else self.stage)

    def _call(self, home: str, act: Act, place: Path, oracle: Oracle) -> Call:
        letters = oracle.sends(act.written(f"{place.name}-{len(oracle.letters)}"))
        told = {**act.told, **self.home(home).told(place), "letters": letters}
        return Call(act.scene, place, told, act.failpoint, environment={"FAKETIME": act.clock or "+0"})

    def _act(self, call: Call, oracle: Oracle, stage: Stage) -> None:
        played = stage.play(call)
        _refuse(played, is_killed=bool(call.failpoint))
        oracle.hears(played, self.newly_arrived())


def _refuse(played: Played, *, is_killed: bool) -> None:
    """Raises when the past did not come out as it is told: then nothing can be rehearsed."""
    if played.was_killed != is_killed or (played.code and not is_killed):
        raise RuntimeError(f"{played.problem or played.code}; see {played.call.place / 'scene.log'}")


@contextmanager
def opened(place: Path) -> Iterator[World]:
    """The world, with its practice made."""
    authority = CertificateAuthority(place)
    with receiving(authority.server(MX)) as server, ExitStack() as closing:
        stage = closing.enter_context(theatre.stage())
        route = {"domain": PARTNER_DOMAIN, "mx_name": MX, "port": server.port, "ca_file": authority.ca_file}
        world = World(place, stage, server, closing, free_base(), route)
        world.warmed(stage)
        world.rival = closing.enter_context(stage.twin(place))
        yield world
