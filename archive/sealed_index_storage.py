"""Where the search index keeps its files: encrypted, authenticated, and published all at once.

Whoosh writes postings to files and unpickles what it reads back. Here it sees plain files that do not exist: every
file lies sealed on disk under a random name, every chunk is verified before one byte of it is handed out, and a
sealed manifest says which files make up the index, and with which keys. What the manifest does not list is not there;
what it lists and cannot be verified is ``TamperedError``. Written down in ``docs/formats/sealed-index.md``.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from whoosh.filedb.filestore import RamStorage, Storage
from whoosh.filedb.structfile import StructFile

from archive.index_secret import IndexSecrets, Secret
from archive.sealed_index_file import KEPT_CHUNKS, ChunkMemory, OpenedFile, SealedFile, nonce, seal, tampered
from mailstore import durable_file
from mailstore.errors import StorageUnavailableError
from mailstore.failpoint import reached
from mailstore.sealed_format import KEY_BYTES, derive

_MAGIC = b"SRMANIF2"
_OLDER_MAGIC = b"SRMANIF1"
_INFO = b"strongroom index manifest 2"
_SALT_BYTES = 32
_HEAD_BYTES = len(_MAGIC) + _SALT_BYTES
_MANIFEST = "manifest.sealed"
_LOCK = "lock"
TOUCHED_BY_COMMITS = frozenset({_MANIFEST, _LOCK})
"""All other files are written once and never changed."""

_LOCK_PAUSE_SECONDS = 0.02
_TRIES = 5
_CHUNKS_OF_A_WRITER = 16


class _SealedStruct(StructFile):  # type: ignore[misc]  # whoosh carries no types
    """Whoosh's reader of numbers and pickles over an opened file."""

    def get(self, position: int, length: int) -> bytes:
        found: bytes = self.file.at(position, length)
        return found


class _MemoryFile(BytesIO):
    """A file in memory whose content is handed over when it is closed."""

    def __init__(self, finished: Callable[[bytes], None]) -> None:
        super().__init__()
        self._finished = finished

    def close(self) -> None:
        """Hand over, once."""
        if not self.closed:
            self._finished(self.getvalue())
        super().close()


class _MemoryStorage(RamStorage):  # type: ignore[misc]  # whoosh carries no types
    """Whoosh's temporary files and the runs of its sorting pool, none of which may touch a disk."""

    def create_file(self, name: str, **_: Any) -> StructFile:
        """A file in memory; also when Whoosh closes what is under its reader instead of the reader."""
        return StructFile(_MemoryFile(lambda content: self.files.update({name: content})), name=name)

    def temp_storage(self, name: str | None = None) -> Storage:  # noqa: ARG002  # Whoosh's signature
        """More room in memory."""
        return _MemoryStorage()


def _manifest_cipher(secret: Secret, salt: bytes) -> AESGCM:
    """The cipher of one manifest, whose key is used for that manifest alone (HKDF, RFC 5869)."""
    return AESGCM(derive(secret.key, info=_INFO, salt=salt))


@contextmanager
def _locked(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock of the index, over all processes and threads (flock(2)); the file itself is never removed."""
    with path.open("ab") as stream:
        ends = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise StorageUnavailableError("another process is writing the index") from None
                time.sleep(_LOCK_PAUSE_SECONDS)
            else:
                break
        yield


class SealedIndexStorage(Storage):  # type: ignore[misc]  # whoosh carries no types
    """Whoosh's files in one directory, each under a key of its own, listed under the secret of the index.

    What a writer creates, renames and deletes becomes true for others, and durable, when ``publish`` is called; until
    then, or if the process dies, the index is what it was. ``words`` names the definition of a word that the index
    was made with; it is sealed in the manifest.
    """

    supports_mmap = False
    readonly = False

    def __init__(
        self, directory: Path, secrets_of_index: IndexSecrets, *, words: str, kept_chunks: int = KEPT_CHUNKS
    ) -> None:
        self.folder = str(directory)
        self._directory = directory
        self._secrets = secrets_of_index
        self._secret: Secret | None = None
        self._words = words
        self._memory = ChunkMemory(kept_chunks)
        self._files: dict[str, SealedFile] = {}
        self._seen = b""
        self.commit_number = 0
        self.made_with = words

    def create(self) -> SealedIndexStorage:
        """Make the directory, readable for nobody else."""
        durable_file.make_directory(self._directory)
        return self

    def writing_view(self) -> SealedIndexStorage:
        """The same index with a state of its own, to write while this one is read.

        A writer reads each file once from beginning to end, so it keeps hardly any of it.
        """
        return SealedIndexStorage(self._directory, self._secrets, words=self._words, kept_chunks=_CHUNKS_OF_A_WRITER)

    @property
    def state(self) -> bytes:
        """Equal for equal published states; empty when there is none."""
        return self._seen

    def refresh(self) -> None:
        """Look at the newest published state. No manifest is an empty index."""
        for _ in range(_TRIES):
            head, rest = self._newest()
            if head == self._seen or self._takes_in(head, rest):
                self._seen = head
                return
            if head == self._newest()[0]:
                break
        raise tampered(_MANIFEST)

    def _newest(self) -> tuple[bytes, bytes]:
        """The published manifest, its beginning apart; the rest only if it is another one than was seen last."""
        try:
            stream = (self._directory / _MANIFEST).open("rb")
        except FileNotFoundError:
            return b"", b""
        with stream:
            head = stream.read(_HEAD_BYTES)
            return head, b"" if head == self._seen else stream.read()

    @contextmanager
    def exclusively(self, *, seconds: float) -> Iterator[None]:
        """Be the one writer, looking at the newest state. What is not published by then is forgotten.

        What an interrupted writer left behind is swept away first. ``StorageUnavailableError`` when another writer
        is not done in that time.
        """
        with _locked(self._directory / _LOCK, seconds=seconds):
            try:
                self.refresh()
                self._secrets.keep_only(self._secret)
                self._sweep()
                yield
            finally:
                self._forget()

    def publish(self, *, retire_secret: bool = False) -> None:
        """Make what was written durable and true, in one step, then remove what no longer belongs.

        With ``retire_secret`` a new secret takes over and the old one is destroyed before this returns: from then on
        no manifest that was published before can be opened, nor any file that only those list. If it is cut short,
        the next writer goes on with it.
        """
        self.commit_number += 1
        if self._secret is None or retire_secret:
            self._secret = self._secrets.fresh(beside=self._secret)
            reached("index.after_fresh_secret")
        durable_file.replace(self._directory / _MANIFEST, self._manifest(self._secret))
        reached("index.after_publication")
        self._secrets.keep_only(self._secret)
        reached("index.after_old_secret")
        self.made_with = self._words
        self._sweep()

    def erase(self, *, seconds: float) -> None:
        """Remove the whole index, readable or not; only what it was made from can bring it back."""
        with _locked(self._directory / _LOCK, seconds=seconds):
            self._forget()
            self._secrets.keep_only(None)
            reached("index.after_erased_secret")
            for path in self._directory.iterdir():
                if path.name != _LOCK:
                    path.unlink(missing_ok=True)
            durable_file.sync_directory(self._directory)

    def _forget(self) -> None:
        self._seen, self._files, self._secret = b"", {}, None
        self.commit_number, self.made_with = 0, self._words

    def _manifest(self, secret: Secret) -> bytes:
        salt = secrets.token_bytes(_SALT_BYTES)
        files = {name: [file.id, file.length, file.key.hex()] for name, file in sorted(self._files.items())}
        plain = json.dumps({"commit": self.commit_number, "words": self._words, "files": files}).encode()
        return _MAGIC + salt + _manifest_cipher(secret, salt).encrypt(nonce(0), plain, _MAGIC)

    def _takes_in(self, head: bytes, rest: bytes) -> bool:
        """True when this is a state of the index: none at all, one of an older format, or one that a secret opens."""
        magic, salt = head[: len(_MAGIC)], head[len(_MAGIC) :]
        if not head or magic == _OLDER_MAGIC:
            self._forget()
            self.made_with = self._words if not head else _OLDER_MAGIC.decode()
            return True
        for secret in self._secrets.known() if magic == _MAGIC else ():
            try:
                plain = _manifest_cipher(secret, salt).decrypt(nonce(0), rest, _MAGIC)
            except (InvalidTag, ValueError):
                continue
            self._list(json.loads(plain))
            self._secret = secret
            return True
        return False

    def _list(self, manifest: Mapping[str, Any]) -> None:
        self._files = {
            name: SealedFile(id_, length, bytes.fromhex(key)) for name, (id_, length, key) in manifest["files"].items()
        }
        self._memory.keep_only({file.id for file in self._files.values()})
        self.commit_number = manifest["commit"]
        self.made_with = manifest["words"]

    def _sweep(self) -> None:
        belongs = {file.disk_name for file in self._files.values()} | {_MANIFEST, _LOCK}
        for path in self._directory.iterdir():
            if path.name not in belongs:
                path.unlink(missing_ok=True)

    def list(self) -> list[str]:
        """The names of all files."""
        return list(self._files)

    def file_exists(self, name: str) -> bool:
        """True when the index has a file of that name."""
        return name in self._files

    def file_length(self, name: str) -> int:
        """Bytes of the file as it was before it was sealed."""
        return self._file(name).length

    def create_file(self, name: str, **_: Any) -> StructFile:
        """A file to write to; it is sealed and durable once it is closed."""
        return StructFile(_MemoryFile(lambda plain: self._write(name, plain)), name=name)

    def open_file(self, name: str, **_: Any) -> StructFile:
        """A file to read.

        ``FileNotFoundError`` when a newer state has replaced it, ``TamperedError`` when it is simply gone.
        """
        file = self._file(name)
        try:
            opened = OpenedFile(self._directory, file, memory=self._memory)
        except FileNotFoundError:
            self.refresh()
            if self._files.get(name) == file:
                raise tampered(file.disk_name) from None
            raise
        return _SealedStruct(opened, name=name)

    def verify(self, beginning: str) -> None:
        """Authenticate, to the last byte, all files whose names begin so. Raises as ``open_file`` and reading do."""
        for name in self._files:
            if name.startswith(beginning):
                with self.open_file(name) as file:
                    file.raw_file().verify()

    def delete_file(self, name: str) -> None:
        """Take a file out of the index; it leaves the disk when that is published."""
        del self._files[name]

    def rename_file(self, frm: str, to: str, safe: bool = False) -> None:  # noqa: FBT001, FBT002  # Whoosh's signature
        """Give a file another name. With ``safe`` the name must be free."""
        if safe and to in self._files:
            raise FileExistsError(to)
        self._files[to] = self._files.pop(frm)

    def temp_storage(self, name: str | None = None) -> Storage:  # noqa: ARG002  # Whoosh's signature
        """Room for what Whoosh would put into temporary files: in memory."""
        return _MemoryStorage()

    def _file(self, name: str) -> SealedFile:
        try:
            return self._files[name]
        except KeyError:
            raise FileNotFoundError(name) from None

    def _write(self, name: str, plain: bytes) -> None:
        file = SealedFile(secrets.token_hex(16), len(plain), secrets.token_bytes(KEY_BYTES))
        durable_file.replace(self._directory / file.disk_name, seal(file, plain))
        self._files[name] = file
