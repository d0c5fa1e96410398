"""The person on duty: who that is, and the mails that fetch them when something needs a person.

What was told stands in the facts of the last such mail, so that a restart or a second ticker
repeats nothing. Must not know how mail is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, select

from l3mail import needs, outbox, staff
from l3mail.alarms import standing
from l3mail.alarms.letters import Part, Sheet
from l3mail.alarms.standing import Key, News, Told, key_of
from l3mail.models import DELIVERY, WORKSPACE
from l3mail.needs import Cause, Need
from l3mail.phrases import in_language
from l3mail.rounds import Agenda
from l3mail.staff import Letter

T = TypeVar("T")

ALARM = "notice/alarm"
OVER = "notice/over"
SIGNUPS = "notice/signups"

STALE_AFTER = timedelta(hours=6)
"""An alarm that could not go out for so long may not be true any more; what lasts is told anew."""
OVER_STALE_AFTER = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Duty:
    """Who is on duty, and how one speaks to them; nobody, and nothing is written."""

    to: tuple[str, ...]
    house: str
    zone: ZoneInfo
    locale: str

    def say(self, words: Mapping[str, T]) -> T:
        """The German or the English one of a pair."""
        return in_language(words, self.locale)

    def time(self, moment: datetime) -> str:
        """A moment by the workspace's clocks."""
        return needs.in_time(moment, self.zone, self.locale)

    def letter(self, slug: str, sheet: Sheet, facts: Mapping[str, object] | None = None) -> Letter:
        """A sheet as a mail that can be halted under `slug`."""
        return Letter(
            slug=slug,
            kind="notice",
            locale=self.locale,
            subject=sheet.subject,
            text=sheet.text(),
            html=sheet.html(),
            facts=facts or {},
        )

    def sheet(self, title: str, parts: Sequence[Part]) -> Sheet:
        """What is said, under the workspace's name."""
        return Sheet(self.house, title, [part for part in parts if part.lines], self.locale)


def take_turn(connection: Connection, *, wait: bool = False) -> bool:
    """Be the only one who writes to the staff until the transaction ends; False if somebody is.

    On SQLite whoever writes is alone already.
    """
    turn = select(WORKSPACE.c.id).with_for_update(skip_locked=not wait)
    return connection.execute(turn).first() is not None


def sound(connection: Connection, now: datetime, duty: Duty, agenda: Agenda) -> int:
    """Plan what there is to tell of causes that began, last or are over; how many mails.

    Nothing while everything is halted: it would not go, and what a halt hides is not over.
    """
    if outbox.is_halted(connection):
        return 0
    news = _news(connection, now, agenda)
    if not _says_something(news) or not take_turn(connection):
        return 0
    # Somebody may have told it since we looked.
    news = _news(connection, now, agenda)
    facts = {"standing": standing.as_facts(news.known)}
    planned = 0
    if told := news.begun or news.lasting:
        sheet = _alarm(duty, news, now, needs.look(connection, now, agenda=agenda))
        occurrence = f"notice:{_spoken(told[0])}:{standing.hour(now)}"
        letter, stale_at = duty.letter(ALARM, sheet, facts), now + STALE_AFTER
        planned += len(staff.plan(connection, letter, occurrence, duty.to, now, lapses_at=stale_at))
    if news.over:
        occurrence = f"notice:over:{_spoken(news.over[0])}:{standing.hour(now)}"
        letter, stale_at = duty.letter(OVER, _all_over(duty, news), facts), now + OVER_STALE_AFTER
        planned += len(staff.plan(connection, letter, occurrence, duty.to, now, lapses_at=stale_at))
    return planned


def next_sound(connection: Connection, now: datetime) -> datetime | None:
    """When what lasts is told again, or mail that waits will have waited too long."""
    known, _ = _told(connection)
    moments = [
        told.told_at + standing.AGAIN_AFTER for told in known.values() if told.over_at is None
    ]
    waiting_since = outbox.waiting_since(connection)
    if waiting_since:
        moments.append(waiting_since + needs.PATIENCE + timedelta(seconds=1))
    return min((moment for moment in moments if moment > now), default=None)


def ring(
    connection: Connection, now: datetime, duty: Duty, ceiling: int, *, source: str = ""
) -> int:
    """Plan the mail that sign-ups are over a ceiling, once an hour for each; how many mails.

    `source` is whose ceiling it is, if it is that of one.
    """
    if not duty.to or not take_turn(connection, wait=True):
        return 0
    title = duty.say({"de": "Ungewöhnlich viele Anmeldungen", "en": "Unusually many sign-ups"})
    whence = {
        "de": f" über die Quelle „{source}“" if source else "",
        "en": f" by the source “{source}”" if source else "",
    }
    lines = [
        duty.say(
            {
                "de": f"Stand {duty.time(now)}: In einer Stunde kamen{whence['de']} mehr als"
                f" {ceiling} Anmeldungen. Solange das so ist, braucht jede einen Schritt mehr.",
                "en": f"As of {duty.time(now)}: more than {ceiling} sign-ups came{whence['en']}"
                " within an hour. While that is so, each needs a step more.",
            }
        ),
        duty.say(_ways_on(source)),
    ]
    letter = duty.letter(SIGNUPS, duty.sheet(title, [Part(lines)]))
    of_source = f":{source}" if source else ""
    occurrence = f"notice:signups{of_source}:{standing.hour(now)}"
    return len(
        staff.plan(connection, letter, occurrence, duty.to, now, lapses_at=now + STALE_AFTER)
    )


def _ways_on(source: str) -> dict[str, str]:
    """What somebody can do whose sign-ups are over a ceiling."""
    more = {
        "de": f"mehr erlaubt `l3mail form qr --source {source} --ceiling 3000`,"
        f" und `l3mail form end {source}` beendet die Ausnahme"
        if source
        else "mehr erlaubt `overall` unter [signup] in l3mail.toml",
        "en": f"`l3mail form qr --source {source} --ceiling 3000` allows more,"
        f" and `l3mail form end {source}` ends the exception"
        if source
        else "`overall` below [signup] in l3mail.toml allows more",
    }
    return {
        "de": f"Haben Sie das Angebot gerade beworben, ist nichts zu tun; {more['de']}. Sonst füllt"
        " vielleicht ein Programm das Formular aus: `l3mail halt --kind confirmation` hält"
        " Bestätigungsmails an, `l3mail resume --kind confirmation` lässt sie wieder gehen.",
        "en": f"If you have just advertised, there is nothing to do; {more['en']}. Else a program"
        " may be filling in the form: `l3mail halt --kind confirmation` stops confirmation mails,"
        " `l3mail resume --kind confirmation` lets them go again.",
    }


def _news(connection: Connection, now: datetime, agenda: Agenda) -> News:
    known, unheard = _told(connection)
    found = needs.pressing(connection, now, agenda)
    waiting = (Cause.WAITING, "")
    if waiting not in known or known[waiting].over_at is not None:
        # Late is no alarm while somebody works at it; once told, it lasts until all is gone.
        found = [
            need
            for need in found
            if key_of(need) != waiting or outbox.is_stalled(connection, now, needs.PATIENCE)
        ]
    return standing.decide(found, known, now, unheard=unheard)


def _says_something(news: News) -> bool:
    return bool(news.begun or news.lasting or news.over)


def _told(connection: Connection) -> tuple[Mapping[Key, Told], bool]:
    """What the staff knows, and whether the last word of it lapsed on its way to all of them."""
    found = staff.latest(connection, (ALARM, OVER))
    if found is None:
        return {}, False
    version, facts = found
    known = standing.from_facts(facts.get("standing", ()))
    if not any(told.over_at is None for told in known.values()):
        return known, False
    states = connection.execute(
        select(DELIVERY.c.state).where(
            DELIVERY.c.purpose == "staff", DELIVERY.c.message_id == version
        )
    ).scalars()
    return known, set(states) == {"lapsed"}


def _spoken(key: Key) -> str:
    cause, subject = key
    return f"{cause}:{subject}" if subject else str(cause)


def _named(duty: Duty, key: Key) -> str:
    return needs.in_short(*key, duty.locale)


def _and_more(duty: Duty, keys: Sequence[Key]) -> str:
    match len(keys) - 1:
        case 0:
            return ""
        case 1:
            return duty.say({"de": " und eine weitere Meldung", "en": " and one thing more"})
        case n:
            return duty.say({"de": f" und {n} weitere Meldungen", "en": f" and {n} things more"})


def _alarm(duty: Duty, news: News, now: datetime, found: Sequence[Need]) -> Sheet:
    told = (*news.begun, *news.lasting)
    title = _named(duty, told[0])
    if not news.begun:
        title = duty.say({"de": f"Noch immer: {title}", "en": f"Still: {title}"})
    title += _and_more(duty, told)

    def lines(keys: Sequence[Key]) -> list[str]:
        return [in_words(need) for key in keys for need in found if key_of(need) == key]

    def in_words(need: Need) -> str:
        words = needs.in_words(need, duty.zone, duty.locale)
        if key_of(need) not in news.lasting:
            return words
        since = duty.time(news.known[key_of(need)].since)
        return words + duty.say({"de": f" (gemeldet am {since})", "en": f" (told {since})"})

    rest = [key for key in dict.fromkeys(map(key_of, found)) if key not in told]
    return duty.sheet(
        title,
        [
            Part(
                [
                    duty.say(
                        {
                            "de": f"Stand {duty.time(now)}: Bitte sehen Sie einmal nach.",
                            "en": f"As of {duty.time(now)}: please have a look.",
                        }
                    )
                ]
            ),
            Part(lines(news.begun), duty.say({"de": "Neu", "en": "New"})),
            Part(lines(news.lasting), duty.say({"de": "Weiterhin", "en": "Still so"})),
            Part(lines(rest), duty.say({"de": "Außerdem", "en": "Besides"})),
            Part([duty.say(_HOW_ON)]),
        ],
    )


_HOW_ON = {
    "de": "Wie es steht, zeigt `l3mail status`. Solange etwas andauert, erinnern wir Sie einmal am"
    " Tag daran; ist es vorbei, schreiben wir Ihnen noch einmal.",
    "en": "`l3mail status` says how things stand. While something lasts we remind you of it once"
    " a day, and when it is over we write once more.",
}


def _all_over(duty: Duty, news: News) -> Sheet:
    first = _named(duty, news.over[0])
    title = duty.say({"de": f"Wieder in Ordnung: „{first}“", "en": f"In order again: “{first}”"})
    title += _and_more(duty, news.over)
    lines = []
    for key in news.over:
        told = news.known[key]
        name, since = _named(duty, key), duty.time(told.since)
        until = duty.time(told.over_at or told.since)
        lines.append(
            duty.say(
                {
                    "de": f"„{name}“, gemeldet am {since}, ist vorbei seit {until}.",
                    "en": f"“{name}”, told {since}, is over since {until}.",
                }
            )
        )
    still = [_named(duty, key) for key, told in news.known.items() if told.over_at is None]
    return duty.sheet(
        title,
        [
            Part(lines, duty.say({"de": "Vorbei", "en": "Over"})),
            Part(still, duty.say({"de": "Weiterhin", "en": "Still so"})),
            Part(
                [duty.say({"de": "Zu tun ist dafür nichts mehr.", "en": "There is no more to do."})]
            ),
        ],
    )
