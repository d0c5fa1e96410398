"""The acts of everybody, as an operator looks through them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, select

from l3mail.models import CONSENT, SUBSCRIBER


def listing(
    connection: Connection,
    *,
    act: str | None = None,
    since: datetime | None = None,
    search: str | None = None,
    people: ColumnElement[bool] | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """The newest acts, oldest of them first; of erased people those whose proof is kept.

    Each has `seq, at, act, email, streams, content`; `email` is None for erased people, whom no
    condition on `people` finds.
    """
    rows = connection.execute(
        _wanted(act, since, search, people).order_by(CONSENT.c.seq.desc()).limit(limit)
    ).all()
    return [
        {
            "seq": row.seq,
            "at": row.at,
            "act": row.act,
            "email": row.address,
            "streams": row.content.get("streams") or [],
            "content": row.content,
        }
        for row in reversed(rows)
    ]


def _wanted(
    act: str | None,
    since: datetime | None,
    search: str | None,
    people: ColumnElement[bool] | None,
) -> Select[Any]:
    query = (
        select(CONSENT.c.seq, CONSENT.c.at, CONSENT.c.act, CONSENT.c.content, SUBSCRIBER.c.address)
        .join(SUBSCRIBER, SUBSCRIBER.c.id == CONSENT.c.subscriber_id)
        .where(CONSENT.c.act.is_not(None))
    )
    if act is not None:
        query = query.where(CONSENT.c.act == act)
    if since is not None:
        query = query.where(CONSENT.c.at >= since)
    if search:
        query = query.where(SUBSCRIBER.c.address.icontains(search, autoescape=True))
    if people is not None:
        query = query.where(people)
    return query
