"""The race of the search indexes: Strongroom beside notmuch, in turn, over the same mail.

    python -m tests.bench.index_race [--pairs 5] [--messages 2000] [--work DIR]

Indexing: documents a processor-second from plain message files to a durable index, child processes included. Ours is
sealed and reads attachments; notmuch's is plain and reads the text parts only. Asking: the 50 fixed queries of the
corpus, newest 20 wanted, each three times in one warm process of either, the best of three counted.
Needs Debian's notmuch and python3-notmuch2. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from archive import search_query
from archive.search_index_whoosh import WhooshIndex
from tests import index_files
from tests.bench import practice_mail

LIMIT = 20
TRIES = 3
ASKING = Path(__file__).with_name("notmuch_queries.py")


def cpu_of_children() -> float:
    """User and system time of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def chosen_mail(work: Path, messages: int) -> Path:
    """A folder with as many messages, the newest of the corpus."""
    folder = work / "mail" / "cur"
    shutil.rmtree(folder.parent, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in practice_mail.files()[-messages:]:
        shutil.copy(path, folder)
    return folder


def ours(work: Path, folder: Path) -> dict[str, Any]:
    """Index in a process of its own, then ask in this one."""
    index = work / "index"
    shutil.rmtree(index, ignore_errors=True)
    words = [sys.executable, "-m", "tests.bench.index_rate", str(folder), "--keep", str(index)]
    told = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return {"documents_per_cpu_second": told["documents_per_cpu_second"], **_asked(_ask_ours(index))}


def notmuch(work: Path, folder: Path) -> dict[str, Any]:
    """The same with notmuch; its database lies beside the mail."""
    database = folder.parent / ".notmuch"
    shutil.rmtree(database, ignore_errors=True)
    config = work / "notmuch-config"
    config.write_text(f"[database]\npath={folder.parent}\n[new]\ntags=inbox\n[user]\nname=x\nprimary_email=x@x.test\n")
    environment = {**os.environ, "NOTMUCH_CONFIG": str(config)}
    begin = cpu_of_children()
    subprocess.run(["notmuch", "new", "--quiet"], check=True, env=environment, capture_output=True)
    used = cpu_of_children() - begin
    asked = subprocess.run(
        ["/usr/bin/python3", str(ASKING), str(folder.parent), str(LIMIT), str(TRIES)],
        check=True,
        capture_output=True,
        text=True,
        input=json.dumps([for_notmuch(query) for query in queries()]),
        env=environment,
    )
    rate = round(len(list(folder.iterdir())) / used, 1)
    return {"documents_per_cpu_second": rate, **_asked(json.loads(asked.stdout))}


def queries() -> list[dict[str, Any]]:
    """The fixed queries of the corpus."""
    found: list[dict[str, Any]] = json.loads((practice_mail.folder() / "queries.json").read_text())
    return found


def for_us(query: dict[str, Any]) -> str:
    """In the language of the archive search."""
    if query["kind"] == "phrase":
        return f'"{" ".join(query["phrase"])}"'
    words = " ".join(query["terms"])
    if query["kind"] == "date":
        return f"{words} after:{query['from_day']} before:{query['to_day']}"
    return f"{words} from:{query['from']}" if query["kind"] == "from" else words


def for_notmuch(query: dict[str, Any]) -> str:
    """In notmuch's language."""
    if query["kind"] == "phrase":
        return f'"{" ".join(query["phrase"])}"'
    words = " ".join(query["terms"])
    if query["kind"] == "date":
        return f"{words} date:@{query['from_ts']}..@{query['to_ts']}"
    return f"{words} from:{query['from']}" if query["kind"] == "from" else words


def _ask_ours(directory: Path) -> list[tuple[float, int]]:
    index = WhooshIndex(index_files.storage_in(directory, bytes(32)))
    index.document_count()
    answers = []
    for query in queries():
        tries = []
        for _ in range(TRIES):
            begin = time.perf_counter()
            total = index.search(search_query.parse(for_us(query)), limit=LIMIT).total
            tries.append(time.perf_counter() - begin)
        answers.append((min(tries) * 1000, total))
    return answers


def _asked(answers: list[tuple[float, int]]) -> dict[str, Any]:
    times = sorted(milliseconds for milliseconds, _ in answers)
    return {
        "query_p50_ms": round(statistics.median(times), 2),
        "query_p95_ms": round(times[int(len(times) * 0.95)], 2),
        "hits": sum(total for _, total in answers),
    }


def main() -> None:
    """Race in pairs and print the median ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "strongroom-bench")
    chosen = parser.parse_args()
    folder = chosen_mail(chosen.work, chosen.messages)
    laps = []
    for number in range(chosen.pairs):
        laps.append((notmuch(chosen.work, folder), ours(chosen.work, folder)))
        print(f"pair {number + 1} of {chosen.pairs}: {laps[-1]}", file=sys.stderr)
    names = ("documents_per_cpu_second", "query_p50_ms", "query_p95_ms")
    ratios = {name: round(statistics.median(o[name] / n[name] for n, o in laps), 3) for name in names}
    print(json.dumps({"messages": chosen.messages, "ratios": ratios, "laps": laps}, indent=1))


if __name__ == "__main__":
    main()
