from __future__ import annotations

from datetime import timedelta

from appliance import delivery_wiring
from appliance.commands import init
from appliance.settings import OutboundSettings, PracticeSettings, Settings


def test_every_outbound_setting_reaches_the_rules() -> None:
    settings = Settings(
        practice=PracticeSettings(name="Clinic", domain="clinic.example"),
        outbound=OutboundSettings(
            connections=3,
            conversations_per_domain=2,
            portal_after_minutes=11,
            notice_pause_minutes=7,
            connect_seconds=5,
            reply_seconds=6,
        ),
    )
    rules = delivery_wiring.rules(settings)
    assert (rules.messages_at_once, rules.domain_at_once) == (3, 2)
    assert rules.schedule.portal_after == timedelta(minutes=11)
    assert rules.notice_pause == timedelta(minutes=7)
    assert (rules.client.connect_seconds, rules.client.reply_seconds) == (5, 6)
    assert rules.notice.from_address == "notices@clinic.example"


def test_a_practice_ground_gets_each_notice_at_once_and_a_real_practice_does_not() -> None:
    assert init.settings_for("Clinic", "clinic.example", None).outbound.notice_pause_minutes == 10
    assert init.settings_for("Clinic", "clinic.example", 20000).outbound.notice_pause_minutes == 0
