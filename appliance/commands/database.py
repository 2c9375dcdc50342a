"""``strongroom database``: where rows and keys are kept."""

from __future__ import annotations

import sys

from appliance import (
    command_access,
    database_move,
    database_wiring,
    front_door_wiring,
    migration,
    migration_rehearsal,
    process_file,
    store_wiring,
    wiring,
)
from appliance.command_call import Call, Outcome, facts
from appliance.settings import DatabaseSettings, KeystoreSettings
from archive.two_persons import KEEPERS, require_role
from mailstore import key_custody


def move(call: Call) -> Outcome:
    """Move the rows to PostgreSQL, and the keys if asked. Say it again to go on with a move that was cut off."""
    data, arguments = call.data, call.arguments
    settings = front_door_wiring.settings_of(data)
    secret = wiring.secret_of(
        data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )
    target = DatabaseSettings(url=arguments.to)
    keys = KeystoreSettings(url=arguments.keystore_to or "")
    with process_file.held(data):
        ring = key_custody.unlock(data.keys, secret)
        wiring.prove(data, ring)
        moved = database_move.Move(data, settings, ring, _tell).run(
            target, keys, now=call.clock.now(), erases=arguments.erase
        )
    fields = {
        "moved": moved.rows,
        "verified": moved.verified,
        "tables": moved.tables,
        "keys": moved.keys,
        "database": database_wiring.shown(target),
        "old_rows": str(moved.old_rows) if moved.old_rows else None,
    }
    return Outcome(fields, facts(fields) + _advice(is_kept=moved.old_rows is not None))


def rehearse(call: Call) -> Outcome:
    """Try the steps that this release would take on a copy of the rows. Mail flows meanwhile."""
    data = call.data
    settings = front_door_wiring.settings_of(data)
    secret = wiring.secret_of(
        data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )
    ring = key_custody.unlock(data.keys, secret)
    wiring.prove(data, ring)
    found = migration_rehearsal.rehearsed(data, settings, ring.row_key, tell=_tell_step)
    fields = {"steps": found.steps, "seconds": round(found.seconds, 3)}
    return Outcome(fields, facts(fields))


def _tell(what: str, count: int) -> None:
    sys.stderr.write(f"{what}: {count}\n")


def _tell_step(news: migration.StepNews) -> None:
    sys.stderr.write(f"{news.sentence}\n")


def _advice(*, is_kept: bool) -> str:
    if not is_kept:
        return ""
    return (
        "\n\nThe old rows lie in the file named above: sealed, but with ids, times and states that later disposals"
        "\nwill not reach. Remove the file once the practice runs well."
    )


def accept(call: Call) -> Outcome:
    """Go on with older rows, in the name of somebody who keeps records and knows that the newer ones are gone."""
    with command_access.opened(call) as appliance:
        actor = command_access.person(call, appliance)
        require_role(actor, KEEPERS)
        mark = store_wiring.high_water_mark(appliance)
        is_accepted = mark.accept(actor.account, now=call.clock.now())
    fields = {"accepted": is_accepted}
    return Outcome(fields, facts(fields))
