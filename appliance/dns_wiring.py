"""What a practice publishes in the DNS, gathered from its settings, its certificate and its keys."""

from __future__ import annotations

from appliance import dkim_wiring, published_names, tls_certificates
from appliance.dkim_keys import DkimKey, KeyState
from appliance.dns_records import PublishedKey, PublishedNames
from appliance.wiring import Appliance


def names(appliance: Appliance) -> PublishedNames:
    """What the records are made from now."""
    keys = [key for key in dkim_keys(appliance) if key.is_published(appliance.clock.now())]
    dkim = tuple(PublishedKey(key.selector, key.record, signs=key.state is KeyState.SIGNING) for key in keys)
    return published_names.offered(appliance.settings, dkim=dkim, tlsa=tls_certificates.key_digests(appliance.data.tls))


def dkim_keys(appliance: Appliance) -> list[DkimKey]:
    """The keys of the practice's domain, by their age."""
    with appliance.database.read() as connection:
        return dkim_wiring.keys_of(appliance.ring).keys(connection, appliance.settings.practice.domain)
