"""Certificates: written when a learner asks, and looked up by whoever has one in hand.

Owns `/certificate` and `/verify`. A mail may be forwarded: the page shows nothing that the mail
does not say, least of all the name that stands on the paper.
"""

from typing import Any

from fastapi import APIRouter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response
from sqlalchemy import Connection

from l3mail import certificates, outbox
from l3mail.addresses import clean_name
from l3mail.certificates import MOST_CORRECTIONS, Certificate
from l3mail.locales import long_date
from l3mail.subscribers import EnrollmentStanding
from l3mail.typesetting import unprintable
from l3mail.web.acts import act_of, enrollment_behind, hold, standing_behind
from l3mail.web.door import Visit, Visiting, one
from l3mail.web.letters import PAPER_CSP
from l3mail.wiring import certificate as certificate_paper

router = APIRouter()

LONGEST_NAME = 100
"""Characters: what stands on the paper in three lines at most."""

_Found = tuple[EnrollmentStanding, Certificate | None]


@router.get("/certificate/{token:path}")
async def show_certificate(visit: Visiting, token: str) -> Response:
    """Ask for the name; who only looks is given nothing."""
    delivery = act_of(visit, token)
    if delivery is None:
        return visit.stale()
    found = await visit.read(lambda connection: _found(connection, visit, delivery))
    return visit.stale() if found is None else _form(visit, found, token)


@router.post("/certificate/{token:path}")
async def take_certificate(visit: Visiting, token: str) -> Response:
    """Write the certificate, and answer with the paper."""
    form = await visit.form()
    delivery = act_of(visit, token)
    if delivery is None:
        return visit.stale()
    typed = " ".join(one(form, "name").split())
    name = clean_name(typed)
    signs = await run_in_threadpool(unprintable, name) if len(typed) <= LONGEST_NAME else ()

    def verb(connection: Connection) -> tuple[_Found | None, str]:
        hold(connection, delivery)
        found = _found(connection, visit, delivery)
        if found is None or found[0].completed_at is None:
            return found, ""
        fault = _fault(visit, typed, name, signs)
        if fault:
            return found, fault
        enrollment = found[0]
        issued = certificates.issue(
            connection,
            enrollment.id,
            name=name,
            title=enrollment.title,
            completed_at=found[0].completed_at,
            now=visit.now,
        )
        if issued is None:
            return found, visit.say("certificate.name_kept")
        return (enrollment, issued), ""

    found, fault = await visit.write(verb)
    if found is None:
        return visit.stale()
    if fault or found[0].completed_at is None or found[1] is None:
        return _form(visit, found, token, typed[:LONGEST_NAME], fault)
    return await _paper(visit, found[1])


@router.get("/verify")
async def ask_verify(visit: Visiting) -> Response:
    """Ask for the code, for who has the paper before them and types the address it names."""
    code = visit.request.query_params.get("code", "")
    return await show_verify(visit, code) if code else visit.page("verify", found=None, asked=False)


@router.get("/verify/{code:path}")
async def show_verify(visit: Visiting, code: str) -> Response:
    """What a certificate says, to whoever has its code; a calm page for every other code."""
    found = await visit.read(lambda connection: certificates.look_up(connection, code))
    if found is None:
        return visit.page("verify", 404, found=None, asked=True)
    shown = {
        "name": found.name,
        "title": found.title,
        "completed": _day(visit, found.completed_at),
        "issued": _day(visit, found.issued_at),
    }
    return visit.page("verify", found=shown)


def _found(connection: Connection, visit: Visit, delivery: int) -> _Found | None:
    """The journey a mail belongs to, and its certificate; None where nobody is left."""
    rows = outbox.lookup(connection, [delivery])
    standing = standing_behind(connection, visit, rows)
    enrollment = standing and enrollment_behind(connection, standing, rows[0])
    if not enrollment:
        return None
    return enrollment, certificates.find(connection, enrollment.id)


def _fault(visit: Visit, typed: str, name: str, signs: tuple[str, ...]) -> str:
    """What is wrong with a name, in the visit's language."""
    if len(typed) > LONGEST_NAME:
        return visit.say("errors.too_long", limit=LONGEST_NAME)
    if not name:
        return visit.say("certificate.name_missing")
    return visit.say("certificate.name_unprintable", signs=" ".join(signs)) if signs else ""


def _form(visit: Visit, found: _Found, token: str, name: str = "", fault: str = "") -> Response:
    enrollment, issued = found
    return visit.page(
        "certificate",
        422 if fault else 200,
        title=enrollment.title,
        completed=enrollment.completed_at is not None,
        issued=issued is not None,
        left=MOST_CORRECTIONS - issued.corrections if issued else MOST_CORRECTIONS,
        typed=name,
        error=fault,
        longest=LONGEST_NAME,
        course=f"{visit.door.prefix}/course/{token}",
    )


async def _paper(visit: Visit, issued: Certificate) -> Response:
    pdf = await run_in_threadpool(_typeset, visit, issued)
    file = f"{visit.say('certificate.file')}.pdf"
    return Response(
        pdf,
        media_type="application/pdf",
        headers={
            "Content-Disposition": f'attachment; filename="{file}"',
            "Content-Security-Policy": PAPER_CSP,
        },
    )


def _typeset(visit: Visit, issued: Certificate) -> bytes:
    settings = visit.door.settings
    title = issued.title
    for sign in unprintable(title):
        title = title.replace(sign, "")
    names = ("head", "names", "before", "valid", "verify")
    words = {name: visit.say(f"certificate.paper_{name}") for name in names}
    words["after"] = visit.say("certificate.paper_after", day=_day(visit, issued.completed_at))
    words["issued"] = visit.say("certificate.paper_issued", day=_day(visit, issued.issued_at))
    values: dict[str, Any] = {
        "title": f"{words['head']}: {title}",
        "name": issued.name,
        "course": title,
        "course_lang": settings.workspace.locale.partition("-")[0],
        "issuer": settings.impressum.name or settings.workspace.name,
        "link": f"{settings.web.base_url}/verify/{issued.written_code}",
        "code": issued.written_code,
        "words": words,
    }
    return certificate_paper(settings, visit.tag, values)


def _day(visit: Visit, moment: Any) -> str:
    return long_date(moment.astimezone(visit.door.settings.zone).date(), visit.tag)
