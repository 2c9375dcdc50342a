"""One practice with its outside world, started for a demonstration and spoken to as strangers would."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyotp

from appliance.demo import outside
from appliance.demo.cast import DOMAIN, PATIENTS, PRACTICE, STAFF
from appliance.demo.console import Console
from appliance.demo.correspondence import PostOffice
from appliance.demo.visitor import Visitor
from mailstore.errors import StorageUnavailableError
from mailstore.wall_clock import SystemClock

READY_SECONDS = 60
SETTLE_SECONDS = 120


@dataclass(frozen=True)
class Credentials:
    """What one member of the cast signs in with. Patients have only their enrolment code at first."""

    email: str
    name: str
    role: str
    password: str = field(default="", repr=False)
    app_password: str = field(default="", repr=False)
    totp_secret: str = field(default="", repr=False)
    enrolment_code: str = field(default="", repr=False)


@dataclass
class World:
    """The running demonstration. ``mail_prefix`` marks the words that are looked for on the disk afterwards."""

    console: Console
    outside: outside.Outside
    office: PostOffice
    portal: str
    ca_certificate: Path
    server: subprocess.Popen[str]
    cast: Mapping[str, Credentials]
    notes: dict[str, Any] = field(default_factory=dict)

    def visitor(self) -> Visitor:
        """A browser with no cookies yet."""
        return Visitor(portal=self.portal, ca_certificate=self.ca_certificate)

    def stop(self) -> None:
        """End the appliance as systemd would, and the outside world."""
        self.server.terminate()
        self.server.wait(timeout=60)
        self.outside.stop()


def fresh_code(secret: str, *, used: set[tuple[str, str]]) -> str:
    """Six digits that were not used yet (a code is good once): the moment's, or those of a clock one step ahead."""
    generator, clock = pyotp.TOTP(secret), SystemClock()
    while not (codes := [code for code in _codes(generator, clock.now()) if (secret, code) not in used]):
        time.sleep(0.5)
    used.add((secret, codes[0]))
    return codes[0]


def _codes(generator: pyotp.TOTP, now: datetime) -> list[str]:
    """Of this step and of the next one, which is taken from clocks that are fast (RFC 6238 section 6)."""
    return [generator.at(now), generator.at(now, counter_offset=1)]


def until(found: Callable[[], Any], what: str, *, seconds: float = SETTLE_SECONDS) -> Any:
    """Ask again until the answer is true; work in the background needs a moment."""
    end = time.monotonic() + seconds
    while not (answer := found()):
        if time.monotonic() > end:
            raise StorageUnavailableError(f"waited {seconds:.0f} s in vain: {what}")
        time.sleep(0.2)
    return answer


def create(data: Path, *, base: int, detached: bool) -> World:
    """Make the practice, its people and its outside world, and start serving."""
    console, beside = Console(data), data.with_name(data.name + "-outside")
    made = console.must("init", "--practice", PRACTICE, "--domain", DOMAIN, "--loopback", str(base))
    beyond = outside.start(beside, detached=detached)
    try:
        _settle(data / "strongroom.toml", beyond.routes())
        cast = {person.email: person for person in (*_staff(console, beside), *_patients(console))}
        server = _serve(console, beside, detached=detached)
    except BaseException:  # whatever it was, the servers outside must not outlive it
        beyond.stop()
        raise
    ports, authority = made["ports"], Path(made["ca_certificate"])
    office = PostOffice(ports["smtp"], ports["submission"], authority)
    world = World(console, beyond, office, f"https://localhost:{ports['portal']}/", authority, server, cast)
    _remember(beside, world)
    return world


def _settle(settings: Path, routes: str) -> None:
    """Lead the outside domains to their servers; no cooling-off, so that a disposal can be tried in one sitting."""
    text = settings.read_text()
    settings.write_text(re.sub(r"(?m)^cooling_off_hours = \d+", "cooling_off_hours = 0", text) + routes)


def _staff(console: Console, beside: Path) -> list[Credentials]:
    people = []
    for person in STAFF:
        password = "-".join(secrets.token_hex(3) for _ in range(3))
        file = beside / f"password-{person.role}"
        file.write_text(password)
        file.chmod(0o600)
        words = ("user", "add", person.email, "--name", person.name, "--role", person.role)
        made = console.must(*words, "--password-file", str(file))
        secret = {"app_password": made["app_password"], "totp_secret": made["totp_secret"]}
        people.append(Credentials(person.email, person.name, person.role, password, **secret))
    return people


def _patients(console: Console) -> list[Credentials]:
    people = []
    for person in PATIENTS:
        made = console.must("patient", "add", person.email, "--name", person.name)
        people.append(Credentials(person.email, person.name, "patient", enrolment_code=made["enrolment_code"]))
    return people


def _serve(console: Console, beside: Path, *, detached: bool) -> subprocess.Popen[str]:
    server = subprocess.Popen(  # noqa: S603 (our own command)
        console.arguments("serve"),
        stdout=subprocess.PIPE,
        stderr=(beside / "serve.log").open("w"),
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=detached,
    )
    line = server.stdout.readline() if server.stdout is not None else ""
    if not line or not json.loads(line)["ready"]:
        raise StorageUnavailableError(f"the appliance did not start; see {beside / 'serve.log'}")
    return server


def _remember(beside: Path, world: World) -> None:
    """Keep the cast's secrets beside the data, for the person who tries things out."""
    file = beside / "cast.json"
    file.touch(mode=0o600)
    people = [vars(person) for person in world.cast.values()]
    pids = {"serve": world.server.pid, "outside": world.outside.process.pid}
    kept = {"portal": world.portal, "ca_certificate": str(world.ca_certificate), "people": people, "pids": pids}
    file.write_text(json.dumps(kept, indent=1))
