"""``strongroom restore``: a whole appliance, or one message, from backups and a secret."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from appliance import backup_settings, backup_wiring, command_access, front_door_wiring, wiring
from appliance.backup_settings import BackupTargetSettings
from appliance.command_call import Call, Outcome, facts
from appliance.data_directory import DataDirectory
from appliance.restore import Restore, RestoreOutcome
from appliance.restore_choice import Wish
from appliance.restore_message import MessageRestore
from mailstore.backup_target import BackupTarget
from mailstore.errors import RefusedError
from mailstore.message import MessageId
from mailstore.restore_source import RestoreSource
from mailstore.slot_secret import SlotSecret

_LISTED = ("without_key", "missing", "moved_here", "warnings", "problems")


def run(call: Call) -> Outcome:
    """Restore into the new directory that ``--data`` names; with ``--message`` one message into the living one.

    Exit 1 when something is not whole; what that is, is said.
    """
    if call.arguments.message is not None:
        return _one_message(call)
    secret, source = _opened(call, call.arguments.source)
    keys_source = _opened(call, call.arguments.keys_from)[1] if call.arguments.keys_from else source
    wish = Wish(call.arguments.generation, call.arguments.keys_generation)
    restore = Restore(
        source,
        keys_source,
        secret,
        call.data,
        call.clock,
        place=_told(call, call.arguments.source),
        keeps_store=call.arguments.keep_store,
    )
    outcome = restore.run(wish, objects_later=call.arguments.objects_later)
    is_whole = not (outcome.without_key or outcome.missing or outcome.problems)
    return Outcome(
        asdict(outcome), _text(outcome, is_store_kept=call.arguments.keep_store), exit_code=0 if is_whole else 1
    )


def _one_message(call: Call) -> Outcome:
    _, source = _opened(call, call.arguments.source)
    with command_access.opened(call) as appliance:
        done = MessageRestore(appliance, source).restore(MessageId(call.arguments.message))
    fields = {"message": done.message, "restored": list(done.parts)}
    return Outcome(fields, facts(fields) if done.parts else f"Message {done.message} is whole.")


def _opened(call: Call, place: str) -> tuple[SlotSecret, RestoreSource]:
    secret = wiring.secret_of(
        call.data, passphrase_file=call.passphrase_file, key_file=call.key_file, other=call.other_secret
    )
    return secret, RestoreSource.opened(_target(call, place), secret)


def _target(call: Call, place: str) -> BackupTarget:
    return backup_wiring.target(call.data, _told(call, place))


def _told(call: Call, place: str) -> BackupTargetSettings:
    """A target by its place, or by its name in the settings of a living directory."""
    if not backup_settings.is_bucket(place) and not place.startswith("/"):
        return _named(call.data, place)
    credentials, ca_file = call.arguments.credentials, call.arguments.ca_file
    return BackupTargetSettings(
        name="the-line",
        url=place,
        credentials_file=str(Path(credentials).absolute()) if credentials else "",
        ca_file=str(Path(ca_file).absolute()) if ca_file else "",
    )


def _named(data: DataDirectory, name: str) -> BackupTargetSettings:
    known = front_door_wiring.settings_of(data).backup.target if data.settings.exists() else ()
    found = next((each for each in known if each.name == name), None)
    if found is None:
        raise RefusedError(
            f"{name} is no target of backups",
            fix="say --from with a directory (/mnt/backup) or a bucket (s3+https://...)",
        )
    return found


def _text(outcome: RestoreOutcome, *, is_store_kept: bool) -> str:
    told = {name: value for name, value in asdict(outcome).items() if name not in _LISTED}
    lines = [facts(told)]
    for name in _LISTED:
        listed = getattr(outcome, name)
        if listed:
            lines += ["", f"{name.replace('_', ' ')}:", *(f"  {each}" for each in listed)]
    lines += ["", "Next: strongroom serve. Mail that came since then is in no backup."]
    if is_store_kept:
        lines[-1] = "Next, once the other one is ended for good: strongroom store take-over; then strongroom serve."
    if outcome.objects_to_come:
        lines.append("Sealed mail follows while it serves: strongroom doctor says how far it is.")
    return "\n".join(lines)
