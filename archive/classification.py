"""Core: which category of record a message is, by the rules of the schedule, decided on the message itself."""

from __future__ import annotations

from archive.index_document import IndexDocument
from archive.retention_schedule import UNCLASSIFIED, Schedule
from archive.search_query import matches


def classify(document: IndexDocument, schedule: Schedule) -> str:
    """The category that keeps the message longest among all whose rule matches; nothing matches: unclassified.

    Unclassified means keep. The document is looked at as if it had no category yet, so that the answer never
    depends on an earlier one.
    """
    fresh = document.in_category(UNCLASSIFIED)
    fitting = (rule.category for rule in schedule.rules if matches(rule.query, fresh))
    return schedule.longest(fitting, document.received_at)
