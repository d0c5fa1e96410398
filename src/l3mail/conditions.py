"""Parts of a mail that only some people get: what `::: if` asks, asked of those it goes to.

Owns the question and the moment it is put, when a mail begins. What was shown stays on its
delivery, so that a second attempt and a view say the same. Of whom the answer is unknown, neither
a part nor its `else` is shown.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from l3mail import audiences, outbox
from l3mail.audiences import Terms
from l3mail.errors import SegmentError
from l3mail.models import MESSAGE, SUBSCRIBER
from l3mail.outbox import Started
from l3mail.publishing import Published
from l3mail.segments import Expression, Not, Question, Vocabulary, bits, mentions, parse

log = logging.getLogger("l3mail.sending")

ALL = -1
"""Every part is shown, also those that exclude each other."""

NONE = 0
"""No part is shown that not everybody gets."""

_AT_ONCE = 5
"""Questions in one statement: each may bind some thousand values, and SQLite takes 32,766."""


def of(compiled: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The conditions of a compiled text by number: `if`, and whether it is `else`."""
    found: Sequence[Mapping[str, Any]] = compiled.get("conditions", ())
    return found


def values(compiled: Mapping[str, Any], shown: int | None) -> dict[str, Any]:
    """What a text with conditions may name besides: by number, whether a part is shown."""
    conditions = of(compiled)
    if not conditions:
        return {}
    return {"when": tuple(bool((shown or NONE) >> n & 1) for n in range(len(conditions)))}


def told(
    connection: Connection, deliveries: Sequence[tuple[int, int | None, int | None]]
) -> dict[int, list[dict[str, Any]]]:
    """What was shown of texts with conditions: by delivery, each condition and whether it was.

    `deliveries` are ids, each with its version and its `shown`.
    """
    noted = [(number, message, shown) for number, message, shown in deliveries if shown is not None]
    if not noted:
        return {}
    rows = connection.execute(
        select(MESSAGE.c.id, MESSAGE.c.compiled["conditions"]).where(
            MESSAGE.c.id.in_({message for _, message, _ in noted})
        )
    )
    asked = {row.id: row[1] or () for row in rows}
    return {
        number: [
            {"if": one["if"], "else": one["else"], "shown": bool(shown >> n & 1)}
            for n, one in enumerate(asked[message])
        ]
        for number, message, shown in noted
        if message in asked
    }


def decide(
    connection: Connection,
    deliveries: Sequence[Started],
    texts: Mapping[int, Published],
    now: datetime,
    terms: Terms,
) -> list[Started]:
    """Note for deliveries that have just begun what of their texts is shown; return them with it.

    What was noted on an earlier attempt stays. A text that can't be asked, for an attribute of it
    is declared no more, leaves its deliveries undecided; their mails can't be made. Asks nothing
    for texts without conditions.
    """
    waiting: dict[int, list[Started]] = defaultdict(list)
    shown: dict[int, int] = {}
    for delivery in deliveries:
        if delivery.shown is None and of(texts[delivery.message_id].compiled):
            if delivery.subscriber_id is None:
                # The staff looks at a text: at all of it.
                shown[delivery.id] = ALL
            else:
                waiting[delivery.message_id].append(delivery)
    for message, theirs in waiting.items():
        try:
            questions = _questions(connection, texts[message].compiled, now, terms)
        except SegmentError as fault:
            log.error("%s: what its ::: if asks can't be asked: %s", texts[message].slug, fault)  # noqa: TRY400 - a text's fault, not ours
            continue
        for part in _parts(questions):
            shown |= outbox.note_shown(connection, theirs, part)
    if not shown:
        return list(deliveries)
    return [replace(one, shown=shown.get(one.id, one.shown)) for one in deliveries]


def shown_to(
    connection: Connection,
    compiled: Mapping[str, Any],
    subscriber_id: int,
    now: datetime,
    terms: Terms,
) -> int:
    """What of a text somebody would be shown now; raises SegmentError where it can't be asked."""
    if not of(compiled):
        return NONE
    questions = _questions(connection, compiled, now, terms)
    whose = SUBSCRIBER.c.id == subscriber_id
    return sum(
        connection.execute(select(part).where(whose)).scalar() or 0 for part in _parts(questions)
    )


def _questions(
    connection: Connection, compiled: Mapping[str, Any], now: datetime, terms: Terms
) -> list[Question]:
    conditions = of(compiled)
    saved = None
    if any(mentions(condition["if"]) for condition in conditions):
        # As they are now: whoever sharpens a segment means the mails that use it too.
        saved = {one.name: one.expression for one in audiences.listing(connection)}
    # Streams, courses and texts were known when this was published, and are never forgotten.
    vocabulary = Vocabulary(attributes=terms.attributes, segments=saved)
    return [terms.compiled(_read(condition, vocabulary), now) for condition in conditions]


def _read(condition: Mapping[str, Any], vocabulary: Vocabulary) -> Expression:
    said = parse(condition["if"], vocabulary)
    return Expression(said.text, Not(said.tree)) if condition["else"] else said


def _parts(questions: Sequence[Question]) -> Iterator[ColumnElement[int]]:
    for first in range(0, len(questions), _AT_ONCE):
        yield bits(questions[first : first + _AT_ONCE], first)
