"""A running practice whose machine was started without a secret: mail in, unsealing, what strangers hear."""

from __future__ import annotations

import email
import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailstore import ways_in
from mailstore.slot_key_file import KeyFile
from mailstore.slot_passphrase import Argon2Cost, PassphraseFile
from mailstore.wall_clock import SystemClock
from tests import running_practice
from tests.running_practice import DOMAIN, Answer, RunningPractice

ALICE, ADMIN = f"alice@{DOMAIN}", f"admin@{DOMAIN}"
PASSPHRASE = "four quiet herons wade"


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

    def subjects(self, person: str = ALICE) -> list[str]:
        """What lies in a mailbox, oldest first, opened in that person's name."""
        self.running.sign_in(person)
        listed = self.running.told("message", "list", person, "--as", person)["items"]
        return [each["subject"] for each in reversed(listed)]

    def raw(self, identifier: str, person: str = ALICE) -> email.message.Message:
        answer = self.running.run("message", "show", identifier, "--raw", "--as", person, json=False)
        return email.message_from_bytes(answer.stdout)

    def is_sealed(self) -> bool:
        """As every page says."""
        return self.page("/sign-in").status == 503

    def until_open(self) -> None:
        self.running.until(lambda: self._answers() and not self.is_sealed(), seconds=60)

    def until_drained(self) -> None:
        def is_over() -> bool:
            try:
                return bool(json.loads((self.data / "run" / "drain.json").read_text())["is_over"])
            except FileNotFoundError:
                return False

        self.running.until(is_over, seconds=60)

    def _answers(self) -> bool:
        try:
            self.page("/sign-in")
        except (OSError, http.client.HTTPException):
            return False
        return True

    def refusal(self, *words: str) -> Answer:
        return self.running.run(*words)

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
