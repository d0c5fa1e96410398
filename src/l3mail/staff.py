"""Mail to the staff: reports, alarms and questions that l3mail writes itself, and texts on trial.

Owns how such a mail becomes a version and its delivery rows. What it says, and when, its authors
decide. A letter holds no placeholder: what looks like one is text.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select

from l3mail import outbox, publishing
from l3mail.database import upsert
from l3mail.models import DELIVERY, MESSAGE
from l3mail.planning import TRIED

if TYPE_CHECKING:
    from l3mail.content import Text

_LANE = 0
_BRACE = re.compile(r"\{(?=[{%#])")


@dataclass(frozen=True, slots=True)
class Letter:
    """What is said, ready to read: plain `text` and perhaps `html` say the same.

    `facts` are kept with it for whoever writes the next one, and are no part of the mail.
    """

    slug: str
    kind: Literal["report", "notice"]
    locale: str
    subject: str
    text: str
    html: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


# Built once: both are asked every few seconds.
_MAILED = select(DELIVERY.c.address).where(
    DELIVERY.c.subscriber_id.is_(None),
    DELIVERY.c.occurrence == bindparam("occurrence"),
    DELIVERY.c.address.in_(bindparam("addresses", expanding=True)),
)
_LATEST = (
    select(MESSAGE.c.id, MESSAGE.c.compiled)
    .where(
        MESSAGE.c.slug.in_(bindparam("slugs", expanding=True)), MESSAGE.c.superseded_at.is_(None)
    )
    .order_by(MESSAGE.c.id.desc())
    .limit(1)
)


def missing(connection: Connection, occurrence: str, addresses: Collection[str]) -> list[str]:
    """Those of the addresses that have no mail of this occurrence yet, in order."""
    values = {"occurrence": occurrence, "addresses": sorted(addresses)}
    return sorted(set(addresses) - set(connection.execute(_MAILED, values).scalars()))


def latest(connection: Connection, slugs: Collection[str]) -> tuple[int, dict[str, Any]] | None:
    """The version written last under one of these slugs, and the facts kept with it."""
    row = connection.execute(_LATEST, {"slugs": sorted(slugs)}).first()
    return None if row is None else (int(row.id), dict(row.compiled.get("facts") or {}))


def plan(
    connection: Connection,
    letter: Letter,
    occurrence: str,
    addresses: Collection[str],
    now: datetime,
    *,
    due_at: datetime | None = None,
    lapses_at: datetime | None = None,
) -> list[int]:
    """Queue a letter to each address that has none of this occurrence; their deliveries' ids.

    All get the version written now, whatever is written under this slug later. Repeating adds
    nothing. Who may be mailed as staff is asked again before the mail goes.
    """
    unmailed = missing(connection, occurrence, addresses)
    if not unmailed:
        return []
    version = _write(connection, letter, now)
    about = {"kind": letter.kind, "slug": letter.slug, "occurrence": occurrence}
    when = {"due_at": due_at or now, "planned_at": now, "lapses_at": lapses_at}
    return _queue(connection, {**about, **when, "message_id": version}, unmailed)


def is_to(address: str) -> ColumnElement[bool]:
    """Whether a delivery is a mail to staff at this address, however either is written.

    The settings take no address of ours with more than ASCII before the @-sign, so the databases
    agree on what small letters are.
    """
    return and_(
        DELIVERY.c.subscriber_id.is_(None), func.lower(DELIVERY.c.address) == address.lower()
    )


_STALE_AFTER = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Trial:
    """A text to look at in a mail program, whether it is published or not.

    `compiled` is a version's; `shown` goes into `details` and says whose mail it would be.
    """

    text: "Text"
    compiled: Mapping[str, Any]
    shown: Mapping[str, Any]


def send_trial(
    connection: Connection, trial: Trial, addresses: Collection[str], by: str, now: datetime
) -> list[int]:
    """Queue a test mail to each address; their deliveries' ids.

    No person's delivery is planned by it, and none ended. One that nobody sends for a day lapses.
    """
    source = trial.text.source
    version = publishing.publish(
        connection,
        slug=TRIED,
        locale=source.locale,
        source=source.text,
        compiled=trial.compiled,
        links=trial.text.links,
        by=by,
        now=now,
        generated=True,
    )
    about = {"kind": "notice", "slug": TRIED, "message_id": version}
    about |= {"occurrence": f"notice:test:{source.slug}:{now:%Y%m%dT%H%M%S%f}"}
    when = {"due_at": now, "planned_at": now, "lapses_at": now + _STALE_AFTER}
    return _queue(connection, {**about, **when, "details": {outbox.TRIAL: trial.shown}}, addresses)


def _queue(connection: Connection, row: Mapping[str, Any], addresses: Collection[str]) -> list[int]:
    shared = {**row, "purpose": "staff", "lane": _LANE, "state": "queued"}
    rows = [{**shared, "address": address} for address in sorted(addresses)]
    statement = (
        upsert(connection, DELIVERY).values(rows).on_conflict_do_nothing().returning(DELIVERY.c.id)
    )
    return sorted(connection.execute(statement).scalars())


def remember(connection: Connection, letter: Letter, now: datetime) -> None:
    """Keep a letter's facts, though it goes to nobody."""
    _write(connection, letter, now)


def _write(connection: Connection, letter: Letter, now: datetime) -> int:
    return publishing.publish(
        connection,
        slug=letter.slug,
        locale=letter.locale,
        source=letter.text,
        compiled={
            "subject": _literal(letter.subject),
            "text": _literal(letter.text),
            "html": None if letter.html is None else _literal(letter.html),
            "kind": letter.kind,
            "locale": letter.locale,
            "stream": None,
            "facts": dict(letter.facts),
        },
        by="l3mail",
        now=now,
        generated=True,
    )


def _literal(text: str) -> str:
    """A template that says just this text: a brace that would begin a piece of Jinja is said."""
    return _BRACE.sub('{{ "{" }}', text)
