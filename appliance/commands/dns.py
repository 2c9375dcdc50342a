"""``strongroom dns``: what the practice publishes of itself, and the keys behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from appliance import (
    command_access,
    dkim_wiring,
    dns_comparison,
    dns_health,
    dns_records,
    dns_wiring,
    front_door_wiring,
    published_names,
    tls_certificates,
)
from appliance.command_call import Call, Outcome, facts, listed, table
from appliance.dkim_keys import PREPARE, DkimKey, KeyState, NewPair
from appliance.dns_records import PublishedKey, PublishedNames, Purpose
from appliance.health_finding import State
from appliance.name_lookup import NameLookup
from appliance.wiring import Appliance
from mailstore.errors import RefusedError

_KEY_COLUMNS = ("selector", "algorithm", "state", "signs_since", "published_until")


def records(call: Call) -> Outcome:
    """Every record to publish: a table for people, or with ``--zone`` lines for a zone file."""
    with command_access.opened(call) as appliance:
        names = dns_wiring.names(appliance)
    published = dns_records.records(names)
    items = [
        {
            "purpose": record.purpose.value,
            "name": record.name,
            "type": record.kind,
            "value": record.value,
            "zone": record.zone_line,
            "says": record.says,
            "is_needed": record.is_needed,
        }
        for record in published
    ]
    fields = {"domain": names.domain, "items": items, "total": len(items)}
    if call.arguments.zone:
        return Outcome(fields, dns_records.zone_text(published).rstrip("\n"))
    return Outcome(fields, f"{table(items, ('purpose', 'name', 'type', 'value'))}\n\n{_remarks(names)}")


def _remarks(names: PublishedNames) -> str:
    told = ["Whole, for a zone file: strongroom dns records --zone"]
    if not names.addresses:
        hosts = " and ".join(dict.fromkeys((names.mx_host, names.portal_host)))
        told.append(f"Beside these: the address that strangers reach this machine by, for {hosts}; and its name.")
    return "\n".join(told)


def dkim_list(call: Call) -> Outcome:
    """Every key that signs, shall sign, or signed."""
    with command_access.opened(call) as appliance:
        return _listed(dns_wiring.dkim_keys(appliance))


def dkim_prepare(call: Call) -> Outcome:
    """Make a pair that signs nothing yet."""
    pair = NewPair.made()
    with command_access.opened(call) as appliance:
        keys, domain = dkim_wiring.keys_of(appliance.ring), appliance.settings.practice.domain
        with appliance.database.write() as connection:
            made = keys.prepare(connection, domain, pair, actor="system", now=call.clock.now())
    outcome = _listed(made)
    return Outcome(outcome.fields, f"{outcome.text}\n\nPublish them, then: strongroom dns dkim activate")


def dkim_activate(call: Call) -> Outcome:
    """Let the prepared pair sign. Refused while the DNS does not show both records to us."""
    with command_access.opened(call) as appliance:
        if not call.arguments.unseen:
            _require_published(appliance)
        keys, domain = dkim_wiring.keys_of(appliance.ring), appliance.settings.practice.domain
        with appliance.database.write() as connection:
            signing = keys.activate(connection, domain, actor="system", now=call.clock.now())
    return _listed(signing)


def _require_published(appliance: Appliance) -> None:
    """``RefusedError`` naming what does not stand in the DNS: mail would be signed by keys that nobody finds."""
    prepared = [key for key in dns_wiring.dkim_keys(appliance) if key.state is KeyState.PREPARED]
    if not prepared:
        raise RefusedError("no keys are prepared", fix=PREPARE)
    dkim = tuple(PublishedKey(key.selector, key.record) for key in prepared)
    names = published_names.offered(appliance.settings, dkim=dkim)
    found = dns_health.asked(names, NameLookup(dns_health.lookup_settings(appliance.settings)))
    told = {finding.check: finding for finding in dns_comparison.findings(names, found)}
    finding = told.get(f"dns {Purpose.DKIM}") or told["dns"]
    if finding.state is not State.OK:
        fix = f"{finding.fix}; or say --unseen"
        raise RefusedError(f"the DNS does not show the keys: {finding.message}", fix=fix)


def tlsa_prepare(call: Call) -> Outcome:
    """Make the key of a later certificate."""
    tls = call.data.tls
    path = tls_certificates.prepare_next_key(tls)
    names = published_names.offered(front_door_wiring.settings_of(call.data), tlsa=tls_certificates.key_digests(tls))
    published = [record for record in dns_records.records(names) if record.purpose is Purpose.TLSA]
    fields = {"path": str(path), "name": published[0].name, "values": [record.value for record in published]}
    return Outcome(fields, facts(fields))


def _listed(keys: Sequence[DkimKey]) -> Outcome:
    return listed([_told(key) for key in keys], _KEY_COLUMNS)


def _told(key: DkimKey) -> dict[str, Any]:
    return {
        "selector": key.selector,
        "algorithm": key.algorithm.value,
        "state": key.state.value,
        "name": f"{key.selector}._domainkey.{key.domain}",
        "value": key.record,
        "made_at": key.made_at,
        "signs_since": key.signs_since,
        "published_until": key.published_until,
    }
