"""The keys of many messages at once: the same answers as one by one, and one that is damaged hides no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mailstore.errors import DestroyedError, NotFoundError
from mailstore.key_opener import CaptureOpener, OpenedKey
from mailstore.keystore import WrappedKey
from mailstore.message import MessageId
from mailstore.message_keys import MessageKeys
from tests.vault_room import NOW, RING, Vault, a_deposit


class CountingOpener(CaptureOpener):
    """A real opener that tells how often it was asked."""

    asked = 0

    def opened(self, wrapped: Sequence[WrappedKey]) -> list[OpenedKey]:
        self.asked += 1
        return super().opened(wrapped)


def test_many_keys_are_one_question_and_what_is_gone_hides_no_other(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault")
    first, second, gone = (vault.deposit(a_deposit(b"%d" % number))[0] for number in range(3))
    vault.keystore.destroy([gone], at=NOW)
    unknown = MessageId("z" * 26)
    opener = CountingOpener(*RING.captures)
    keys = MessageKeys(vault.keystore, opener)
    found = keys.keys([first, gone, unknown, second])
    assert opener.asked == 1
    assert (found[first], found[second]) == (keys.key(first), keys.key(second))
    assert isinstance(found[gone], DestroyedError)
    assert isinstance(found[unknown], NotFoundError)
