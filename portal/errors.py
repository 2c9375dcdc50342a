"""Core: what can go wrong on the portal's floor."""

from __future__ import annotations

from mailstore.errors import RefusedError


class NotSignedInError(RefusedError):
    """This page needs a person who has shown every factor; the visitor has not. The answer is the sign-in page."""

    code = "not_signed_in"


class StepMissingError(RefusedError):
    """The visitor is in the middle of signing in and asked for a later step."""

    code = "step_missing"


class ForbiddenError(RefusedError):
    """A signed-in person asked for what their role or their part in the message does not allow."""

    code = "forbidden"


class ForgedFormError(RefusedError):
    """A form arrived without the token of the session that it claims to come from."""

    code = "forged_form"


class UnknownHostError(RefusedError):
    """The Host header names a site that we are not."""

    code = "unknown_host"


class TooManyTriesError(RefusedError):
    """Wrong answers came too often; the wait is in ``seconds``."""

    code = "too_many_tries"

    def __init__(self, seconds: int) -> None:
        super().__init__("too many tries", fix=f"Wait {seconds} seconds, then try again.")
        self.seconds = seconds
