"""The record of processing activities (DSGVO Art. 30), from what is really set and stored.

Owns what is told in it. Nothing is claimed that the settings or the database don't say; what only
the operator can know is marked, and listed once more at the end.
"""

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from sqlalchemy import Connection, Table, func, make_url, select

from l3mail import courses
from l3mail.models import (
    CONSENT,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
    SUPPRESSION,
    TRIGGER,
)
from l3mail.privacy.wording import Words
from l3mail.reports.documents import Block, Bullets, Document, Paragraph, Section
from l3mail.reports.documents import Table as Grid
from l3mail.settings import KEY_FILE, PEPPER_FILE, Settings
from l3mail.subscribers import Rules

_WORDS: Final = frozenset({1, 2, 3})


@dataclass(slots=True)
class _Record:
    """What is being written: the words, what is known, and what is left to be filled in."""

    connection: Connection
    settings: Settings
    words: Words
    gaps: list[str] = field(default_factory=list)

    @property
    def mark(self) -> str:
        return self.words.say("record.mark")

    def say(self, name: str, **gaps: object) -> str:
        return self.words.say(name, mark=self.mark, **gaps)

    def grid(self, chapter: str, rows: Sequence[tuple[str, ...]], *columns: str) -> Grid:
        """A table; rows in which the operator's word is missing are noted."""
        self.gaps += [f"{row[0]}: {cell}" for row in rows for cell in row[1:] if self.mark in cell]
        heads = columns or ("record.what", "record.how")
        title = self.say(f"chapter.{chapter}")
        return Grid(title, [self.say(head) for head in heads], rows, _WORDS)

    def section(self, chapter: str, *blocks: Block) -> Section:
        return Section(chapter, self.say(f"chapter.{chapter}"), blocks)

    def count(self, table: Table, *which: Any) -> int:
        query = select(func.count()).select_from(table).where(*which)
        return int(self.connection.execute(query).scalar_one())


def record(connection: Connection, settings: Settings, rules: Rules, now: datetime) -> Document:
    """The record in the workspace's language."""
    words = Words(settings.workspace.locale, settings.zone)
    writing = _Record(connection, settings, words)
    sections = [
        _controller(writing),
        _purposes(writing),
        _people(writing),
        _data(writing),
        _measuring(writing),
        _recipients(writing),
        _retention(writing, rules),
        _measures(writing),
        _rights(writing),
    ]
    sections.append(writing.section("gaps", Bullets(writing.gaps)))
    day = words.day(words.local_day(now))
    return Document(
        language=words.language,
        title=words.say("record.title"),
        subtitle=words.say("record.subtitle", day=day),
        house=settings.impressum.name or settings.workspace.name,
        lead=(
            words.say("record.lead", day=day),
            writing.say("record.gaps", n=len(writing.gaps)),
        ),
        sections=sections,
        footer=(words.say("record.footer"),),
    )


def _controller(writing: _Record) -> Section:
    told = writing.settings.impressum
    rows = [
        (writing.say(f"controller.{name}"), str(getattr(told, name)) or writing.mark)
        for name in ("name", "address", "email", "phone", "privacy_url")
    ]
    rows += [(writing.say(f"controller.{name}"), writing.mark) for name in ("head", "officer")]
    return writing.section("controller", writing.grid("controller", rows))


def _purposes(writing: _Record) -> Section:
    confirmed = (
        select(func.count())
        .where(SUBSCRIPTION.c.stream_id == STREAM.c.id, SUBSCRIPTION.c.state == "confirmed")
        .correlate(STREAM)
        .scalar_subquery()
    )
    streams = writing.connection.execute(
        select(STREAM.c.id, STREAM.c.kind, STREAM.c.title, confirmed.label("people"))
        .where(STREAM.c.retired_at.is_(None))
        .order_by(STREAM.c.kind, STREAM.c.slug)
    ).all()
    mailings = select(TRIGGER.c.stream_id, TRIGGER.c.slug).where(TRIGGER.c.retired_at.is_(None))
    by_stream: dict[int, list[str]] = {}
    for stream_id, slug in writing.connection.execute(mailings.order_by(TRIGGER.c.slug)):
        by_stream.setdefault(stream_id, []).append(slug)
    rows: list[tuple[str, ...]] = [
        (
            row.title,
            writing.say(
                f"purposes.{row.kind}",
                mailings=", ".join(by_stream.get(row.id, ())) or writing.say("record.none"),
            ),
            writing.say("purposes.consent"),
            writing.words.number(row.people),
        )
        for row in streams
    ]
    rows += [
        (*(writing.say(f"purposes.{name}{part}") for part in ("", "_purpose", "_ground")), "")
        for name in ("proof", "barred", "staff")
    ]
    columns = [f"purposes.{name}" for name in ("stream", "purpose", "ground", "people")]
    return writing.section("purposes", writing.grid("purposes", rows, *columns))


def _people(writing: _Record) -> Section:
    here = SUBSCRIBER.c.erased_at.is_(None)
    resting = writing.count(SUBSCRIBER, here, SUBSCRIBER.c.restricted_at.is_not(None))
    told = (
        writing.say("people.subscribers", n=writing.count(SUBSCRIBER, here), resting=resting),
        writing.say("people.suppressed", n=writing.count(SUPPRESSION)),
        writing.say("people.staff", n=len(writing.settings.staff)),
    )
    return writing.section("people", Bullets(told))


def _data(writing: _Record) -> Section:
    shown = writing.settings.signup.fields
    by_course = {name for asks in courses.asked(writing.connection).values() for name in asks}

    def asked(name: str) -> str:
        if name in shown:
            return writing.say("record.yes")
        return writing.say("data.by_course" if name in by_course else "record.no")

    text = writing.say("data.text")
    rows = [(writing.say("data.address"), text, writing.say("data.required"))]
    for name in ("first_name", "last_name", "salutation", "birthday", "district"):
        kind = writing.say("data.date") if name == "birthday" else text
        rows.append((writing.say(f"data.{name}"), kind, asked(name)))
    for name, one in writing.settings.attributes.items():
        kind = writing.say(f"data.{one.type}", choices=", ".join(one.choices))
        rows.append((f"{one.title} ({name})" if one.title else name, kind, asked(name)))
    grid = writing.grid("data", rows, "data.datum", "data.kind", "data.asked")
    besides = (Paragraph(writing.say(f"data.{name}")) for name in ("besides", "not_kept"))
    return writing.section("data", grid, *besides)


def _measuring(writing: _Record) -> Section:
    agreed = writing.count(SUBSCRIBER, SUBSCRIBER.c.erased_at.is_(None), SUBSCRIBER.c.tracking)
    mode = writing.settings.tracking.mode
    return writing.section("measuring", Paragraph(writing.say(f"measuring.{mode}", n=agreed)))


def _recipients(writing: _Record) -> Section:
    settings = writing.settings
    relay = {"host": settings.relay.host, "port": str(settings.relay.port)}
    where = "relay_local" if settings.relay_is_loopback else "relay_far"
    if settings.database_file is not None:
        stored = writing.say("recipients.database_file")
    else:
        host = make_url(settings.database_url).host or "localhost"
        stored = writing.say("recipients.database_host", host=host)
    rows = [
        (writing.say("recipients.relay"), writing.say(f"recipients.{where}", **relay)),
        (writing.say("recipients.database"), stored),
    ]
    if beat := settings.alerts.heartbeat_url.get_secret_value():
        host = urlsplit(beat).hostname or beat
        told = writing.say("recipients.heartbeat_host", host=host)
        rows.append((writing.say("recipients.heartbeat"), told))
    countries = writing.say("recipients.countries_said", **relay)
    rows.append((writing.say("recipients.countries"), countries))
    return writing.section("recipients", writing.grid("recipients", rows))


def _retention(writing: _Record, rules: Rules) -> Section:
    kept = writing.settings.retention
    minutes = int(rules.link_lifetime.total_seconds() // 60)
    months = "retention.months_said"
    said = {
        "unconfirmed": writing.say("retention.unconfirmed_said", n=kept.unconfirmed_days),
        "events": writing.say(months, n=kept.events_months),
        "deliveries": writing.say(months, n=kept.deliveries_months),
        "proof": writing.say("retention.proof_said", n=kept.proof_months),
        "erasure": writing.say(f"retention.erasure_{writing.settings.privacy.proof_on_erasure}"),
        "links": writing.say("retention.links_said", n=minutes),
        **{
            name: writing.say(f"retention.{name}_said")
            for name in ("suppression", "actions", "backups")
        },
    }
    rows = [(writing.say(f"retention.{name}"), words) for name, words in said.items()]
    return writing.section("retention", writing.grid("retention", rows))


def _measures(writing: _Record) -> Section:
    settings = writing.settings
    scheme = urlsplit(settings.web.base_url).scheme
    kind = "sqlite" if settings.database_file is not None else "postgresql"
    is_open = settings.relay.tls == "none" and not settings.relay_is_loopback
    said = {
        "relay": writing.say(f"measures.relay_{'open' if is_open else settings.relay.tls}"),
        "web": writing.say(f"measures.web_{scheme}", url=settings.web.base_url),
        "links": writing.say("measures.links_said", days=settings.retention.unconfirmed_days),
        "optin": writing.say("measures.optin_said", n=writing.count(CONSENT)),
        "key": writing.say("measures.key_said"),
        "files": writing.say("measures.files_said", mode=_rights_of_files(settings)),
        "erasing": writing.say(f"measures.erasing_{kind}"),
        "organisation": writing.say("measures.organisation_said"),
    }
    rows = [(writing.say(f"measures.{name}"), words) for name, words in said.items()]
    return writing.section("measures", writing.grid("measures", rows))


def _rights_of_files(settings: Settings) -> str:
    """The rights of `state/` and of the secrets in it, as they are."""
    state = settings.state_dir
    there = [path for path in (state, state / PEPPER_FILE, state / KEY_FILE) if path.exists()]
    return ", ".join(f"{path.name} {stat.S_IMODE(path.stat().st_mode):04o}" for path in there)


def _rights(writing: _Record) -> Section:
    url = writing.settings.web.base_url
    told = [
        writing.say(f"rights_of.{name}", url=url)
        for name in ("page", "copy", "correct", "restrict", "erase")
    ]
    return writing.section("rights", Bullets(told))
