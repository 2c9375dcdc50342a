"""Asks notmuch in one warm process: ``/usr/bin/python3 notmuch_queries.py DATABASE LIMIT TRIES`` with a JSON list.

Prints for each query the best time in milliseconds and how many messages match. Runs on Debian's own Python, whose
python3-notmuch2 it needs, and imports nothing of ours.
"""

from __future__ import annotations

import itertools
import json
import sys
import time

import notmuch2


def main() -> None:
    """Read, ask, print."""
    path, limit, tries = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    answers = []
    with notmuch2.Database(path) as database:
        for query in json.load(sys.stdin):
            times = []
            for _ in range(tries):
                begin = time.perf_counter()
                total = database.count_messages(query)
                found = database.messages(query, sort=notmuch2.Database.SORT.NEWEST_FIRST)
                for message in itertools.islice(found, limit):
                    str(message.messageid)
                times.append(time.perf_counter() - begin)
            answers.append((min(times) * 1000, total))
    json.dump(answers, sys.stdout)


main()
