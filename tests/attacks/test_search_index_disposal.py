"""Somebody with the index and every key of today looks for what was disposed of: no token of it is anywhere."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from archive import search_index_sqlite
from archive.index_document import Field, IndexDocument
from archive.index_secret import IndexSecrets
from archive.search_index_sqlite import LIST_FOLDER, SqliteIndex
from archive.search_query import parse
from archive.sqlite_part import Part
from archive.sqlite_schema import PAGE_BYTES
from mailstore.errors import TamperedError
from mailstore.message import MessageId, identifier_from
from tests.index_files import secrets_path, sqlite_in

KEY = bytes(range(32))
ROOT = Path(__file__).parents[2]
CANARIES = {name: f"canary{name.value}" for name in Field}
ADDRESS = "canaryaddress@mail.example"
CATEGORY = "canarycategory"
DOMAIN = "canarydomain.example"
_FRAME_HEAD = 24
_WAL_HEAD = 32


def document(number: int, words: str) -> IndexDocument:
    message = MessageId(identifier_from(number.to_bytes(16, "big")))
    return IndexDocument(message, datetime(2026, 1, 1, tzinfo=UTC), "clinical", False, {Field.BODY: (words,)}, {})


DOOMED = IndexDocument(
    MessageId(identifier_from((7).to_bytes(16, "big"))),
    datetime(2026, 1, 1, tzinfo=UTC),
    CATEGORY,
    True,
    {name: (f"a {canary} of its own, caf\u00e9", canary) for name, canary in CANARIES.items()},
    {Field.FROM: frozenset({ADDRESS}), Field.PARTICIPANT: frozenset({ADDRESS})},
    sender_domain=DOMAIN,
)
WANTED = [
    DOOMED.id.encode(),
    ADDRESS.encode().hex().encode(),
    CATEGORY.encode().hex().encode(),
    CATEGORY.encode(),
    DOMAIN.encode().hex().encode(),
    DOMAIN.encode(),
    *(b"canary" + name.value.encode() for name in Field),
]
"""Beginnings of a word count too: FTS5 keeps some where its pages begin."""


def index_in(directory: Path) -> SqliteIndex:
    return sqlite_in(directory, KEY, most_part_messages=40)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An index in two parts, in which the doomed message was written, merged with others, and written again."""
    index = index_in(tmp_path / "index")
    for number in range(20, 50):
        index.add([document(number, f"ordinary mail {number} " + "x" * number)])
    index.add([DOOMED])
    index.add([document(number, "more ordinary mail canar canaz") for number in range(50, 75)])
    index.add([DOOMED])
    index._close_all()
    return tmp_path / "index"


def parts_of(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Every living part with its key, as the index itself finds them."""
    index = index_in(directory)
    index.document_count()
    yield from ((directory / listed.name, listed.key) for listed in index._parts)


def pages_in_use(path: Path, key: bytes) -> set[int]:
    """The numbers of the pages that hold something, beginning with 1."""
    part = Part(path, key, cache_bytes=PAGE_BYTES)
    numbers = {int(number) for (number,) in part._connection.execute("SELECT pageno FROM dbstat")}
    part.close()
    return numbers


def decrypted(path: Path, key: bytes) -> bytes:
    """All pages of a part and of its journal, free ones too, by the page of the format alone."""
    pages = path.read_bytes()
    salt = pages[:16]
    found = [_page(pages[at : at + PAGE_BYTES], key, salt) for at in range(0, len(pages), PAGE_BYTES)]
    journal = path.with_name(path.name + "-wal")
    if journal.exists():
        frames = journal.read_bytes()[_WAL_HEAD:]
        size = _FRAME_HEAD + PAGE_BYTES
        found += [_page(frames[at + _FRAME_HEAD : at + size], key, salt) for at in range(0, len(frames), size)]
    return b"".join(found)


def _page(page: bytes, key: bytes, salt: bytes) -> bytes:
    start = 16 if page.startswith(salt) else 0
    content, vector, code = page[start:-80], page[-80:-64], page[-64:]
    mac_key = hashlib.pbkdf2_hmac("sha512", key, bytes(byte ^ 0x3A for byte in salt), 2, 32)
    assert any(
        hmac.compare_digest(code, hmac.digest(mac_key, content + vector + n.to_bytes(4, "little"), "sha512"))
        for n in range(1, 2_000)
    )
    decryptor = Cipher(algorithms.AES256(key), modes.CBC(vector)).decryptor()
    return decryptor.update(content) + decryptor.finalize()


def found_in(directory: Path) -> list[bytes]:
    content = b"".join(decrypted(path, key) for path, key in parts_of(directory))
    assert b"ordinary" in content, "or it was not decrypted"
    return [wanted for wanted in WANTED if wanted in content]


def test_what_is_looked_for_is_there_before(directory: Path) -> None:
    """Or the tests below would prove nothing. Behind its first word a page holds only where a word goes on."""
    assert {DOOMED.id.encode(), CATEGORY.encode(), DOMAIN.encode()} <= set(found_in(directory))
    assert index_in(directory).search(parse("canarybody"), limit=1).total == 1
    assert b"canary" in b"".join(decrypted(path, key) for path, key in parts_of(directory))


def test_no_token_is_left_in_pages_free_pages_or_journal(directory: Path) -> None:
    index_in(directory).remove([DOOMED.id])
    content = b"".join(decrypted(path, key) for path, key in parts_of(directory))
    assert found_in(directory) == []
    assert b"canary" not in content
    assert b"caf\xc3\xa9" not in content
    assert index_in(directory).document_count() == 55


def test_batches_of_a_disposal_leave_nothing_once_the_last_is_done(directory: Path) -> None:
    index = index_in(directory)
    others = [document(number, "").id for number in range(50, 60)]
    index.remove([DOOMED.id], more_follow=True)
    assert index.search(parse("canarybody"), limit=1).total == 0
    index.remove(others, more_follow=True)
    assert index.document_count() == 45
    index.remove([DOOMED.id, *others])
    assert found_in(directory) == []


def test_copy_from_before_a_removal_opens_with_nothing_that_is_left(directory: Path) -> None:
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    shutil.copy(secrets_path(directory), secrets_path(copy))
    assert index_in(copy).search(parse("canarybody"), limit=1).total == 1
    index_in(directory).remove([DOOMED.id])
    require_closed(copy, directory)


def require_closed(copy: Path, directory: Path) -> None:
    """No key that is still here opens a part of the copy that was rewritten since."""
    shutil.copy(secrets_path(directory), secrets_path(copy))
    with pytest.raises(TamperedError):
        index_in(copy).document_count()
    keys = [key for _, key in parts_of(directory)]
    living = {path.name for path, _ in parts_of(directory)}
    rewritten = [path for path in copy.glob("*.part") if path.name not in living]
    assert rewritten
    for path in rewritten:
        for key in [*keys, KEY, *(secret.key for secret in IndexSecrets(secrets_path(directory), KEY).known())]:
            with pytest.raises(AssertionError):
                decrypted(path, key)


@pytest.mark.parametrize(
    "step",
    [
        "sqlite_index.after_removal",
        "sqlite_index.after_copies",
        "index.after_fresh_secret",
        "index.after_publication",
        "index.after_old_secret",
    ],
)
def test_removal_cut_off_at_any_step_is_completed_by_the_next(directory: Path, step: str) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from tests.attacks.test_search_index_disposal import *\n"
        "index_in(Path(sys.argv[1])).remove([DOOMED.id])\n"
    )
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    killed = subprocess.run(
        [sys.executable, "-c", program, str(directory)],
        cwd=ROOT,
        env={**os.environ, "STRONGROOM_FAILPOINT": f"{step}:kill"},
        check=False,
    )
    assert killed.returncode == -9
    assert index_in(directory).document_count() in {55, 56}
    index_in(directory).remove([DOOMED.id])
    assert found_in(directory) == []
    assert {path.name for path, _ in parts_of(directory)} == {path.name for path in directory.glob("*.part")}
    assert len(IndexSecrets(secrets_path(directory), KEY).known()) == 1
    require_closed(copy, directory)


def test_part_that_fills_up_between_two_batches_is_rewritten_all_the_same(directory: Path) -> None:
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    index = index_in(directory)
    ordinary = document(60, "").id
    index.remove([ordinary], more_follow=True)
    index.add([document(number, "ordinary mail that fills a part") for number in range(100, 140)])
    index.remove([ordinary])
    require_closed(copy, directory)


def test_one_changed_byte_of_any_page_in_use_is_damage_and_is_remembered(directory: Path) -> None:
    [(path, key), *_] = parts_of(directory)
    whole = path.read_bytes()
    in_use = pages_in_use(path, key)
    assert len(in_use) > len(whole) // PAGE_BYTES // 2
    for at in (at for at in range(100, len(whole), PAGE_BYTES // 2) if at // PAGE_BYTES + 1 in in_use):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(TamperedError):
            index_in(directory).verify()
        path.write_bytes(whole)
        with pytest.raises(TamperedError):
            index_in(directory).document_count()
        (directory / search_index_sqlite.DAMAGED).unlink()
    index_in(directory).verify()


@pytest.mark.parametrize("content", [b"", b"no database", bytes(PAGE_BYTES)])
def test_part_that_is_cut_or_another_file_is_damage(directory: Path, content: bytes) -> None:
    [(path, _), *_] = parts_of(directory)
    path.write_bytes(content)
    with pytest.raises(TamperedError):
        index_in(directory).verify()
    index = index_in(directory)
    index.clear()
    index.add([DOOMED])
    assert index.document_count() == 1


def test_lost_part_is_damage_and_not_an_empty_one(directory: Path) -> None:
    [(path, _), *_] = parts_of(directory)
    path.unlink()
    with pytest.raises(TamperedError):
        index_in(directory).document_count()
    assert not path.exists()


def test_part_put_in_the_place_of_another_is_damage(directory: Path) -> None:
    [(first, _), (second, _)] = parts_of(directory)
    shutil.copy(first, second)
    with pytest.raises(TamperedError):
        index_in(directory).verify()


def test_everything_is_for_its_owner_alone(directory: Path) -> None:
    index = index_in(directory)
    index.add([DOOMED])
    for path in [directory, directory / LIST_FOLDER, *directory.iterdir()]:
        assert path.stat().st_mode & 0o077 == 0, path.name
