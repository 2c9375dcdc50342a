"""Settings: read once, whole, and every problem named with its line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from appliance import config
from appliance.settings import (
    DisposalSettings,
    PasswordSettings,
    PracticeSettings,
    RouteSettings,
    Settings,
)
from mailstore.errors import RefusedError

CLINIC = Settings(practice=PracticeSettings(name='Dr. "Ü" & Söhne', domain="clinic.example"))


def test_generated_sample_says_exactly_the_settings_it_was_made_from() -> None:
    assert config.parse(config.sample(CLINIC), is_loopback=False) == CLINIC


def test_generated_sample_keeps_fixed_routes() -> None:
    routes = (
        RouteSettings("partner.example", "mx.partner.example", "127.0.0.1", 2525, "/etc/ssl/partner.pem"),
        RouteSettings("other.example", "mx.other.example", "::1"),
    )
    settings = replace(CLINIC, outbound=replace(CLINIC.outbound, route=routes))
    assert config.parse(config.sample(settings), is_loopback=False) == settings


def test_group_that_patients_write_to_needs_an_address() -> None:
    text = config.sample(CLINIC) + '\n[[portal.pool]]\nname = "Front desk"\naddress = "desk"\n'
    with pytest.raises(config.SettingsError, match=r"portal\.pool\.0\.address: must be an address"):
        config.parse(text, is_loopback=False)


@pytest.mark.parametrize("resolver", ["192.0.2.53", "0.0.0.0", "localhost", "127.0.0.1:53"])  # noqa: S104 - refused
def test_only_a_resolver_on_this_very_machine_is_believed(resolver: str) -> None:
    text = config.with_values(config.sample(CLINIC), {"dns.validating_resolver": resolver})
    with pytest.raises(config.SettingsError, match=r"dns\.validating_resolver: must be empty or an address of this"):
        config.parse(text, is_loopback=False)


def test_two_routes_for_one_domain_are_refused() -> None:
    route = '\n[[outbound.route]]\ndomain = "a.example"\nmx_name = "mx.a.example"\naddress = "127.0.0.1"\n'
    with pytest.raises(config.SettingsError, match=r"outbound\.route: says the same twice"):
        config.parse(config.sample(CLINIC) + route + route, is_loopback=False)


def test_every_problem_is_reported_at_once_with_its_line() -> None:
    text = '[practice]\nname = 3\ndomain = "Clinic"\nmotto = "x"\n[smtp]\nport = 99999\n'
    text += '[[outbound.route]]\ndomain="a.b"\n'
    with pytest.raises(config.SettingsError) as caught:
        config.parse(text, is_loopback=False)
    found = {(problem.key, problem.line) for problem in caught.value.problems}
    assert found == {
        ("practice.name", 2),
        ("practice.domain", 3),
        ("practice.motto", 4),
        ("smtp.port", 6),
        ("outbound.route.0.mx_name", 7),
        ("outbound.route.0.address", 7),
    }


def test_unknown_section_is_refused() -> None:
    with pytest.raises(config.SettingsError, match="disposals: there is no such setting"):
        config.parse(config.sample(CLINIC) + "\n[disposals]\n", is_loopback=False)


def test_file_that_is_not_toml_is_refused() -> None:
    with pytest.raises(config.SettingsError, match="line 1"):
        config.parse("practice = = 3", is_loopback=False)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (replace(CLINIC, disposal=DisposalSettings(cooling_off_hours=0)), "disposal.cooling_off_hours"),
        (replace(CLINIC, passwords=PasswordSettings(memory_kib=1024)), "passwords.memory_kib"),
        (replace(CLINIC, passwords=PasswordSettings(passes=1)), "passwords.passes"),
    ],
)
def test_floors_may_be_undercut_only_on_loopback(settings: Settings, key: str) -> None:
    assert config.parse(config.sample(settings), is_loopback=True) == settings
    with pytest.raises(config.SettingsError) as caught:
        config.parse(config.sample(settings), is_loopback=False)
    assert [problem.key for problem in caught.value.problems] == [key]
    assert caught.value.problems[0].line > 0


def test_true_is_not_taken_for_a_number() -> None:
    text = config.sample(CLINIC).replace("cooling_off_hours = 168", "cooling_off_hours = true")
    with pytest.raises(config.SettingsError, match="must be a whole number"):
        config.parse(text, is_loopback=False)


def test_unknown_time_zone_is_refused() -> None:
    text = config.sample(CLINIC).replace('"UTC"', '"Atlantis/Deep"')
    with pytest.raises(config.SettingsError, match="time_zone: is not a time zone this machine knows"):
        config.parse(text, is_loopback=False)


@pytest.mark.parametrize(("colour", "why"), [("#ffee00", "too light to read"), ("teal", "six hexadecimal digits")])
def test_colour_that_cannot_be_read_is_refused(colour: str, why: str) -> None:
    text = config.sample(CLINIC).replace('"#0b5f6b"', f'"{colour}"')
    with pytest.raises(config.SettingsError, match=why):
        config.parse(text, is_loopback=False)


def test_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        config.load(tmp_path / "strongroom.toml", is_loopback=False)
    assert "strongroom init" in caught.value.fix
