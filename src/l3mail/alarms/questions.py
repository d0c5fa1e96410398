"""What an approver is asked: how a mail reads, what a question looks like, by which number they go.

Owns what every question for a yes has in common; when one is put, and what an answer does, is the
business of those who ask.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from l3mail import publishing, rendering
from l3mail.alarms.duty import Duty
from l3mail.alarms.letters import Part, Sheet
from l3mail.errors import RenderingError
from l3mail.publishing import Published

_FIRST_LINES = 6


@dataclass(frozen=True, slots=True)
class Asking:
    """Who is asked, and how: `values` fill a sample.

    `link` leads one of them to one batch, `release` to a campaign that wants a second person.
    """

    approvers: tuple[str, ...]
    link: Callable[[int, str, datetime], str]
    values: Callable[[Published], Mapping[str, Any]]
    release: Callable[[int, str, datetime], str] | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """A mail as it will be sent, to nobody in particular."""

    locale: str
    subject: str
    text: str
    html: str


def approver_number(address: str) -> int:
    """What stands for an approver in a link; who is no longer listed has no number any more."""
    return int.from_bytes(hashlib.blake2b(address.encode(), digest_size=7).digest())


def who_is(number: int, approvers: Collection[str]) -> str | None:
    """The approver with this number, if there is one."""
    return next((one for one in approvers if approver_number(one) == number), None)


def samples_of(
    connection: Connection,
    messages: Mapping[str, int],
    values: Callable[[Published], Mapping[str, Any]],
) -> list[Sample]:
    """The versions pinned by locale, filled, by language; what can't be filled is left out."""
    texts = publishing.load(connection, set(messages.values()))
    found = []
    for locale, version in sorted(messages.items()):
        text = texts[version]
        try:
            parts = [
                rendering.fill(text.compiled, part, values(text)) if text.compiled.get(part) else ""
                for part in ("subject", "text", "html")
            ]
        except RenderingError:
            continue
        found.append(Sample(locale, *parts))
    return found


@dataclass(frozen=True, slots=True)
class Put:
    """A question as it is put: `verb` is the word for saying yes, beside the first subject.

    `what` is told first, `commands` do the same at a desk, `end` says what becomes of silence.
    """

    verb: str
    what: str
    commands: str
    end: str
    link: str


def sample_for(duty: Duty, samples: Sequence[Sample], slug: str) -> Sample:
    """The mail in the staff's language, else in any; by its name alone where none can be shown."""
    sample = next((found for found in samples if found.locale == duty.locale), None)
    return sample or next(iter(samples), Sample(duty.locale, slug, "", ""))


def to_people(duty: Duty, n: int) -> str:
    """To how many."""
    if n == 1:
        return duty.say({"de": "an eine Person", "en": "to one person"})
    return duty.say({"de": f"an {n} Personen", "en": f"to {n} people"})


def sheet(duty: Duty, sample: Sample, put: Put) -> Sheet:
    """The mail that asks: what it is about, how it begins, the way to the page."""
    lines = [line.strip() for line in sample.text.splitlines() if line.strip()]
    beginning = duty.say({"de": "So beginnt sie", "en": "It begins so"})
    way = duty.say({"de": "Ganz ansehen und entscheiden", "en": "Read it and decide"})
    personal = duty.say(
        {
            "de": "Der Link gilt für Sie persönlich; bitte leiten Sie ihn nicht weiter. Oder mit"
            f" einem Befehl: {put.commands}.",
            "en": "The link is yours personally; please do not pass it on. Or by command:"
            f" {put.commands}.",
        }
    )
    return duty.sheet(
        f"{put.verb} {sample.subject}",
        [
            Part([put.what]),
            Part(lines[:_FIRST_LINES], beginning, is_quote=True),
            Part([way], link=put.link),
            Part([personal, put.end]),
        ],
    )
