"""The page on which an approver reads a mail as it will be sent, and says yes or no.

Owns `/approve`. Who opens it is known by the link alone: it names one approver and one batch, and
ends with the batch. GET shows, POST decides; what was decided is shown to whoever comes later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from sqlalchemy import Connection, Row, select

from l3mail import actions, alarms, conditions, triggers
from l3mail.alarms import Sample
from l3mail.errors import TokenError, TriggerError
from l3mail.models import APPROVAL, TRIGGER
from l3mail.tokens import Purpose, Token
from l3mail.web.door import Visit, Visiting, one
from l3mail.web.letters import VIEW_CSP
from l3mail.wiring import neutral_values, trigger_terms

router = APIRouter()
_DECISIONS: dict[str, Literal["approved", "rejected"]] = {
    "approve": "approved",
    "reject": "rejected",
}


@dataclass(frozen=True, slots=True)
class _Question:
    """What waits for a yes: for how many people, until when, and how it reads by language."""

    people: int
    due: str
    until: str
    samples: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of it: approved, rejected or lapsed, by whom and when."""

    decision: str
    by: str
    at: str


@router.get("/approve/{token:path}")
async def show_approval(visit: Visiting, token: str) -> Response:
    """Show the mail and ask; or say what was decided. `?mail=de` is the mail alone, as sent."""
    asked = _asked(visit, token)
    if asked is None:
        return visit.note("approve_unknown", 404)
    found = await visit.read(lambda connection: _find(connection, visit, asked[0]))
    wanted = visit.request.query_params.get("mail")
    if isinstance(found, _Question) and wanted is not None:
        sample = next((one for one in found.samples if one.locale == wanted), None)
        if sample is None or not sample.html:
            return visit.note("missing", 404)
        headers = {"Content-Security-Policy": VIEW_CSP}
        return HTMLResponse(sample.html.encode("utf-8", "replace"), headers=headers)
    return _page(visit, found)


@router.post("/approve/{token:path}")
async def take_approval(visit: Visiting, token: str) -> Response:
    """Decide, once: whoever comes second is shown what was decided."""
    asked = _asked(visit, token)
    decision = _DECISIONS.get(one(await visit.form(), "decision"))
    if asked is None:
        return visit.note("approve_unknown", 404)
    approval, who = asked

    def verb(connection: Connection) -> _Question | _Answer | None:
        if decision is not None:
            try:
                n = triggers.decide(connection, approval, decision, who, visit.now)
                command = f"triggers {'approve' if decision == 'approved' else 'reject'} {approval}"
                counts = {"approvals": 1, "deliveries": n}
                actions.note(connection, who, f"{command} (page)", counts, visit.now)
            except TriggerError:
                pass  # decided or lapsed meanwhile: the page says so
        return _find(connection, visit, approval)

    found = await visit.write(verb)
    visit.door.wake()
    return _page(visit, found)


def _asked(visit: Visit, text: str) -> tuple[int, str] | None:
    """Which approval a link is about, and who holds it, if they are still an approver."""
    try:
        token: object = visit.door.tokens.read(Purpose.APPROVE, text, visit.now)
    except TokenError as fault:
        token = fault.token  # one that ended still says which batch it was about
    if not isinstance(token, Token) or len(token.numbers) != 2:
        return None
    who = alarms.who_is(token.numbers[1], visit.door.settings.approvers)
    return None if who is None else (token.numbers[0], who)


def _find(connection: Connection, visit: Visit, approval: int) -> _Question | _Answer | None:
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
        connection, batch, lambda text: neutral_values(settings, text, shown=conditions.ALL)
    )
    return _Question(
        people=triggers.waiting_for(connection, batch, terms),
        due=visit.moment(batch.due_at),
        until=visit.moment(batch.lapses_at),
        # The workspace's own language first.
        samples=sorted(samples, key=lambda one: (one.locale != terms.fallback_locale, one.locale)),
    )


def _answer(visit: Visit, row: Row[tuple[object, ...]]) -> _Answer:
    # Nobody may have looked since its moment passed: then it has lapsed all the same.
    if row.decision in (None, "lapsed"):
        return _Answer("lapsed", "", visit.moment(row.lapses_at))
    return _Answer(row.decision, row.decided_by or "", visit.moment(row.decided_at))


def _page(visit: Visit, found: _Question | _Answer | None) -> Response:
    if found is None:
        return visit.note("approve_unknown", 404)
    if isinstance(found, _Answer):
        return visit.page("approved", answer=found)
    return visit.page("approve", question=found)
