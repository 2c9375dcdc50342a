"""What ``doctor`` looks at. Each check answers one finding in plain words, with what to do about it.

A check that cannot be made is a finding too: nothing is passed over in silence. The command, the page of the
administrator and the mails about alarms ask here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial

from appliance import (
    alert_readers,
    backup_health,
    database_health,
    dns_health,
    drill_health,
    first_run_health,
    index_health,
    key_agent_health,
    key_health,
    machine_health,
    port_health,
    process_file,
    record_health,
    restore_health,
    scanner_health,
    sealed_health,
    store_health,
    tls_health,
    work_health,
)
from appliance.data_directory import DataDirectory
from appliance.health_finding import Finding, guarded, unbroken
from appliance.settings import Settings
from appliance.wiring import Appliance


def of_directory(data: DataDirectory, settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """The checks that need no key."""
    yield guarded("file modes", lambda: machine_health.modes(data))
    yield from of_machine(data, settings, now=now)


def without_settings(data: DataDirectory, *, now: datetime) -> Iterator[Finding]:
    """The checks that need no key and no settings."""
    yield guarded("file modes", lambda: machine_health.modes(data))
    yield from _of_bare_machine(data, now=now)
    yield guarded("serve", lambda: machine_health.served(data))


def _of_bare_machine(data: DataDirectory, *, now: datetime) -> Iterator[Finding]:
    yield guarded("first run", lambda: first_run_health.finished(data))
    yield guarded("upgrade", lambda: machine_health.set_aside_copies(data))
    yield guarded("swap", machine_health.swap, is_alarm=True)
    yield guarded("disk space", lambda: machine_health.space(data))
    yield guarded("time server", machine_health.time_server)
    yield guarded("restart", machine_health.restart)
    yield guarded("security updates", lambda: machine_health.security_updates(now=now))


def of_machine(data: DataDirectory, settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Those of them that cost next to nothing, however much mail there is."""
    yield from _of_bare_machine(data, now=now)
    yield guarded("spool", lambda: machine_health.spool(data, settings), is_alarm=True)
    yield from unbroken(lambda: scanner_health.findings(settings.scanning))
    yield guarded("serve", lambda: machine_health.served(data))
    if process_file.holder(data):
        yield guarded("worker", lambda: machine_health.worker(data, settings, now=now))
    for name in settings.ports if process_file.holder(data) else ():
        yield guarded(f"port {name}", partial(port_health.answers, data, settings, name))
        yield guarded(
            f"certificate at {name}", partial(port_health.certificate, data, settings, name, now=now), is_alarm=True
        )


def of_appliance(appliance: Appliance, *, reads_objects: bool = False) -> Iterator[Finding]:
    """The checks that look inside. ``reads_objects``: every sealed byte too, which takes long."""
    yield from of_state(appliance)
    yield from unbroken(lambda: dns_health.findings(appliance))
    yield from unbroken(lambda: of_every_record(appliance, reads_objects=reads_objects))


def of_state(appliance: Appliance) -> Iterator[Finding]:
    """How everything does, without a look at every single message."""
    yield guarded("unlock", lambda: key_health.unlock(appliance.data))
    yield guarded("unlock slots", lambda: key_health.slots(appliance.data, now=appliance.clock.now()))
    yield guarded("key copies", lambda: key_health.copies(appliance))
    yield guarded("clock", lambda: record_health.clock(appliance))
    yield guarded("certificate", lambda: tls_health.certificate(appliance), is_alarm=True)
    yield guarded("row database", lambda: database_health.of_rows(appliance))
    yield guarded("keystore", lambda: database_health.of_keys(appliance))
    yield guarded("scrub", lambda: record_health.last_scrub(appliance))
    yield from unbroken(lambda: restore_health.reports(appliance))
    yield guarded("audit checkpoints", lambda: record_health.checkpoints(appliance), is_alarm=True)
    yield guarded("age of the rows", lambda: record_health.age_of_rows(appliance))
    yield guarded("disk growth", lambda: store_health.growth(appliance), is_alarm=True)
    yield guarded("object store", lambda: store_health.answers(appliance), is_alarm=True)
    yield guarded("alarms", lambda: alert_readers.reached(appliance))
    yield guarded("follow-up work", lambda: work_health.queue(appliance), is_alarm=True)
    yield guarded("search index", lambda: index_health.findable(appliance))
    yield from unbroken(lambda: sealed_health.reports(appliance))
    yield from unbroken(lambda: key_agent_health.reports(appliance))
    yield from unbroken(lambda: backup_health.findings(appliance))
    yield from unbroken(lambda: drill_health.findings(appliance))
    yield guarded("object lock", lambda: store_health.object_lock(appliance))


def of_every_record(appliance: Appliance, *, reads_objects: bool) -> Iterator[Finding]:
    """Every row, key, object and log entry held against the others: the more mail, the longer."""
    yield from record_health.stores(appliance, reads_objects=reads_objects)
    yield guarded("disposal certificates", lambda: record_health.disposal_certificates(appliance))


def quickly(appliance: Appliance) -> list[Finding]:
    """What the worker looks at again and again."""
    now = appliance.clock.now()
    return _collected(
        lambda: of_machine(appliance.data, appliance.settings, now=now),
        lambda: of_state(appliance),
    )


def thoroughly(appliance: Appliance) -> list[Finding]:
    """What it looks at once a day."""
    return _collected(
        lambda: [guarded("file modes", lambda: machine_health.modes(appliance.data))],
        lambda: dns_health.findings(appliance),
        lambda: of_every_record(appliance, reads_objects=False),
    )


class WholeReport:
    """Every check of an open appliance, for the page of the administrator. One look at a time."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance
        self._one_at_a_time = threading.Lock()

    def checks(self) -> list[Finding]:
        """What ``doctor`` says, made now."""
        with self._one_at_a_time:
            data, settings, now = self._appliance.data, self._appliance.settings, self._appliance.clock.now()
            return _collected(
                lambda: of_directory(data, settings, now=now),
                lambda: of_appliance(self._appliance),
            )


def _collected(*looks: Callable[[], Iterable[Finding]]) -> list[Finding]:
    """All of them, whatever breaks one of them off."""
    return [finding for look in looks for finding in unbroken(look)]
