"""Endless lines, endless messages, endless talk: whoever sends without end is cut off and costs a bounded amount."""

from __future__ import annotations

import base64
import smtplib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from appliance.data_budget import FREE_OCTETS
from appliance.smtp_acceptance import MAX_LINE_OCTETS, AcceptanceLimits
from appliance.smtp_authentication import FAILURES_PER_PEER
from tests.smtp_room import ALICE, BOB, MAIL, PASSWORD, FrontDoorRoom, RawClient, with_limits


def _wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(600):
        if is_true():
            return
        time.sleep(0.1)
    raise AssertionError("it did not become true in time")


def _has_room_for(room: FrontDoorRoom, count: int, port: str = "smtp") -> bool:
    """Whether so many more connections are taken at a time; those that left may be counted for a moment."""
    try:
        with ExitStack() as clients:
            return all(clients.enter_context(room.client(port)).noop()[0] == 250 for _ in range(count))
    except (smtplib.SMTPException, OSError):
        return False


def sent_until_cut_off(peer: RawClient, chunk: bytes, at_most: int) -> int:
    """How many bytes were taken before the server hung up."""
    sent = 0
    try:
        while sent < at_most:
            peer.send(chunk)
            sent += len(chunk)
    except (ConnectionError, TimeoutError):
        pass
    return sent


def test_long_command_line_is_refused_and_the_next_is_obeyed(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room, room.raw() as peer:
        assert peer.say(b"MAIL FROM:<" + b"a" * 100_000 + b"@b.example>\r\n").startswith(b"500 5.5.6")
        assert peer.say(b"NOOP\r\n").startswith(b"250")


def test_endless_command_line_is_cut_off(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room, room.raw() as peer:
        assert sent_until_cut_off(peer, b"x" * 65_536, 64_000_000) < 32_000_000


def test_endless_message_is_cut_off(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room, room.raw() as peer:
        peer.start_message()
        assert sent_until_cut_off(peer, (b"x" * 998 + b"\r\n") * 64, 64_000_000) < 32_000_000
        assert room.stored() == []


def test_line_of_a_message_may_stray_beyond_the_standard_but_not_without_end(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room, room.raw() as peer:
        peer.start_message()
        assert peer.say(b"x" * MAX_LINE_OCTETS + b"\r\n.\r\n").startswith(b"250")
        peer.start_message()
        assert peer.say(b"x" * (MAX_LINE_OCTETS + 1) + b"\r\n.\r\n").startswith(b"550 5.6.0")


def test_hundred_thousand_recipients_are_answered_briefly(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room, room.raw() as peer:
        peer.say(b"MAIL FROM:<a@b.example>\r\n")
        many = b"".join(b"RCPT TO:<r%d@clinic.example>\r\n" % number for number in range(100_000))
        sender = threading.Thread(target=sent_until_cut_off, args=(peer, many, 1), daemon=True)
        sender.start()
        replies = 0
        while (reply := peer.reply()) and not reply.startswith(b"421"):
            replies += 1
        assert reply.startswith(b"421 4.7.0")
        assert replies <= room.limits.errors
        sender.join(10)


def test_recipients_over_the_limit_are_put_off_and_the_first_ones_get_their_mail(tmp_path: Path) -> None:
    limits = with_limits(acceptance=AcceptanceLimits(100_000, recipients=100, hops=20))
    with FrontDoorRoom(tmp_path / "vault", limits=limits) as room:
        for number in range(101):
            room.vault.mailbox(f"{number:026d}", f"r{number}@clinic.example")
        with room.raw() as peer:
            peer.say(b"MAIL FROM:<a@b.example>\r\n")
            replies = [peer.say(b"RCPT TO:<r%d@clinic.example>\r\n" % number) for number in range(101)]
            assert all(reply.startswith(b"250") for reply in replies[:100])
            assert replies[100].startswith(b"452 4.5.3")
            peer.say(b"DATA\r\n")
            assert peer.say(MAIL + b".\r\n").startswith(b"250")
        assert len(room.recipients()) == 100


def test_endless_small_talk_is_cut_off(tmp_path: Path) -> None:
    limits = with_limits(commands_without_message=200)
    with FrontDoorRoom(tmp_path / "vault", limits=limits) as room, room.raw() as peer:
        peer.send(b"NOOP\r\n" * 500)
        replies = [peer.reply()[:3] for _ in range(200)]
        assert replies[-1] == b"421"
        assert set(replies[:-1]) == {b"250"}


def test_too_many_errors_end_the_connection(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault", limits=with_limits(errors=5)) as room, room.raw() as peer:
        replies = [peer.say(b"RUBBISH\r\n")[:3] for _ in range(5)]
        assert replies == [b"500"] * 5
        assert peer.reply().startswith(b"421 4.7.0")
        assert peer.reply() == b""


@pytest.mark.parametrize("in_data", [False, True])
def test_slow_writer_is_timed_out_however_it_dribbles(tmp_path: Path, *, in_data: bool) -> None:
    limits = with_limits(data_seconds=0.9) if in_data else with_limits(idle_seconds=0.6)
    with FrontDoorRoom(tmp_path / "vault", limits=limits) as room, room.raw(greet=in_data) as peer:
        if in_data:
            peer.start_message()
        else:
            assert peer.reply().startswith(b"220")
        with _dribbling(peer):
            assert peer.reply().startswith(b"421 4.4.2")


@contextmanager
def _dribbling(peer: RawClient) -> Iterator[None]:
    """Somebody who sends a byte now and then, until the block ends or nobody takes it any more."""
    ends = threading.Event()

    def dribble() -> None:
        with suppress(OSError):
            while not ends.wait(0.1):
                peer.send(b"x")

    thread = threading.Thread(target=dribble)
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def test_message_that_keeps_coming_in_drops_is_timed_out_and_a_slow_one_is_not(tmp_path: Path) -> None:
    limits = with_limits(data_window_seconds=2.5, data_window_bytes=500)
    with FrontDoorRoom(tmp_path / "vault", limits=limits) as room, room.raw() as slow, room.raw() as drops:
        slow.start_message()
        drops.start_message()
        with _dribbling(drops), ThreadPoolExecutor(1) as listening:
            hung_up = listening.submit(drops.reply)
            while not hung_up.done():
                slow.send(b"x" * 398 + b"\r\n")
                time.sleep(0.1)
        assert hung_up.result().startswith(b"421 4.4.2")
        assert slow.say(b".\r\n").startswith(b"250")


def test_large_messages_that_do_not_end_leave_room_for_small_ones_and_are_forgotten(tmp_path: Path) -> None:
    limits = with_limits(data_bytes=0, data_bytes_per_network=0)  # room for twice the largest, and no more
    large = (b"x" * 998 + b"\r\n") * 900
    with FrontDoorRoom(tmp_path / "vault", limits=limits) as room:
        with room.raw() as first, room.raw() as second, room.raw() as third, room.raw() as small:
            for peer in (first, second):
                peer.start_message()
                peer.send(large)
            under_way = room.service._doors["smtp"].under_way
            _wait_until(lambda: under_way._by_network.total() == 2 * (len(large) - FREE_OCTETS))
            third.start_message()
            assert third.say(large + b".\r\n").startswith(b"452 4.3.1")
            small.start_message()
            assert small.say(MAIL + b".\r\n").startswith(b"250")
            assert first.say(b".\r\n").startswith(b"250")
            third.start_message()
            assert third.say(large + b".\r\n").startswith(b"250")
        assert len(room.stored()) == 3


def test_silent_connection_is_timed_out(tmp_path: Path) -> None:
    limits = with_limits(idle_seconds=0.5)
    with FrontDoorRoom(tmp_path / "vault", limits=limits) as room, room.raw(greet=False) as peer:
        peer.reply()
        assert peer.reply().startswith(b"421 4.4.2")


def test_peer_that_never_reads_does_not_fill_our_memory(tmp_path: Path) -> None:
    limits = with_limits(idle_seconds=1.5, commands_without_message=10_000_000)
    with FrontDoorRoom(tmp_path / "vault", limits=limits) as room, room.raw() as peer:
        peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connection.settimeout(10)
        assert sent_until_cut_off(peer, b"EHLO x\r\n" * 4_096, 200_000_000) < 64_000_000


def test_connections_of_one_peer_and_of_all_are_counted(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault", limits=with_limits(connections_per_peer=2)) as room:
        with room.raw(), room.raw(), room.raw(greet=False) as third:
            assert third.reply().startswith(b"421 4.7.0")
        _wait_until(lambda: _has_room_for(room, 2))


def test_peers_that_begin_tls_and_say_nothing_are_counted_too(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault", limits=with_limits(connections_per_peer=2)) as room:
        with room.raw("submissions", greet=False) as first, room.raw("submissions", greet=False) as second:
            with room.raw("submissions", greet=False) as third:
                assert third.reply() == b""
            first.send(b"no TLS at all\r\n")
            first.connection.recv(100)
            _wait_until(lambda: _has_room_for(room, 1, "submissions"))
            second.say_nothing_for(0.1)
        _wait_until(lambda: _has_room_for(room, 2, "submissions"))


def test_guessing_is_slow_and_ends_the_connection(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room, room.client("submissions") as client:
        client.ehlo()
        started = time.monotonic()
        codes = [client.docmd("AUTH", _plain(ALICE, "wrong"))[0] for _ in range(3)]
        assert codes == [535, 535, 421]
        assert time.monotonic() - started >= 3


def test_guessing_from_one_place_is_stopped_for_all_its_connections(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room:
        _guess_until_stopped(room)
        assert len(room.passwords.asked) == FAILURES_PER_PEER
        with room.client("submissions") as client:
            client.ehlo()
            assert client.docmd("AUTH", _plain(ALICE, PASSWORD))[0] == 421
        assert len(room.passwords.asked) == FAILURES_PER_PEER


def test_guessing_from_the_waiting_room_does_not_shut_out_who_signed_in_from_there_before(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room:
        with room.signed_in() as client:
            client.noop()
        _guess_until_stopped(room)
        with room.signed_in() as client:
            assert client.docmd("MAIL", f"FROM:<{ALICE}>")[0] == 250
        with room.client("submissions") as client:
            client.ehlo()
            assert client.docmd("AUTH", _plain(BOB, PASSWORD))[0] == 421
        assert BOB not in room.passwords.asked


def test_success_does_not_wipe_out_earlier_failures(tmp_path: Path) -> None:
    with FrontDoorRoom(tmp_path / "vault") as room:
        for _ in range(3):
            _guess(room)
            with room.signed_in() as client:
                client.noop()
        failures = room.service._doors["submission"].failures  # the count itself, not its timing, is the promise
        assert len(failures._recent("127.0.0.1")) == 3


def _guess_until_stopped(room: FrontDoorRoom) -> None:
    guessers = [threading.Thread(target=_guess, args=(room,)) for _ in range(FAILURES_PER_PEER)]
    for guesser in guessers:
        guesser.start()
    for guesser in guessers:
        guesser.join()


def _guess(room: FrontDoorRoom) -> None:
    with room.client("submissions") as client:
        client.ehlo()
        assert client.docmd("AUTH", _plain(ALICE, "wrong"))[0] == 535


def _plain(login: str, password: str) -> str:
    return "PLAIN " + base64.b64encode(f"\0{login}\0{password}".encode()).decode()


@pytest.mark.parametrize("hops", [20, 21])
def test_message_that_goes_in_circles_is_refused(tmp_path: Path, hops: int) -> None:
    trace = b"Received: from a by b; Thu, 1 Jan 2026 00:00:00 +0000\r\n" * (hops - 1)
    trace += b"rEceived:\r\n\tfrom x\r\n"
    with FrontDoorRoom(tmp_path / "vault") as room, room.raw() as peer:
        peer.start_message()
        reply = peer.say(trace + MAIL + b"\r\nReceived: in the text does not count\r\n.\r\n")
        assert reply.startswith(b"250" if hops <= 20 else b"554 5.4.6")
