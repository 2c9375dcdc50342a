"""Where cycles begin: a practice that was made once and is copied for each, and a mail server of the outside world."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tests.flows.receiving_server import Arrived, CertificateAuthority, ReceivingServer, receiving
from tests.running_practice import free_base
from tests.torture.letter import PARTNER_DOMAIN
from tests.torture.oracle import Oracle
from tests.torture.scenario import Act
from tests.torture.theatre import Call, Played, Stage

MX = f"mx.{PARTNER_DOMAIN}"


@dataclass
class World:
    """What all cycles of one rehearsal share. ``passes`` remembers which failpoints an undisturbed scene comes by."""

    place: Path
    stage: Stage
    server: ReceivingServer
    closing: ExitStack
    base: int
    passes: dict[str, Mapping[str, int]] = field(default_factory=dict)
    _seen: int = 0
    _pasts: dict[tuple[Act, ...], tuple[Path, Oracle]] = field(default_factory=dict)

    def begun(self, before: tuple[Act, ...], name: str) -> tuple[Path, Oracle]:
        """A directory of its own with a copy of the practice after these acts, and an oracle that saw them."""
        past, oracle = self._past(before)
        place = self.place / name
        place.mkdir()
        shutil.copytree(past / "data", place / "data")
        return place, copy.deepcopy(oracle)

    @cached_property
    def rival(self) -> Stage:
        """A second stage, for scenes that are played at the same time."""
        return self.closing.enter_context(Stage())

    @cached_property
    def false_clock(self) -> Stage:
        """A stage whose children are told another time, as ``FAKETIME`` of their environment says."""
        told = {"FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return self.closing.enter_context(Stage("faketime", "-f", "+0", environment=told))

    def newly_arrived(self) -> list[Arrived]:
        """What the server outside took since this was asked last."""
        new = self.server.arrived[self._seen :]
        self._seen += len(new)
        return new

    def _past(self, before: tuple[Act, ...]) -> tuple[Path, Oracle]:
        """The practice after these acts, which is lived through once."""
        if not before:
            return self.place / "template", Oracle()
        if before not in self._pasts:
            *earlier, last = before
            self._past(tuple(earlier))
            name = f"past{len(self._pasts)}"
            place, oracle = self.begun(tuple(earlier), name)
            letters = oracle.sends(last.written(f"{name}-0"))
            told = {**last.told, "letters": letters}
            played = self.stage.play(Call(last.scene, place, told, failpoint=last.failpoint))
            _refuse(played, is_killed=bool(last.failpoint))
            oracle.hears(played, self.newly_arrived())
            self._pasts[before] = place, oracle
        return self._pasts[before]


def _refuse(played: Played, *, is_killed: bool) -> None:
    """Raises when the past did not come out as it is told: then nothing can be rehearsed."""
    if played.was_killed != is_killed or (played.code and not is_killed):
        raise RuntimeError(f"{played.problem or played.code}; see {played.call.place / 'scene.log'}")


@contextmanager
def opened(place: Path) -> Iterator[World]:
    """The world, with its practice made."""
    authority = CertificateAuthority(place)
    with receiving(authority.server(MX)) as server, ExitStack() as closing:
        stage = closing.enter_context(Stage())
        world = World(place, stage, server, closing, free_base())
        template = place / "template"
        template.mkdir()
        route = {"domain": PARTNER_DOMAIN, "mx_name": MX, "port": server.port, "ca_file": authority.ca_file}
        _refuse(stage.play(Call("found", template, {"route": route, "base": world.base})), is_killed=False)
        yield world
