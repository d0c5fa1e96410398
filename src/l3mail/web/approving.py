"""The page on which an approver reads a mail as it will be sent, and says yes or no.

Owns `/approve`. Who opens it is known by the link alone: it names one approver and one batch, and
ends with the batch. GET shows, POST decides; what was decided is shown to whoever comes later.
"""

from typing import Literal

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, Row, select

from l3mail import actions, alarms, conditions, triggers
from l3mail.errors import TriggerError
from l3mail.models import APPROVAL, TRIGGER
from l3mail.tokens import Purpose
from l3mail.web import deciding
from l3mail.web.deciding import Answer, Question
from l3mail.web.door import Visit, Visiting, one
from l3mail.wiring import neutral_values, trigger_terms

router = APIRouter()
_DECISIONS: dict[str, Literal["approved", "rejected"]] = {
    "approve": "approved",
    "reject": "rejected",
}


@router.get("/approve/{token:path}")
async def show_approval(visit: Visiting, token: str) -> Response:
    """Show the mail and ask; or say what was decided. `?mail=de` is the mail alone, as sent."""
    asked = deciding.asked(visit, Purpose.APPROVE, token)
    if asked is None:
        return visit.note("approve_unknown", 404)
    found = await visit.read(lambda connection: _find(connection, visit, asked[0]))
    return deciding.page_or_mail(visit, found)


@router.post("/approve/{token:path}")
async def take_approval(visit: Visiting, token: str) -> Response:
    """Decide, once: whoever comes second is shown what was decided."""
    asked = deciding.asked(visit, Purpose.APPROVE, token)
    decision = _DECISIONS.get(one(await visit.form(), "decision"))
    if asked is None:
        return visit.note("approve_unknown", 404)
    approval, who = asked

    def decide(connection: Connection, decision: Literal["approved", "rejected"]) -> None:
        try:
            n = triggers.decide(connection, approval, decision, who, visit.now)
        except TriggerError:
            return  # decided or lapsed meanwhile: the page says so
        command = f"triggers {'approve' if decision == 'approved' else 'reject'} {approval}"
        counts = {"approvals": 1, "deliveries": n}
        actions.note(connection, who, f"{command} (page)", counts, visit.now)

    if decision is not None:
        await visit.write(lambda connection: decide(connection, decision))
        visit.door.wake()
    # Counting for whom it waits may take a while, and keeps nobody from writing.
    found = await visit.read(lambda connection: _find(connection, visit, approval))
    return deciding.page(visit, found)


def _find(connection: Connection, visit: Visit, approval: int) -> Question | Answer | None:
    row = connection.execute(
        select(APPROVAL, TRIGGER.c.slug)
        .join(TRIGGER, TRIGGER.c.id == APPROVAL.c.trigger_id)
        .where(APPROVAL.c.id == approval)
    ).first()
    if row is None:
        return None
    waiting = triggers.pending(connection, visit.now, row.slug)
    batch = next((batch for batch in waiting if batch.id == approval), None)
    if batch is None:
        return _answer(visit, row)
    settings = visit.door.settings
    terms = trigger_terms(settings, visit.now)
    # Whoever says yes says it to all that may go out.
    samples = alarms.samples_of(
        connection,
        batch.messages,
        lambda text: neutral_values(settings, text, shown=conditions.ALL),
    )
    return Question(
        people=triggers.waiting_for(connection, batch, terms),
        due=visit.moment(batch.due_at),
        until=visit.moment(batch.lapses_at),
        samples=deciding.in_order(visit, samples),
    )


def _answer(visit: Visit, row: Row[tuple[object, ...]]) -> Answer:
    # Nobody may have looked since its moment passed: then it has lapsed all the same.
    if row.decision in (None, "lapsed"):
        return Answer("lapsed", "", visit.moment(row.lapses_at))
    return Answer(row.decision, row.decided_by or "", visit.moment(row.decided_at))
