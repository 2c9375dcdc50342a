"""Core: the events of the audit log in words that a person reads."""

from __future__ import annotations

_WORDS = {
    "account.closed": "Closed an account",
    "appliance.restored": "Restored the appliance from backups",
    "appliance.sealed": "Sealed the appliance",
    "appliance.unseal_refused": "Tried secrets that do not unseal the appliance",
    "appliance.unsealed": "Unsealed the appliance",
    "archive.attachment_opened": "Opened an attachment in the archive",
    "archive.body_shown": "Saw the designed text of a message in the archive",
    "archive.listed": "Saw a list of messages",
    "archive.message_opened": "Opened a message in the archive",
    "archive.searched": "Searched the archive",
    "audit.exported": "Exported the audit log",
    "audit.verified": "Verified the audit log",
    "backup.made": "Made a backup",
    "check.repaired": "Mended what a check had found",
    "clock.begun": "Began to count the trusted time",
    "clock.confirmation_asked": "Said that the clock is right; a second person has to say so too",
    "clock.confirmed": "Confirmed the clock as the second person",
    "clock.frozen": "Stopped disposals and releases: the clock had jumped",
    "clock.resumed": "Let disposals and releases go on: the clock is right",
    "disposal.approved": "Approved a disposal",
    "disposal.completed": "Completed a disposal",
    "disposal.proposed": "Proposed a disposal",
    "disposal.run": "Began to carry out a disposal",
    "disposal.withdrawn": "Took back a disposal",
    "first_run.finished": "Finished the first run of the practice",
    "dns.dkim_activated": "Put new keys in use that sign mail which leaves",
    "dns.dkim_made": "Made keys that sign mail which leaves",
    "hold.placed": "Placed a hold",
    "hold.release_requested": "Asked to end a hold",
    "hold.released": "Ended a hold",
    "index.engine_changed": "Changed the engine of the search index",
    "index.rebuilt": "Made the search index anew",
    "key_agent.alarm": "The process that has the keys raised an alarm",
    "key_agent.used": "Told how many message keys were used",
    "key.rotated": "Renewed the keys of the practice",
    "key.slot_added": "Let one more secret open the practice",
    "key.slot_removed": "Took away a way in and renewed the keys",
    "key.slot_tested": "Tried out a way in",
    "ledger.replayed": "Replayed the ledger of disposals and holds",
    "message.accepted": "Accepted a message",
    "message.attachment_opened": "Opened an attachment",
    "message.body_shown": "Saw the designed text of a message",
    "message.captured": "Took a message into the archive",
    "message.destroyed": "Destroyed a message",
    "message.exported": "Took a message out, sealed, with its key",
    "message.opened": "Opened a message",
    "message.refused": "Refused a message at the door, for a virus or as junk",
    "message.restored": "Brought a message back from a backup",
    "rows.accepted": "Accepted older rows, so that sweeping goes on",
    "schedule.approved": "Put a schedule in force",
    "schedule.proposed": "Proposed a schedule",
    "schedule.withdrawn": "Took back a schedule",
    "scrub.finished": "Finished reading every sealed byte",
    "scrub.found": "Found damage while reading every sealed byte",
    "sealed_spool.damaged": "Found mail that came while sealed and that does not open, and set it aside",
    "sealed_spool.drained": "Took in the mail that had come while sealed",
    "sealed_spool.missing": "Found that mail which had come while sealed is missing",
    "sealed_spool.readdressed": "Laid mail that came while sealed before the administrator: its recipient is gone",
    "sign_in": "Signed in",
    "sign_in.refused": "Was refused at the sign-in",
    "sign_out": "Signed out",
    "store.object_lost": "Found that the object store had lost a message's copy, and put it there again",
    "store.taken_over": "Moved the appliance to another place",
}

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")
"""What makes a spreadsheet take a cell for a formula or a command (CWE-1236)."""


def event_words(event: str) -> str:
    """The event as a sentence without its subject; the name itself, spaced, for one that is not listed."""
    return _WORDS.get(event) or event.replace(".", ": ").replace("_", " ").capitalize()


def cell(text: str) -> str:
    """A value that a spreadsheet shows and never calculates: a leading apostrophe keeps it a text."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
