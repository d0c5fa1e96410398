"""Queueing the mails that people's own acts call for, where they may be mailed.

Owns how such a delivery row is made: one INSERT … SELECT under the one predicate.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, String, literal

from l3mail import outbox
from l3mail.models import DELIVERY, Id
from l3mail.planning import NOW, Candidate, bindings, mails
from l3mail.subscribers.terms import Rules

Column = ColumnElement[Any]


def mail(
    purpose: str,
    kind: str,
    *,
    subscriber_id: Column,
    generation: Column,
    occurrence: Column,
    slug: Column,
    lane: int,
    stream_id: Column | None = None,
    signup_id: Column | None = None,
    link_request_id: Column | None = None,
    **more: Column,
) -> Select[Any]:
    """One delivery, due now, for each row of what the columns come from; `more` are its columns.

    The caller adds joins and says which rows.
    """

    def given(column: Column | None) -> Column:
        return literal(None, Id) if column is None else column

    candidate = Candidate(
        id=literal(None, Id),
        purpose=literal(purpose),
        kind=literal(kind),
        subscriber_id=subscriber_id,
        address=literal(None, String),
        stream_id=given(stream_id),
        generation=generation,
        signup_id=given(signup_id),
        link_request_id=given(link_request_id),
    )
    return mails(
        candidate,
        occurrence=occurrence,
        slug=slug,
        lane=lane,
        due_at=NOW,
        signup_id=candidate.signup_id,
        link_request_id=candidate.link_request_id,
        **more,
    )


def queue(connection: Connection, rules: Rules, chosen: Select[Any], now: datetime) -> list[int]:
    """Write rows that `mail` made, but none that is there already; their ids."""
    statement = outbox.into_queue(connection, chosen).returning(DELIVERY.c.id)
    values = bindings(now, (), rules.fallback_locale)
    return list(connection.execute(statement, values).scalars())
