"""A running practice whose machine was started without a secret: mail in, unsealing, what strangers hear."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.data_directory import DataDirectory
from appliance.wiring import Appliance
from mailstore import audit_trail, mailboxes, message_records, ways_in
from mailstore.addresses import parse_mailbox
from mailstore.key_hierarchy import address_index
from mailstore.mailboxes import Folder
from mailstore.slot_key_file import KeyFile
from mailstore.slot_passphrase import Argon2Cost, PassphraseFile
from mailstore.wall_clock import SystemClock
from tests import running_practice
from tests.running_practice import DOMAIN, RunningPractice

ALICE, ADMIN = f"alice@{DOMAIN}", f"admin@{DOMAIN}"
PASSPHRASE = "four quiet herons wade"
PATIENCE_SECONDS = 240
"""A role that is killed again and again rests longer each time, on a machine that may have other work."""


@dataclass(frozen=True)
class Page:
    """What the portal answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class SealedPractice:
    """A practice whose secrets lie elsewhere: a key file, and a passphrase whose slot costs next to nothing."""

    def __init__(self, directory: Path) -> None:
        self.key_file = directory / "key"
        self.wrong_file = directory / "wrong"
        self.wrong_file.write_text("0" * 64 + "\n", "utf-8")
        self.running: RunningPractice = running_practice.made(directory, init_words=("--key-file", str(self.key_file)))
        self._add_passphrase(directory / "passphrase")
        with self.key_in_the_environment():
            self.running.add_user(ADMIN, "admin")
            self.running.add_user(ALICE, "clinician")

    def _add_passphrase(self, path: Path) -> None:
        path.write_text(PASSPHRASE + "\n", "utf-8")
        ways_in.add(
            self.data / "keys",
            KeyFile(self.key_file),
            PassphraseFile(path, Argon2Cost(64, 1, 1)),
            os.urandom,
            label="passphrase",
            now=SystemClock().now(),
        )
        path.unlink()

    @property
    def data(self) -> Path:
        return self.running.data

    @contextmanager
    def key_in_the_environment(self) -> Iterator[None]:
        os.environ["STRONGROOM_KEY_FILE"] = str(self.key_file)
        try:
            yield
        finally:
            del os.environ["STRONGROOM_KEY_FILE"]

    def unseal(self) -> Any:
        return self.running.told("unseal", "--key-file", str(self.key_file))

    def deliver(self, subject: str, *, to: str = ALICE, body: str = "body") -> None:
        """Over STARTTLS, as another server does."""
        content = f"From: a@elsewhere.example\r\nTo: {to}\r\nSubject: {subject}\r\n\r\n{body}\r\n"
        self.running.deliver(content.encode(), sender="a@elsewhere.example", recipients=[to])

    def page(self, path: str, method: str = "GET", *, body: str = "", **headers: str) -> Page:
        connection = http.client.HTTPSConnection(
            "localhost", self.running.base + 443, context=self.running.trusting(), timeout=20
        )
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body or None, headers=told)
        answer = connection.getresponse()
        found = Page(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        connection.close()
        return found

    @contextmanager
    def opened(self) -> Iterator[Appliance]:
        """As a command of the same system user has it, with what the key agent gives out."""
        with Appliance.opened(DataDirectory(self.data)) as appliance:
            yield appliance

    def subjects(self, person: str = ALICE) -> list[str]:
        """What lies in a mailbox, oldest first."""
        with self.opened() as appliance, appliance.database.read() as connection:
            index = address_index(appliance.ring.lookup_key, parse_mailbox(person))
            box = mailboxes.by_address(connection, index)
            assert box is not None
            entries = mailboxes.entries(connection, box.id, Folder.INBOX, 100_000)[::-1]
            rows = message_records.stored_many(connection, [each.message for each in entries])
            summaries = appliance.retrieval.summaries(rows)
            return [summaries[each.message].subject for each in entries]

    def audited(self) -> dict[str, Mapping[str, str | int]]:
        """The newest details of every event."""
        with self.opened() as appliance, appliance.database.read() as connection:
            return {each.event: each.detail for each in audit_trail.tail(connection, 100_000)}

    def is_sealed(self) -> bool:
        """As every page says."""
        return self.page("/sign-in").status == 503

    def until_open(self) -> None:
        self.running.until(lambda: self._answers() and not self.is_sealed(), seconds=PATIENCE_SECONDS)

    def until_drained(self) -> None:
        def is_over() -> bool:
            try:
                return bool(json.loads((self.data / "run" / "drain.json").read_text())["is_over"])
            except FileNotFoundError:
                return False

        self.running.until(is_over, seconds=PATIENCE_SECONDS)

    def _answers(self) -> bool:
        try:
            self.page("/sign-in")
        except (OSError, http.client.HTTPException):
            return False
        return True

    @contextmanager
    def submission(self) -> Iterator[socket.socket]:
        """A mail program's connection, TLS from the first byte."""
        plain = socket.create_connection(("127.0.0.1", self.running.base + 465), timeout=20)
        with self.running.trusting().wrap_socket(plain, server_hostname="localhost") as secured:
            secured.recv(1024)
            yield secured


def said(connection: ssl.SSLSocket | socket.socket, line: str) -> tuple[str, float]:
    """The reply to one line and how long it took."""
    begun = time.perf_counter()
    connection.sendall(line.encode() + b"\r\n")
    heard = b""
    while not heard.endswith(b"\r\n") or heard.splitlines()[-1][3:4] == b"-":
        heard += connection.recv(4096)
    return heard.decode(), time.perf_counter() - begun
