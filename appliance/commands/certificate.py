"""``strongroom certificate``: what a certificate of disposal is worth."""

from __future__ import annotations

from pathlib import Path

from appliance import given_file
from appliance.command_call import Call, Outcome
from archive import key_succession, verify_certificate
from archive.certification import PUBLIC_KEY_FILE
from mailstore.errors import RefusedError


def verify(call: Call) -> Outcome:
    """Check a certificate against the key in the data directory, or the one that lies beside it.

    Exit 1 when it is not valid. The verifier is the one that a stranger runs without any of us.
    """
    path = Path(call.arguments.file)
    certificate = given_file.document_in(str(path)).encode()
    key = _key_file(call, path)
    given = key.read_bytes()
    signer = key_succession.signer_of(certificate, key_succession.keys(key.parent, given), otherwise=given)
    problems = verify_certificate.problems_of(certificate, signer)
    fields = {"valid": not problems, "problems": problems, "public_key": str(key)}
    text = "The certificate is valid." if not problems else "Not valid:\n" + "\n".join(f"  {each}" for each in problems)
    return Outcome(fields, text, exit_code=1 if problems else 0)


def _key_file(call: Call, path: Path) -> Path:
    """Our own key comes first: whoever forges a certificate can lay a key beside it."""
    ours = call.data.certificates / PUBLIC_KEY_FILE if call.data_path else None
    if ours is not None and ours.exists():
        return ours
    if found := sorted(path.parent.glob("*.pem")):
        return found[0]
    raise RefusedError("there is no verifying key", fix="name the data directory, or lay the key (*.pem) beside it")
