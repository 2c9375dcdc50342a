"""Asks the servers of a domain, best first, for one that proves itself (RFC 5321 section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from appliance import required_proof
from appliance.delivery_plan import TlsEvidence, TlsFinding, Unreachable
from appliance.domain_policies import DomainPolicies
from appliance.mta_sts_policy import MtaStsPolicy
from appliance.mx_lookup import MailServer, MxLookup, NoMail, NoName, Servers, Whereabouts
from appliance.name_lookup import LookupFailed
from appliance.required_proof import Proof
from appliance.server_reply import Reply
from appliance.smtp_outbound import Channel, NotReached, ProvenChannel, SmtpOutbound

MAX_ADDRESSES = 4
"""Addresses of one server that are tried."""

NO_ADDRESS = "no server of the domain has an address"

Reached = ProvenChannel | TlsEvidence | Unreachable | NoMail


@dataclass
class _Search:
    """What the servers of one domain came to so far: firm findings would not change by trying again."""

    domain: str
    is_proved: bool
    policy: MtaStsPolicy | LookupFailed | None = None
    is_policy_known: bool = False
    firm: TlsEvidence | None = None
    for_now: TlsEvidence | Unreachable = field(default=Unreachable(NO_ADDRESS))

    def note(self, tried: TlsEvidence | NotReached | LookupFailed) -> None:
        """One server did not do."""
        if isinstance(tried, NotReached):
            self.for_now = Unreachable(tried.reply.line)
        elif isinstance(tried, LookupFailed):
            self.for_now = Unreachable(tried.problem)
        elif tried.finding is TlsFinding.REFUSED_FOR_NOW:
            self.for_now = tried
        else:
            self.firm = self.firm or tried


class ReceivingServers:
    """From a domain to a channel, or to what its servers failed to prove."""

    def __init__(
        self,
        lookup: MxLookup,
        outbound: SmtpOutbound,
        policies: DomainPolicies,
        *,
        public_certificate_suffices: bool,
    ) -> None:
        self._lookup = lookup
        self._outbound = outbound
        self._policies = policies
        self._public_certificate_suffices = public_certificate_suffices

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
            case Servers(servers, is_proved):
                return await self._first_proof(servers, _Search(domain, is_proved))

    async def reach_for_notice(self, domain: str) -> Channel | NotReached | NoMail:
        """A channel for a pickup notice: any server of the domain, proved or not (RFC 7435).

        In clear only where nothing that was proved says that the domain's servers encrypt.
        """
        found = await self._lookup.servers_of(domain)
        match found:
            case NoMail():
                return found
            case NoName():
                return NoMail("550 5.1.2 notices are not sent to address literals")
            case LookupFailed(problem):
                return NotReached("", Reply(0, problem))
            case Servers(servers, is_proved):
                return await self._any_channel(servers, _Search(domain, is_proved))

    async def _first_proof(
        self, servers: tuple[MailServer, ...], search: _Search
    ) -> ProvenChannel | TlsEvidence | Unreachable:
        for server in servers:
            place = await self._lookup.whereabouts_of(server, search.domain, is_proved=search.is_proved)
            if isinstance(place, LookupFailed):
                search.note(place)
                continue
            proof = await self._proof(server, place, search)
            if isinstance(proof, TlsEvidence | LookupFailed):
                search.note(proof)
                continue
            for address in place.addresses[:MAX_ADDRESSES]:
                tried = await self._outbound.open(server, address, proof=proof)
                if isinstance(tried, ProvenChannel):
                    return tried
                search.note(tried)
        return search.firm or search.for_now

    async def _proof(
        self, server: MailServer, place: Whereabouts, search: _Search
    ) -> Proof | TlsEvidence | LookupFailed:
        """What this server must show; the domain's policy is asked for at most once, and only where it decides."""
        if server.address:
            return required_proof.of_pinned(server.ca_file)
        if place.signed is not None:
            return place.signed
        policy = await self._policy(search)
        if isinstance(policy, LookupFailed):
            return policy
        return required_proof.of_found(
            server.name, policy=policy, public_certificate_suffices=self._public_certificate_suffices
        )

    async def _policy(self, search: _Search) -> MtaStsPolicy | LookupFailed | None:
        if not search.is_policy_known:
            search.policy, search.is_policy_known = await self._policies.policy_of(search.domain), True
        return search.policy

    async def _may_be_clear(self, server: MailServer, place: Whereabouts, search: _Search) -> bool:
        if server.address:
            return True
        if place.is_tls_promised:
            return False
        policy = await self._policy(search)
        return policy is None or (isinstance(policy, MtaStsPolicy) and not policy.is_binding)

    async def _any_channel(self, servers: tuple[MailServer, ...], search: _Search) -> Channel | NotReached:
        last = NotReached("", Reply(0, NO_ADDRESS))
        for server in servers:
            place = await self._lookup.whereabouts_of(server, search.domain, is_proved=search.is_proved)
            if isinstance(place, LookupFailed):
                last = NotReached(server.name, Reply(0, place.problem))
                continue
            may_be_clear = await self._may_be_clear(server, place, search)
            for address in place.addresses[:MAX_ADDRESSES]:
                tried = await self._outbound.open_for_notice(server, address, may_be_clear=may_be_clear)
                if isinstance(tried, Channel):
                    return tried
                last = tried
        return last
