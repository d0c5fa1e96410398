"""Coming in: the form, its twin for programs, and the extra step.

Owns when a sign-up is taken at once, when it needs one step more and when it must wait. Whoever
the address belongs to, the answer is the same. Nothing is dropped in silence: the extra step is a
second button that anybody can press, not a riddle somebody might fail; a program that floods us
has to read our page again for every address.

A form says which texts of consent it showed. Where one of them is no longer in force, on a page
somebody had open or on another house's with an older copy of the form, nobody is taken to agree to
a text they have not seen, nor to one we no longer stand by: the form comes back with the new one.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse, Response
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from l3mail import consents, sources, streams, subscribers
from l3mail.errors import SubscriberError, TokenError
from l3mail.sources import Raised
from l3mail.streams import Offer
from l3mail.tokens import Purpose
from l3mail.web import fields
from l3mail.web.archive import archived_streams
from l3mail.web.asking import Asked, in_force, what_is_asked
from l3mail.web.door import Form, Visit, Visiting, one
from l3mail.web.fields import Filled
from l3mail.web.limits import Verdict

STEP_LIFETIME = timedelta(hours=1)
RETRY_SECONDS = "3600"
HONEYPOT = "website"
_FIRST, _STEP = 0, 1

router = APIRouter()


@dataclass(frozen=True)
class _Sent:
    """A form as it was read; `wordings` are the ids of the texts it showed, where it says so."""

    filled: Filled
    raised: Raised | None
    wordings: tuple[int, ...] = ()


@router.get("/subscribe")
async def show_form(visit: Visiting) -> Response:
    """The empty form, or one for the streams the address names."""
    query = visit.request.query_params
    filled = Filled(
        source=fields.read_source(query.get("source", "")),
        among=tuple(query.getlist("stream")),
        values=dict.fromkeys((*fields.PERSONAL, *visit.door.settings.attributes), ""),
    )
    token = visit.door.tokens.make(Purpose.FORM, _FIRST, int(visit.now.timestamp()))
    return await _form_page(visit, filled, token)


@router.post("/subscribe")
async def take_form(visit: Visiting) -> Response:
    """Take the form, or give it back with what is wrong or with the extra step."""
    form = _with_query(await visit.form(), visit)
    visit.speak(one(form, "locale"))
    sent = await _read(visit, form)
    filled, token = sent.filled, one(form, "token")
    if filled.errors:
        return await _form_page(visit, filled, token, status=422)
    verdict = _judge(visit, form, sent)
    if verdict is Verdict.STOP:
        answer = visit.note("full", 429)
        answer.headers["Retry-After"] = RETRY_SECONDS
        return answer
    if verdict is Verdict.STEP:
        return await _form_page(visit, filled, token, step=_step(visit, filled), status=428)
    await _sign_up(visit, sent, "web")
    return visit.note("sent")


@router.post("/api/subscriptions")
async def take_json(visit: Visiting) -> Response:
    """The form for programs: the same fields, rules and answers, as JSON.

    202 taken, 422 with a text for each wrong field, 428 with a `step` to send along once more,
    429 with Retry-After.
    """
    form = _form_of(await visit.request.body())
    visit.speak(one(form, "locale"))
    sent = await _read(visit, form)
    filled = sent.filled
    if filled.errors:
        errors = {name: visit.say(word, **gaps) for name, (word, gaps) in filled.errors.items()}
        return JSONResponse({"status": "invalid", "errors": errors}, 422)
    verdict = _judge(visit, form, sent)
    if verdict is Verdict.STOP:
        said = {"status": "full", "message": visit.say("full.lead")}
        return JSONResponse(said, 429, {"Retry-After": RETRY_SECONDS})
    if verdict is Verdict.STEP:
        said = {"status": "step", "message": visit.say("step.lead"), "step": _step(visit, filled)}
        return JSONResponse(said, 428)
    await _sign_up(visit, sent, "api")
    return JSONResponse({"status": "accepted", "message": visit.say("sent.lead")}, 202)


async def _sign_up(visit: Visit, sent: _Sent, form: str) -> None:
    filled = sent.filled
    if filled.address is None:  # not after a reading without errors
        raise HTTPException(400)
    request = subscribers.Request(
        address=filled.address,
        streams=filled.streams,
        values=filled.stored,
        locale=visit.tag,
        source=filled.source or None,
        form=form,
        wordings=sent.wordings,
    )
    try:
        await visit.write(
            lambda connection: subscribers.sign_up(connection, visit.door.rules, request, visit.now)
        )
    except SubscriberError as fault:  # a stream that went while the form was open
        raise HTTPException(400) from fault
    visit.door.wake()


async def _read(visit: Visit, form: Form) -> _Sent:
    today = visit.now.astimezone(visit.settings.zone).date()
    marks = set(form.get("wording", ()))

    def verb(connection: Connection) -> _Sent:
        offered = {offer.slug: offer for offer in streams.offers(connection)}
        source = fields.read_source(one(form, "source"))
        source, raised = sources.named(connection, source, visit.now)
        filled = replace(fields.read(form, visit.settings, offered, today), source=source)
        if not marks:
            return _Sent(filled, raised)
        shown = consents.in_force(connection, marks)
        stale = _unseen(connection, visit, filled, offered, shown)
        ids = tuple(sorted(wording.id for wording in shown.values()))
        return _Sent(_asked_anew(filled, stale) if stale else filled, raised, ids)

    return await visit.read(verb)


def _unseen(
    connection: Connection,
    visit: Visit,
    filled: Filled,
    offered: Mapping[str, Offer],
    shown: Collection[str],
) -> set[str]:
    """What somebody ticked beside a text that is not the one in force: streams, or `tracking`."""
    current = in_force(connection, visit)
    ticked = {slug: offered[slug].kind for slug in filled.streams}
    ticked |= {"tracking": "tracking"} if filled.tracking else {}
    wanted = {
        box: box if box in current else kind
        for box, kind in ticked.items()
        if box in current or kind in current
    }
    return {box for box, name in wanted.items() if name not in shown}


def _asked_anew(filled: Filled, stale: Collection[str]) -> Filled:
    """A form without what has to be agreed to anew: no box comes back ticked by us."""
    return replace(
        filled,
        streams=tuple(slug for slug in filled.streams if slug not in stale),
        tracking=filled.tracking and "tracking" not in stale,
        errors={**filled.errors, "wording": ("errors.wording_changed", {})},
    )


def _with_query(form: dict[str, list[str]], visit: Visit) -> dict[str, list[str]]:
    """What the form's own address says counts where the form does not say it."""
    query = visit.request.query_params
    for name in ("stream", "source", "locale"):
        if name not in form and len(query.getlist(name)) == 1:
            form[name] = query.getlist(name)
    return form


def _form_of(body: bytes) -> dict[str, list[str]]:
    """A JSON object as a form; HTTPException 400 for what is none."""
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as fault:
        raise HTTPException(400) from fault
    if not isinstance(sent, dict):
        raise HTTPException(400)
    form = {name: _texts(value) for name, value in sent.items()}
    for name, value in _texts_of(sent.get("attributes")).items():
        form.setdefault(name, value)
    return form


def _texts_of(attributes: object) -> dict[str, list[str]]:
    if not isinstance(attributes, dict):
        return {}
    return {name: _texts(value) for name, value in attributes.items()}


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [
        str(item).lower() if isinstance(item, bool) else str(item)
        for item in values
        if isinstance(item, str | int | float)
    ]


def _judge(visit: Visit, form: Form, sent: _Sent) -> Verdict:
    """Whether a sign-up is taken; every one that is sound counts against the ceilings."""
    verdict = visit.door.ceilings.knock(visit.address, sent.raised)
    if verdict is Verdict.STOP:
        return verdict
    if _took_step(visit, one(form, "step"), sent.filled):
        return Verdict.PASS
    hasty = _is_hasty(visit, one(form, "token"))
    return Verdict.STEP if hasty or one(form, HONEYPOT) else verdict


def _is_hasty(visit: Visit, text: str) -> bool:
    """Whether a form came back faster than anybody types, or with a token that is not ours.

    One without a token was written by somebody else, for a page of theirs: it has no age.
    """
    if not text:
        return False
    try:
        step, issued = visit.door.tokens.read(Purpose.FORM, text, visit.now).numbers
    except (TokenError, ValueError):
        return True
    age = visit.now.timestamp() - issued
    return step != _FIRST or age < visit.door.settings.signup.min_seconds


def _step(visit: Visit, filled: Filled) -> str:
    """What the extra step sends along: good for this address, for an hour."""
    return visit.door.tokens.make(
        Purpose.FORM, _STEP, _mark(filled), expires_at=visit.now + STEP_LIFETIME
    )


def _took_step(visit: Visit, text: str, filled: Filled) -> bool:
    try:
        numbers = visit.door.tokens.read(Purpose.FORM, text, visit.now).numbers
    except TokenError:
        return False
    return numbers == (_STEP, _mark(filled))


def _mark(filled: Filled) -> int:
    """A number that stands for the address, inside a signed token."""
    source = filled.address.key_source if filled.address else ""
    return int.from_bytes(hashlib.blake2b(source.encode(), digest_size=7).digest())


async def _form_page(
    visit: Visit, filled: Filled, token: str, *, step: str = "", status: int = 200
) -> HTMLResponse:
    errors = {name: visit.say(word, **gaps) for name, (word, gaps) in filled.errors.items()}

    def verb(connection: Connection) -> tuple[Asked, dict[str, str]]:
        asked = what_is_asked(connection, visit, filled.among, filled.errors)
        return asked, archived_streams(connection, visit)

    asked, archived = await visit.read(verb)
    return visit.page(
        "subscribe",
        status,
        filled=filled,
        token=token,
        step=step,
        errors=errors,
        hints=asked.hints,
        fields=asked.fields,
        streams=asked.streams,
        alone=asked.alone,
        archive=any(stream.slug in archived for stream in asked.streams),
        tracking=asked.tracking,
        marks=asked.marks,
        share=_share_link(visit, filled) if status == 200 else "",
    )


def _share_link(visit: Visit, filled: Filled) -> str:
    """The page's own address for somebody who came to pass it on; nothing for all others."""
    if filled.source != sources.REFERRAL:
        return ""
    return sources.link_to_form(visit.settings.web.base_url, filled.among, filled.source)
