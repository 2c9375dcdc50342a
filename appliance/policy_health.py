"""What the doctor says about the policy that others read before they send to us: fetched as they fetch it.

From this machine, at our own door: whether the name leads here is what the lines about the DNS say.
"""

from __future__ import annotations

import http.client
import ssl
from typing import Final

from appliance import dns_records, mending_words, port_health, process_file, tls_health
from appliance.dns_records import PublishedNames
from appliance.health_finding import Seen, State
from appliance.published_files import POLICY_PATH
from appliance.wiring import Appliance

_LONGEST: Final = 65_536
"""RFC 8461 section 3.3: nobody has to read more than this."""

_ASKED: Final = f"GET {POLICY_PATH} HTTP/1.1\r\nHost: %b\r\nConnection: close\r\n\r\n"


def served(appliance: Appliance, names: PublishedNames) -> Seen:
    """The policy, under its name, with a certificate that others can prove for it (RFC 8461 section 3.3)."""
    host, data = names.policy_host, appliance.data
    bad = State.FAIL if names.mta_sts_mode == "enforce" else State.WARN
    fix = f"once {host} is in the DNS: {tls_health.from_public_authority(data.tls)}; it has to be for {host} too"
    if process_file.holder(data) is None:
        return State.OFF, "no serve runs here that could show it", ""
    try:
        status, text = _fetched(appliance, host)
    except ssl.SSLCertVerificationError as error:
        return bad, f"nobody can fetch it from {host}: {error.verify_message}", fix
    except (OSError, http.client.HTTPException) as error:
        fix = f"run: {mending_words.restart(data)}; if it stays, see {data.log / 'mail.log'}"
        return bad, f"{host} does not answer here: {type(error).__name__}", fix
    if status != http.client.OK or text != dns_records.policy_text(names).encode():
        return bad, f"{host} shows another policy than the settings say", f"run: {mending_words.restart(data)}"
    if tls_health.is_of_own_authority(data.tls):
        return bad, f"nobody else can prove the certificate of {host}: the practice's own authority signed it", fix
    return State.OK, f"{host} shows it ({names.mta_sts_mode})", ""


def _fetched(appliance: Appliance, host: str) -> tuple[int, bytes]:
    with port_health.spoken_to(appliance.data, appliance.settings, "portal", host) as secured:
        secured.sendall(_ASKED.encode() % host.encode())
        answer = http.client.HTTPResponse(secured)
        answer.begin()
        return answer.status, answer.read(_LONGEST)
