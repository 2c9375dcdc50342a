"""Asks the servers of a domain, best first, for one that proves itself (RFC 5321 section 5.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator

from appliance.delivery_plan import TlsEvidence, TlsFinding, Unreachable
from appliance.mx_lookup import LookupFailed, MailServer, MxLookup, NoMail, NoName, Servers
from appliance.server_reply import Reply
from appliance.smtp_outbound import Channel, NotReached, ProvenChannel, SmtpOutbound

MAX_ADDRESSES = 4
"""Addresses of one server that are tried."""

Reached = ProvenChannel | TlsEvidence | Unreachable | NoMail


class ReceivingServers:
    """From a domain to a channel, or to what its servers failed to prove."""

    def __init__(self, lookup: MxLookup, outbound: SmtpOutbound) -> None:
        self._lookup = lookup
        self._outbound = outbound

    async def reach(self, domain: str) -> Reached:
        """A channel to the first server that proves itself.

        Otherwise the first firm finding, because trying again would not change it; otherwise why nobody could
        be asked. Raises ``StorageUnavailableError`` when our own trust store cannot be read.
        """
        found = await self._lookup.servers_of(domain)
        match found:
            case NoMail():
                return found
            case NoName():
                return TlsEvidence(domain, TlsFinding.NO_NAME)
            case LookupFailed(problem):
                return Unreachable(problem)
            case Servers(servers):
                return await self._first_proof(servers)

    async def reach_for_notice(self, domain: str) -> Channel | NotReached | NoMail:
        """A channel for a pickup notice: any server of the domain, proved or not (RFC 7435)."""
        found = await self._lookup.servers_of(domain)
        match found:
            case NoMail():
                return found
            case NoName():
                return NoMail("550 5.1.2 notices are not sent to address literals")
            case LookupFailed(problem):
                return NotReached("", Reply(0, problem))
            case Servers(servers):
                return await self._any_channel(servers)

    async def _first_proof(self, servers: tuple[MailServer, ...]) -> ProvenChannel | TlsEvidence | Unreachable:
        firm: TlsEvidence | None = None
        for_now: TlsEvidence | Unreachable = Unreachable("no server of the domain has an address")
        async for server, address in self._addresses(servers):
            tried = await self._outbound.open(server, address)
            if isinstance(tried, ProvenChannel):
                return tried
            if isinstance(tried, NotReached):
                for_now = Unreachable(tried.reply.line)
            elif tried.finding is TlsFinding.REFUSED_FOR_NOW:
                for_now = tried
            else:
                firm = firm or tried
        return firm or for_now

    async def _any_channel(self, servers: tuple[MailServer, ...]) -> Channel | NotReached:
        last = NotReached("", Reply(0, "no server of the domain has an address"))
        async for server, address in self._addresses(servers):
            tried = await self._outbound.open_for_notice(server, address)
            if isinstance(tried, Channel):
                return tried
            last = tried
        return last

    async def _addresses(self, servers: tuple[MailServer, ...]) -> AsyncIterator[tuple[MailServer, str]]:
        for server in servers:
            for address in (await self._lookup.addresses_of(server))[:MAX_ADDRESSES]:
                yield server, address
