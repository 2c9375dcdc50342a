"""Core: what every answer says to the browser, and the stricter word for the frame that shows a stranger's HTML."""

from __future__ import annotations

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""No inline script or style, nothing from elsewhere, no frame around us (CSP Level 3)."""

FRAME_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
"""For the document inside a message frame: no script, no network, an origin of its own."""

ALWAYS = {
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
    "X-Frame-Options": "DENY",
}

PERSONAL = {"Cache-Control": "no-store", "Vary": "HX-Request, Cookie"}
"""For every page but static files: the back button after signing out shows nothing (RFC 9111 section 5.2.2.5)."""

LASTING = {"Cache-Control": "public, max-age=86400"}
"""For the style sheet and scripts, which are the same for everybody."""


def for_page() -> dict[str, str]:
    """Headers of an ordinary page."""
    return {**ALWAYS, **PERSONAL, "Content-Security-Policy": CONTENT_SECURITY_POLICY}


def for_frame() -> dict[str, str]:
    """Headers of the document inside a message frame, which only our own pages may embed."""
    return {**ALWAYS, **PERSONAL, "Content-Security-Policy": FRAME_POLICY, "X-Frame-Options": "SAMEORIGIN"}


def for_download() -> dict[str, str]:
    """Headers of an attachment: never shown in our origin."""
    return {**ALWAYS, **PERSONAL, "Content-Security-Policy": "default-src 'none'; sandbox"}


def for_file() -> dict[str, str]:
    """Headers of a file that strangers' programs ask for, and that may be another one tomorrow."""
    return {**ALWAYS, "Cache-Control": "no-cache", "Content-Security-Policy": "default-src 'none'"}


def for_asset() -> dict[str, str]:
    """Headers of a static file."""
    return {**ALWAYS, **LASTING, "Content-Security-Policy": "default-src 'none'"}
