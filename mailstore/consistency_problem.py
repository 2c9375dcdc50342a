"""Core: what can be wrong between rows, keys, bytes, index and log: each kind by a stable word.

Other programs read these words: one may be added, none renamed. ``docs/operations/check.md`` shows the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Weight(StrEnum):
    """FAIL: something promised does not hold. WARN: a left-over that harms nobody and can be swept."""

    FAIL = "fail"
    WARN = "warn"


class Kind(StrEnum):
    """What is wrong, as a word that programs share."""

    NOT_CHECKED = "not_checked"
    DATABASE_DAMAGED = "database_damaged"
    ROW_ALTERED = "row_altered"
    LOG_BROKEN = "log_broken"
    CHECKPOINT_CONTRADICTED = "checkpoint_contradicted"
    ROWS_PUT_BACK = "rows_put_back"
    MESSAGE_GONE = "message_gone"
    MESSAGE_WITHOUT_RECIPIENTS = "message_without_recipients"
    KEY_MISSING = "key_missing"
    KEY_ALTERED = "key_altered"
    KEY_DESTROYED = "key_destroyed"
    BYTES_MISSING = "bytes_missing"
    BYTES_ALTERED = "bytes_altered"
    COPY_MISSING = "copy_missing"
    COPY_ALTERED = "copy_altered"
    PROMOTION_NOT_QUEUED = "promotion_not_queued"
    DELIVERY_NOT_QUEUED = "delivery_not_queued"
    KEY_WITHOUT_MESSAGE = "key_without_message"
    KEYS_WITHOUT_MESSAGES = "keys_without_messages"
    DISPOSED_KEY_BACK = "disposed_key_back"
    DESTRUCTION_MARK_MISSING = "destruction_mark_missing"
    OBJECT_WITHOUT_MESSAGE = "object_without_message"
    SEGMENT_WITHOUT_MESSAGE = "segment_without_message"
    PART_MISCOUNTED = "part_miscounted"
    PART_BYTES_BAD = "part_bytes_bad"
    PART_KEY_BAD = "part_key_bad"
    DICTIONARY_BAD = "dictionary_bad"
    CAPTURE_NOT_QUEUED = "capture_not_queued"
    INDEX_NOT_QUEUED = "index_not_queued"
    INDEX_GAP = "index_gap"
    INDEX_SURPLUS = "index_surplus"
    INDEX_DAMAGED = "index_damaged"
    HOLD_NOT_EVALUATED = "hold_not_evaluated"
    HOLD_COVERAGE_MISSING = "hold_coverage_missing"
    DISPOSAL_UNFINISHED = "disposal_unfinished"
    CERTIFICATE_MISSING = "certificate_missing"
    LOCK_MISSING = "lock_missing"
    LOCK_OUTLASTS_SCHEDULE = "lock_outlasts_schedule"


@dataclass(frozen=True)
class Meaning:
    """Under which check a kind stands, how heavy it is, and what it says.

    ``repair`` is what a repair does; nothing where a person has to act, and then ``person`` is what that person does.
    """

    check: str
    weight: Weight
    says: str
    repair: str = ""
    person: str = ""


RESTORE = "restore from a backup, and keep this directory as evidence"

MEANINGS: Mapping[Kind, Meaning] = {
    Kind.NOT_CHECKED: Meaning(
        "checks", Weight.FAIL, "A part could not be looked at.", person="mend what the problem names, and check again"
    ),
    Kind.DATABASE_DAMAGED: Meaning(
        "database", Weight.FAIL, "The database engine finds its own file damaged.", person=RESTORE
    ),
    Kind.ROW_ALTERED: Meaning(
        "rows", Weight.FAIL, "A row is not what was written: its seal does not hold.", person=RESTORE
    ),
    Kind.LOG_BROKEN: Meaning(
        "audit", Weight.FAIL, "The audit log does not hold against its tree or its checkpoints.", person=RESTORE
    ),
    Kind.CHECKPOINT_CONTRADICTED: Meaning(
        "audit",
        Weight.FAIL,
        "The audit log is not the one of which a checkpoint was kept elsewhere (`--checkpoint`).",
        person=RESTORE,
    ),
    Kind.ROWS_PUT_BACK: Meaning(
        "audit",
        Weight.FAIL,
        "The keystore has seen newer rows than these: the row database was put back to an older state.",
        person="restore the newest rows, or accept these: strongroom database accept; until then nothing is swept",
    ),
    Kind.MESSAGE_GONE: Meaning(
        "messages", Weight.FAIL, "The log says that it was accepted, it was not disposed of, and its row is gone.",
        person=RESTORE,
    ),
    Kind.MESSAGE_WITHOUT_RECIPIENTS: Meaning(
        "messages", Weight.FAIL, "A message without any recipient's row.", person=RESTORE
    ),
    Kind.KEY_MISSING: Meaning(
        "messages", Weight.FAIL, "A message whose key is not in the keystore.",
        person="restore the keystore from a backup of the keys",
    ),
    Kind.KEY_ALTERED: Meaning(
        "messages", Weight.FAIL, "A message whose key does not open.",
        person="restore the keystore from a backup of the keys",
    ),
    Kind.KEY_DESTROYED: Meaning(
        "messages", Weight.FAIL, "A message whose key was destroyed although no disposal tells of it.",
        person="look in the audit log for who ran what; the message cannot be read again",
    ),
    Kind.BYTES_MISSING: Meaning(
        "messages", Weight.FAIL, "No copy of the sealed bytes is there any more.", person=RESTORE
    ),
    Kind.BYTES_ALTERED: Meaning(
        "messages", Weight.FAIL, "No copy of the sealed bytes is what was written.", person=RESTORE
    ),
    Kind.COPY_MISSING: Meaning(
        "messages", Weight.FAIL, "One of two copies is not there; the other one is whole.",
        repair="makes the missing copy anew from the whole one, or lets go of it in the spool",
    ),
    Kind.COPY_ALTERED: Meaning(
        "messages", Weight.FAIL, "One of two copies is not what was written; the other one is whole.",
        repair="as for `copy_missing`",
    ),
    Kind.PROMOTION_NOT_QUEUED: Meaning(
        "messages", Weight.FAIL, "A message in the spool alone that nothing will bring to the object store.",
        repair="puts the work down again",
    ),
    Kind.DELIVERY_NOT_QUEUED: Meaning(
        "messages", Weight.FAIL, "A recipient who waits for a copy that nothing will send.",
        repair="puts the work down again",
    ),
    Kind.KEY_WITHOUT_MESSAGE: Meaning(
        "keys", Weight.WARN, "A key without a message, left by a crash.",
        repair="destroys the key when it is older than an hour",
    ),
    Kind.KEYS_WITHOUT_MESSAGES: Meaning(
        "keys", Weight.FAIL, "More keys without messages than crashes leave: rows were lost or put back.",
        person=RESTORE,
    ),
    Kind.DISPOSED_KEY_BACK: Meaning(
        "keys", Weight.FAIL, "The key of a disposed message is in the keystore again.", repair="destroys it again"
    ),
    Kind.DESTRUCTION_MARK_MISSING: Meaning(
        "keys", Weight.FAIL, "The keystore does not remember that it destroyed the key of a disposed message.",
        repair="destroys what there is and sets the mark again",
    ),
    Kind.OBJECT_WITHOUT_MESSAGE: Meaning(
        "objects", Weight.WARN, "An object without a message, left by a crash.",
        repair="deletes it while no `serve` runs; a running one sweeps it away within a day",
    ),
    Kind.SEGMENT_WITHOUT_MESSAGE: Meaning(
        "objects", Weight.WARN, "A finished spool segment that no message needs.", repair="removes it"
    ),
    Kind.PART_MISCOUNTED: Meaning(
        "objects", Weight.FAIL, "A shared part counts other uses than messages need it.", person=RESTORE
    ),
    Kind.PART_BYTES_BAD: Meaning(
        "objects", Weight.FAIL, "The object of a shared part is missing or not what was written.",
        repair="makes it anew from a message that needs it and lies in the spool; without one, restore from a backup",
    ),
    Kind.PART_KEY_BAD: Meaning(
        "objects", Weight.FAIL, "The key of a shared part is missing or does not open.",
        person="restore the keystore from a backup of the keys",
    ),
    Kind.DICTIONARY_BAD: Meaning(
        "objects", Weight.FAIL, "A dictionary that messages were packed with is missing or does not open.",
        person=RESTORE,
    ),
    Kind.CAPTURE_NOT_QUEUED: Meaning(
        "archive", Weight.FAIL, "A message that the archive has not seen and nothing will show it.",
        repair="puts the work down again",
    ),
    Kind.INDEX_NOT_QUEUED: Meaning(
        "archive", Weight.FAIL, "A captured message that nothing will put into the index.",
        repair="puts the work down again",
    ),
    Kind.INDEX_GAP: Meaning(
        "archive", Weight.FAIL, "A message that the index should hold and does not.", repair="has it indexed again"
    ),
    Kind.INDEX_SURPLUS: Meaning(
        "archive", Weight.FAIL, "The index holds what is not in the archive.",
        repair="takes it out; where it cannot be named, has the index made anew",
    ),
    Kind.INDEX_DAMAGED: Meaning(
        "archive", Weight.WARN, "The index cannot be read.", repair="makes it anew from the messages"
    ),
    Kind.HOLD_NOT_EVALUATED: Meaning(
        "archive", Weight.WARN, "A hold that was not yet held against all mail; it holds all the same.",
        repair="looks at all mail",
    ),
    Kind.HOLD_COVERAGE_MISSING: Meaning(
        "archive", Weight.FAIL, "A message that a hold covers and does not list; it is held all the same.",
        repair="lists it",
    ),
    Kind.DISPOSAL_UNFINISHED: Meaning(
        "archive", Weight.WARN, "A disposal that was interrupted.", person="run: strongroom disposal run ID"
    ),
    Kind.CERTIFICATE_MISSING: Meaning(
        "archive", Weight.FAIL, "A completed disposal without its certificate.",
        person="run: strongroom disposal run ID; it issues the certificate",
    ),
    Kind.LOCK_MISSING: Meaning(
        "archive", Weight.FAIL, "The object store would let an object go that the rows keep.", repair="locks it",
    ),
    Kind.LOCK_OUTLASTS_SCHEDULE: Meaning(
        "archive", Weight.WARN, "The object store keeps an object longer than the schedule.",
        person="let whoever runs the object store end the lock, or dispose of the record after it",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Finding:
    """One thing that does not hold together. ``object`` names it; ``problem`` says it in words for people.

    ``message`` is the id of the message that it is about, if there is one; ``position`` one of its recipients.
    """

    kind: Kind
    object: str
    problem: str
    message: str = ""
    position: int | None = None

    @property
    def meaning(self) -> Meaning:
        """What stands in the table about this kind."""
        return MEANINGS[self.kind]

    @property
    def check(self) -> str:
        """The group under which people are told."""
        return self.meaning.check

    @property
    def weight(self) -> Weight:
        """How heavy it is."""
        return self.meaning.weight
