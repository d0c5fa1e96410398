"""Coming in: the form, its twin for programs, and the extra step.

Owns when a sign-up is taken at once, when it needs one step more and when it must wait. Whoever
the address belongs to, the answer is the same. Nothing is dropped in silence: the extra step is a
second button that anybody can press, not a riddle somebody might fail; a program that floods us
has to read our page again for every address.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse, Response
from sqlalchemy import Connection
from starlette.exceptions import HTTPException

from l3mail import consents, courses, streams, subscribers
from l3mail.addresses import clean_name
from l3mail.errors import SubscriberError, TokenError
from l3mail.streams import Offer
from l3mail.subscribers import StreamName
from l3mail.tokens import Purpose
from l3mail.web import fields
from l3mail.web.archive import archived_streams
from l3mail.web.door import Form, Visit, Visiting, one
from l3mail.web.fields import Filled
from l3mail.web.limits import Verdict

STEP_LIFETIME = timedelta(hours=1)
RETRY_SECONDS = "3600"
HONEYPOT = "website"
_FIRST, _STEP = 0, 1
_Asks = tuple[str, ...]

router = APIRouter()


@dataclass(frozen=True)
class _Shown:
    """A stream on the form, with what somebody agrees to who joins it."""

    slug: str
    title: str
    wording: str


@router.get("/subscribe")
async def show_form(visit: Visiting) -> Response:
    """The empty form, or one for the streams the address names."""
    query = visit.request.query_params
    filled = Filled(
        source=clean_name(query.get("source", ""))[: fields.LONGEST_SOURCE],
        values=dict.fromkeys((*fields.PERSONAL, *visit.door.settings.attributes), ""),
    )
    token = visit.door.tokens.make(Purpose.FORM, _FIRST, int(visit.now.timestamp()))
    return await _form_page(visit, filled, token)


@router.post("/subscribe")
async def take_form(visit: Visiting) -> Response:
    """Take the form, or give it back with what is wrong or with the extra step."""
    form = _with_query(await visit.form(), visit)
    visit.speak(one(form, "locale"))
    filled = await _read(visit, form)
    token = one(form, "token")
    if filled.errors:
        return await _form_page(visit, filled, token, status=422)
    verdict = _judge(visit, form, filled)
    if verdict is Verdict.STOP:
        answer = visit.note("full", 429)
        answer.headers["Retry-After"] = RETRY_SECONDS
        return answer
    if verdict is Verdict.STEP:
        return await _form_page(visit, filled, token, step=_step(visit, filled), status=428)
    await _sign_up(visit, filled, "web")
    return visit.note("sent")


@router.post("/api/subscriptions")
async def take_json(visit: Visiting) -> Response:
    """The form for programs: the same fields, rules and answers, as JSON.

    202 taken, 422 with a text for each wrong field, 428 with a `step` to send along once more,
    429 with Retry-After.
    """
    form = _form_of(await visit.request.body())
    visit.speak(one(form, "locale"))
    filled = await _read(visit, form)
    if filled.errors:
        errors = {name: visit.say(word, **gaps) for name, (word, gaps) in filled.errors.items()}
        return JSONResponse({"status": "invalid", "errors": errors}, 422)
    verdict = _judge(visit, form, filled)
    if verdict is Verdict.STOP:
        said = {"status": "full", "message": visit.say("full.lead")}
        return JSONResponse(said, 429, {"Retry-After": RETRY_SECONDS})
    if verdict is Verdict.STEP:
        said = {"status": "step", "message": visit.say("step.lead"), "step": _step(visit, filled)}
        return JSONResponse(said, 428)
    await _sign_up(visit, filled, "api")
    return JSONResponse({"status": "accepted", "message": visit.say("sent.lead")}, 202)


async def _sign_up(visit: Visit, filled: Filled, form: str) -> None:
    if filled.address is None:  # not after a reading without errors
        raise HTTPException(400)
    request = subscribers.Request(
        address=filled.address,
        streams=filled.streams,
        values=filled.stored,
        locale=visit.tag,
        source=filled.source or None,
        form=form,
    )
    try:
        await visit.write(
            lambda connection: subscribers.sign_up(connection, visit.door.rules, request, visit.now)
        )
    except SubscriberError as fault:  # a stream that went while the form was open
        raise HTTPException(400) from fault
    visit.door.wake()


async def _read(visit: Visit, form: Form) -> Filled:
    offered = await visit.read(streams.offers)
    today = visit.now.astimezone(visit.door.settings.zone).date()
    return fields.read(form, visit.door.settings, {offer.slug for offer in offered}, today)


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


def _judge(visit: Visit, form: Form, filled: Filled) -> Verdict:
    """Whether a sign-up is taken; every one that is sound counts against the ceilings."""
    ceilings = visit.door.ceilings
    verdict = ceilings.knock(visit.address)
    if ceilings.rings():
        visit.door.alarm(
            f"more than {ceilings.overall} sign-ups in an hour; each needs a step more"
        )
    if verdict is Verdict.STOP:
        return verdict
    if _took_step(visit, one(form, "step"), filled):
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
    wanted = visit.request.query_params.getlist("stream")
    errors = {name: visit.say(word, **gaps) for name, (word, gaps) in filled.errors.items()}

    def verb(
        connection: Connection,
    ) -> tuple[list[Offer], dict[str, str], dict[str, _Asks], dict[str, str]]:
        offered, agreed = streams.offers(connection), wordings(connection, visit)
        return offered, agreed, courses.asked(connection), archived_streams(connection, visit)

    offered, agreed, asks, archived = await visit.read(verb)
    among = [offer for offer in offered if offer.slug in wanted] or offered
    alone = len(among) == 1 and "stream" not in errors
    shown = [_shown(visit, offer, agreed, alone=alone) for offer in among]
    tracking = visit.door.settings.tracking.mode == "consent"
    return visit.page(
        "subscribe",
        status,
        filled=filled,
        token=token,
        step=step,
        errors=errors,
        hints=_hints(visit) | ({} if alone else _asked_hints(visit, among, asks)),
        fields=_fields(visit, [asks.get(offer.slug, ()) for offer in among], filled.errors),
        streams=shown,
        alone=shown[0] if alone else None,
        archive=any(offer.slug in archived for offer in among),
        tracking=tracking and (agreed.get("tracking") or visit.say("subscribe.tracking_agree")),
    )


def wordings(connection: Connection, visit: Visit) -> dict[str, str]:
    """By kind or slug of stream, and for `tracking`: the words of consent shown beside a box."""
    fallback = visit.door.settings.workspace.locale
    found = consents.current_wordings(connection, visit.tag, fallback)
    return {name: wording.text for name, wording in found.items()}


def wording_of(
    visit: Visit, offer: Offer | StreamName, agreed: Mapping[str, str], *, alone: bool = False
) -> str:
    """What somebody agrees to who joins a stream: its own words, its kind's, or plain ones."""
    plain = visit.say("subscribe.agree_alone" if alone else "subscribe.agree", title=offer.title)
    return agreed.get(offer.slug) or agreed.get(offer.kind) or plain


def _shown(visit: Visit, offer: Offer, agreed: Mapping[str, str], *, alone: bool) -> _Shown:
    return _Shown(offer.slug, offer.title, wording_of(visit, offer, agreed, alone=alone))


def _hints(visit: Visit) -> dict[str, str]:
    dates = [name for name, a in visit.door.settings.attributes.items() if a.type == "date"]
    return {
        "salutation": visit.say("subscribe.salutation_hint"),
        "birthday": visit.say("subscribe.birthday_hint"),
        **dict.fromkeys(dates, visit.say("subscribe.birthday_hint")),
    }


def _asked_hints(
    visit: Visit, offers: Sequence[Offer], asks: Mapping[str, _Asks]
) -> dict[str, str]:
    """For which course something is asked, where the form is for others too."""
    return {
        name: visit.say("subscribe.asked_for", title=offer.title)
        for offer in offers
        for name in asks.get(offer.slug, ())
        if name not in visit.door.settings.signup.fields
    }


def _fields(visit: Visit, asks: Sequence[_Asks], wrong: Collection[str]) -> list[dict[str, Any]]:
    """The fields the form shows: those configured, what courses ask, and any to be mended."""
    settings = visit.door.settings
    known = (*fields.PERSONAL, *settings.attributes)
    names = [*settings.signup.fields, *fields.asked(asks, settings)]
    shown = dict.fromkeys([*names, *(n for n in known if n in wrong)])
    return [field_of(visit, name) for name in shown if name in known]


def choice_label(visit: Visit, choice: str) -> str:
    """What a choice is called: by the workspace's words, else by itself with a capital."""
    word = f"choices.{choice}"
    said = visit.say(word)
    return choice[:1].upper() + choice[1:] if said == word else said


def field_of(visit: Visit, name: str) -> dict[str, Any]:
    """What a page shows a field with."""
    settings = visit.door.settings
    attribute = settings.attributes.get(name)
    options: list[tuple[str, str]] = []
    if attribute and attribute.type == "choice":
        options = [(choice, choice_label(visit, choice)) for choice in attribute.choices]
    elif attribute and attribute.type == "bool":
        options = [("yes", visit.say("subscribe.yes")), ("no", visit.say("subscribe.no"))]
    return {
        "name": name,
        "label": (attribute.title or name) if attribute else visit.say(f"subscribe.{name}"),
        "options": options,
        "autocomplete": fields.AUTOCOMPLETE.get(name, ""),
        "numeric": bool(attribute and attribute.type == "number"),
    }
