"""What another server makes of our signatures: dkimpy, which shares no code with what signs."""

from __future__ import annotations

from collections.abc import Mapping

import dkim

from appliance.dkim_keys import DkimKey


def records_of(keys: list[DkimKey]) -> dict[str, str]:
    """The TXT records of these keys by the names that a verifier asks for."""
    return {f"{key.selector}._domainkey.{key.domain}": key.record for key in keys}


def verdicts(content: bytes, records: Mapping[str, str]) -> list[bool]:
    """For each signature, from the top, whether it verifies against these records."""

    def asked(name: bytes, timeout: int = 5) -> bytes | None:
        del timeout
        found = records.get(name.decode().rstrip("."))
        return None if found is None else found.encode()

    verifier = dkim.DKIM(content)
    count = sum(1 for name, _ in verifier.headers if name.lower() == b"dkim-signature")
    return [_verdict(content, at, asked) for at in range(count)]


def _verdict(content: bytes, at: int, asked: object) -> bool:
    try:
        return bool(dkim.DKIM(content).verify(idx=at, dnsfunc=asked))
    except dkim.DKIMException:
        return False
