"""A name server of the outside world on this machine, which says of its answers that they are proved, or not.

It stands where a validating resolver stands: what that finds forged is told here as ``fails``.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

Records = dict[tuple[str, str], list[str]]


@dataclass
class OutsideDns:
    """Names are without the last dot. ``unsigned``: domains whose answers nobody proves; ``fails``: SERVFAIL."""

    records: Records = field(default_factory=dict)
    unsigned: set[str] = field(default_factory=set)
    fails: set[tuple[str, str]] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    def has(self, name: str, kind: str, *told: str) -> None:
        """Say this from now on."""
        self.records[name, kind] = list(told)

    def answer(self, question: dns.message.Message) -> dns.message.Message:
        """The answer with whatever aliases lead to, as a resolver gives it."""
        name = question.question[0].name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.question[0].rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(question)
        response.flags |= dns.flags.RA
        chain = self._chain(name, kind)
        if any((each, kind) in self.fails for each in chain):
            response.set_rcode(dns.rcode.SERVFAIL)
            return response
        for each in chain:
            self._add(response, each, "CNAME" if (each, "CNAME") in self.records and kind != "CNAME" else kind)
        if not any(known == chain[-1] or known.endswith(f".{chain[-1]}") for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        if not any(self._is_unsigned(each) for each in chain):
            response.flags |= dns.flags.AD
        return response

    def _chain(self, name: str, kind: str) -> list[str]:
        chain = [name]
        while kind != "CNAME" and (alias := self.records.get((chain[-1], "CNAME"))) and len(chain) < 30:
            chain.append(alias[0].rstrip("."))
        return chain

    def _add(self, response: dns.message.Message, name: str, kind: str) -> None:
        if told := self.records.get((name, kind)):
            found = dns.rrset.from_text(f"{name}.", 60, "IN", kind, *told)
            if found not in response.answer:
                response.answer.append(found)

    def _is_unsigned(self, name: str) -> bool:
        return any(name == each or name.endswith(f".{each}") for each in self.unsigned)


@contextmanager
def served(outside: OutsideDns) -> Iterator[OutsideDns]:
    """Answer over UDP for the length of a test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        outside.port = listener.getsockname()[1]

        def serve() -> None:
            while True:
                data, peer = listener.recvfrom(4096)
                if not data:
                    return
                listener.sendto(outside.answer(dns.message.from_wire(data)).to_wire(), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield outside
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
                stopper.sendto(b"", ("127.0.0.1", outside.port))
            thread.join()
