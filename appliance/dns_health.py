"""The doctor's lines about the DNS: every record is asked for and held against what should stand there."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from appliance import birth_record, dns_comparison, dns_wiring, policy_health
from appliance.dns_comparison import Question, Standing
from appliance.dns_records import PublishedNames
from appliance.health_finding import Finding, State, guarded
from appliance.name_lookup import LookupFailed, LookupSettings, NameLookup
from appliance.settings import Settings
from appliance.wiring import Appliance
from mailstore.errors import StrongroomError

POLICY_CHECK = "dns policy"
SECONDS_AT_MOST = 5.0
"""For one question. All are asked at once, and those for names of addresses after them."""


def findings(appliance: Appliance) -> list[Finding]:
    """One line for each purpose of records; a practice that nobody looks for in the DNS has one that says so."""
    try:
        return _findings(appliance)
    except StrongroomError as error:
        return [Finding("dns", State.FAIL, error.message, error.fix, is_unknown=True)]


def _findings(appliance: Appliance) -> list[Finding]:
    settings = appliance.settings
    if birth_record.unverified(appliance.data.birth_record).is_loopback:
        return [Finding("dns", State.OFF, "a practice on 127.0.0.1 is not in the DNS")]
    if not settings.dns.is_public:
        return [Finding("dns", State.OFF, "the settings say that the practice is not in the DNS")]
    names = dns_wiring.names(appliance)
    found = dns_comparison.findings(names, asked(names, NameLookup(lookup_settings(settings))))
    return [*found, guarded(POLICY_CHECK, lambda: policy_health.served(appliance, names))]


def lookup_settings(settings: Settings) -> LookupSettings:
    """Whom to ask: the validating resolver of the settings, else those of the machine."""
    resolver = settings.dns.validating_resolver
    return LookupSettings(
        own_name=settings.mx_host,
        seconds=SECONDS_AT_MOST,
        nameservers=(resolver,) if resolver else (),
        nameserver_port=settings.dns.validating_resolver_port,
        proves=bool(resolver),
    )


def asked(names: PublishedNames, lookup: NameLookup) -> dict[Question, Standing]:
    """What the DNS says to every question there is. Takes ``2 * SECONDS_AT_MOST`` at the most."""
    return asyncio.run(_asked(names, lookup))


async def _asked(names: PublishedNames, lookup: NameLookup) -> dict[Question, Standing]:
    found = await _answers(dns_comparison.questions(names), lookup)
    return found | await _answers(dns_comparison.reverse_questions(names, found), lookup)


async def _answers(questions: Sequence[Question], lookup: NameLookup) -> dict[Question, Standing]:
    answers = await asyncio.gather(*(_standing(question, lookup) for question in questions))
    return dict(zip(questions, answers, strict=True))


async def _standing(question: Question, lookup: NameLookup) -> Standing:
    name, kind = question
    answer = await lookup.ask(name, kind)
    if isinstance(answer, LookupFailed):
        return Standing(problem=answer.problem)
    return Standing(tuple(_told(record, kind) for record in answer.records), is_proved=answer.is_proved)


def _told(record: Any, kind: str) -> str:
    """A record as ``Standing`` has it."""
    if kind == "TXT":
        return b"".join(record.strings).decode("utf-8", "replace")
    return str(record.to_text()).lower()
