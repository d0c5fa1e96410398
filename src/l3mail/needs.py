"""What needs a person: asked of the rows whenever somebody wants to know, kept nowhere.

Owns the list of causes, their order and their words. `status`, the reports and the alarms all
tell of what stands here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from l3mail import courses, newsletters, outbox, rounds, triggers
from l3mail.phrases import in_language
from l3mail.rounds import Agenda

AHEAD = timedelta(hours=48)
"""How long before it is due a text should be published."""
FAILURES_OF = timedelta(hours=24)
PATIENCE = timedelta(hours=1)
"""So long may a confirmation or a lesson wait before somebody should look why."""


class Cause(StrEnum):
    """Why a person is needed, the most pressing first."""

    RESTORED = "restored"
    HALTED = "halted"
    REFUSED = "sending_refused"
    REJECTED = "sender_rejected"
    RELAY = "relay_down"
    UNSENT = "nobody_sends"
    WAITING = "waiting"
    UNCERTAIN = "uncertain"
    PAUSED = "paused"
    RELEASE = "release"
    STUCK = "stuck"
    APPROVAL = "approval"
    UNASKED = "unasked"
    FAILED = "failed"
    UNPUBLISHED = "unpublished"
    BROKEN = "broken"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Need:
    """One thing a person is needed for.

    `subject` is a slug or what is halted, `n` how many mails or people, `at` since or until when,
    `because` a reason in somebody's own words, as the rows have it.
    """

    cause: Cause
    subject: str = ""
    n: int = 0
    at: datetime | None = None
    because: str = ""


@dataclass(frozen=True, slots=True)
class Sending:
    """What is known of those who send: the relay's fault and since when, if so.

    `nobody` is whether certainly no sender runs; where others may send elsewhere, it is not.
    """

    fault: str = ""
    since: datetime | None = None
    nobody: bool = False


A_MOMENT = timedelta(minutes=1)
"""So long may a mail be queued before it matters that nobody sends: one may be starting."""


def of_sending(connection: Connection, now: datetime, sending: Sending) -> list[Need]:
    """The relay that is down, or mails that are queued while nobody sends."""
    if sending.fault:
        return [Need(Cause.RELAY, at=sending.since, because=sending.fault)]
    if sending.nobody and (left := outbox.left_alone(connection, now - A_MOMENT)):
        return [Need(Cause.UNSENT, n=left)]
    return []


def look(
    connection: Connection,
    now: datetime,
    problems: Sequence[str] = (),
    broken: Mapping[str, str] = MappingProxyType({}),
    agenda: Agenda | None = None,
    *,
    sending: Sending | None = None,
) -> list[Need]:
    """All that needs a person now, the most pressing first.

    `problems` is why the settings let nothing out, if so; `broken` are slugs of texts whose
    files can't be published, with the file. Without an `agenda` nobody foresees for how many a
    batch will be that is not due yet, or sees which courses and triggers are stuck.
    """
    found = pressing(connection, now, agenda)
    found += [
        Need(Cause.HALTED, f"{halt.scope} {halt.subject}".strip(), 0, halt.halted_at, by)
        for halt in outbox.halts(connection)
        if (by := halt.halted_by) != outbox.BY_ITSELF and not halt.is_brake
    ]
    found += [Need(Cause.REFUSED, because=problem) for problem in problems]
    if sending and (why := of_sending(connection, now, sending)):
        # Why they wait is known, then.
        found = [need for need in found if need.cause is not Cause.WAITING] + why
    found += [
        _of_release(one)
        for one in newsletters.unreleased(connection, now)
        if one.scheduled_at > now  # those that are due are pressing
    ]
    found += _of_triggers(connection, now, agenda)
    found += _broken(connection, now, broken)
    rows = outbox.needs(connection, now - FAILURES_OF)
    if rows.failed:
        found.append(Need(Cause.FAILED, n=rows.failed))
    if rows.held:
        found.append(Need(Cause.HELD, n=rows.held))
    order = list(Cause)
    return sorted(found, key=lambda need: order.index(need.cause))


_GLANCE = select(
    outbox.ANY_HALT.label("halted"),
    outbox.WAITING_SINCE.label("waiting_since"),
    outbox.DOUBTED.label("doubted"),
    newsletters.ANY_PAUSED.label("paused"),
    newsletters.ANY_UNRELEASED.label("unreleased"),
    courses.ANYBODY_OVERDUE.label("overdue"),
    rounds.ANY_UNPUBLISHED.label("unpublished"),
)
"""Asked first for all of it at once: as a rule nobody is needed."""


def pressing(connection: Connection, now: datetime, agenda: Agenda | None) -> list[Need]:
    """What somebody should be fetched for, the most pressing first.

    Asked every few seconds, so of indexes and small tables alone. What an operator did by their
    own hand is not among it, save for a paused campaign, which a colleague may wait for.
    """
    seen = connection.execute(_GLANCE, {"now": now}).one()
    found = [
        Need(Cause.RESTORED if halt.is_brake else Cause.REJECTED, halt.subject, 0, halt.halted_at)
        for halt in (outbox.halts(connection) if seen.halted else ())
        if halt.is_brake or halt.halted_by == outbox.BY_ITSELF
    ]
    if seen.waiting_since and seen.waiting_since < now - PATIENCE:
        found.append(Need(Cause.WAITING, at=seen.waiting_since))
    if seen.doubted:
        found.append(Need(Cause.UNCERTAIN, n=seen.doubted))
    found += [
        Need(Cause.PAUSED, one.slug, one.waiting, one.paused_at, one.paused_reason or "")
        for one in (newsletters.campaigns(connection, paused=True) if seen.paused else ())
    ]
    found += [
        _of_release(one)
        for one in (newsletters.unreleased(connection, now) if seen.unreleased else ())
        if one.scheduled_at <= now
    ]
    if agenda is not None:
        found += [
            Need(Cause.STUCK, lost.course, lost.people, lost.since)
            for lost in (courses.stuck(connection, now, agenda.rules.zone) if seen.overdue else ())
        ]
        unasked = triggers.unasked(connection, rounds.trigger_terms(now, agenda))
        found += [Need(Cause.UNASKED, slug, because=why) for slug, why in unasked]
    found += [
        Need(Cause.UNPUBLISHED, due.slug, due.people or 0, due.due_at)
        for due in (rounds.unpublished(connection, now + AHEAD) if seen.unpublished else ())
    ]
    return found


def _of_release(one: newsletters.Unreleased) -> Need:
    people = one.expected or 0
    return Need(Cause.RELEASE, one.slug, people, one.lapses_at, one.scheduled_by)


def _broken(connection: Connection, now: datetime, broken: Mapping[str, str]) -> list[Need]:
    """The broken texts somebody is to get: those due soon, and those of a course that is given.

    What an author is still writing is theirs to mend in peace.
    """
    if not broken:
        return []
    due = {one.slug: one for one in rounds.due_by(connection, now + AHEAD)}
    given = {course.slug for course in courses.overviews(connection)}
    return [
        Need(Cause.BROKEN, file, (due[slug].people or 0) if slug in due else 0, because=slug)
        for slug, file in sorted(broken.items())
        if slug in due or slug.partition("/")[0] in given
    ]


def _of_triggers(connection: Connection, now: datetime, agenda: Agenda | None) -> list[Need]:
    terms = rounds.trigger_terms(now, agenda) if agenda else None
    found = []
    for batch in triggers.pending(connection, now):
        people = triggers.waiting_for(connection, batch, terms) if terms else batch.held
        found.append(Need(Cause.APPROVAL, batch.slug, people, batch.lapses_at))
    return found


_WORDS: Mapping[str, Mapping[Cause, str]] = {
    "en": {
        Cause.RESTORED: "this database is a restored copy, so since {at} nothing is planned or"
        " sent: `l3mail db reconcile` shows what the lost time may have sent, and releases it",
        Cause.HALTED: "{subject}, halted {at} by {because}: `l3mail resume` lifts it",
        Cause.REFUSED: "sending is refused: {because}",
        Cause.REJECTED: "{subject} is halted since {at}, because the relay refuses our sender again"
        " and again; once that is mended: `l3mail resume --message {subject}`",
        Cause.RELAY: "the relay is down since {at} ({because}); it is tried again by itself, and"
        " `l3mail doctor` says what it answers",
        Cause.UNSENT: "nobody sends, and {n} queued mails wait: start `l3mail run` or its service",
        Cause.WAITING: "mails wait since {at}: is the relay up, is `l3mail run` running?",
        Cause.UNCERTAIN: "{n} uncertain: `l3mail outbox list --status uncertain` shows them,"
        " `l3mail outbox resolve --message SLUG` settles those of one message",
        Cause.PAUSED: "{subject} is paused ({because}), {n} wait:"
        " `l3mail newsletters resume` lets it go on",
        Cause.RELEASE: "{subject} waits for a second person's yes until {at}, {people} (scheduled"
        " by {because}): `l3mail newsletters release {subject}`",
        Cause.STUCK: "{n} learners of {subject} find no open day since {at}: look at `closed` and"
        " `skip_holidays` of its course.yaml, then `l3mail content publish`",
        Cause.APPROVAL: "{subject} waits for approval until {at}, {people}:"
        " `l3mail triggers approve {subject}`",
        Cause.UNASKED: "{subject} goes out to nobody ({because}): `l3mail triggers show {subject}`",
        Cause.FAILED: "{n} failed in 24 hours: `l3mail outbox list --status failed`",
        Cause.UNPUBLISHED: "{subject} is not published and due {at} for {n}:"
        " `l3mail content publish`",
        Cause.BROKEN: "{subject} is broken, so {because} can't be published:"
        " `l3mail check` says why",
        Cause.HELD: "{n} held: `l3mail outbox list --status held`",
    },
    "de": {
        Cause.RESTORED: "Die Datenbank ist eine zurückgespielte Kopie, deshalb wird seit {at}"
        " nichts geplant oder versandt: `l3mail db reconcile` zeigt, was in dieser Zeit versandt"
        " worden sein kann, und gibt den Versand frei",
        Cause.HALTED: "{subject} ist seit {at} angehalten (von {because}):"
        " `l3mail resume` hebt das auf",
        Cause.REFUSED: "Versand ist gesperrt: {because}",
        Cause.REJECTED: "{subject} ist seit {at} angehalten, weil der Mailserver unseren Absender"
        " immer wieder ablehnt; ist das behoben: `l3mail resume --message {subject}`",
        Cause.RELAY: "Der Mailserver ist seit {at} nicht zu erreichen ({because}); l3mail versucht"
        " es von selbst weiter, und `l3mail doctor` sagt, was er antwortet",
        Cause.UNSENT: "Niemand versendet, und {n} E-Mails warten: bitte `l3mail run` oder den"
        " Dienst starten",
        Cause.WAITING: "E-Mails warten seit {at}: Läuft der Mailserver, läuft `l3mail run`?",
        Cause.UNCERTAIN: "{n} ungewiss: `l3mail outbox list --status uncertain` zeigt sie,"
        " `l3mail outbox resolve --message SLUG` klärt alle einer Ausgabe oder Lektion auf einmal",
        Cause.PAUSED: "{subject} ruht ({because}), {n} warten:"
        " `l3mail newsletters resume` setzt fort",
        Cause.RELEASE: "{subject} wartet bis {at} auf die Freigabe durch eine zweite Person,"
        " {people} (eingeplant von {because}): `l3mail newsletters release {subject}`",
        Cause.STUCK: "{n} Lernende im Kurs {subject} finden seit {at} keinen offenen Tag: bitte"
        " `closed` und `skip_holidays` in course.yaml ansehen, dann `l3mail content publish`",
        Cause.APPROVAL: "{subject} wartet bis {at} auf Freigabe, {people}:"
        " `l3mail triggers approve {subject}`",
        Cause.UNASKED: "{subject} geht an niemanden ({because}): `l3mail triggers show {subject}`",
        Cause.FAILED: "{n} in 24 Stunden gescheitert: `l3mail outbox list --status failed`",
        Cause.UNPUBLISHED: "{subject} ist nicht veröffentlicht und am {at} für {n} fällig:"
        " `l3mail content publish`",
        Cause.BROKEN: "{subject} ist fehlerhaft, {because} lässt sich nicht veröffentlichen:"
        " `l3mail check` sagt, warum",
        Cause.HELD: "{n} zurückgehalten: `l3mail outbox list --status held`",
    },
}
_PEOPLE = {"en": ("1 person", "{n} people"), "de": ("1 Person", "{n} Personen")}
_MOMENT = {"en": "%a %Y-%m-%d %H:%M", "de": "%d.%m.%Y, %H:%M Uhr"}


def in_words(need: Need, zone: ZoneInfo, locale: str = "en") -> str:
    """One line that says what is needed and what to do, in German or else in English.

    What stands in it as the rows have it is not yet safe to print.
    """
    at = in_time(need.at, zone, locale) if need.at else ""
    one, several = in_language(_PEOPLE, locale)
    people = one if need.n == 1 else several.format(n=need.n)
    words = in_language(_WORDS, locale)[need.cause]
    return words.format(people=people, subject=need.subject, n=need.n, at=at, because=need.because)


def in_time(moment: datetime, zone: ZoneInfo, locale: str = "en") -> str:
    """A moment by the workspace's clocks, in the same words everywhere."""
    return f"{moment.astimezone(zone):{in_language(_MOMENT, locale)}}"


_NAMES: Mapping[str, Mapping[Cause, str]] = {
    "en": {
        Cause.RESTORED: "A restored database",
        Cause.HALTED: "{subject} is halted",
        Cause.REFUSED: "Sending is refused",
        Cause.REJECTED: "Our sender is refused ({subject})",
        Cause.RELAY: "The relay is down",
        Cause.UNSENT: "Nobody sends",
        Cause.WAITING: "Mails wait",
        Cause.UNCERTAIN: "Uncertain mails",
        Cause.PAUSED: "{subject} is paused",
        Cause.RELEASE: "{subject} waits for a second person",
        Cause.STUCK: "No open day in {subject}",
        Cause.APPROVAL: "{subject} waits for approval",
        Cause.UNASKED: "{subject} goes out to nobody",
        Cause.FAILED: "Failed mails",
        Cause.UNPUBLISHED: "{subject} is not published",
        Cause.BROKEN: "{subject} is broken",
        Cause.HELD: "Held mails",
    },
    "de": {
        Cause.RESTORED: "Zurückgespielte Datenbank",
        Cause.HALTED: "{subject} ist angehalten",
        Cause.REFUSED: "Versand ist gesperrt",
        Cause.REJECTED: "Absender abgelehnt ({subject})",
        Cause.RELAY: "Der Mailserver ist nicht zu erreichen",
        Cause.UNSENT: "Niemand versendet",
        Cause.WAITING: "E-Mails warten",
        Cause.UNCERTAIN: "Ungewisse E-Mails",
        Cause.PAUSED: "{subject} ruht",
        Cause.RELEASE: "{subject} wartet auf eine zweite Person",
        Cause.STUCK: "Kein offener Tag im Kurs {subject}",
        Cause.APPROVAL: "{subject} wartet auf Freigabe",
        Cause.UNASKED: "{subject} geht an niemanden",
        Cause.FAILED: "Gescheiterte E-Mails",
        Cause.UNPUBLISHED: "{subject} ist nicht veröffentlicht",
        Cause.BROKEN: "{subject} ist fehlerhaft",
        Cause.HELD: "Zurückgehaltene E-Mails",
    },
}


def in_short(cause: Cause, subject: str, locale: str = "en") -> str:
    """What a need is called in a subject line or a list."""
    return in_language(_NAMES, locale)[cause].format(subject=subject)
