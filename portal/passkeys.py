"""Passkeys (WebAuthn level 3): discoverable, with user verification, so that one touch is two factors.

A challenge is one session's and is used once; the relying party is the host of the portal and
nothing else, so a look-alike site gets an answer that is worth nothing here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from webauthn import (
    base64url_to_bytes,
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from portal.account_records import Account, PasskeyCredential
from portal.passkey_challenge import LONGEST_ANSWER
from portal.settings import PortalSettings

CHALLENGE_BYTES = 32


@dataclass(frozen=True)
class NewPasskey:
    """What a device registered."""

    credential_id: bytes = field(repr=False)
    public_key: bytes = field(repr=False)
    sign_count: int


def registration_options(
    settings: PortalSettings, account: Account, known: Sequence[PasskeyCredential], challenge: bytes
) -> str:
    """What the browser is told to make a new passkey, as JSON."""
    options = generate_registration_options(
        rp_id=settings.host,
        rp_name=settings.practice,
        user_name=account.person.email,
        user_display_name=account.person.name,
        user_id=account.id.encode(),
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=passkey.credential_id) for passkey in known],
    )
    return options_to_json(options)


def registered(settings: PortalSettings, answer: str, challenge: bytes) -> NewPasskey | None:
    """The passkey in the browser's answer, or None when anything about it is wrong."""
    if len(answer) > LONGEST_ANSWER:
        return None
    try:
        verified = verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=settings.host,
            expected_origin=settings.origin.rstrip("/"),
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError):
        return None
    return NewPasskey(verified.credential_id, verified.credential_public_key, verified.sign_count)


def sign_in_options(settings: PortalSettings, challenge: bytes) -> str:
    """What the browser is told to find a passkey for us, as JSON. It names no account, so it betrays none."""
    options = generate_authentication_options(
        rp_id=settings.host, challenge=challenge, user_verification=UserVerificationRequirement.REQUIRED
    )
    return options_to_json(options)


def credential_id_of(answer: str) -> bytes | None:
    """Which passkey an answer claims to come from."""
    if len(answer) > LONGEST_ANSWER:
        return None
    try:
        return base64url_to_bytes(str(json.loads(answer)["rawId"]))
    except (ValueError, KeyError, TypeError):
        return None


def verified_count(settings: PortalSettings, answer: str, challenge: bytes, passkey: PasskeyCredential) -> int | None:
    """The new signature count when ``passkey`` signed this challenge for this site, or None."""
    try:
        verified = verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=settings.host,
            expected_origin=settings.origin.rstrip("/"),
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError):
        return None
    return verified.new_sign_count
