"""Attack: a message that ends early for the next server, so that its rest becomes commands or a second message.

Every way of writing the end of data that some server somewhere reads as one is sent through our client to a real
socket, and the raw bytes are judged (RFC 5321 section 4.1.1.4).
"""

from __future__ import annotations

import asyncio
import re

import pytest

from appliance import relayed_message
from appliance.mx_lookup import MailServer
from appliance.relayed_message import Transmission
from appliance.smtp_outbound import Channel, ClientSettings, SmtpOutbound
from mailstore.addresses import parse_mailbox
from mailstore.wall_clock import SystemClock
from tests.flows.receiving_server import ReceivingServer, receiving, tapped

COMMANDS = b"MAIL FROM:<forged@clinic.example>\r\nRCPT TO:<victim@partner.example>\r\nDATA\r\nSubject: forged\r\n\r\nx"
ENDINGS = (
    b"\r\n.\r\n",
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\r\n.\r\r\n",
    b"\n.\r",
    b"\r\n\x00.\r\n",
    b"\n\n.\r\n",
    b"\r\n.\r\n.\r\n",
)
PATIENT = parse_mailbox("patient@partner.example")


def sent_over_the_wire(content: bytes) -> tuple[bytes, ReceivingServer]:
    """Send as a notice would go, in clear, so that the wire can be read."""

    async def go(port: int) -> None:
        client = SmtpOutbound(
            ClientSettings("mail.clinic.example", connect_seconds=30, reply_seconds=30), SystemClock()
        )
        channel = await client.open_for_notice(MailServer("mx", "127.0.0.1", port), "127.0.0.1", may_be_clear=True)
        assert isinstance(channel, Channel)
        message = relayed_message.prepared(content, trace_field=b"", is_possible_duplicate=False)
        await channel.send(Transmission(None, (PATIENT,), message), before_data=recorded)
        await channel.close()

    async def recorded(accepted: object) -> None:
        assert accepted == [0]

    with receiving() as server, tapped(server.port) as tap:
        asyncio.run(go(tap.port))
    wire = bytes(tap.heard)
    return wire, server


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_end_of_data_inside_a_message_ends_it(ending: bytes) -> None:
    content = b"Subject: x\r\n\r\nbefore" + ending + COMMANDS + ending + b"after\r\n"
    wire, server = sent_over_the_wire(content)
    assert len(server.arrived) == 1
    assert b"after" in server.arrived[0].content
    assert server.verbs.count("MAIL") == 1
    data = wire.partition(b"354 ")[2].partition(b"\r\n")[2]
    body = data[: data.index(b"after")]
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", body) is None
    assert b"\r\n.\r\n" not in body


def test_leading_dots_arrive_as_they_were_written() -> None:
    content = b"Subject: x\r\n\r\n.one\r\n..two\r\n...\r\n.\r\nend\r\n"
    _, server = sent_over_the_wire(content)
    assert server.arrived[0].content == content
