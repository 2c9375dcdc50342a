"""A vault that is held against itself: what a check finds in it, and ways to damage it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from mailstore import part_records
from mailstore.consistency_check import Depth, Stores, check
from mailstore.consistency_problem import Finding, Kind
from mailstore.dictionary_records import MailDictionaries
from mailstore.document_signing import signing_public
from mailstore.message import MessageId, StoredMessage
from mailstore.part_records import PartLinks, SharedPart
from tests.vault_room import NOW, RING, Vault, a_deposit

LATER = NOW + timedelta(hours=2)


def stores_of(vault: Vault, is_dying: Callable[[MessageId], bool] = lambda _message: False) -> Stores:
    links = PartLinks(RING.archive_key, os.urandom)
    return Stores(
        database=vault.database,
        keystore=vault.keystore,
        spool_directory=vault.spool,
        objects=vault.objects,
        audit_public_key=signing_public(RING.audit_seed),
        checkpoints_path=vault.directory / "audit" / "checkpoints.jsonl",
        prove_key=vault.retrieval().prove_key,
        is_dying=is_dying,
        prove_dictionary=lambda number: _prove_dictionary(vault, number),
        miscounted_parts=links.problems,
        users_of_part=links.users,
    )


def _prove_dictionary(vault: Vault, number: int) -> None:
    MailDictionaries(vault.database, vault.message_keys()).by_number(number)


def found_in(
    vault: Vault,
    *,
    reads_objects: bool = True,
    kept_elsewhere: Sequence[str] = (),
    is_dying: Callable[[MessageId], bool] = lambda _message: False,
) -> list[Finding]:
    depth = Depth(["message.accepted"], reads_objects=reads_objects, kept_elsewhere=kept_elsewhere)
    return list(check(stores_of(vault, is_dying), depth, now=LATER))


def problems(
    vault: Vault,
    *,
    kept_elsewhere: Sequence[str] = (),
    is_dying: Callable[[MessageId], bool] = lambda _message: False,
) -> list[tuple[Kind, str]]:
    """What is found, as programs see it."""
    found = found_in(vault, kept_elsewhere=kept_elsewhere, is_dying=is_dying)
    return [(each.kind, each.object) for each in found]


def three(vault: Vault) -> list[MessageId]:
    """One message in the object store and the spool, two in the spool alone."""
    messages = vault.deposit(a_deposit(b"one"), a_deposit(b"two"), a_deposit(b"three"))
    vault.promotion().promote(messages[0])
    return messages


def settle(vault: Vault) -> None:
    """Let the spool's segments lie untouched for two hours."""
    for path in vault.spool.iterdir():
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))


def spoil(path: Path, at: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def spoil_copy(vault: Vault, stored: StoredMessage) -> None:
    """Change one bit of a message's copy in the spool."""
    spoil(vault.spool / str(stored.segment), stored.offset + 40)


def two_with_one_file(vault: Vault) -> SharedPart:
    """Two messages in the object store that share a file."""
    text = base64.encodebytes(os.urandom(40_000)).replace(b"\n", b"\r\n")
    letters = [
        b"Subject: %d\r\n\r\nSee.\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n%b--b--\r\n" % (number, text)
        for number in range(2)
    ]
    vault.promotion().promote_all(vault.deposit(*map(a_deposit, letters)))
    with vault.database.read() as connection:
        [part] = part_records.all_parts(connection)
    return part
