"""Who seems to have opened a mail or followed its links: a person, or a machine before them.

Pure: from all openings and clicks of one delivery to their verdicts. Mail gateways open every
link within seconds, most often half a minute after the mail was sent, so that only the shape of
a visit tells who came. The rules, the first that fits:

| what | and | verdict |
|---|---|---|
| any, in ten seconds with clicks on three links, or on all of the mail's two or more | | machine |
| any | the same within two seconds before | unsure |
| opening | | human |
| click on the only link of a mail | opened by a person three seconds before or more | human |
| | not opened so | unsure: it may be all that a gateway found |
| click, in ten seconds with one on another link | opened by a person as above | human |
| | not opened so | unsure |
| click on one of several links | | human: many never load images, and gateways try more |

Ten, two and three seconds count themselves. What a request tells by itself (HEAD, a prefetch, a
client without a name) was judged before; it is a clue here and is not judged again. Nor is what
came to a mail after one of its links was over its ceiling for the day: `visits` wrote it `unsure`.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

BURST = timedelta(seconds=10)
REPEAT = timedelta(seconds=2)
READING = timedelta(seconds=3)
MANY_LINKS = 3

Judgement = Literal["human", "machine", "unsure"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One opening (`link_id` None) or click; `is_raw` is one still to be judged."""

    id: int
    at: datetime
    link_id: int | None = None
    is_raw: bool = True


def judge(
    marks: Iterable[Mark], links: int, opened_at: datetime | None = None
) -> dict[int, Judgement]:
    """The verdicts of one delivery's raw marks, by id.

    `links` is how many the mail has, `opened_at` when a person first opened it, if that was
    judged before.
    """
    rows = sorted(marks, key=lambda mark: (mark.at, mark.id))
    spread = _spread(rows)
    machine = MANY_LINKS if links < 2 else min(MANY_LINKS, links)
    verdicts: dict[int, Judgement] = {}
    last: dict[int | None, datetime] = {}
    for mark, others in zip(rows, spread, strict=True):
        before, last[mark.link_id] = last.get(mark.link_id), mark.at
        if others >= machine:
            verdict: Judgement = "machine"
        elif before is not None and mark.at - before <= REPEAT:
            verdict = "unsure"
        elif mark.link_id is None or (links > 1 and others == 1):
            verdict = "human"
        else:
            read = opened_at is not None and mark.at - opened_at >= READING
            verdict = "human" if read else "unsure"
        if mark.is_raw:
            verdicts[mark.id] = verdict
            if mark.link_id is None and verdict == "human":
                opened_at = min(opened_at or mark.at, mark.at)
    return verdicts


def _spread(rows: Sequence[Mark]) -> list[int]:
    """For each mark, the most links that were followed within ten seconds around it.

    One pass over the sorted marks, however many somebody makes.
    """
    spread = [0] * len(rows)
    inside: Counter[int] = Counter()
    end = 0
    # For how far marks are told of a window with so many links already.
    told = dict.fromkeys(range(1, MANY_LINKS + 1), 0)
    for begin, first in enumerate(rows):
        while end < len(rows) and rows[end].at - first.at <= BURST:
            if (link := rows[end].link_id) is not None:
                inside[link] += 1
            end += 1
        count = min(len(inside), MANY_LINKS)
        for reached in range(1, count + 1):
            for place in range(max(begin, told[reached]), end):
                spread[place] = max(spread[place], reached)
            told[reached] = max(told[reached], end)
        if first.link_id is not None:
            inside[first.link_id] -= 1
            if not inside[first.link_id]:
                del inside[first.link_id]
    return spread
