"""Core: what stands in the DNS, held against what should: a finding a purpose, naming every record that is wrong.

Fails what makes mail get lost or refused; warns of what only makes it worse. What could not be asked is a warning: it
says nothing about the records, and a closed network must not look broken.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from appliance import dkim_signature, mta_sts_policy
from appliance.dns_records import ASK_THE_PROVIDER, DnsRecord, PublishedNames, Purpose, records
from appliance.health_finding import Finding, State

_STRICTNESS: Final = ("none", "quarantine", "reject")
_WORST_FIRST: Final = (State.FAIL, State.WARN, State.OK, State.OFF)
ADDRESS_KINDS: Final = ("A", "AAAA")

REACH_IT: Final = (
    "run: sudo systemctl status unbound, and let port 53 out; a single name that is not answered is mended in its zone"
)
"""What to do where a question was not answered."""

Question = tuple[str, str]
"""A whole name without its last dot, and the kind of record."""


@dataclass(frozen=True)
class Standing:
    """What the DNS says to one question: TXT records in one piece, others as zone files have them, in lower case.

    ``problem`` says why there is no answer; ``is_proved`` that a resolver of ours proved it (DNSSEC).
    """

    values: tuple[str, ...] = ()
    is_proved: bool = False
    problem: str = ""


Standings = Mapping[Question, Standing]


@dataclass(frozen=True)
class _Point:
    """One thing that was looked at. ``should`` are the lines of the zone that mend it; ``is_unknown``: not answered."""

    state: State
    told: str
    should: tuple[str, ...] = field(default=())
    is_unknown: bool = False


def questions(names: PublishedNames) -> tuple[Question, ...]:
    """All that has to be asked first; an alias is looked at by where it leads."""
    hosts = (names.mx_host, *names.hosts)
    told = [(record.name, record.kind) for record in records(names) if record.kind not in {"CNAME", "PTR"}]
    return tuple(dict.fromkeys([*told, *((host, kind) for host in hosts for kind in ADDRESS_KINDS)]))


def reverse_questions(names: PublishedNames, found: Standings) -> tuple[Question, ...]:
    """The names of our addresses: of those that we know of and of those that the DNS gives our mail server."""
    addresses = dict.fromkeys([*names.addresses, *_addresses(names.mx_host, found)])
    return tuple((ipaddress.ip_address(address).reverse_pointer, "PTR") for address in addresses)


def findings(names: PublishedNames, found: Standings) -> list[Finding]:
    """One line for each purpose. Nothing at all was answered: one line for that."""
    if found and all(standing.problem for standing in found.values()):
        problem = next(iter(found.values())).problem
        fix = f"{REACH_IT}; in a closed network say is_public = false below [dns] in strongroom.toml"
        return [Finding("dns", State.WARN, f"no record could be looked at: {problem}", fix, is_unknown=True)]
    published = records(names)
    return [
        _finding(purpose, list(look(names, [each for each in published if each.purpose is purpose], found)))
        for purpose, look in _LOOKS.items()
    ]


def _finding(purpose: Purpose, points: Sequence[_Point]) -> Finding:
    points = sorted(points, key=lambda point: _WORST_FIRST.index(point.state))
    worst = points[0].state if points else State.OFF
    wrong = [point for point in points if point.state in {State.FAIL, State.WARN}] or points
    should = [line for point in wrong for line in point.should]
    told = "; ".join(dict.fromkeys(point.told for point in wrong)) or "nothing is to be published"
    is_unknown = any(point.is_unknown for point in points)
    return Finding(f"dns {purpose}", worst, told, "; ".join(dict.fromkeys(should)), is_unknown=is_unknown)


def _unasked(told: str) -> _Point:
    """A question that was not answered says nothing about the record."""
    return _Point(State.WARN, told, (REACH_IT,), is_unknown=True)


def _address_points(names: PublishedNames, wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    for host in dict.fromkeys((names.mx_host, names.portal_host)):
        mine = [record for record in wanted if record.name == host]
        there = _addresses(host, found)
        missing = [record for record in mine if record.value not in there]
        foreign = [each for each in there if mine and each not in {record.value for record in mine}]
        fix = f"take {', '.join(foreign)} away from {host}, or name it at addresses below [dns] in strongroom.toml"
        if problem := _problem(found, *((host, kind) for kind in ADDRESS_KINDS)):
            yield _unasked(f"{host}: {problem}")
        elif not there:
            line = f"publish: {host}. IN A and the address that strangers reach this machine by"
            yield _Point(State.FAIL, f"{host} has no address", _lines(mine) or (line,))
        elif missing:
            should = (*_lines(missing), *([fix] if foreign else []))
            yield _Point(State.FAIL, _differs(host, "address", there, mine), should)
        elif foreign:
            yield _Point(State.WARN, f"{host} has addresses beside ours: {', '.join(foreign)}", (fix,))
        else:
            yield _Point(State.OK, f"{host} is {', '.join(there)}")


def _mx_points(names: PublishedNames, wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    (record,) = wanted
    standing = found[record.name, "MX"]
    there = sorted((int(preference), host.rstrip(".")) for preference, host in map(str.split, standing.values))
    ours = [preference for preference, host in there if host == names.mx_host]
    if standing.problem:
        yield _unasked(f"{record.name} MX: {standing.problem}")
    elif not ours:
        yield _Point(State.FAIL, _differs(record.name, "MX", standing.values, [record]), _lines(wanted, there))
    elif others := [host for _, host in there if host != names.mx_host]:
        fix = f"unless {', '.join(others)} hands mail on to this machine, leave only: {record.zone_line}"
        yield _Point(State.WARN, f"{record.name} MX names others beside us: {', '.join(others)}", (fix,))
    else:
        yield _Point(State.OK, f"mail for {record.name} comes to {names.mx_host}")


def _spf_points(names: PublishedNames, wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    for record in wanted:
        there, problem = _texts(record, found, "v=spf1")
        state = State.FAIL if record.name == names.domain else State.WARN
        if problem:
            yield _unasked(problem)
        elif len(there) == 1 and (there[0] == record.value or _lets_us_send(names, there[0].lower().split())):
            yield _Point(State.OK, f"{record.name}: {there[0]}")
        else:
            mended = replace(record, value=_with_us(record.value, there))
            yield _Point(state, _differs(record.name, "SPF", there, [mended]), _lines([mended], there))


def _lets_us_send(names: PublishedNames, terms: Sequence[str]) -> bool:
    """True for a longer record that names us and does not let everybody send (RFC 7208 section 5.1)."""
    ours = {"mx", "a", f"a:{names.mx_host}", f"mx:{names.domain}"}
    ours |= {f"ip{ipaddress.ip_address(each).version}:{each}" for each in names.addresses}
    return bool(ours & {term.removeprefix("+") for term in terms}) and not {"all", "+all"} & set(terms)


def _with_us(ours: str, there: Sequence[str]) -> str:
    """The record that stands there with what names us put in front; ours alone where it lets everybody send."""
    terms = there[0].split() if len(there) == 1 else []
    if {"all", "+all"} & {term.lower() for term in terms[1:]}:
        return ours
    return " ".join([*ours.split()[:2], *terms[1:]]) if terms[1:] else ours


def _dkim_points(_names: PublishedNames, wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    for record in wanted:
        standing = found[record.name, "TXT"]
        should = dkim_signature.published_key(record.value)
        bad = State.FAIL if record.is_needed else State.WARN
        if standing.problem:
            yield _unasked(f"{record.name}: {standing.problem}")
        elif should not in [dkim_signature.published_key(text) for text in standing.values]:
            told = _differs(record.name, "TXT", standing.values, [record])
            yield _Point(bad, told, _lines([record], standing.values))
        elif len(standing.values) > 1:
            told = f"{record.name} has {len(standing.values)} TXT records, and only one may stand there"
            yield _Point(bad, told, _lines([record], standing.values))
        else:
            yield _Point(State.OK, f"{record.name} is our key")


def _dmarc_points(names: PublishedNames, wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    (record,) = wanted
    there, problem = _texts(record, found, "v=dmarc1")
    policy = _tags(there[0]).get("p", "") if len(there) == 1 else ""
    if problem:
        yield _unasked(problem)
    elif policy not in _STRICTNESS:
        yield _Point(State.FAIL, _differs(record.name, "TXT", there, [record]), _lines(wanted, there))
    elif _STRICTNESS.index(policy) < _STRICTNESS.index(names.dmarc_policy):
        yield _Point(State.WARN, _differs(record.name, "TXT", there, [record]), _lines(wanted, there))
    else:
        yield _Point(State.OK, there[0])


def _report_points(_names: PublishedNames, wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    (record,) = wanted
    there, problem = _texts(record, found, "v=tlsrptv1")
    if problem:
        yield _unasked(problem)
    elif len(there) != 1 or "rua" not in _tags(there[0]):
        yield _Point(State.WARN, _differs(record.name, "TXT", there, [record]), _lines(wanted, there))
    else:
        yield _Point(State.OK, there[0])


def _policy_points(names: PublishedNames, wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    announcement = next(record for record in wanted if record.kind == "TXT")
    standing = found[announcement.name, "TXT"]
    should = mta_sts_policy.announced_id([announcement.value.encode()])
    if standing.problem:
        yield _unasked(f"{announcement.name}: {standing.problem}")
    elif mta_sts_policy.announced_id([text.encode() for text in standing.values]) != should:
        state = State.FAIL if names.mta_sts_mode == "enforce" else State.WARN
        told = _differs(announcement.name, "TXT", standing.values, [announcement])
        yield _Point(state, told, _lines([announcement], _texts(announcement, found, "v=stsv1")[0]))
    else:
        yield _Point(State.OK, f"the policy in force is announced ({names.mta_sts_mode})")
    yield _host_point(names, names.policy_host, wanted, found)


def _host_point(names: PublishedNames, host: str, wanted: Sequence[DnsRecord], found: Standings) -> _Point:
    """A name under which we serve something leads to where the pages are."""
    there, pages = _addresses(host, found), _addresses(names.portal_host, found)
    mine = [record for record in wanted if record.name == host]
    if problem := _problem(found, *((host, kind) for kind in ADDRESS_KINDS)):
        return _unasked(f"{host}: {problem}")
    if not there:
        return _Point(State.WARN, f"{host} leads nowhere", _lines(mine))
    if not set(there) & set(pages):
        told = f"{host} leads to {', '.join(there)}, and {names.portal_host} to {', '.join(pages) or 'nothing'}"
        return _Point(State.WARN, told, _lines(mine, there))
    return _Point(State.OK, f"{host} leads here")


def _tlsa_points(_names: PublishedNames, wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    if not wanted:
        return
    name = wanted[0].name
    standing, should = found[name, "TLSA"], [record.value for record in wanted]
    there = [" ".join([*value.split()[:3], "".join(value.split()[3:])]) for value in standing.values]
    if standing.problem:
        yield _unasked(f"{name}: {standing.problem}")
    elif not there:
        state = State.WARN if standing.is_proved else State.OFF
        why = "though the zone is signed" if standing.is_proved else "and would count in a signed zone only"
        yield _Point(state, f"{name} has no TLSA, {why}", _lines(wanted) if standing.is_proved else ())
    elif should[0] not in there:
        yield _Point(State.FAIL, _differs(name, "TLSA", there, wanted), _lines(wanted, there))
    elif sorted(there) != sorted(should):
        yield _Point(State.WARN, _differs(name, "TLSA", there, wanted), _lines(wanted, there))
    else:
        yield _Point(State.OK, "the key in use is published" + ("" if len(should) == 1 else ", and the next one"))


def _program_points(names: PublishedNames, wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    for record in wanted:
        if record.kind == "CNAME":
            yield _host_point(names, record.name, wanted, found)
            continue
        standing = found[record.name, record.kind]
        if standing.problem:
            yield _unasked(f"{record.name}: {standing.problem}")
        elif record.value not in standing.values:
            told = _differs(record.name, record.kind, standing.values, [record])
            yield _Point(State.WARN, told, _lines([record], standing.values))
        else:
            yield _Point(State.OK, "mail programs find us")


def _reverse_points(names: PublishedNames, _wanted: Sequence[DnsRecord], found: Standings) -> Iterator[_Point]:
    forward = _addresses(names.mx_host, found)
    if problem := _problem(found, *((names.mx_host, kind) for kind in ADDRESS_KINDS)):
        yield _unasked(f"{names.mx_host}: {problem}")
    for (pointer, kind), standing in found.items():
        if kind != "PTR":
            continue
        address = next(
            each for each in (*forward, *names.addresses) if ipaddress.ip_address(each).reverse_pointer == pointer
        )
        should = f"ask for: {pointer}. IN PTR {names.mx_host}. ({ASK_THE_PROVIDER})"
        named = [value.rstrip(".") for value in standing.values]
        if standing.problem:
            yield _unasked(f"{address}: {standing.problem}")
        elif names.mx_host not in named:
            told = f"{address} is called {', '.join(named) or 'nothing'} and should be called {names.mx_host}"
            yield _Point(State.FAIL, told, (should,))
        elif address not in forward:
            fix = f"publish the address {address} for {names.mx_host}"
            yield _Point(State.FAIL, f"{address} is called {names.mx_host}, which leads elsewhere", (fix,))
        else:
            yield _Point(State.OK, f"{address} is called {names.mx_host}, and that leads back")


_Look = Callable[[PublishedNames, Sequence[DnsRecord], Standings], Iterator[_Point]]

_LOOKS: Final[Mapping[Purpose, _Look]] = {
    Purpose.ADDRESS: _address_points,
    Purpose.MX: _mx_points,
    Purpose.SPF: _spf_points,
    Purpose.DKIM: _dkim_points,
    Purpose.DMARC: _dmarc_points,
    Purpose.MTA_STS: _policy_points,
    Purpose.TLS_REPORTS: _report_points,
    Purpose.TLSA: _tlsa_points,
    Purpose.MAIL_PROGRAMS: _program_points,
    Purpose.REVERSE: _reverse_points,
}


def _addresses(host: str, found: Standings) -> list[str]:
    return [value for kind in ADDRESS_KINDS if (host, kind) in found for value in found[host, kind].values]


def _problem(found: Standings, *asked: Question) -> str:
    """Why nothing is known: one family that answers with addresses is enough."""
    standings = [found[each] for each in asked]
    if any(standing.values for standing in standings):
        return ""
    return next((standing.problem for standing in standings if standing.problem), "")


def _texts(record: DnsRecord, found: Standings, beginning: str) -> tuple[list[str], str]:
    """The texts at a name that begin as such records do, whatever else stands there, and what went wrong."""
    standing = found[record.name, "TXT"]
    mine = [text for text in standing.values if text.lower().replace(" ", "").startswith(beginning)]
    return mine, f"{record.name} TXT: {standing.problem}" if standing.problem else ""


def _tags(text: str) -> dict[str, str]:
    parts = (part.partition("=") for part in text.split(";"))
    return {name.strip().lower(): value.strip().lower() for name, _, value in parts if name.strip()}


def _differs(name: str, kind: str, there: Sequence[str], wanted: Sequence[DnsRecord]) -> str:
    stands = ", ".join(f'"{_short(value)}"' for value in there) or "nothing"
    should = ", ".join(f'"{_short(record.value)}"' for record in wanted)
    return f"{name} {kind}: there stands {stands} and should stand {should}"


def _short(value: str, most: int = 120) -> str:
    return value if len(value) <= most else value[: most - 1] + "…"


def _lines(wanted: Sequence[DnsRecord], there: Sequence[object] = ()) -> tuple[str, ...]:
    """What to do in the zone. ``there``: what stands there and must not stay beside it.

    An alias that leads nowhere is not seen, and nothing may stand beside an alias (RFC 2181 section 10.1).
    """
    publish, instead = "publish", "publish, in the place of what stands there"
    return tuple(f"{instead if there or record.kind == 'CNAME' else publish}: {record.zone_line}" for record in wanted)
