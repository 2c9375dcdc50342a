"""The key agent: the one process that has the private capture keys and the seeds that sign.

It unwraps message keys for those who may ask, and signs documents that are what they should be (``signing_policy``).

It has no network, leaves no core dump, and does nothing else. Sealed it has no key at all; sealing ends the process,
and the supervisor starts a fresh one (``docs/decisions/process-model.md``).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from appliance import key_agent_pieces, key_agent_protocol, key_use
from appliance.data_directory import DataDirectory
from appliance.key_agent_connection import Connection
from appliance.key_agent_door import Door
from appliance.key_agent_followers import Followers
from appliance.key_agent_lock import Lock
from appliance.key_agent_orders import Orders
from appliance.key_agent_policy import DOORS, Allowance, Ask, Asker, Rate, as_whom, may
from appliance.key_agent_protocol import MalformedError
from appliance.key_agent_secret import given, secret_of
from appliance.key_agent_signing import Signing, SigningKeys
from appliance.key_use_record import Alarm, KeyUseRecord
from appliance.role_charge import AgentCharge, Phase, SecretPlace
from appliance.unseal_tries import TooSoonError, UnsealTries
from mailstore.errors import RefusedError, StrongroomError, WrongKeyError
from mailstore.wall_clock import SystemClock

logger = logging.getLogger(__name__)

STACK_BYTES: Final = 512 * 1024
ACCOUNT_SECONDS: Final = 60.0

Told = Mapping[str, Any]


class KeyAgent:
    """Answers whoever the supervisor gave a connection to and whoever comes to a socket, each in a thread."""

    def __init__(self, charge: AgentCharge, orders: Orders, protections: Mapping[str, bool]) -> None:
        """``protections``: what the kernel granted of what was asked of it, for ``status``."""
        self._protections = protections
        self._orders = orders
        self._doors = _doors(charge)
        self._followers = Followers()
        data = DataDirectory(Path(charge.data))
        self._tries = UnsealTries(data.unseal_tries, SystemClock())
        self._lock = Lock(data.keys, self._tries)
        self._use = KeyUseRecord(data.key_use, SystemClock())
        self._rates = {Asker(asker): Rate(*rate) for asker, rate in charge.rates.items()}
        self._allowances = {asker: Allowance.full(rate, now=time.monotonic()) for asker, rate in self._rates.items()}
        self._allowance_lock = threading.Lock()
        self._signing = Signing(self._use, SystemClock())

    def run(self, secret: SecretPlace | None) -> None:
        """Answer until the supervisor hangs up. Sealing ends the process from within."""
        threading.stack_size(STACK_BYTES)
        threading.Thread(target=self._begin, args=(secret,), daemon=True).start()
        for door in self._doors:
            threading.Thread(target=self._welcome, args=(door,), daemon=True).start()
        threading.Thread(target=self._account, daemon=True).start()
        while (told := self._orders.next()) is not None:
            self._serve(Connection(self._orders.connection(), (Asker(str(told["asker"])),)))

    def _begin(self, secret: SecretPlace | None) -> None:
        """Open with the secret that lies ready, or say that a person has to come."""
        if secret is None:
            self._enter(Phase.SEALED)
            return
        try:
            self._lock.open(secret_of(secret.kind, Path(secret.path)), channel=None)
        except StrongroomError as error:
            self._enter(Phase.SEALED, refused=key_agent_protocol.error_told(error))
        else:
            self._enter(Phase.OPEN)

    def _enter(self, phase: Phase, **more: object) -> None:
        """Say in which phase we are, to the supervisor and to all who follow."""
        self._orders.answer({"phase": phase, **more})
        self._followers.enter(phase)

    def _account(self) -> None:
        while True:
            time.sleep(ACCOUNT_SECONDS)
            self._use.write(self._lock.seed)

    def _welcome(self, door: Door) -> None:
        while True:
            connection = door.next()
            if connection is None:
                self._use.alarm(Alarm.STRANGER)
                continue
            self._serve(connection, door)

    def _serve(self, connection: Connection, door: Door | None = None) -> None:
        threading.Thread(target=self._answer_all, args=(connection, door), daemon=True).start()

    def _answer_all(self, connection: Connection, door: Door | None) -> None:
        try:
            while (question := connection.question()) is not None:
                if not connection.answer(self._answer(connection, question)):
                    break
        except MalformedError:
            logger.warning("not a question", extra={"asker": connection.askers[0]})
        finally:
            self._followers.left(connection)
            self._signing.forget(connection.draft)
            connection.socket.close()
            if door is not None:
                door.left(connection)

    def _answer(self, connection: Connection, question: Told) -> Told:
        try:
            ask = Ask(str(question.get("ask")))
        except ValueError:
            raise MalformedError("an unknown question") from None
        asker = as_whom(connection.askers, ask)
        try:
            if not may(asker, ask):
                self._use.refused(asker)
                raise RefusedError("not for you")
            return self._done(connection, asker, ask, question)
        except StrongroomError as error:
            return {"error": key_agent_protocol.error_told(error)}

    def _done(self, connection: Connection, asker: Asker, ask: Ask, question: Told) -> Told:
        told: Told = {}
        match ask:
            case Ask.OPEN:
                told = self._opened(asker, question)
            case Ask.OPEN_PIECE:
                told = self._piece_opened(asker, question)
            case Ask.SIGN:
                told = self._signing.answer(connection.draft, asker, question, self._signing_keys)
            case Ask.STATUS:
                told = self._status()
            case Ask.DEPOSIT_KEYS | Ask.WORKING_KEYS:
                handed = self._lock.keys().handed
                keys = handed.deposit_keys() if ask is Ask.DEPOSIT_KEYS else handed
                told = {"keys": keys.to_bytes().hex()}
            case Ask.UNSEAL:
                told = self._unsealed(asker, question)
            case Ask.SEAL:
                told = self._sealed(connection, asker)
            case Ask.ADVANCING:
                self._followers.advancing(str(question.get("how")))
            case Ask.FOLLOW | Ask.PREPARED | Ask.END:
                self._arranged(connection, ask)
        return told

    def _arranged(self, connection: Connection, ask: Ask) -> None:
        """What concerns no key: who follows, and what those who follow are told."""
        if ask is Ask.FOLLOW:
            self._followers.join(connection)
        elif ask is Ask.PREPARED:
            self._followers.prepared()
        else:
            logger.critical("told to end", extra={"asker": connection.askers[0]})
            self._followers.end()
            self._orders.answer({"end": True})

    def _opened(self, asker: Asker, question: Told) -> Told:
        wrapped = key_agent_protocol.wrapped_of(question)
        keys = self._lock.keys()
        self._take(asker, len(wrapped))
        return key_agent_protocol.opened_answer(keys.opener.opened(wrapped))

    def _piece_opened(self, asker: Asker, question: Told) -> Told:
        keys = self._lock.keys()
        self._take(asker, key_agent_pieces.COST_IN_KEYS)
        return key_agent_pieces.answer(keys.pieces, question)

    def _signing_keys(self) -> SigningKeys:
        keys = self._lock.keys()
        return SigningKeys(keys.signer, keys.seeds)

    def _take(self, asker: Asker, count: int) -> None:
        """Count keys against the asker's rate, and wait as long as that asks for."""
        rate = self._rates[asker]
        with self._allowance_lock:
            left, wait = self._allowances[asker].taken(count, rate, now=time.monotonic())
            self._allowances[asker] = left
        if wait:
            self._use.slowed(asker, wait)
            time.sleep(wait)
        self._use.opened(asker, count)

    def _status(self) -> Told:
        """While sealed nothing of what was done before."""
        told = {"sealed": not self._lock.is_open, "opening": self._lock.is_opening, **self._protections}
        if not self._lock.is_open:
            return told
        seeds = self._lock.keys().seeds
        return {**told, "use": self._use.told(), "publics": [key_use.public_of(seed).hex() for seed in seeds]}

    def _unsealed(self, asker: Asker, question: Told) -> Told:
        kind, content = question.get("kind"), question.get("secret")
        if not isinstance(kind, str) or not isinstance(content, str):
            raise MalformedError("a secret has a kind")
        try:
            secret = bytes.fromhex(content)
        except ValueError:
            raise MalformedError("a secret is hexadecimal") from None
        try:
            with given(kind, secret) as some:
                is_new = self._lock.open(some, channel=asker)
        except TooSoonError as error:
            return {"wait_seconds": error.seconds}
        except WrongKeyError:
            self._use.alarm(Alarm.WRONG_SECRET, asker)
            raise
        if is_new:
            logger.warning("unsealed")
            self._use.event(f"unsealed:{asker}")
            self._enter(Phase.OPEN)
        return self._status()

    def _sealed(self, connection: Connection, asker: Asker) -> Told:
        """Say so to both sides and end: nothing of a process that has ended can be read."""
        logger.warning("sealed")
        self._use.event(f"sealed:{asker}")
        self._use.write(self._lock.seed)
        self._orders.answer({"phase": Phase.SEALED, "by_hand": True})
        self._tries.note_sealing(asker)
        connection.answer({"sealed": True})
        os._exit(0)


def _doors(charge: AgentCharge) -> list[Door]:
    """Where the supervisor starts all roles only commands come to a socket, and its descendants are none."""
    supervisor = None if charge.doors else os.getppid()
    doors = [Door(socket.socket(fileno=charge.listener), (Asker.COMMAND,), supervisor)]
    return [*doors, *(Door(socket.socket(fileno=charge.doors[name]), DOORS[name]) for name in charge.doors)]
