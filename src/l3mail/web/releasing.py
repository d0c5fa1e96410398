"""The page on which a second person reads an issue as it will be sent, and says yes or no.

Owns `/release`. Who opens it is known by the link alone: it names one approver and one campaign.
GET shows, POST decides; whoever scheduled the issue is shown it, and asked nothing.
"""

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection, select

from l3mail import actions, alarms, conditions, newsletters
from l3mail.errors import L3mailError, NewsletterError
from l3mail.models import CAMPAIGN
from l3mail.tokens import Purpose
from l3mail.web import deciding
from l3mail.web.deciding import Answer, Question
from l3mail.web.door import Visit, Visiting, one
from l3mail.wiring import asking_terms, neutral_values

router = APIRouter()
_VERBS = {"approve": "release", "reject": "reject"}


@router.get("/release/{token:path}")
async def show_release(visit: Visiting, token: str) -> Response:
    """Show the issue and ask; or say what was decided. `?mail=de` is the mail alone, as sent."""
    asked = deciding.asked(visit, Purpose.RELEASE, token)
    if asked is None:
        return visit.note("approve_unknown", 404)
    found = await visit.read(lambda connection: _find(connection, visit, *asked))
    return deciding.page_or_mail(visit, found)


@router.post("/release/{token:path}")
async def take_release(visit: Visiting, token: str) -> Response:
    """Decide, once: whoever comes second is shown what was decided."""
    asked = deciding.asked(visit, Purpose.RELEASE, token)
    verb = _VERBS.get(one(await visit.form(), "decision"))
    if asked is None:
        return visit.note("approve_unknown", 404)
    campaign, who = asked

    def decide(connection: Connection) -> None:
        try:
            if verb == "release":
                newsletters.release(connection, campaign, who, visit.now)
            else:
                newsletters.reject(connection, campaign, who, "", visit.now)
        except NewsletterError:
            return  # decided or lapsed meanwhile, or not theirs to decide: the page says so
        command = f"newsletters {verb} {campaign} (page)"
        actions.note(connection, who, command, {"campaigns": 1}, visit.now)

    if verb is not None:
        await visit.write(decide)
        visit.door.wake()
    # Counting whom it reaches may take a while, and keeps nobody from writing.
    found = await visit.read(lambda connection: _find(connection, visit, campaign, who))
    return deciding.page(visit, found)


def _find(
    connection: Connection, visit: Visit, campaign: int, who: str
) -> Question | Answer | None:
    waiting = newsletters.unreleased(connection, visit.now)
    found = next((waits for waits in waiting if waits.id == campaign), None)
    if found is None:
        return _answer(connection, visit, campaign)
    settings = visit.door.settings
    # Whoever says yes says it to all that may go out.
    samples = alarms.samples_of(
        connection,
        newsletters.pinned(connection, campaign),
        lambda text: neutral_values(settings, text, shown=conditions.ALL),
    )
    fault, people, last = "", found.expected or 0, None
    try:
        asked = (
            asking_terms(settings).question(connection, found.segment, found.scheduled_at)
            if found.segment
            else None
        )
        audience = newsletters.audience(
            connection, found.stream_id, asked, visit.now, but=campaign, segment=found.segment
        )
        people, last = audience.yes, audience.last
        newsletters.require_releasable(connection, campaign, who, visit.now)
    except L3mailError:
        is_own = newsletters.is_same_person(found.scheduled_by, who)
        fault = "approve.own" if is_own else "approve.changed"
    return Question(
        people=people,
        due=visit.moment(found.scheduled_at),
        until=visit.moment(found.lapses_at),
        by=found.scheduled_by,
        last=f"{last.deliveries} ({visit.moment(last.scheduled_at)})" if last else "",
        samples=deciding.in_order(visit, samples),
        fault=fault,
    )


def _answer(connection: Connection, visit: Visit, campaign: int) -> Answer | None:
    row = connection.execute(select(CAMPAIGN).where(CAMPAIGN.c.id == campaign)).first()
    if row is None or row.lapses_at is None:
        return None
    if row.released_at is not None:
        return Answer("approved", row.released_by or "", visit.moment(row.released_at))
    # Nobody may have looked since its moment passed: then it has lapsed all the same.
    if row.cancelled_at is None or row.cancelled_reason == newsletters.LAPSED:
        return Answer("lapsed", "", visit.moment(row.lapses_at))
    return Answer("withdrawn", "", visit.moment(row.cancelled_at))
