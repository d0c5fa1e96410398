"""Many people at once: what a file asks for, judged against who is known, and done set by set.

Owns the order of an import and its reasons to refuse a row (TRUST section 6, column add/import).
Never lifts a suppression, never mails without proof; doing the same again changes nothing. Must
not know files, cells or terminals.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, time
from typing import Any, Literal

from sqlalchemy import Connection, func, select

from l3mail import consents, events, subscribers, suppressions
from l3mail.addresses import address_key
from l3mail.calendars import wall_to_utc
from l3mail.database import upsert
from l3mail.models import (
    DELIVERY,
    STREAM,
    SUBSCRIPTION,
)
from l3mail.subscribers import signups, subscriptions
from l3mail.subscribers.acquaintance import (
    Difference,
    Known,
    Newcomer,
    differences,
    fills,
    look_up,
    make_known,
)
from l3mail.subscribers.entries import Entry, Rejection
from l3mail.subscribers.invitations import invite_all
from l3mail.subscribers.terms import Rules

BATCH = 100
"""Rows of a file taken in one transaction: a web write behind it waits less than 100 ms."""

Way = Literal["invite", "attest", "unsubscribed", "bounced", "complained", "blocked"]
WAYS_OUT: Mapping[str, Way] = {
    "unsubscribed": "unsubscribed",
    "bounced": "bounced",
    "complained": "complained",
    "blocked": "blocked",
}
_BARRED: Mapping[Way, str] = {
    "bounced": "hard_bounce",
    "complained": "complaint",
    "blocked": "operator",
}


@dataclass(frozen=True, slots=True)
class Order:
    """What is to become of a file's people, on whose word, and with which proof.

    `invite` asks each by mail; `attest` counts `note` as proof of their consent; the others are
    people who must not be mailed (any more). `update` lets values take the place of those that are
    known; states and consents never follow from it. `moved` are addresses that people moved away
    from, by key: nobody's word but that mailbox's own brings one of them back.
    """

    way: Way
    by: str
    note: str = ""
    update: bool = False
    moved: Mapping[bytes, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a row comes to: `reason` where it is refused, else the streams still to be done.

    `fills` are values of a known person that are empty so far, or to be overwritten; `differences`
    all that the row says otherwise of one; `bars` the address; `adds` a person. `open`: there is
    a request to merge with, one person at a time, or something to leave.
    """

    entry: Entry
    key: bytes
    person: int | None
    streams: tuple[str, ...] = ()
    fills: Mapping[str, Any] = field(default_factory=dict)
    bars: bool = False
    adds: bool = False
    open: bool = False
    reason: str = ""
    differences: tuple[Difference, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.streams or self.fills or self.bars or self.adds)


@dataclass(frozen=True, slots=True)
class Tally:
    """What rows came to; `people` are new ones, `updated` known ones with other values now.

    `joined` and `left` are memberships.
    """

    taken: int = 0
    people: int = 0
    updated: int = 0
    joined: int = 0
    invited: int = 0
    mails: int = 0
    left: int = 0
    suppressed: int = 0
    unchanged: int = 0
    rejections: tuple[Rejection, ...] = ()

    def __add__(self, other: "Tally") -> "Tally":
        """The two together."""
        return Tally(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def counts(self) -> dict[str, int]:
        """The figures that are not zero, for the note of what was done."""
        figures = {name: getattr(self, name) for name in self.__slots__ if name != "rejections"}
        figures["rejected"] = len(self.rejections)
        return {name: figure for name, figure in figures.items() if figure}


def judge(
    connection: Connection,
    rules: Rules,
    entries: Sequence[Entry],
    order: Order,
    now: datetime,
    *,
    lock: bool = False,
) -> list[Verdict]:
    """What each row comes to as things stand; changes nothing. A batch at a time.

    `lock` holds these people for what is done next.
    """
    keys = [address_key(entry.request.address, rules.pepper) for entry in entries]
    known = look_up(connection, keys, now, lock=lock)
    slugs = connection.execute(select(STREAM.c.slug)).scalars().all()
    judging = _Judging(rules, order, tuple(slugs))
    return [
        judging.verdict(entry, key, known[key]) for entry, key in zip(entries, keys, strict=True)
    ]


def foresee(verdicts: Sequence[Verdict], order: Order) -> Tally:
    """What `take` would count, were it done now; `mails` is the most there could be."""
    accepted = [verdict for verdict in verdicts if not verdict.reason]
    todo = [verdict for verdict in accepted if verdict.changes]
    streams = sum(len(verdict.streams) for verdict in todo)
    asked = sum(bool(verdict.streams) for verdict in todo) if order.way == "invite" else 0
    return Tally(
        taken=len(accepted),
        people=sum(verdict.adds for verdict in todo),
        updated=_updated(todo),
        joined=streams if order.way == "attest" else 0,
        invited=asked,
        mails=asked,
        left=streams if order.way == "unsubscribed" else 0,
        suppressed=sum(verdict.bars for verdict in todo),
        unchanged=len(accepted) - len(todo),
        rejections=tuple(Rejection(v.entry.row, v.reason) for v in verdicts if v.reason),
    )


def take(
    connection: Connection,
    rules: Rules,
    entries: Sequence[Entry],
    order: Order,
    now: datetime,
) -> Tally:
    """Do for a batch of rows what the order says, and count. Idempotent."""
    verdicts = judge(connection, rules, entries, order, now, lock=True)
    accepted = [verdict for verdict in verdicts if not verdict.reason]
    todo = [verdict for verdict in accepted if verdict.changes]
    tally = Tally(
        taken=len(accepted),
        updated=_updated(todo),
        unchanged=len(accepted) - len(todo),
        rejections=tuple(Rejection(v.entry.row, v.reason) for v in verdicts if v.reason),
    )
    if order.way in _BARRED:
        keys = [verdict.key for verdict in todo]
        note = order.note or None
        suppressions.suppress(connection, keys, _BARRED[order.way], now, note)
        return tally + Tally(suppressed=len(keys))
    if order.way == "unsubscribed":
        return tally + _leave(connection, rules, todo, now)
    if order.way == "attest":
        return tally + _attest(connection, todo, order, now)
    return tally + _invite(connection, rules, todo, order, now)


def _updated(verdicts: Sequence[Verdict]) -> int:
    return sum(bool(verdict.fills) for verdict in verdicts)


@dataclass(frozen=True, slots=True)
class _Judging:
    rules: Rules
    order: Order
    every_stream: tuple[str, ...]

    def verdict(self, entry: Entry, key: bytes, known: Known) -> Verdict:
        verdict = Verdict(entry, key, known.person)
        way, named = self.order.way, entry.request.streams
        if way in _BARRED:
            return replace(verdict, bars=_outranks(_BARRED[way], known.suppressed))
        if way == "unsubscribed":
            left = named or self.every_stream
            states = known.states
            open_ones = [s for s in left if s not in states or states[s][0] != "unsubscribed"]
            return replace(
                verdict,
                streams=tuple(open_ones),
                adds=known.person is None and bool(open_ones),
                open=bool(known.asked) or any(slug in states for slug in open_ones),
            )
        reason = self._objection(known, named)
        # An address that was left is known until its farewell is said, and has joined nothing.
        if not known.states and way == "attest" and key in self.order.moved:
            reason = reason or (
                f"whose address it was has moved to another on {self._day(self.order.moved[key])};"
                " only an invitation can ask it anew"
            )
        if reason:
            return replace(verdict, reason=reason)
        confirmed = {slug for slug, (state, _) in known.states.items() if state == "confirmed"}
        done = confirmed if way == "attest" else confirmed | known.asked
        streams = tuple(slug for slug in named if slug not in done)
        # What nobody proved yet stays with the request until it is confirmed.
        proven = way == "attest" or not named or self.order.update
        here = known.values if known.person else None
        filled = fills(entry.request, here, over=self.order.update) if here and proven else {}
        return replace(
            verdict,
            streams=streams,
            fills=filled,
            adds=known.person is None,
            open=bool(known.asked),
            differences=differences(entry.request, here) if here else (),
        )

    def _objection(self, known: Known, named: Sequence[str]) -> str:
        if known.suppressed:
            reason, at = known.suppressed
            return f"suppressed on {self._day(at)} ({reason.replace('_', ' ')})"
        if known.restricted:
            return "processing is restricted at the person's request"
        left = [(s, known.states[s][1]) for s in named if known.state(s) == "unsubscribed"]
        if self.order.way == "attest" and not named:
            return "names no stream to join"
        if left:
            slugs = ", ".join(slug for slug, _ in left)
            days = [self._day(at) for _, at in left if at]
            on = f" on {max(days)}" if days else ""
            return f"unsubscribed{on}, needs a new opt-in ({slugs})"
        return ""

    def _day(self, at: datetime) -> str:
        return at.astimezone(self.rules.zone).date().isoformat()


def _outranks(reason: str, present: tuple[str, datetime] | None) -> bool:
    order = suppressions.STRONGEST_FIRST
    return present is None or order.index(reason) < order.index(present[0])


def _attest(
    connection: Connection, verdicts: Sequence[Verdict], order: Order, now: datetime
) -> Tally:
    """Record the operator's word: who is new, who joins what, and one act of evidence each."""
    if not verdicts:
        return Tally()
    people = make_known(connection, _newcomers(verdicts, over=order.update), now)
    ids = _stream_ids(connection)
    rows = [
        {
            "subscriber_id": people[verdict.key],
            "stream_id": ids[slug],
            "state": "confirmed",
            "source": "import",
            "created_at": now,
            "confirmed_at": now,
        }
        for verdict in verdicts
        for slug in verdict.streams
    ]
    joined = _join(connection, rows)
    slugs = {number: slug for slug, number in ids.items()}
    by_person: dict[int, list[str]] = {}
    for person, stream in joined:
        by_person.setdefault(person, []).append(slugs[stream])
    keys = {person: key for key, person in people.items()}
    proofs = {verdict.key: verdict.entry.proof for verdict in verdicts if verdict.entry.proof}
    acts = [
        (person, _evidence(sorted(joined_by), keys[person], order, proofs))
        for person, joined_by in sorted(by_person.items())
    ]
    signups.settle(connection, set(by_person), now)
    consents.note_all(connection, "attested", acts, now)
    events.append(connection, [fact for act in acts for fact in _facts(*act, now)])
    return Tally(people=sum(verdict.adds for verdict in verdicts), joined=len(joined))


def _newcomers(
    verdicts: Sequence[Verdict], *, bare: bool = False, over: bool = False
) -> list[Newcomer]:
    """Of whom to make sure; `bare` keeps nothing but the address."""
    return [
        Newcomer(v.entry.request, v.key, v.person, {} if bare else v.fills, bare=bare, over=over)
        for v in verdicts
    ]


def _evidence(
    slugs: Sequence[str], key: bytes, order: Order, proofs: Mapping[bytes, str]
) -> dict[str, Any]:
    """What `subscribers.attest` leaves for one person, with what the file itself tells of it."""
    return {
        "streams": list(slugs),
        "note": f"{order.note} ({proofs[key]})" if key in proofs else order.note,
        "by": order.by,
        "form": "import",
        "source": "import",
        "address_key": key.hex(),
    }


def _facts(person: int, evidence: Mapping[str, Any], now: datetime) -> list[dict[str, Any]]:
    fact = {"kind": "confirmed", "at": now, "subscriber_id": person}
    return [fact | {"data": {"stream": s, "how": "attested"}} for s in evidence["streams"]]


def _join(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Confirm memberships that nobody has ended since; those that changed."""
    if not rows:
        return []
    statement = upsert(connection, SUBSCRIPTION)
    confirming = statement.on_conflict_do_update(
        index_elements=[SUBSCRIPTION.c.subscriber_id, SUBSCRIPTION.c.stream_id],
        set_={
            "state": "confirmed",
            "confirmed_at": statement.excluded.confirmed_at,
            "source": statement.excluded.source,
            "generation": SUBSCRIPTION.c.generation + 1,
        },
        where=SUBSCRIPTION.c.state == "unconfirmed",
    ).returning(SUBSCRIPTION.c.subscriber_id, SUBSCRIPTION.c.stream_id)
    return [tuple(row) for row in connection.execute(confirming, list(rows))]


def _invite(
    connection: Connection,
    rules: Rules,
    verdicts: Sequence[Verdict],
    order: Order,
    now: datetime,
) -> Tally:
    """Ask each by mail, through the door everybody comes in by and within its limits."""
    at_once = [verdict for verdict in verdicts if not verdict.streams or verdict.fills]
    if at_once:
        make_known(connection, _newcomers(at_once, over=order.update), now)
    asking = [
        replace(one, request=replace(one.request, streams=verdict.streams))
        for verdict, one in zip(verdicts, _newcomers(verdicts), strict=True)
        if verdict.streams
    ]
    merging = {verdict.key for verdict in verdicts if verdict.open}
    last = connection.execute(select(func.coalesce(func.max(DELIVERY.c.id), 0))).scalar_one()
    invite_all(connection, rules, [one for one in asking if one.key not in merging], now)
    for one in asking:
        if one.key in merging:
            # Few: who was asked before, and is now to be asked for more.
            subscribers.sign_up(connection, rules, one.request, now)
    mails = select(func.count()).where(DELIVERY.c.id > last, DELIVERY.c.kind == "confirmation")
    return Tally(
        people=sum(verdict.adds for verdict in verdicts),
        invited=len(asking),
        mails=connection.execute(mails).scalar_one(),
    )


def _leave(
    connection: Connection, rules: Rules, verdicts: Sequence[Verdict], now: datetime
) -> Tally:
    """End memberships, and remember for those who have none that they want none.

    The former end now; the latter keep the day on which the person left elsewhere.
    """
    leaving: dict[tuple[str, ...], dict[int, bytes]] = {}
    for verdict in verdicts:
        if verdict.person is not None and verdict.open:
            leaving.setdefault(verdict.streams, {})[verdict.person] = verdict.key
    left = sum(
        subscriptions.end_all(connection, people, streams, now, "import")
        for streams, people in leaving.items()
    )
    people = make_known(connection, _newcomers(verdicts, bare=True), now)
    ids = _stream_ids(connection)
    rows = [
        {
            "subscriber_id": people[verdict.key],
            "stream_id": ids[slug],
            "state": "unsubscribed",
            "source": "import",
            "created_at": now,
            "unsubscribed_at": _left_at(verdict.entry, rules, now),
        }
        for verdict in verdicts
        for slug in verdict.streams
    ]
    if not rows:
        return Tally(left=left)
    remembered = connection.execute(
        upsert(connection, SUBSCRIPTION)
        .on_conflict_do_nothing(
            index_elements=[SUBSCRIPTION.c.subscriber_id, SUBSCRIPTION.c.stream_id]
        )
        .returning(SUBSCRIPTION.c.id),
        rows,
    ).all()
    new = sum(verdict.adds for verdict in verdicts)
    return Tally(people=new, left=left + len(remembered))


def _left_at(entry: Entry, rules: Rules, now: datetime) -> datetime:
    day = entry.left_on
    return now if day is None else min(wall_to_utc(day, time(0), rules.zone), now)


def _stream_ids(connection: Connection) -> dict[str, int]:
    return {row.slug: row.id for row in connection.execute(select(STREAM.c.slug, STREAM.c.id))}
