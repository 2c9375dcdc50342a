"""``strongroom demo``: a practice to try out, or with ``--check`` one message's whole life with its evidence."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyotp

from appliance.command_call import Call, Outcome, shown, table
from appliance.demo import life, port_base, tour
from appliance.demo.world import World, create
from mailstore.errors import RefusedError, StrongroomError

CAST_FILE = "cast.json"


def run(call: Call) -> Outcome:
    """Start, check, look at or stop the demonstration."""
    arguments = call.arguments
    if arguments.check:
        return check(call)
    data = Path(call.data_path or ".demo").absolute()
    if arguments.stop:
        return stop(data)
    if arguments.codes:
        return codes(data)
    return show(data, base=arguments.base or free_base())


def free_base() -> int:
    """A base that is ours for as long as this command runs; by then what it started listens there."""
    return port_base.reserve(range(42000, 60000, 1000))


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def check(call: Call) -> Outcome:
    """Live one message's whole life in a directory of its own, and remove it when all went well."""
    folder = Path(tempfile.mkdtemp(prefix="strongroom-demo-"))
    data = Path(call.data_path).absolute() if call.data_path else folder / "data"
    _tell(f"A practice in {data}; its outside world beside it.")
    world = create(data, base=call.arguments.base or free_base(), detached=False)
    try:
        items = _lived(world)
    finally:
        world.stop()
    has_failed = any(item["state"] != "ok" for item in items)
    if has_failed:
        _tell(f"What is left of it is in {data}.")
    elif call.data_path is None:
        shutil.rmtree(folder)
    return Outcome({"items": items, "total": len(items)}, _lines(items), exit_code=1 if has_failed else 0)


def _lines(items: list[Mapping[str, Any]]) -> str:
    """The table of the stages, with the whole of each evidence."""
    width = max(len(item["stage"]) for item in items)
    return "\n".join(f"{item['state']:<12}{item['stage']:<{width}}  {shown(item['evidence'])}" for item in items)


def _lived(world: World) -> list[Mapping[str, Any]]:
    """One item a stage; after a failure the later ones are not reached."""
    items: list[Mapping[str, Any]] = []
    for number, stage in enumerate(life.STAGES, start=1):
        _tell(f"[{number:2}/{len(life.STAGES)}] {stage.name} ...")
        begin = time.monotonic()
        try:
            state, evidence = "ok", stage.show(world)
        except (StrongroomError, OSError, LookupError, ValueError) as error:
            state, evidence = "fail", f"{type(error).__name__}: {error}"
        seconds = round(time.monotonic() - begin, 1)
        items.append({"stage": stage.name, "state": state, "evidence": evidence, "seconds": seconds})
        if state == "fail":
            _tell(f"        {evidence}")
            items += [{"stage": later.name, "state": "not reached", "evidence": ""} for later in life.STAGES[number:]]
            break
    return items


def show(data: Path, *, base: int) -> Outcome:
    """A living practice: made and filled if it is not there yet, started if it does not run, and explained."""
    cast_file = data.with_name(data.name + "-outside") / CAST_FILE
    if cast_file.exists() and _is_running(cast_file):
        return _told(cast_file)
    if data.exists():
        _tell(f"Removing the demonstration of an earlier run in {data}.")
        shutil.rmtree(data)
        shutil.rmtree(cast_file.parent, ignore_errors=True)
    _tell("Making a practice with five staff and two patients ...")
    world = create(data, base=base, detached=True)
    _tell("Sending it a few hundred real messages over SMTP ...")
    tour.fill(world, _tell)
    return _told(cast_file)


def stop(data: Path) -> Outcome:
    """End a running demonstration."""
    cast_file = data.with_name(data.name + "-outside") / CAST_FILE
    if not cast_file.exists():
        raise RefusedError(f"no demonstration in {data}", fix="start one with: make demo")
    for pid in json.loads(cast_file.read_text())["pids"].values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return Outcome({"stopped": True}, "The demonstration is ending.")


def codes(data: Path) -> Outcome:
    """The one-time codes of this moment for everybody who has an authenticator."""
    cast_file = data.with_name(data.name + "-outside") / CAST_FILE
    if not cast_file.exists():
        raise RefusedError(f"no demonstration in {data}", fix="start one with: make demo")
    people = [person for person in json.loads(cast_file.read_text())["people"] if person["totp_secret"]]
    items = [{"email": person["email"], "code": pyotp.TOTP(person["totp_secret"]).now()} for person in people]
    return Outcome({"items": items, "total": len(items)}, table(items, ("email", "code")))


def _is_running(cast_file: Path) -> bool:
    try:
        for pid in json.loads(cast_file.read_text())["pids"].values():
            os.kill(pid, 0)
    except (ValueError, KeyError, ProcessLookupError):
        return False
    return True


def _told(cast_file: Path) -> Outcome:
    kept = json.loads(cast_file.read_text())
    people = [{name: person[name] for name in tour.SHOWN} for person in kept["people"]]
    fields = {"items": people, "total": len(people), "portal": kept["portal"], "things_to_try": tour.THINGS_TO_TRY}
    return Outcome(fields, tour.told(kept))
