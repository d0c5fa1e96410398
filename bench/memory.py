"""How much memory one process needs to plan and send to very many, beside very few.

Planning and sending in one process, as `l3mail run --once` does it, measured by that process's own
high-water mark when the last mail has gone. The text is short on purpose: a long one costs the same
for each open connection and hides what grows with the number of people. Short of every single mail
accepted, and taken by the sink, there is no figure.
"""

import shutil
import tempfile
from collections.abc import Iterator

from bench import reference
from bench.crowd import crowd
from bench.figures import Figure, Goal, MissingError, Size
from bench.sender import Sent, require_all, send

GROWTH = Goal("peak memory at 1 M recipients / at 1 k", 2.0, 1.3, less_is_better=True)
PEAK = Goal("peak memory at 1 M recipients", 150, unit="MB", less_is_better=True)

TEXT = """---
subject: "Neues für {{ first_name|default('Sie') }}"
stream: newsletter
---

{{ greeting }}, am Samstag ist offen.
"""
MEGA = 1_000_000
ROOM_BYTES = 1_500 * MEGA
"""Twice what a million people, their mails and the log before them take on a disk."""
FEW = 1_000
MANY = {Size.FULL: MEGA, Size.QUICK: 10_000}


def figures(size: Size) -> Iterator[Figure]:
    """The ratio of two peaks, and the higher of them."""
    many = MANY[size]
    place = tempfile.gettempdir()
    if size is Size.FULL and shutil.disk_usage(place).free < ROOM_BYTES:
        raise MissingError(f"{ROOM_BYTES // MEGA:,} MB of room in {place}: TMPDIR can name another")
    with reference.counting_sink() as sink:
        small, big = (_sent(people, sink) for people in (FEW, many))
    told = (
        f"{FEW:,}: {small.peak_bytes / MEGA:.0f} MB; {many:,}: {big.peak_bytes / MEGA:.0f} MB,"
        f" {big.peak_bytes_when_planned / MEGA:.0f} MB once all was planned;"
        f" all {big.accepted:,} sent, a short text, at {big.accepted / big.seconds:,.0f}/s"
    )
    yield Figure(GROWTH, big.peak_bytes / small.peak_bytes, told)
    yield Figure(
        PEAK,
        big.peak_bytes / MEGA,
        f"planned in {big.planning_seconds:.0f} s and sent in {big.seconds:.0f} s by one process,"
        " Python included",
    )


def _sent(people: int, sink: reference.Sink) -> Sent:
    before = sink.taken()
    with crowd(people, port=sink.port, connections=20, text=TEXT) as crowded:
        crowded.database.close()
        [sent] = send(crowded.settings.folder, "--plan")
    if sent.planned != people:
        raise RuntimeError(f"{sent.planned:,} mails were planned for {people:,} people")
    require_all(people, accepted=sent.accepted, taken=sink.taken() - before)
    return sent
