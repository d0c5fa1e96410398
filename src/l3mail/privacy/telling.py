"""A copy told to the person it is about: a page to read, data for programs, a guide to both.

Owns what a copy's ZIP holds. Everything said by people is text; nothing is loaded from anywhere.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from l3mail.privacy.wording import Words
from l3mail.reports import to_page
from l3mail.reports.documents import Block, Document, Paragraph, Section, Table
from l3mail.settings import Settings

_HEADS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "suppression": (("since",), ("reason",)),
    "subscriptions": (("since",), ("title",)),
    "signups": (("requested_at",), ("streams",)),
    "consents": (("at",), ("act",)),
    "enrollments": (("started_at",), ("title",)),
    "answers": (("at",), ("question_text", "question")),
    "acts": (("at",), ("act",)),
    "measured": (("at",), ("act",)),
    "mails": (("first_tried_at", "due_at"), ("subject", "text")),
    "staff_mails": (("first_tried_at", "due_at"), ("subject", "text")),
    "link_requests": (("requested_at",), ("purpose",)),
}
"""By section, what of a record says when and what it was; the first that says anything."""


@dataclass(frozen=True, slots=True)
class Copy:
    """One person's copy and what a page about it says besides."""

    data: Mapping[str, Any]
    settings: Settings
    made_at: datetime

    @property
    def words(self) -> Words:
        """In the workspace's language and by its clocks."""
        return Words(self.settings.workspace.locale, self.settings.zone)

    @property
    def contact(self) -> str:
        """Whom to ask: the Impressum's address, else where answers to mails go."""
        sender = self.settings.sender
        return self.settings.impressum.email or (sender.reply_to or sender.from_).address


def as_json(copy: Copy) -> str:
    """The data for programs."""
    return json.dumps(copy.data, ensure_ascii=False, indent=2) + "\n"


def as_page(copy: Copy) -> str:
    """The same to read, on its own in one file."""
    words, house = copy.words, copy.settings.impressum.name or copy.settings.workspace.name
    email = words.shown(copy.data["person"]["email"]) or words.say("title.none")
    sections = [_section(words, name, copy.data[name]) for name in copy.data]
    document = Document(
        language=words.language,
        title=words.say("title.copy"),
        subtitle=words.say("title.of", email=email, day=words.day(words.local_day(copy.made_at))),
        house=copy.settings.workspace.name,
        lead=(
            words.say("copy.lead", house=house, file=words.say("title.data")),
            words.say("copy.left_out"),
        ),
        sections=[*sections, _rights(copy)],
        footer=(words.say("copy.footer", contact=copy.contact),),
    )
    return to_page(document)


def as_guide(copy: Copy) -> str:
    """What stands in which file and section, as plain text."""
    words = copy.words
    names = {name: words.say(f"title.{name}") for name in ("page", "data")}
    lines = [words.say("guidance.head"), ""]
    lines += [words.say(f"guidance.{key}", **names) for key in ("files", "times", "sections")]
    lines += ["", *(f"{name}: {words.say(f'guide.{name}')}" for name in copy.data)]
    return "\n".join(lines) + "\n"


def as_zip(copy: Copy) -> bytes:
    """All three in one file."""
    words = copy.words
    made = copy.made_at.astimezone(copy.settings.zone).timetuple()[:6]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (
            ("page", as_page(copy)),
            ("data", as_json(copy)),
            ("guide", as_guide(copy)),
        ):
            about = zipfile.ZipInfo(words.say(f"title.{name}"), made)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            archive.writestr(about, text)
    return packed.getvalue()


def _section(words: Words, name: str, held: Any) -> Section:
    title, about = words.say(f"section.{name}"), words.say(f"guide.{name}")
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    blocks: Sequence[Block]
    if not held:
        blocks = (Paragraph(words.say("title.nothing")),)
    elif name not in _HEADS:
        rows = [(words.field(key), words.shown(value, key)) for key, value in held.items()]
        columns = (words.say("title.label"), words.say("title.value"))
        blocks = (Table(about, columns, [row for row in rows if row[1]], frozenset({1})),)
    else:
        records = [held] if isinstance(held, Mapping) else held
        columns = tuple(words.say(f"title.{column}") for column in ("when", "what", "rest"))
        rows = [_row(words, record, *_HEADS[name]) for record in records]
        blocks = (Table(about, columns, rows, frozenset({1, 2})),)
    return Section(name, title, blocks)


def _row(
    words: Words, record: Mapping[str, Any], when: Sequence[str], what: Sequence[str]
) -> tuple[str, ...]:
    heads = [next((key for key in keys if record[key]), None) for keys in (when, what)]
    rest = {key: value for key, value in record.items() if key not in heads}
    return (*(words.shown(record[key], key) if key else "–" for key in heads), words.shown(rest))


def _rights(copy: Copy) -> Section:
    """What Art. 15(1) wants said besides, as it is set."""
    words, settings = copy.words, copy.settings
    kept = settings.retention
    gaps: dict[str, dict[str, object]] = {
        "purpose": {
            "streams": ", ".join(one["title"] for one in copy.data["subscriptions"]) or "–",
        },
        "receiver": {"host": settings.relay.host},
        "measuring": {"mode": words.say(f"mode.{settings.tracking.mode}")},
        "kept": {
            "days": kept.unconfirmed_days,
            "events": kept.events_months,
            "deliveries": kept.deliveries_months,
            "proof": kept.proof_months,
        },
        "decisions": {},
        "source": {},
        "rights": {"contact": copy.contact},
        "complaint": {},
    }
    told = [Paragraph(words.say(f"rights.{name}", **filled)) for name, filled in gaps.items()]
    return Section("rights", words.say("rights.title"), told)
