"""What became of the mails: how many were due, taken, opened, clicked; which links.

Pure reading, one query a subject. Measured is only whose mail was sent measuring (`tracked`) and
taken; a click or an opening counts once for each mail and only where a human seems to have done it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import ColumnElement, Connection, Subquery, and_, case, func, select

from l3mail.models import (
    AGED_DELIVERY,
    AGED_EVENT,
    COUNTER,
    DELIVERY,
    DELIVERY_STATES,
    EVENT,
    KINDS,
    LINK,
    MESSAGE,
)
from l3mail.reports.hiding import FEWEST, Cell
from l3mail.reports.spans import Span

WAITING = ("queued", "deferred", "sending")
MAILED_BY_HAND = ("newsletter", "lifecycle")
BEHAVIOUR = ("opened", "clicked")
MOST_LINKS = 10


@dataclass(frozen=True, slots=True)
class KindOfMail:
    """The mails of one kind that fell due, by what they are now; `before` the span before."""

    kind: str
    planned: int
    states: Mapping[str, int]
    planned_before: int
    accepted_before: int

    @property
    def waiting(self) -> int:
        """Those on their way."""
        return sum(self.states[state] for state in WAITING)


@dataclass(frozen=True, slots=True)
class Reach:
    """How far mails came: of `accepted` ones, what is known of the `measurable`."""

    accepted: int = 0
    measurable: int = 0
    opened: int = 0
    clicked: int = 0

    @property
    def tells(self) -> bool:
        """Whether enough are measurable to speak of a rate."""
        return self.measurable >= FEWEST


@dataclass(frozen=True, slots=True)
class Mailing:
    """One issue or lifecycle mailing; the `uncounted` acts are those of no known person.

    They are hidden where so few people were not measured that all of them are one's or another's.
    """

    slug: str
    kind: str
    planned: int
    reach: Reach
    uncounted_openings: Cell
    uncounted_clicks: Cell


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """A link people clicked: how many people, and clicks without a person."""

    slug: str
    name: str
    people: Cell
    uncounted: Cell


@dataclass(frozen=True, slots=True)
class Judged:
    """Openings and clicks in the span that count as nobody's: by machine, unsure, undecided."""

    machine: int
    unsure: int
    raw: int


@dataclass(frozen=True, slots=True)
class Mails:
    """All about the mails of a span; so many `aged` events of its days were too old to be kept."""

    kinds: Sequence[KindOfMail]
    mailings: Sequence[Mailing]
    links: Sequence[LinkFigures]
    judged: Judged
    aged: int = 0

    def total(self, *states: str) -> int:
        """Mails of all kinds in these states, or all that were due."""
        if not states:
            return sum(kind.planned for kind in self.kinds)
        return sum(kind.states[state] for kind in self.kinds for state in states)


def within(column: ColumnElement[Any], span: Span) -> ColumnElement[bool]:
    """Whether a moment is in the span."""
    return and_(column >= span.since, column < span.until)


def look(connection: Connection, span: Span, before: Span, only: str | None = None) -> Mails:
    """Look at the mails that fell due in a span, or those of one slug; not at mail to staff."""
    found = _groups(connection, span, before, only)
    responses = _responses(connection, span)
    unmeasured = _unmeasured(connection, span)
    uncounted = _uncounted(connection, span)
    kinds = [
        kind
        for kind in (_kind(name, found) for name in KINDS)
        if kind.planned + kind.planned_before
    ]
    mailings = _mailings(found, responses, uncounted, unmeasured)
    return Mails(
        tuple(kinds),
        tuple(mailings),
        tuple(_links(connection, span, only, unmeasured)),
        _judged(connection, span),
        _aged(connection, span),
    )


_Group = tuple[bool, str, str, str, bool, int]


def _groups(connection: Connection, span: Span, before: Span, only: str | None) -> list[_Group]:
    is_now = case((DELIVERY.c.due_at >= span.since, 1), else_=0).label("is_now")
    keys = (DELIVERY.c.kind, DELIVERY.c.slug, DELIVERY.c.state, DELIVERY.c.tracked)
    query = (
        select(is_now, *keys, func.count())
        .where(
            DELIVERY.c.due_at >= before.since,
            DELIVERY.c.due_at < span.until,
            DELIVERY.c.purpose != "staff",
        )
        .group_by(is_now, *keys)
    )
    # Mails that were too old to be kept, by the days they had been due on.
    aged_now = case((AGED_DELIVERY.c.day >= span.first_on, 1), else_=0).label("is_now")
    aged_keys = [AGED_DELIVERY.c[key.name] for key in keys]
    aged = (
        select(aged_now, *aged_keys, func.sum(AGED_DELIVERY.c.n))
        .where(AGED_DELIVERY.c.day.between(before.first_on, span.last_on))
        .group_by(aged_now, *aged_keys)
    )
    if only is not None:
        query = query.where(DELIVERY.c.slug == only)
        aged = aged.where(AGED_DELIVERY.c.slug == only)
    return [
        (bool(now), kind, slug, state, bool(tracked), int(n))
        for rows in (query, aged)
        for now, kind, slug, state, tracked, n in connection.execute(rows)
    ]


def _aged(connection: Connection, span: Span) -> int:
    query = select(func.coalesce(func.sum(AGED_EVENT.c.n), 0)).where(
        AGED_EVENT.c.day.between(span.first_on, span.last_on)
    )
    return int(connection.execute(query).scalar_one())


def _kind(name: str, found: Iterable[_Group]) -> KindOfMail:
    now: Counter[str] = Counter()
    before: Counter[str] = Counter()
    for is_now, kind, _, state, _, n in found:
        if kind == name:
            (now if is_now else before)[state] += n
    return KindOfMail(
        kind=name,
        planned=now.total(),
        states={state: now[state] for state in DELIVERY_STATES},
        planned_before=before.total(),
        accepted_before=before["accepted"],
    )


def _mailings(
    found: Iterable[_Group],
    responses: Mapping[tuple[str, str], int],
    uncounted: Mapping[tuple[str, str], int],
    unmeasured: Mapping[str, int],
) -> list[Mailing]:
    planned: Counter[tuple[str, str]] = Counter()
    accepted: Counter[str] = Counter()
    measurable: Counter[str] = Counter()
    for is_now, kind, slug, state, tracked, n in found:
        if is_now and kind in MAILED_BY_HAND:
            planned[kind, slug] += n
            accepted[slug] += n * (state == "accepted")
            measurable[slug] += n * (state == "accepted" and tracked)
    return [
        Mailing(
            slug=slug,
            kind=kind,
            planned=n,
            reach=Reach(
                accepted[slug],
                measurable[slug],
                responses.get((slug, "opened"), 0),
                responses.get((slug, "clicked"), 0),
            ),
            uncounted_openings=_of_many(uncounted.get((slug, "opened"), 0), unmeasured[slug]),
            uncounted_clicks=_of_many(uncounted.get((slug, "clicked"), 0), unmeasured[slug]),
        )
        for (kind, slug), n in sorted(
            planned.items(), key=lambda one: (one[0][0] != "newsletter", one)
        )
    ]


IS_MEASURED = and_(
    DELIVERY.c.tracked, DELIVERY.c.state == "accepted", DELIVERY.c.purpose == "stream"
)
BY_A_HUMAN = and_(EVENT.c.kind.in_(BEHAVIOUR), EVENT.c.verdict == "human")


def touched(*conditions: ColumnElement[bool]) -> Subquery:
    """The `delivery_id` and `kind` of events, each pair once.

    Grouped before they are joined: in the order of their numbers deliveries are read along the
    file, in that of events all over it.
    """
    pair = (EVENT.c.delivery_id, EVENT.c.kind)
    return select(*pair).where(*conditions).group_by(*pair).subquery("touched")


def _responses(connection: Connection, span: Span) -> dict[tuple[str, str], int]:
    """By slug and kind, how many measured mails of the span somebody opened or clicked in."""
    seen = touched(BY_A_HUMAN, EVENT.c.at >= span.since)
    query = (
        select(DELIVERY.c.slug, seen.c.kind, func.count())
        .join(DELIVERY, DELIVERY.c.id == seen.c.delivery_id)
        .where(IS_MEASURED, within(DELIVERY.c.due_at, span))
        .group_by(DELIVERY.c.slug, seen.c.kind)
    )
    return {(slug, kind): n for slug, kind, n in connection.execute(query)}


def _unmeasured(connection: Connection, span: Span) -> Counter[str]:
    """By text that anything of the span was counted of: how many had it and were not measured."""
    counted = (
        select(MESSAGE.c.slug)
        .join(COUNTER, COUNTER.c.message_id == MESSAGE.c.id)
        .where(COUNTER.c.day.between(span.first_on, span.last_on))
    )
    query = (
        select(DELIVERY.c.slug, func.count(DELIVERY.c.subscriber_id.distinct()))
        .where(
            DELIVERY.c.slug.in_(counted),
            DELIVERY.c.state == "accepted",
            DELIVERY.c.tracked.is_(False),
        )
        .group_by(DELIVERY.c.slug)
    )
    return Counter({slug: int(n) for slug, n in connection.execute(query)})


def _of_many(n: int, people: int) -> Cell:
    """A count of what nobody is known by, hidden where few could have done it."""
    return Cell(n) if people >= FEWEST else Cell(None, "covered")


def _uncounted(connection: Connection, span: Span) -> dict[tuple[str, str], int]:
    query = (
        select(MESSAGE.c.slug, COUNTER.c.kind, func.sum(COUNTER.c.n))
        .join(MESSAGE, MESSAGE.c.id == COUNTER.c.message_id)
        .where(COUNTER.c.day.between(span.first_on, span.last_on))
        .group_by(MESSAGE.c.slug, COUNTER.c.kind)
    )
    return {(slug, kind): int(n) for slug, kind, n in connection.execute(query)}


def _links(
    connection: Connection, span: Span, only: str | None, unmeasured: Mapping[str, int]
) -> list[LinkFigures]:
    keys = (MESSAGE.c.slug, LINK.c.name, LINK.c.url)
    clicks = (
        select(*keys, EVENT.c.subscriber_id)
        .select_from(EVENT)
        .join(LINK, LINK.c.id == EVENT.c.link_id)
        .join(MESSAGE, MESSAGE.c.id == LINK.c.message_id)
        .where(
            EVENT.c.kind == "clicked", EVENT.c.verdict == "human", within(EVENT.c.at, span),
            EVENT.c.subscriber_id.is_not(None),
        )
        .distinct()
    )  # fmt: skip
    counted = (
        select(*keys, func.sum(COUNTER.c.n))
        .join(LINK, LINK.c.id == COUNTER.c.link_id)
        .join(MESSAGE, MESSAGE.c.id == LINK.c.message_id)
        .where(COUNTER.c.kind == "clicked", COUNTER.c.day.between(span.first_on, span.last_on))
        .group_by(*keys)
    )
    people: dict[tuple[str, str], set[int]] = {}
    if only is not None:
        clicks, counted = (query.where(MESSAGE.c.slug == only) for query in (clicks, counted))
    for slug, name, url, person in connection.execute(clicks):
        people.setdefault((slug, name_of(name, url)), set()).add(person)
    uncounted: Counter[tuple[str, str]] = Counter()
    for slug, name, url, n in connection.execute(counted):
        uncounted[slug, name_of(name, url)] += int(n)
    found = [
        LinkFigures(
            *key, at_least(len(people.get(key, ()))), _of_many(uncounted[key], unmeasured[key[0]])
        )
        for key in people.keys() | uncounted.keys()
    ]
    # By what is shown alone: the order would tell which hidden number is the greater.
    found.sort(key=lambda one: (-(one.people.n or 0) - (one.uncounted.n or 0), one.slug, one.name))
    return found[:MOST_LINKS]


def at_least(n: int) -> Cell:
    """A number of people, hidden where it is small; for lists that say no total."""
    return Cell(n) if n >= FEWEST else Cell(None, "small")


def name_of(name: str | None, url: str) -> str:
    """What a link is called: by its author, else by the place it leads to."""
    if name:
        return name
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def _judged(connection: Connection, span: Span) -> Judged:
    query = (
        select(EVENT.c.verdict, func.count().label("n"))
        .where(EVENT.c.kind.in_(BEHAVIOUR), within(EVENT.c.at, span))
        .group_by(EVENT.c.verdict)
    )
    counts = {row.verdict: row.n for row in connection.execute(query)}
    return Judged(*(counts.get(verdict, 0) for verdict in ("machine", "unsure", "raw")))
