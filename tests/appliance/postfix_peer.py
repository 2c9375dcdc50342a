"""Another mail server of the world: a stock Debian Postfix that proves servers by DANE and shows a key of its own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.appliance.guest import Guest

DOMAIN = "peer.example"
MX = f"mx.{DOMAIN}"
BEA = f"bea@{DOMAIN}"
PACKAGES = "postfix unbound dns-root-data openssl"
SETTINGS = {
    "myhostname": MX,
    "mydestination": f"{DOMAIN}, localhost",
    "mynetworks": "127.0.0.0/8",
    "inet_interfaces": "all",
    "inet_protocols": "ipv4",
    "home_mailbox": "Maildir/",
    "smtp_dns_support_level": "dnssec",
    "smtp_tls_security_level": "dane",
    "smtp_tls_loglevel": "1",
    "smtpd_tls_security_level": "may",
    "smtpd_tls_loglevel": "1",
    "smtpd_tls_received_header": "yes",
    "smtpd_tls_chain_files": "/etc/postfix/peer.pem",
    "maillog_file": "/var/log/postfix.log",
}
RESOLVER = """
server:
  interface: 127.0.0.1
  do-not-query-localhost: no
{anchors}
{forwards}
"""


def set_up(machine: Guest, *, anchors: Sequence[str], zones: Sequence[str], name_server: str) -> None:
    """Install it on a bare machine, with a resolver beside it that proves the zones."""
    machine.run("apt-get -qq update")
    machine.run(f"DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends {PACKAGES}")
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30"
    machine.run(f"umask 077; {made} -subj /CN={MX} -keyout /tmp/key -out /tmp/certificate 2>/dev/null")
    machine.run("umask 077; cat /tmp/key /tmp/certificate > /etc/postfix/peer.pem")
    told = RESOLVER.format(
        anchors="\n".join(f'  trust-anchor: "{anchor}"' for anchor in anchors),
        forwards="\n".join(f'forward-zone:\n  name: "{zone}"\n  forward-addr: {name_server}' for zone in zones),
    )
    machine.run("cat > /etc/unbound/unbound.conf.d/peer.conf", given=told)
    machine.run("systemctl restart unbound")
    machine.run("printf 'nameserver 127.0.0.1\\noptions edns0 trust-ad\\n' > /etc/resolv.conf")
    words = " ".join(f"'{key}={value}'" for key, value in SETTINGS.items())
    machine.run(f"postconf -e {words} && useradd --create-home --shell /bin/bash bea && systemctl restart postfix")


def key_digest(machine: Guest) -> str:
    """What a TLSA record ``3 1 1`` for it says."""
    made = x509.load_pem_x509_certificate(machine.said("cat /tmp/certificate").encode())
    key = made.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def send(machine: Guest, recipient: str, *, subject: str, text: str) -> None:
    """Bea writes a letter."""
    letter = f"From: {BEA}\nTo: {recipient}\nSubject: {subject}\n\n{text}\n"
    machine.run(f"sendmail -f {BEA} {recipient}", given=letter)


def log(machine: Guest, wanted: str, *, seconds: float = 60) -> str:
    """What it wrote down, as soon as the words are in it."""
    return _awaited(machine, "cat /var/log/postfix.log", wanted, seconds)


def letters(machine: Guest, wanted: str, *, seconds: float = 60) -> str:
    """What Bea has, as soon as the words are in it."""
    return _awaited(machine, "cat ~bea/Maildir/new/* 2>/dev/null || true", wanted, seconds)


def _awaited(machine: Guest, command: str, wanted: str, seconds: float) -> str:
    end = time.monotonic() + seconds
    while wanted not in (said := machine.run(command, check=False).stdout):
        assert time.monotonic() < end, f"{wanted!r} is not in:\n{said[-3000:]}"
        time.sleep(0.5)
    return said
