"""The key agent: the one process that has the private capture keys. It unwraps message keys for those who may ask.

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

from appliance import key_agent_pieces, key_agent_protocol, key_agent_socket, key_use
from appliance.data_directory import DataDirectory
from appliance.key_agent_connection import Connection
from appliance.key_agent_lock import Lock
from appliance.key_agent_orders import Orders
from appliance.key_agent_policy import Allowance, Ask, Asker, Rate, may
from appliance.key_agent_protocol import MalformedError
from appliance.key_agent_secret import given, secret_of
from appliance.key_use_record import Alarm, KeyUseRecord
from appliance.role_charge import AgentCharge, Phase, SecretPlace
from appliance.unseal_tries import TooSoonError, UnsealTries
from mailstore.errors import RefusedError, StrongroomError, WrongKeyError
from mailstore.wall_clock import SystemClock

logger = logging.getLogger(__name__)

MOST_COMMANDS: Final = 64
"""Connections of commands at a time. One more, and the one that has been quiet longest ends; it may come again."""

STACK_BYTES: Final = 512 * 1024
ACCOUNT_SECONDS: Final = 60.0

Told = Mapping[str, Any]


class KeyAgent:
    """Answers whoever the supervisor gave a connection to and whoever comes to the socket, each in a thread."""

    def __init__(self, charge: AgentCharge, orders: Orders, protections: Mapping[str, bool]) -> None:
        """``protections``: what the kernel granted of what was asked of it, for ``status``."""
        self._protections = protections
        self._orders = orders
        self._supervisor = os.getppid()
        self._listener = socket.socket(fileno=charge.listener)
        data = DataDirectory(Path(charge.data))
        self._tries = UnsealTries(data.unseal_tries, SystemClock())
        self._lock = Lock(data.keys, self._tries)
        self._use = KeyUseRecord(data.key_use, SystemClock())
        self._rates = {Asker(asker): Rate(*rate) for asker, rate in charge.rates.items()}
        self._allowances = {asker: Allowance.full(rate, now=time.monotonic()) for asker, rate in self._rates.items()}
        self._allowance_lock = threading.Lock()
        self._commands: list[Connection] = []

    def run(self, secret: SecretPlace | None) -> None:
        """Answer until the supervisor hangs up. Sealing ends the process from within."""
        threading.stack_size(STACK_BYTES)
        threading.Thread(target=self._begin, args=(secret,), daemon=True).start()
        threading.Thread(target=self._welcome, daemon=True).start()
        threading.Thread(target=self._account, daemon=True).start()
        while (told := self._orders.next()) is not None:
            self._serve(Connection(self._orders.connection(), Asker(str(told["asker"]))))

    def _begin(self, secret: SecretPlace | None) -> None:
        """Open with the secret that lies ready, or say that a person has to come."""
        if secret is None:
            self._orders.answer({"phase": Phase.SEALED})
            return
        try:
            self._lock.open(secret_of(secret.kind, Path(secret.path)), channel=None)
        except StrongroomError as error:
            self._orders.answer({"phase": Phase.SEALED, "refused": key_agent_protocol.error_told(error)})
        else:
            self._orders.answer({"phase": Phase.OPEN})

    def _account(self) -> None:
        while True:
            time.sleep(ACCOUNT_SECONDS)
            self._use.write(self._lock.seed)

    def _welcome(self) -> None:
        while True:
            peer, _address = self._listener.accept()
            who = key_agent_socket.asker(peer, supervisor=self._supervisor)
            if who is None:
                self._use.alarm(Alarm.STRANGER)
                peer.close()
                continue
            if len(self._commands) >= MOST_COMMANDS:
                quietest = min(self._commands, key=lambda each: each.heard_at)
                self._commands.remove(quietest)
                quietest.hang_up()
            connection = Connection(peer, who)
            self._commands.append(connection)
            self._serve(connection)

    def _serve(self, connection: Connection) -> None:
        threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection: Connection) -> None:
        try:
            while (question := connection.question()) is not None:
                if not connection.answer(self._answer(connection, question)):
                    break
        except MalformedError:
            logger.warning("not a question", extra={"asker": connection.asker})
        finally:
            connection.socket.close()
            if connection in self._commands:
                self._commands.remove(connection)

    def _answer(self, connection: Connection, question: Told) -> Told:
        asker = connection.asker
        try:
            ask = Ask(str(question.get("ask")))
        except ValueError:
            raise MalformedError("an unknown question") from None
        try:
            if not may(asker, ask):
                self._use.refused(asker)
                raise RefusedError("not for you")
            return self._done(connection, ask, question)
        except StrongroomError as error:
            return {"error": key_agent_protocol.error_told(error)}

    def _done(self, connection: Connection, ask: Ask, question: Told) -> Told:
        match ask:
            case Ask.OPEN:
                return self._opened(connection.asker, question)
            case Ask.OPEN_PIECE:
                return self._piece_opened(connection.asker, question)
            case Ask.STATUS:
                return self._status()
            case Ask.DEPOSIT_KEYS | Ask.WORKING_KEYS:
                handed = self._lock.keys().handed
                keys = handed.deposit_keys() if ask is Ask.DEPOSIT_KEYS else handed
                return {"keys": keys.to_bytes().hex()}
            case Ask.UNSEAL:
                return self._unsealed(connection.asker, question)
            case Ask.SEAL:
                return self._sealed(connection)

    def _opened(self, asker: Asker, question: Told) -> Told:
        wrapped = key_agent_protocol.wrapped_of(question)
        keys = self._lock.keys()
        self._take(asker, len(wrapped))
        return key_agent_protocol.opened_answer(keys.opener.opened(wrapped))

    def _piece_opened(self, asker: Asker, question: Told) -> Told:
        keys = self._lock.keys()
        self._take(asker, key_agent_pieces.COST_IN_KEYS)
        return key_agent_pieces.answer(keys.pieces, question)

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
            self._orders.answer({"phase": Phase.OPEN})
        return self._status()

    def _sealed(self, connection: Connection) -> Told:
        """Say so to both sides and end: nothing of a process that has ended can be read."""
        logger.warning("sealed")
        self._use.event(f"sealed:{connection.asker}")
        self._use.write(self._lock.seed)
        self._orders.answer({"phase": Phase.SEALED, "by_hand": True})
        self._tries.note_sealing(connection.asker)
        connection.answer({"sealed": True})
        os._exit(0)
