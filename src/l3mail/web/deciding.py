"""What all pages have in common on which an approver says yes or no.

Owns who may open one, the mail as it will be sent, and the two pages: the question and what was
decided. What is asked, and what an answer does, is the business of `approving` and `releasing`.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fastapi.responses import HTMLResponse, Response

from l3mail import alarms
from l3mail.alarms import Sample
from l3mail.errors import TokenError
from l3mail.tokens import Purpose, Token
from l3mail.web.door import Visit
from l3mail.web.letters import VIEW_CSP


@dataclass(frozen=True, slots=True)
class Question:
    """What waits for a yes: for how many people, until when, and how it reads by language.

    `by` and `last` are who scheduled it and its last time, where there is such a thing; `fault`
    says why the one who asks can't decide.
    """

    people: int
    due: str
    until: str
    samples: Sequence[Sample]
    by: str = ""
    last: str = ""
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it: approved, rejected, withdrawn or lapsed, by whom and when."""

    decision: str
    by: str
    at: str


def asked(visit: Visit, purpose: Purpose, text: str) -> tuple[int, str] | None:
    """What a link is about, by its number, and who holds it, if they are still an approver."""
    try:
        token: object = visit.door.tokens.read(purpose, text, visit.now)
    except TokenError as fault:
        token = fault.token  # one that ended still says what it was about
    if not isinstance(token, Token) or len(token.numbers) != 2:
        return None
    who = alarms.who_is(token.numbers[1], visit.door.settings.approvers)
    return None if who is None else (token.numbers[0], who)


def in_order(visit: Visit, samples: Collection[Sample]) -> list[Sample]:
    """How a mail reads, the workspace's own language first."""
    locale = visit.door.settings.workspace.locale
    return sorted(samples, key=lambda sample: (sample.locale != locale, sample.locale))


def page(visit: Visit, found: Question | Answer | None) -> Response:
    """The question, or what was decided."""
    if found is None:
        return visit.note("approve_unknown", 404)
    if isinstance(found, Answer):
        return visit.page("approved", answer=found)
    return visit.page("approve", question=found)


def page_or_mail(visit: Visit, found: Question | Answer | None) -> Response:
    """The page; with `?mail=de` while it is asked, the mail in that language alone, as sent."""
    wanted = visit.request.query_params.get("mail")
    if wanted is None or not isinstance(found, Question):
        return page(visit, found)
    sample = next((sample for sample in found.samples if sample.locale == wanted), None)
    if sample is None or not sample.html:
        return visit.note("missing", 404)
    headers = {"Content-Security-Policy": VIEW_CSP}
    return HTMLResponse(sample.html.encode("utf-8", "replace"), headers=headers)
