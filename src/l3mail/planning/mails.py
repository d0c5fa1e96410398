"""What is planned: a row of the outbox for each candidate whom nothing objects to."""

from typing import Any

from sqlalchemy import Select, exists, literal, select

from l3mail.models import DELIVERY
from l3mail.planning.permission import NOW, Candidate, Column, mailable

PLANNED = DELIVERY.alias("delivery_planned")
"""Under a name of its own: what a segment asks may look into the same table."""
_OF_CANDIDATE = ("purpose", "kind", "subscriber_id", "stream_id", "generation")


def mails(
    candidate: Candidate,
    *,
    occurrence: Column,
    slug: Column,
    lane: int,
    due_at: Column,
    **more: Column,
) -> Select[Any]:
    """One queued delivery for each row of what the columns come from that may be mailed.

    `more` are further columns, or others for those given here; each bears its name in the
    outbox. The caller adds joins and says which rows. Binds `bindings`.
    """
    columns: dict[str, Column] = {name: getattr(candidate, name) for name in _OF_CANDIDATE}
    columns |= {
        "occurrence": occurrence,
        "slug": slug,
        "lane": literal(lane),
        "state": literal("queued"),
        "due_at": due_at,
        "planned_at": NOW,
        **more,
    }
    named = [column.label(name) for name, column in columns.items()]
    return select(*named).where(mailable(candidate))


def planned(person: Column, which: Column) -> Column:
    """Whether a person has one of the mails of PLANNED that `which` names already.

    Asked where many have it: the insert finds it as well, but draws a number for each.
    """
    return exists(select(PLANNED.c.id).where(PLANNED.c.subscriber_id == person, which))
