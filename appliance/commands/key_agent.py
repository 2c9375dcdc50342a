"""``strongroom key agent``: what the one process with the keys did, and for whom."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from appliance import key_agent_socket, key_use, key_use_record, process_file
from appliance.command_call import Call, Outcome, facts, table
from appliance.key_agent_client import KeyAgentClient
from mailstore.errors import RefusedError
from mailstore.instants import instant_of


def status(call: Call) -> Outcome:
    """What the key agent says of itself. Exit 1 when its account of the use of keys was changed."""
    data = call.data
    if process_file.holder(data) is None:
        raise RefusedError("no key agent runs", fix="start it: strongroom serve")
    with closing(KeyAgentClient.connected(key_agent_socket.of_commands(data))) as agent:
        told = agent.status()
    protections = {name: told[name] for name in ("sealed", "opening", "has_no_network", "is_memory_locked")}
    if told["sealed"]:
        return Outcome({**protections, "askers": [], "alarms": []}, facts(protections))
    use = told["use"]
    askers, alarms = _askers(use), _alarms(use["alarms"])
    account = _account(data.key_use, use, [bytes.fromhex(each) for each in told["publics"]])
    fields = {**protections, "askers": askers, "alarms": alarms, **account}
    text = "\n\n".join(
        [
            facts({**protections, **account}),
            table(askers, ("asker", "opened", "refused", "signed", "slowed_seconds"), empty="No keys were asked for."),
            table(alarms, ("at", "alarm", "asker"), empty="No alarms."),
        ]
    )
    return Outcome(fields, text, exit_code=0 if account["is_whole"] else 1)


def _askers(use: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = sorted({*use["opened"], *use["refused"], *use["slowed"], *use["signed"]})
    return [
        {
            "asker": name,
            "opened": use["opened"].get(name, 0),
            "refused": use["refused"].get(name, 0),
            "signed": use["signed"].get(name, 0),
            "slowed_seconds": round(use["slowed"].get(name, 0) / 1000, 3),
        }
        for name in names
    ]


def _alarms(raised: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"at": instant_of(each["at"]), "alarm": each["alarm"], "asker": each["asker"]} for each in raised]


def _account(path: Path, use: Mapping[str, Any], publics: Sequence[bytes]) -> dict[str, Any]:
    """Whether the account holds together, and ends no earlier than the agent knows."""
    lines = key_use_record.lines_of(path)
    since = key_use.before_first(lines)
    verdict = key_use.verified(lines, publics, since=since)
    known, newest = use["lines"], use["lines"] - since.lines
    is_here = known == 0 or (0 < newest <= len(lines) and hashlib.sha256(lines[newest - 1]).hexdigest() == use["head"])
    is_whole = verdict.first_bad is None and is_here
    first_bad = verdict.first_bad or (None if is_here else min(known, since.lines + len(lines) + 1))
    return {"lines": verdict.head.lines, "signed": verdict.signed, "is_whole": is_whole, "first_bad": first_bad}
