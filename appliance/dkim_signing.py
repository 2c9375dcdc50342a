"""Signs every message that leaves, in the worker, just before it is handed to another server.

The copy that travels is signed, never what is kept. Keys are opened once and again when others sign; which ones do is
asked for every message, so that a change needs no restart.
"""

from __future__ import annotations

from dataclasses import replace

from appliance import dkim_signature
from appliance.dkim_keys import DkimKeys
from appliance.dkim_signature import SigningKey
from appliance.relayed_message import RelayedMessage
from mailstore.database import Database
from mailstore.errors import RefusedError
from mailstore.wall_clock import Clock


class DkimSigning:
    """Signatures of one domain: that of the practice, from which all mail is that leaves (RFC 7489 section 3.1)."""

    def __init__(self, database: Database, keys: DkimKeys, *, domain: str, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._domain = domain
        self._clock = clock
        self._opened: tuple[tuple[str, ...], tuple[SigningKey, ...]] = ((), ())

    def signed(self, message: RelayedMessage) -> RelayedMessage:
        """The message with a signature of each key in front. Without a key nothing leaves: ``RefusedError``."""
        fields = dkim_signature.signature_fields(message.content, self._signing(), now=self._clock.now())
        return replace(message, content=fields + message.content)

    def _signing(self) -> tuple[SigningKey, ...]:
        with self._database.read() as connection:
            ids = self._keys.signing_ids(connection, self._domain)
            if not ids:
                raise RefusedError("there is no key to sign mail with", fix="start serve again: it makes one")
            known, opened = self._opened
            if known != ids:
                opened = tuple(self._keys.signing(connection, self._domain))
                self._opened = (ids, opened)
        return opened
