"""Certificates that were issued, for those who keep records: the document, its picture, and what it is worth."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from archive import disposal_records, key_succession, verify_certificate
from archive.certification import PUBLIC_KEY_FILE
from archive.two_persons import KEEPERS, require_role
from mailstore.actor import Actor
from mailstore.database import Database
from mailstore.errors import NotFoundError


@dataclass(frozen=True)
class IssuedCertificate:
    """One certificate: ``document`` is the very JSON that was signed."""

    id: str
    document: bytes = field(repr=False)


class Certificates:
    """Hands out certificates. They name the staff who took the steps, and no message by more than its digest."""

    def __init__(self, *, database: Database, public_key: bytes, directory: Path) -> None:
        """``public_key``: in PEM. ``directory``: where certificates lie, and beside them which key took whose place."""
        self._database = database
        self._directory = directory
        self._public_key = public_key

    def of(self, actor: Actor, disposal: str) -> IssuedCertificate:
        """The certificate of a disposal. Raises ``NotFoundError`` when none was issued."""
        require_role(actor, KEEPERS)
        with self._database.read() as connection:
            found = disposal_records.certificate_of(connection, disposal)
        if found is None:
            raise NotFoundError("no certificate was issued for this disposal")
        return IssuedCertificate(found.id, found.document)

    def key_of(self, actor: Actor, disposal: str) -> bytes:
        """The key to check the certificate of a disposal with, as PEM: the one that signed it, though renewed since.

        It is no secret. That an older key was ours says ``succession.json``.
        """
        return self._signer_of(self.of(actor, disposal).document)

    def picture(self, actor: Actor, disposal: str) -> bytes:
        """The certificate for people, as PDF."""
        from archive.certificate_pdf import certificate_pdf  # noqa: PLC0415 - fonts and all, 25 MB that no other step needs

        return certificate_pdf(self.of(actor, disposal).document)

    def problems_in(self, directory: Path) -> tuple[int, list[str]]:
        """How many were issued, and which files in the directory are not what was issued."""
        with self._database.read() as connection:
            disposals = [record.id for record in disposal_records.all_disposals(connection)]
            found = [disposal_records.certificate_of(connection, disposal) for disposal in disposals]
        issued = {f"{each.id}.json": each.document for each in found if each is not None}
        changed = [name for name, content in issued.items() if _content(directory / name) != content]
        if issued and _content(directory / PUBLIC_KEY_FILE) not in self._keys():
            changed.append(PUBLIC_KEY_FILE)
        return len(issued), [f"certificates/{name} is not what was issued" for name in changed]

    def problems(self, actor: Actor, disposal: str) -> tuple[str, ...]:
        """What the stand-alone verifier says against the certificate; nothing when it is valid."""
        document = self.of(actor, disposal).document
        return tuple(verify_certificate.problems_of(document, self._signer_of(document)))

    def _signer_of(self, document: bytes) -> bytes:
        return key_succession.signer_of(document, self._keys(), otherwise=self._public_key)

    def _keys(self) -> tuple[bytes, ...]:
        """Ours, and those before it."""
        return key_succession.keys(self._directory, self._public_key)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
