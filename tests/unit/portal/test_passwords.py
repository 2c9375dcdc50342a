"""Passwords are judged by length and by a list, and nothing else."""

from __future__ import annotations

import pytest

from portal.passwords import LONGEST_PASSWORD, PasswordVault, common_passwords, problem_with
from tests.portal_room import CHEAP


@pytest.mark.parametrize(
    "password", ["blue horses eat soup", "aaaa bbbb cccc", "パスワードは長い文がいい", "            x y"]
)
def test_any_long_phrase_is_taken(password: str) -> None:
    assert problem_with(password, shortest=12) is None


@pytest.mark.parametrize("password", ["short", "Passw0rd!", "elevenchars"])
def test_a_short_password_is_refused_whatever_signs_it_has(password: str) -> None:
    assert "at least 12" in str(problem_with(password, shortest=12))


@pytest.mark.parametrize("password", ["password1234", "PASSWORD1234", "abababababab"])
def test_what_attackers_try_first_is_refused(password: str) -> None:
    assert "try first" in str(problem_with(password, shortest=12))


def test_ones_own_address_is_refused() -> None:
    assert problem_with("Pat@Mail.example", shortest=12, about=("pat@mail.example",)) is not None


def test_an_endless_password_is_refused_before_it_is_hashed() -> None:
    assert problem_with("ab1" * LONGEST_PASSWORD, shortest=12) is not None
    assert not PasswordVault(CHEAP).matches(None, "x" * 10_000_000)


def test_the_list_holds_only_passwords_that_would_be_long_enough() -> None:
    assert all(len(each) >= 8 for each in common_passwords())


def test_the_same_characters_typed_differently_are_the_same_password() -> None:
    vault = PasswordVault(CHEAP)
    assert vault.matches(vault.hashed("cafe\u0301 au lait, bien"), "caf\u00e9 au lait, bien")


def test_another_password_does_not_match_and_no_hash_matches_nothing() -> None:
    vault = PasswordVault(CHEAP)
    assert not vault.matches(vault.hashed("blue horses eat soup"), "blue horses eat soap")
    assert not vault.matches(None, "a password that nobody has")
    assert not vault.matches("$argon2id$broken", "blue horses eat soup")
