"""Where people sign up from: posters, events, other people's pages.

Owns the rows of `source`. Everybody may name any source; only one that an operator wrote down, and
only until its end, raises a ceiling. How much that lets through is the door's business.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import ColumnElement, Connection, Table, func, select, update

from l3mail.database import upsert
from l3mail.errors import SourceError, did_you_mean, quoted
from l3mail.models import SIGNUP, SOURCE, SUBSCRIPTION

REFERRAL: Final = "empfehlung"
"""The source of those who came by the link under somebody's mail."""

LONGEST_NAME: Final = 60
_NAME: Final = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*")
_SPELT: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@dataclass(frozen=True, slots=True)
class Raised:
    """A source whose event is on; `per_hour` None is the workspace's own."""

    name: str
    per_hour: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """A source with what came of it: people asked, and people who ever confirmed.

    One that nobody wrote down has neither title nor dates.
    """

    name: str
    title: str | None = None
    per_hour: int | None = None
    ends_at: datetime | None = None
    created_at: datetime | None = None
    created_by: str | None = None
    requested: int = 0
    confirmed: int = 0

    @property
    def is_known(self) -> bool:
        """Whether an operator wrote it down."""
        return self.created_at is not None

    def is_raised(self, now: datetime) -> bool:
        """Whether its event is on."""
        return self.ends_at is not None and now < self.ends_at


def link_to_form(
    base_url: str, streams: Iterable[str] = (), source: str = "", locale: str = ""
) -> str:
    """The address of the form for some streams, which says where somebody comes from."""
    said = [("stream", slug) for slug in streams]
    said += [(name, value) for name, value in (("source", source), ("locale", locale)) if value]
    return f"{base_url}/subscribe" + (f"?{urlencode(said, errors='replace')}" if said else "")


def read_name(text: str) -> str:
    """A source's name as it is kept, in small letters; raises SourceError.

    Only what a link shows as it is: it is printed on paper and typed from there.
    """
    name = text.strip().lower()
    if len(name) <= LONGEST_NAME and _NAME.fullmatch(name):
        return name
    spelt = unicodedata.normalize("NFKD", name.translate(_SPELT)).encode("ascii", "ignore").decode()
    near = "-".join(re.findall(r"[a-z0-9]+", spelt))[:LONGEST_NAME].strip("-")
    raise SourceError(
        f"{quoted(text)} is no name for a source, which has a-z, 0-9 and hyphens;"
        f' write "{near or "stadtfest-2026"}"'
    )


def register(
    connection: Connection,
    name: str,
    now: datetime,
    by: str,
    *,
    title: str | None = None,
    ends_at: datetime | None = None,
    per_hour: int | None = None,
) -> None:
    """Write a source down; of one that is there, what is given replaces what was."""
    given = {"title": title, "ends_at": ends_at, "per_hour": per_hour}
    changed = {key: value for key, value in given.items() if value is not None}
    statement = upsert(connection, SOURCE).values(name=name, created_at=now, created_by=by, **given)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[SOURCE.c.name], set_=changed)
        if changed
        else statement.on_conflict_do_nothing()
    )


def end(connection: Connection, name: str, now: datetime) -> None:
    """From now on the usual ceilings hold for a source; raises SourceError for an unknown one."""
    ended = connection.execute(
        update(SOURCE)
        .where(SOURCE.c.name == name, SOURCE.c.ends_at.is_not(None), SOURCE.c.ends_at > now)
        .values(ends_at=now)
        .returning(SOURCE.c.name)
    ).first()
    if ended is None and not find(connection, name).is_known:
        raise SourceError(f"{quoted(name)} was never written down: nothing to end")


def named(connection: Connection, text: str, now: datetime) -> tuple[str, Raised | None]:
    """The source a form names, as it is kept, and whether its event is on now.

    Capitals count as small letters, whatever else is different is another source.
    """
    row = connection.execute(select(SOURCE).where(SOURCE.c.name == text.lower())).first()
    if row is None:
        return text, None
    is_on = row.ends_at is not None and now < row.ends_at
    return row.name, Raised(row.name, row.per_hour) if is_on else None


def listing(connection: Connection) -> list[Source]:
    """All sources: those written down, the latest first, then what else sign-ups name."""
    people = func.count(SUBSCRIPTION.c.subscriber_id.distinct())
    requested = _counts(connection, SIGNUP, func.count())
    confirmed = _counts(connection, SUBSCRIPTION, people)
    rows = connection.execute(
        select(SOURCE).order_by(SOURCE.c.created_at.desc(), SOURCE.c.name)
    ).all()
    known = [
        Source(
            **row._mapping,
            requested=requested.pop(row.name, 0),
            confirmed=confirmed.pop(row.name, 0),
        )
        for row in rows
    ]
    named = [
        Source(name, requested=requested.get(name, 0), confirmed=confirmed.get(name, 0))
        for name in requested.keys() | confirmed.keys()
    ]
    named.sort(key=lambda one: (-one.confirmed, -one.requested, one.name))
    return known + named


def find(connection: Connection, name: str) -> Source:
    """One source; raises SourceError for one that neither operators nor sign-ups name."""
    found = listing(connection)
    for one in found:
        if one.name == name:
            return one
    hint = did_you_mean(name, [one.name for one in found], "`l3mail form list` shows them all")
    raise SourceError(f"{quoted(name)} is no source; {hint}")


def _counts(connection: Connection, table: Table, number: ColumnElement[int]) -> dict[str, int]:
    query = select(table.c.source, number).where(table.c.source.is_not(None))
    return {name: int(n) for name, n in connection.execute(query.group_by(table.c.source))}
