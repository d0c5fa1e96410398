"""How much memory one process needs to plan and send to very many, beside very few.

Planning and sending in one process, as `l3mail run --once` does it, measured by that process's own
high-water mark. The text is short on purpose: a long one costs the same for each open connection
and hides what grows with the number of people. A million mails take minutes, so the sender is asked
to stop after a while; the figure says how many had gone by then.
"""

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from bench import reference
from bench.crowd import crowd
from bench.figures import Figure, Goal, MissingError, Size
from bench.sender import Sent, send

GROWTH = Goal("peak memory at 1 M recipients / at 1 k", 2.0, 1.3, less_is_better=True)
PEAK = Goal("peak memory at 1 M recipients", 150, unit="MB", less_is_better=True)

TEXT = """---
subject: "Neues für {{ first_name|default('Sie') }}"
stream: newsletter
---

{{ greeting }}, am Samstag ist offen.
"""
MEGA = 1_000_000
ROOM_BYTES = 4_000 * MEGA
"""What a million people, their mails and the log before them take on a disk."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How many people in the small run and in the big one, and how long the sender may send."""

    few: int
    many: int
    seconds: int


SCALES = {Size.FULL: Scale(1_000, 1_000_000, 300), Size.QUICK: Scale(1_000, 10_000, 10)}


def figures(size: Size) -> Iterator[Figure]:
    """The ratio of two peaks, and the higher of them."""
    scale = SCALES[size]
    place = tempfile.gettempdir()
    if size is Size.FULL and shutil.disk_usage(place).free < ROOM_BYTES:
        raise MissingError(f"4 GB of room in {place}: set TMPDIR to a folder that has it")
    with reference.sink() as port:
        few, many = (_peak(people, port, scale.seconds) for people in (scale.few, scale.many))
    told = (
        f"{scale.few:,}: {few.peak_bytes / MEGA:.0f} MB;"
        f" {scale.many:,}: {many.peak_bytes / MEGA:.0f} MB, of these"
        f" {many.peak_bytes_when_planned / MEGA:.0f} MB once all was planned;"
        f" {many.accepted:,} of them sent in {many.seconds:.0f} s, a short text"
    )
    yield Figure(GROWTH, many.peak_bytes / few.peak_bytes, told)
    yield Figure(
        PEAK,
        many.peak_bytes / MEGA,
        f"planned in {many.planning_seconds:.0f} s and sent by one process, Python included",
    )


def _peak(people: int, port: int, seconds: int) -> Sent:
    with crowd(people, port=port, connections=20, text=TEXT) as crowded:
        crowded.database.close()
        [sent] = send(crowded.settings.folder, "--plan", "--seconds", str(seconds))
    if sent.planned != people:
        raise RuntimeError(f"{sent.planned} mails were planned for {people} people")
    return sent
