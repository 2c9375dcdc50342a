"""Core: where things lie in the data directory. The only place that spells these names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataDirectory:
    """The directory given as ``--data``: everything of one practice is in it."""

    path: Path

    @property
    def settings(self) -> Path:
        """The commented settings; the directory is a made one when this file is there."""
        return self.path / "strongroom.toml"

    @property
    def birth_record(self) -> Path:
        """How the directory was made, sealed."""
        return self.path / "birth.json"

    @property
    def first_run(self) -> Path:
        """There until the first run is finished; no mail is taken from outside meanwhile."""
        return self.path / "first-run.json"

    @property
    def decommission(self) -> Path:
        """The order to end the practice, from the moment that it counts."""
        return self.path / "decommission.json"

    @property
    def unfinished(self) -> Path:
        """Where ``init`` works until all is made."""
        return self.path / ".unfinished"

    @property
    def restoring(self) -> Path:
        """Where ``restore`` works until all but the sealed mail is laid down and proved."""
        return self.path / ".restoring"

    @property
    def restore_plan(self) -> Path:
        """What ``restore`` has still to do. Beside a made directory: the sealed mail that is still to come."""
        return self.path / ".restore-plan.sqlite3"

    @property
    def restore_check(self) -> Path:
        """Whether a restore put off to hold everything against each other, and what came of it."""
        return self.path / ".restore-check.json"

    @property
    def restore_turn(self) -> Path:
        """Held locked by the one process that lays down what a restore still wants."""
        return self.path / ".restore-turn"

    @property
    def rehearsal(self) -> Path:
        """Where a copy of the rows lies while the steps of a new release are tried on it."""
        return self.path / ".rehearsal"

    @property
    def keys(self) -> Path:
        """The unlock slots and the sealed key ring."""
        return self.path / "keys"

    @property
    def unlock_key(self) -> Path:
        """The key file that opens the ring by itself, when the practice chose to start unattended."""
        return self.keys / "unlock.key"

    @property
    def rows(self) -> Path:
        """The row database."""
        return self.path / "rows.sqlite3"

    @property
    def moved_rows(self) -> Path:
        """The rows as they were before they were moved to a server."""
        return self.path / "rows.sqlite3.moved"

    @property
    def keystore(self) -> Path:
        """The database of wrapped message keys."""
        return self.path / "keystore.sqlite3"

    @property
    def database_password(self) -> Path:
        """The password of the row database, when that is on a server and ``init`` was told one."""
        return self.keys / "database-password"

    @property
    def keystore_password(self) -> Path:
        """The password of the keystore, likewise."""
        return self.keys / "keystore-password"

    @property
    def spool(self) -> Path:
        """Sealed messages that were just taken in."""
        return self.path / "spool"

    @property
    def sealed_spool(self) -> Path:
        """Mail that came while nothing could be opened, sealed to the capture public key."""
        return self.path / "sealed-spool"

    @property
    def door_list(self) -> Path:
        """Which addresses mail is taken for meanwhile, as slow digests."""
        return self.path / "door.json"

    @property
    def objects(self) -> Path:
        """The local object store."""
        return self.path / "objects"

    @property
    def object_store_credentials(self) -> Path:
        """Access key and secret of the object store, when that is a server."""
        return self.keys / "object-store"

    @property
    def object_store_probe(self) -> Path:
        """What that server was last seen to enforce."""
        return self.run / "object-store.json"

    @property
    def index(self) -> Path:
        """The sealed search index."""
        return self.path / "index"

    @property
    def engine_turn(self) -> Path:
        """Held locked by those who write to the search index, together, and alone by who changes its engine."""
        return self.run / "index-engine"

    @property
    def engine_mark(self) -> Path:
        """Held locked while the index of another engine is built; says how far that is."""
        return self.run / "index-engine-build"

    @property
    def sqlite_index(self) -> Path:
        """The parts of the search index of the engine ``sqlite``; there while that engine is in use or being built."""
        return self.path / "index.sqlite"

    @property
    def sqlite_index_secrets(self) -> Path:
        """The secret that opens the list of those parts."""
        return self.keys / "index-sqlite.secrets"

    @property
    def index_secrets(self) -> Path:
        """The secret that opens the list of index files; replaced when messages are taken out."""
        return self.keys / "index.secrets"

    @property
    def certificates(self) -> Path:
        """Disposal certificates and the key that verifies them."""
        return self.path / "certificates"

    @property
    def ledger(self) -> Path:
        """Signed pages of what was disposed of and what is held, for a restore."""
        return self.path / "ledger"

    @property
    def backup(self) -> Path:
        """What is remembered of each target of backups, and where a copy of the rows lies for a while."""
        return self.path / "backup"

    @property
    def checkpoints(self) -> Path:
        """Signed checkpoints of the audit tree, one a line."""
        return self.path / "audit" / "checkpoints.jsonl"

    @property
    def key_use(self) -> Path:
        """What the key agent opened for whom, one line a minute in a chain that it signs."""
        return self.path / "audit" / "key-use.jsonl"

    @property
    def tls(self) -> Path:
        """Certificates of the servers."""
        return self.path / "tls"

    @property
    def log(self) -> Path:
        """The log of the operators."""
        return self.path / "log"

    @property
    def run(self) -> Path:
        """What belongs to running processes and signed-in people."""
        return self.path / "run"

    @property
    def process_file(self) -> Path:
        """Held locked by the one ``serve`` of this directory; says its process id."""
        return self.run / "serve.pid"

    @property
    def unseal_tries(self) -> Path:
        """How often somebody tried to unseal since it was told last."""
        return self.run / "unseal-tries.json"

    @property
    def alerts(self) -> Path:
        """What was told of which line of the doctor, sealed."""
        return self.run / "alerts.json"

    @property
    def drain_progress(self) -> Path:
        """How much of the sealed spool was taken in since the appliance was opened."""
        return self.run / "drain.json"

    @property
    def key_agent_socket(self) -> Path:
        """Where commands find the key agent of a running appliance."""
        return self.run / "key-agent.sock"

    @property
    def rebuild_mark(self) -> Path:
        """Held locked while the search index is made anew; says how far that is."""
        return self.run / "index-rebuild"

    @property
    def sessions(self) -> Path:
        """Sign-in files of the command line, one directory for each system user."""
        return self.run / "sessions"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Every directory that ``init`` makes."""
        return (
            self.keys,
            self.spool,
            self.sealed_spool,
            self.objects,
            self.index,
            self.certificates,
            self.ledger,
            self.checkpoints.parent,
            self.tls,
            self.log,
            self.run,
            self.sessions,
        )


@dataclass(frozen=True)
class RestoredDirectory(DataDirectory):
    """A directory that is being restored, before it is put in place: its plan lies in the one that it becomes."""

    @classmethod
    def within(cls, into: DataDirectory) -> RestoredDirectory:
        """The one that becomes ``into``."""
        return cls(into.restoring)

    @property
    def restore_plan(self) -> Path:
        """As ``DataDirectory``."""
        return DataDirectory(self.path.parent).restore_plan
