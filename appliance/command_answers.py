"""What each command answers with ``--json``: every field and what it says.

Other programs read these fields: one may be added here, none renamed or dropped. ``[]`` after a name is a list whose
items have the fields that follow; ``?`` marks a field that is not always there. The reference page is made from this,
and the tests hold each answer against it.
"""

from __future__ import annotations

from collections.abc import Mapping

Fields = Mapping[str, str]

_TOTAL: Fields = {"total": "how many there are in all"}
_MESSAGE: Fields = {
    "id": "the message's id",
    "received_at": "when it was accepted",
    "from": "the author, as the header says; the envelope's sender when it says nothing",
    "to": "the To field",
    "subject": "the subject",
    "size_bytes": "its size",
}
_DAMAGED: Fields = {"is_damaged": "true when its key or summary is not what was written; opening it is refused"}
_DUE: Fields = {
    "received_at": "when the message was accepted",
    "category": "its category in the schedule",
    "due_at": "since when it may be disposed of",
}
_CHANGE: Fields = {
    "change.added[]": "categories that are new",
    "change.removed[]": "categories that are gone",
    "change.shorter[]": "categories kept for less time than before",
    "change.longer[]": "categories kept for more time than before",
    "change.rules_added[]": "rules that are new",
    "change.rules_removed[]": "rules that are gone",
}
_ACCOUNT: Fields = {"id": "the account's id"}
_STAFF_SECRETS: Fields = {
    "email": "the address",
    "role": "the role",
    "app_password": "for the mail program; shown this once",
    "totp_secret": "for the authenticator (base32); shown this once",
    **_ACCOUNT,
}
_END: Fields = {
    "id": "the id of the end that was put forward",
    "state": "proposed, approved or begun",
    "proposed_at": "when it was put forward",
    "approved_at": "when another person agreed, or null",
    "may_begin_at": "when the cooling-off ends, or null",
}

_DISPOSAL: Fields = {
    "id": "the disposal's id",
    "state": "proposed, approved, running, completed or withdrawn",
    "messages": "how many messages its set has",
    "set_hash": "SHA-256 over exactly this set; approving names it",
    "held": "how many more would be due but are held",
    "schedule": "the version of the schedule by which they are due",
    "proposed_at": "when it was proposed",
    "approved_at": "when it was approved, or null",
    "may_run_at": "when the cooling-off ends, or null",
    "completed_at": "when its certificate was issued, or null",
}
_GENERATION: Fields = {
    "kind": "data or keys",
    "sequence": "the number of the generation",
    "base": "keys: the number of the base it rests on; data: its own",
    "as_of": "everything that was durable then is in it",
    "pieces": "how many sealed files it has; of keys, those that it adds to the one before",
    "bytes": "their bytes",
}

_DKIM_KEY: Fields = {
    "selector": "the name of the key below _domainkey",
    "algorithm": "rsa-sha256 or ed25519-sha256",
    "state": "prepared, signing or retired",
    "name": "the name of its record",
    "value": "what its TXT record says",
    "made_at": "when it was made",
    "signs_since": "since when it signs or signed, or null",
    "published_until": "when the record of a retired key may go, or null",
}
_SLOT: Fields = {
    "id": "the id of the way in",
    "kind": "passphrase, key_file, credential, token or shares",
    "label": "what people call it",
    "created_at": "when it was made",
    "tested_at": "when it was last tried, or null",
}
_ROTATION: Fields = {
    "rewrapped": "how many batches of keys were sealed to the new pair",
    "left": "how many are still sealed to an older one",
    "unopened[]": "batches that no pair opens, which stay as they are",
    "retired": "how many older pairs are kept, for what may still name them",
    "resumed": "true when this finished a rotation that was cut off; what --with- options name is renewed all the same",
}


_FOUND: Fields = {
    "total": "how many messages match",
    "items[].id": "the message's id",
    "items[].subject": "the subject",
    "items[].from": "the author",
    "items[].received_at": "when it was accepted",
    "items[].is_new": "of a saved search: whether it came into the archive since you looked last",
    "items[].highlights[]": "places that match, the words between « and »",
    "index_age_seconds": "how long the message has waited that waits longest for the index",
    "not_indexed": "messages that a search cannot find yet",
    "is_rebuilding": "whether the index is being made anew at this moment",
    "is_complete": "false when the search took too long: then more, older messages may match",
}
_SAVED: Fields = {
    "id": "the saved search's id",
    "name": "what its owner calls it",
    "query": "the words",
    "narrow[]": "what it is narrowed to, as --narrow takes it",
    "order": "newest or relevance",
    "is_daily": "whether it is run every day",
    "created_at": "when it was saved",
    "looked_until": "what came into the archive before is not new to its owner",
    "ran_at": "when it ran last by itself, or null",
    "new_messages": "how many new messages that run found",
}

_DUE_WORK: Fields = {
    "under_way": "true when the worker does it at this moment, and it was left to it",
    "still_due[]": "targets for which it is due still; exit code 1 when there is any and nobody is at it",
}


def _items(fields: Fields) -> Fields:
    return {f"items[].{name}": says for name, says in fields.items()}


ANSWERS: Mapping[str, Fields] = {
    "init": {
        "data": "the data directory",
        "ca_certificate": "the practice's own certificate authority (PEM)",
        "ports.smtp": "the port of mail from other servers",
        "ports.submission": "the port of mail programs, STARTTLS",
        "ports.submissions": "the port of mail programs, TLS from the first byte",
        "ports.portal": "the port of the pages",
        "settings": "the settings file",
        "unlocks_by_itself": "true when a key file inside the directory opens it",
    },
    "setup": {
        "data": "the data directory",
        "finished": "true when nothing is missing; then mail is taken from outside",
        "missing[]": "practice, administrator, shares (a set is to be made) and read_back (it is to be typed back)",
        "administrator.email?": "the administrator that was added now; the next three are shown once",
        "administrator.id?": "the id",
        "administrator.app_password?": "for the mail program",
        "administrator.totp_secret?": "for the authenticator",
        "shares.set?": "the number of the set that was made now",
        "shares.need?": "how many of its shares open the practice",
        "shares.words[]?": "the words of each share, shown once and kept nowhere",
    },
    "unseal": {
        "sealed": "false",
        "was_sealed": "false when it was open already",
        "taken_in": "how many messages that came meanwhile are in their mailboxes now",
        "is_drained": "true when none waits any more",
    },
    "seal": {"sealed": "true", "was_open": "false when it was sealed already"},
    "serve": {
        "ready": "true; this is the first line on stdout, with or without --json",
        "sealed": "true when nothing can be read until somebody unseals",
        "ports": "as init gives them",
    },
    "database accept": {"accepted": "true when older rows were accepted; false when these are the newest seen"},
    "database move": {
        "moved": "how many rows lie in the new database",
        "verified": "how many of them were read again on both sides, their seals proved",
        "tables": "of how many tables",
        "keys": "how many message keys were moved",
        "database": "where the rows are now",
        "old_rows": "where the old row file lies, to be removed by hand; null when it was erased",
    },
    "database rehearse": {
        "steps": "how many steps are missing; 0 when the rows have the form that this release works with",
        "seconds": "how long they took on the copy",
    },
    "dns records": {
        "domain": "the domain that they are for",
        **_items(
            {
                "purpose": "address, mx, spf, dkim, dmarc, mta-sts, tls-reports, tlsa, mail-programs or reverse",
                "name": "the whole name, without its last dot",
                "type": "A, AAAA, MX, TXT, CNAME, SRV, TLSA or PTR",
                "value": "what it says; a text in one piece",
                "zone": "the record as a line of a zone file",
                "says": "what it is for",
                "is_needed": "false for what only makes things easier or counts in signed zones only",
            }
        ),
        **_TOTAL,
    },
    "dns dkim list": {**_items(_DKIM_KEY), **_TOTAL},
    "dns dkim prepare": {**_items(_DKIM_KEY), **_TOTAL},
    "dns dkim activate": {**_items(_DKIM_KEY), **_TOTAL},
    "dns tlsa prepare": {
        "path": "where the new key lies",
        "name": "the name of the TLSA records",
        "values[]": "what the records say: the key in use first, then the new one",
    },
    "key slot list": {**_items(_SLOT), **_TOTAL},
    "key slot add": _SLOT,
    "key slot remove": {"removed": "the id of the way in that is gone", **_ROTATION},
    "key slot test": _SLOT,
    "key copies": {
        **_items(
            {
                "place": "the id of the place",
                "name": "what people call it",
                "shipped_at": "when keys were last shipped there",
                "kept_until": "when the newest of them are removed",
                "reached_at": "when it was last within reach",
            }
        ),
        **_TOTAL,
    },
    "key rotate": _ROTATION,
    "key agent status": {
        "sealed": "true while nothing can be read; then what follows the protections is left out or empty",
        "opening": "true while a secret is being tried",
        "has_no_network": "true when the kernel cut it off from every network",
        "is_memory_locked": "true when its memory cannot come to lie in the swap",
        "askers[].asker": "who asked: mail, worker, command, smtp, opening, sealed-smtp or sealed-mail",
        "askers[].opened": "how many message keys it got since the agent was started",
        "askers[].refused": "how many of its questions were refused",
        "askers[].signed": "how many documents were signed for it since then",
        "askers[].slowed_seconds": "how long its questions waited because there were more than its rate allows",
        "alarms[].at": "when it was raised",
        "alarms[].alarm": "refused, not-signed, stranger, slowed, wrong-secret or record-changed",
        "alarms[].asker": "whom it is about, if anybody",
        "lines?": "how many lines the account of the use of keys has",
        "signed?": "the last of them that is signed: it vouches for those before it",
        "is_whole?": "true when every line is as the agent wrote it and none is missing",
        "first_bad?": "the first line that is not, or null",
    },
    "key shares make": {
        **_SLOT,
        "directory": "where the pages lie: print them, then erase it",
        "files[]": "the pages, each as text and as PDF",
    },
    "user add": _STAFF_SECRETS,
    "user list": {
        **_items(
            {"email": "the address", "name": "the name", "role": "the role", "state": "active or closed", **_ACCOUNT}
        ),
        **_TOTAL,
    },
    "user close": {"email": "the address", "state": "closed", **_ACCOUNT},
    "user role": {"email": "the address", "former": "the role of before", "role": "the role of now", **_ACCOUNT},
    "user reset": _STAFF_SECRETS,
    "patient close": {"email": "the address", "state": "closed", **_ACCOUNT},
    "patient add": {
        "email": "the address",
        "enrolment_code": "handed over in person, by phone or by post",
        "portal_url": "where the patient enrols",
        "id": "the account's id",
    },
    "sign-in": {"email": "the address", "expires_at": "until when commands may use it"},
    "sign-out": {"email": "the address", "signed_out": "true"},
    "message list": {
        **_items({**_MESSAGE, "is_new": "true until it was opened", "folder": "inbox, sent or junk", **_DAMAGED}),
        **_TOTAL,
    },
    "message export": {
        "id": "the message's id",
        "sealed": "the file with what is sealed",
        "key": "the file with the keys: whoever has both reads the message",
        "reader": "the program that opens them, which needs nothing of ours",
    },
    "message show": {
        **_MESSAGE,
        "cc": "the Cc field",
        "date": "the Date field",
        "origin": "by which way it came in",
        "trace_fields": "our own trace fields, which are not in the message (RFC 5321 section 4.4)",
        "text": "the plain text",
        "html": "the HTML as it came, not cleaned",
        "attachments[].file_name": "as the message says it",
        "attachments[].content_type": "as the message says it",
        "attachments[].size_bytes": "its size, decoded",
        "raw_base64?": "with --raw only: the very bytes that came after DATA",
    },
    "message trace": {
        "id": "the message's id",
        "recipients[].address": "the recipient",
        "recipients[].route": "mailbox, tls, portal or undecided",
        "recipients[].reasons[]": "why that way",
        "recipients[].state": "what became of it so far",
        "recipients[].attempts": "how often delivery was tried",
        "recipients[].last_reply": "what the receiving server said last",
        "events[].at": "when",
        "events[].event": "what happened",
        "events[].position": "to which recipient, counted from 0; null for the message itself",
    },
    "archive search": {
        **{f"{name}?": says for name, says in _FOUND.items()},
        "facets[].facet?": "with --facets: year, direction, attachment, category, mailbox or domain",
        "facets[].value?": "a value of it, as --narrow takes it",
        "facets[].count?": "how many results have it: as many as the search has with it added",
        "facets_are_complete?": "false when counting took too long: then there are at least so many",
        "messages?": "with --csv: how many messages the file lists",
        "csv?": "with --csv: the file",
    },
    "archive unread": {
        **_TOTAL,
        "items[].id": "the message's id",
        "items[].subject": "the subject",
        "items[].from": "the author",
        "items[].received_at": "when it was accepted",
        "items[].reasons[]": "why a search does not see all of it",
    },
    "archive saved list": {**_TOTAL, **_items(_SAVED)},
    "archive saved add": _SAVED,
    "archive saved change": _SAVED,
    "archive saved remove": {"id": "the search that is gone"},
    "archive saved run": _FOUND,
    "archive engine show": {
        "engine": "the engine in use: whoosh or sqlite",
        "since": "when it was chosen; null for the one that every archive begins with",
        "messages": "how many messages its index holds",
        "index_bytes": "what its index takes on the disk",
        "query_p95_ms": "how long 95 of 100 searches of the last day took at most, or null when nobody searched",
        "building": "the engine that is being changed to, or null",
        "is_being_built": "whether that is going on at this moment",
        "built": "how many messages are in it, or null",
        "built_of": "of how many, or null",
    },
    "archive engine set": {
        "engine": "the engine in use now",
        "is_changed": "false when it was in use before",
        "seconds": "how long it took",
        "messages?": "how many messages the index holds",
        "queries_compared?": "queries that both indexes answered alike before the change",
        "before_p50_ms?": "how long half of them took at most with the engine before",
        "before_p95_ms?": "how long 95 of 100 of them took at most with the engine before",
        "after_p50_ms?": "the same with the engine now",
        "after_p95_ms?": "the same with the engine now",
    },
    "archive rebuild": {
        "indexed": "how many messages the new index holds",
        "seconds": "how long it took",
    },
    "archive status": {
        "accepted": "messages that were accepted and not destroyed",
        "archived": "how many of them are captured",
        "indexed": "how many can be found",
        "backlog": "how many wait for either",
        "damaged": "how many could not be opened",
        "engine": "the engine that keeps the search index",
        "index_bytes": "what its index takes on the disk",
        "query_p95_ms": "how long 95 of 100 searches of the last day took at most, or null when nobody searched",
        "newest_indexed_at": "when the newest message that can be found was received, or null",
        "lag_seconds": "how long the message has waited that waits longest for the index; 0 when none does",
        "not_indexed[].reason": "why messages are not in the index at all",
        "not_indexed[].count": "how many messages",
        "unread_parts[].reason": "why parts of messages, most often files, could not be read",
        "unread_parts[].count": "how many parts",
    },
    "schedule show": {
        "id": "its version, or null while only the suggestion is there",
        "state": "active or suggested",
        "approved_at?": "when it came in force; absent for the suggestion",
        "categories[].name": "the category",
        "categories[].retain": "how long it is kept",
        "categories[].clock": "what the time counts from",
        "categories[].citation": "by what authority",
        "rules[].category": "the category a rule gives",
        "rules[].match": "to which messages",
        "toml": "the file as it was proposed",
    },
    "schedule simulate": {
        "messages": "how many messages were looked at",
        "categories[].name": "the category",
        "categories[].messages": "how many messages would be in it",
        "categories[].due_now": "how many of them would be due",
        "categories[].due_within_year": "how many would come due within a year",
        "categories[].samples[]": "ids of some of its messages",
        "sooner": "messages that would be due sooner than now",
        "later": "messages that would be due later than now",
        "newly_due": "messages that are not due now and would be",
        "newly_due_samples[]": "ids of some of those",
    },
    "schedule propose": {"id": "the version's id", "state": "proposed", **_CHANGE},
    "schedule approve": {"id": "the version's id", "state": "active", **_CHANGE},
    "schedule withdraw": {"id": "the version's id", "state": "withdrawn"},
    "hold place": {
        "id": "the hold's id",
        "matched": "messages that surely match",
        "kept_to_be_safe": "how many more it holds because a part could not be read",
    },
    "hold list": {
        **_items(
            {
                "id": "the hold's id",
                "name": "the matter's name",
                "state": "active, release_requested or released",
                "reason": "why it was placed",
                "custodians[]": "whose mail",
                "since": "from this day on, or null",
                "until": "to this day, or null",
                "query": "what the mail must match, or null",
                "matched": "messages that surely match",
                "kept_to_be_safe": "how many more it holds because a part could not be read",
                "placed_at": "when it was placed",
            }
        ),
        **_TOTAL,
    },
    "hold release": {"id": "the hold's id", "state": "release_requested"},
    "hold approve-release": {
        "id": "the hold's id",
        "due[].id": "a message that is then due",
        **{f"due[].{name}": says for name, says in _DUE.items()},
        "due_total": "how many those are",
        "set_hash": "SHA-256 over exactly those",
        "state": "released; release_requested with --preview",
    },
    "disposal propose": {name: _DISPOSAL[name] for name in ("id", "messages", "set_hash", "held")},
    "disposal show": {
        **_DISPOSAL,
        **_items(
            {
                "id": "the message's id",
                "state": "what became of it in this disposal",
                **_DUE,
                "why": "why it was kept after all, or null",
            }
        ),
        **_TOTAL,
    },
    "disposal approve": _DISPOSAL,
    "disposal withdraw": _DISPOSAL,
    "disposal run": {
        "id": "the disposal's id",
        "destroyed": "how many messages died",
        "kept[].id": "a message that was approved and stays",
        "kept[].why": "why",
        "certificate": "the certificate (JSON); its PDF and the verifying key (*.pem) lie beside it; null without one",
    },
    "decommission show": {
        "id": "the id of the end that was put forward, or null",
        "state": "none, proposed, approved or begun; under way or done once its order counts",
        "proposed_at?": "when it was put forward, or null",
        "approved_at?": "when another person agreed, or null",
        "may_begin_at?": "when the cooling-off ends, or null",
        "messages?": "how many messages would die",
        "within_period?": "how many of them the schedule does not let go yet, counted from rows",
        "under_way?": "pieces of mail that are on their way still; run waits until there are none",
        "holds[]?": "the holds in force, by id",
        "ways_in[]?": "the unlock slots, by id and kind",
        "targets[]?": "the targets of backups",
        "unreached[]?": "those of them that cannot be reached now, by name; run waits for each, unless it is given up",
        "key_copies[]?": "every place that keys were ever shipped to",
        "certificate?": "the certificate once it is done, or null",
    },
    "decommission propose": _END,
    "decommission approve": _END,
    "decommission withdraw": {"id": "the id of the end that was put forward", "state": "withdrawn"},
    "decommission run": {
        "id": "the id of the end that was put forward",
        "state": "done",
        "certificate": "the certificate (JSON); the verifying key (*.pem) lies beside it",
        "resumed": "true when it went on with one that was cut off",
    },
    "certificate verify": {
        "valid": "true or false; exit code 1 when false",
        "problems[]": "what is wrong with it",
        "public_key": "the key that it was checked with",
    },
    "audit tail": {
        **_items(
            {
                "sequence": "its place in the log, from 0",
                "at": "when",
                "actor": "who, by address where there is one",
                "actor_id": "who, by account id",
                "event": "what was done",
                "object": "to what",
                "detail": "names with plain words and numbers",
            }
        ),
        **_TOTAL,
    },
    "audit verify": {
        "entries": "how many entries hold",
        "tree_root": "the root of the hash tree over them",
        "valid": "true or false; exit code 1 when false",
        "first_bad.sequence?": "when false: the first entry that does not hold",
        "first_bad.problem?": "when false: what is wrong with it",
    },
    "check": {
        "checked": "how many messages were looked at",
        "problems[].kind": "what is wrong, as a word of docs/operations/check.md; exit code 1 while one is left",
        "problems[].object": "what it is wrong with: a message, an object, a segment, a row, a hold, a disposal",
        "problems[].repaired": "true when it is mended now",
        "problems[].message": "the id of the message that it is about, or null",
        "problems[].problem": "the same in words",
        "problems[].fix": "what to do about it; empty when it is mended",
        "to_come": "how many objects of restored mail are still brought back; they were not looked at",
        "to_come_first[]": "the first hundred of them, by name",
    },
    "clock show": {
        "state": "trusted or frozen; while it is frozen nothing is disposed of and no hold is released",
        "trusted_now": "the time that is trusted; what has not passed by it has not passed",
        "clock_now": "what this machine's clock says",
        "doubt": "clock_ahead or clock_behind, or null",
        "since": "since when it is frozen, or null",
        "claimed_by": "the address of who has said that the clock is right and waits for an approver, or null",
        "witnesses[].name": "who says the time beside the clock: kernel, while a time server keeps it",
        "witnesses[].at": "what the witness says",
    },
    "clock confirm": {
        "state": "trusted, or waiting for an approver who says the same",
        "clock_now": "what this machine's clock says",
    },
    "doctor": {
        **_items(
            {
                "check": "what was looked at",
                "state": "ok, warn or fail; exit code 1 when one failed",
                "applies": "false where this practice does without what the line is about; its state is ok then",
                "message": "what was found",
                "fix": "what to do about it",
            }
        ),
        **_TOTAL,
    },
    "self-test": {
        "passed": "whether every step was reached; exit code 1 when not",
        **_items(
            {
                "step": "accepted, stored, opened, in the archive, in the index, in the object store; or failed",
                "passed": "whether it was reached",
                "message": "what was seen",
            }
        ),
        **_TOTAL,
    },
    "backup create": {
        "target": "where the backups went",
        **{
            f"generations[].{name}": says
            for name, says in {
                **_GENERATION,
                "sent_pieces": "files that were sent; the others lay there already",
                "sent_bytes": "bytes that were sent",
            }.items()
        },
        "problems[]": "what is not whole in the appliance itself, in words; exit code 1 when there is any",
    },
    "backup list": {
        **_items({**_GENERATION, "made_at": "when it was finished", "target": "where it lies"}),
        **_TOTAL,
        "problems[]": "targets that were rolled back or cut off, in words; exit code 1 when there is any",
    },
    "backup verify": {
        "generations": "how many generations were read",
        "pieces": "how many sealed files",
        "bytes": "how many bytes of them",
        "is_opened": "true when every piece was unsealed; false when it was held against its digest alone",
        "problems[]": "what is not as it was written, by the name of its file; exit code 1 when there is any",
    },
    "due backup": _DUE_WORK,
    "due drill": _DUE_WORK,
    "due scrub": {
        "under_way": "true when the worker does it at this moment, and it was left to it",
        "bad": "what the round found wrong and could not mend; exit code 1 when there is any",
    },
    "due retention": {
        "holds": "how many holds were held against all mail that an interruption had kept from it",
        "past_period": "about how many messages have passed their period; nothing dies of it",
        "open_disposals": "how many disposals wait for approval or to be executed",
    },
    "backup drill": {
        "passed": "true when nothing is missing, and the whole sample was compared and opened; else exit code 1",
        "report": "the signed report (JSON); its picture (PDF) and the key to check it with lie beside it",
        "as_of": "the moment whose mail a restore would bring back whole",
        "messages": "how many messages the backup has",
        "sampled": "how many of them were picked by chance",
        "compared": "how many of those were byte for byte what was written",
        "opened": "how many opened",
        "missing_pieces": "files of the backup that are not there, or not as long as they were written",
        "without_key": "messages whose key is not in the backup of the keys",
        "problems[]": "what failed, in words",
    },
    "restore": {
        "data?": "the new data directory",
        "as_of?": "the moment whose mail is whole; what came later is in no backup of the data",
        "data_generation?": "the number of the generation of the data",
        "keys_generation?": "the number of the generation of the keys",
        "messages?": "how many messages are there",
        "keys?": "how many of their keys",
        "keys_without_data?": "how many keys were left out because their mail is newer than the data",
        "disposed_again?": "how many messages the older rows had again and that died again",
        "dead_keys?": "how many keys were left out because what they open was disposed of",
        "holds_again?": "how many holds are newer than the rows and hold again",
        "withdrawn?": "how many disposals, and an end, that had not begun are withdrawn: propose them again",
        "without_key[]?": "messages whose key is in none of these generations; exit code 1 when there is any",
        "missing[]?": "objects that are in no backup; exit code 1 when there is any",
        "moved_here[]?": "settings of places on servers whose content lies in files of the directory now",
        "warnings[]?": "what to know before it is started, in words",
        "problems[]?": "what a check found and could not mend, in words; exit code 1 when there is any",
        "may_arrive_twice?": "how many copies waited to be sent, and may have been since; each is marked then",
        "objects_to_come?": "how many objects serve brings back while it works; 0 unless it was told to",
        "bytes_to_come?": "how many bytes are in them",
        "message?": "with --message: the message",
        "restored[]?": "with --message: the keys and objects that were brought back; none when it is whole",
    },
    "sealed-mail list": {
        **_items(
            {
                "name": "the segment",
                "bytes": "how large it is",
                "written_at": "when it was last written to",
                "groups": "how many groups of messages it holds",
                "opens": "how many of them open now",
                "messages": "how many messages are in those",
            }
        ),
        **_TOTAL,
    },
    "sealed-mail again": {"put_back": "how many segments wait again"},
    "sealed-mail release": {"released": "the segment that is gone"},
    "store take-over": {"data": "the data directory from which the appliance works now"},
    "store status": {
        "spooled": "how many messages lie in the spool alone",
        "promoted": "how many lie in the object store",
        "oldest_spooled_seconds": "how long the oldest message has waited for the object store; 0 when none waits",
        "store": "ok, degraded or down",
        "enforces[]": "what it was seen to enforce: versions, no_overwrite, retention, lock_only_grows, legal_hold",
        "spool_bytes": "what the spool takes up on the disk",
        "cap_bytes": "where mail is put off",
        "problem": "what is wrong, in words; empty when nothing is",
        "fix": "what to do about it",
    },
    "demo": {
        **_items(
            {
                "stage?": "with --check: the stage of a message's life",
                "state?": "with --check: ok, fail or not reached; exit code 1 when one failed",
                "evidence?": "with --check: which file, row, entry or page shows it",
                "seconds?": "with --check: how long it took",
                "name?": "without it: a person of the practice",
                "email?": "without it, and with --codes: the address",
                "role?": "without it: the role",
                "password?": "without it: the password",
                "totp_secret?": "without it: for an authenticator",
                "app_password?": "without it: for a mail program",
                "enrolment_code?": "without it: for a patient",
                "code?": "with --codes: the one-time code of the moment",
            }
        ),
        "total?": "how many there are in all; not with --stop",
        "portal?": "without --check: the address of the pages",
        "things_to_try[]?": "without --check: ten of them",
        "stopped?": "with --stop: true",
    },
}
