"""Ten weeks in seconds: from one due moment to the next, with the real parts on a virtual clock.

Owns the order of things: people act on the pages, the house plans, and sends. Writes no row by
itself. What is to happen when stands in `people`; another chapter of the story is another call
of `_at` in `_write_the_story`, and another claim in `evidence`.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path

from sqlalchemy import Connection, exists, func, select

from l3mail import actions, audiences, newsletters, rounds, simulations, streams, triggers
from l3mail.clocks import FixedClock
from l3mail.database import Database
from l3mail.demo import exhibition, paperwork, people, premises
from l3mail.demo.evidence import Deeds, Evidence, Summary, look
from l3mail.demo.mailserver import Arrived, Mailbox, running
from l3mail.demo.people import COURSE, Person
from l3mail.demo.premises import CreateApp
from l3mail.demo.readers import Readers
from l3mail.demo.visitors import Browser
from l3mail.errors import DemoError
from l3mail.events import Guestbook
from l3mail.models import DELIVERY, ENROLLMENT, SUBSCRIBER
from l3mail.settings import Settings
from l3mail.wiring import (
    MEDIA_FOLDER,
    asking_terms,
    load_tokens,
    make_agenda,
    make_sender,
    make_watched_agenda,
    only_sender,
    open_database,
)

COMES_BACK_AFTER = timedelta(hours=1)
CHORES_EVERY = timedelta(hours=1)
_AT_ONCE = 5
"""Times that sending may make more due at one moment, before time goes on all the same."""
_BY_NAME = {"newsletter", "lifecycle"}
"""Kinds whose mails the timeline calls by their text."""

Act = Callable[[], str]
"""What somebody does; the words the timeline has for it, "" for none."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment something was due at, and what then happened; `share` is how far the demo is.

    `mails` counts deliveries that changed, by kind or text, state and the server's no.
    """

    at: datetime
    notes: tuple[str, ...]
    mails: Mapping[tuple[str, str, str], int]
    share: float


def play(folder: Path, tell: Callable[[Moment], None], create_app: CreateApp) -> Summary:
    """Run the demo in `folder`, which is made anew; `tell` hears of every moment.

    Raises WorkspaceError where the folder holds something that is not a demo.
    """
    with opened(folder, create_app) as (timelapse, database):
        timelapse.run(tell)
        return database.read(lambda connection: timelapse.conclude(connection, folder))


@contextmanager
def opened(folder: Path, create_app: CreateApp) -> Iterator[tuple["Timelapse", Database]]:
    """A demo ready to run: workspace laid out, mail server and pages answering."""
    premises.clear(folder)
    clock = FixedClock(people.BEGIN)
    with running(folder / "mails", clock.now) as (port, mailbox), premises.listening() as door:
        web_port: int = door.getsockname()[1]
        settings = premises.furnish(folder, relay_port=port, web_port=web_port, now=people.BEGIN)
        with (
            open_database(settings) as database,
            only_sender(database),
            premises.open_door(create_app, settings, database, clock, door) as book,
        ):
            yield Timelapse(settings, database, clock, mailbox, book), database


@dataclass(order=True)
class _Planned:
    at: datetime
    number: int
    act: Act = field(compare=False)


class Timelapse:
    """One run of the demo."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        clock: FixedClock,
        mailbox: Mailbox,
        book: Guestbook,
    ) -> None:
        self.mailbox = mailbox
        self._book = book
        self._settings = settings
        self._database = database
        self._clock = clock
        self._agenda = make_watched_agenda(settings)
        self._browser = Browser(settings.web.base_url, clock.advance)
        self._deeds = Deeds()
        self._named = {person.address: person for person in people.everybody()}
        self._readers = Readers(self._named, self._browser, self._deeds, clock.now)
        self._known = 0
        self._chores_at = clock.now()
        self._shown: set[int] = set()
        self._story: list[_Planned] = []
        self._numbers = count()
        self._write_the_story()

    def _write_the_story(self) -> None:
        for person in self._named.values():
            self._at(person.asks_at, partial(self._sign_up, person))
            if person.confirms_at is not None:
                self._at(person.confirms_at, partial(self._confirm, person))
        named = self._named
        self._at(people.FORESEES_AT, self._foresee)
        self._at(people.FORGETS_AT, partial(self._sign_up_again, named[people.FORGETS]))
        self._at(people.PAUSES_AT, partial(self._pause, named[people.PAUSES]))
        self._at(people.WITHDRAWS_AT, partial(self._forbid, named[people.WITHDRAWS]))
        self._at(people.SCHEDULES_AT, self._schedule_issue)
        self._leaving = named[people.LEAVES]

    def _at(self, moment: datetime, act: Act) -> None:
        heapq.heappush(self._story, _Planned(moment, next(self._numbers), act))

    def run(self, tell: Callable[[Moment], None]) -> None:
        """Live from one moment to the next, to the end of the ten weeks."""
        while (moment := self._next_moment()) is not None and moment <= people.END:
            # Whoever types lets time pass: what was due meanwhile is late and comes now.
            self._clock.advance(max(moment - self._clock.now(), timedelta()))
            tell(self._live_through())

    def evidence(self, connection: Connection) -> Evidence:
        """What there is to look at in the end."""
        tokens = load_tokens(self._settings)
        return Evidence(connection, self.mailbox.arrived, self._deeds, self._settings.zone, tokens)

    def conclude(self, connection: Connection, folder: Path) -> Summary:
        """Say what is so in the end, hang the mails in a gallery, write reports, keep papers."""
        evidence = self.evidence(connection)
        media = self._settings.state_dir / MEDIA_FOLDER
        pages = (
            exhibition.hang(evidence, folder, media),
            paperwork.write(connection, self._settings, self._clock.now(), folder),
            *paperwork.keep(
                {who: paper for who, (paper, _) in self._deeds.collected.items()}, folder
            ),
        )
        return look(evidence, folder, pages)

    def _next_moment(self) -> datetime | None:
        """When somebody does something, or something falls due by itself."""
        now = self._clock.now()
        self._book.flush()
        due = self._database.read(
            lambda connection: rounds.next_moment(connection, now, self._agenda)
        )
        moments = [due, self._story[0].at if self._story else None]
        return min((moment for moment in moments if moment is not None), default=None)

    def _live_through(self) -> Moment:
        """What the running house does in one tick, and what came of it."""
        at = self._clock.now()
        notes = []
        before, forgotten = self._states(), self._forgotten()
        completed = self._completed()
        while self._story and self._story[0].at <= self._clock.now():
            notes.append(heapq.heappop(self._story).act())
        is_time = at >= self._chores_at
        self._plan(chores=is_time)
        if is_time:
            self._chores_at = at + CHORES_EVERY
        if gone := self._forgotten() - forgotten:
            notes.append(f"{gone} never confirmed in seven days and is forgotten")
        for address in sorted(self._completed() - completed):
            name = self._named[address].first_name
            notes.append(f"{name} has answered every question: the course is completed")
        notes += [self._somebody_leaves(), *self._put_before_office(), *self._send()]
        changed = Counter(
            now[:3]
            for number, now in self._states().items()
            if before.get(number) != now and now[1] != "queued"
        )
        share = (at - people.BEGIN) / (people.END - people.BEGIN)
        local = at.astimezone(self._settings.zone)
        return Moment(local, tuple(note for note in notes if note), changed, share)

    def _send(self) -> list[str]:
        """Send what is due, as long as sending makes more due; machines look at it at once."""
        notes: list[str] = []
        while self._is_anything_due() and len(notes) < _AT_ONCE:
            asyncio.run(make_sender(self._settings, self._database, self._clock).run(once=True))
            new, self._known = self.mailbox.arrived[self._known :], len(self.mailbox.arrived)
            for moment, act in self._readers.take(new):
                self._at(moment, act)
            notes.append(self._scan(new))
            # Who had a lesson is led on at once, and the staff is told how it went.
            self._plan()
        return notes

    def _plan(self, *, chores: bool = False) -> None:
        """Plan all that is due; visits of before are in, so that they are judged together."""
        self._book.flush()
        rounds.run(self._database, self._clock, self._agenda, chores=chores)

    def _is_anything_due(self) -> bool:
        is_due = (DELIVERY.c.state == "queued") & (DELIVERY.c.due_at <= self._clock.now())
        again = DELIVERY.c.state.in_(("deferred", "uncertain"))
        is_due |= again & (DELIVERY.c.next_attempt_at <= self._clock.now())
        query = select(exists(select(DELIVERY.c.id).where(is_due)))
        return bool(self._database.read(lambda connection: connection.execute(query).scalar()))

    def _states(self) -> dict[int, tuple[str, str, str, int]]:
        """Of each delivery what it is, its state, the server's no if it said one, its attempts."""
        rows = self._database.read(lambda connection: connection.execute(select(DELIVERY)).all())
        return {
            row.id: (
                row.slug if row.kind in _BY_NAME else row.kind,
                row.state,
                _no(row.reply_code, row.reply_status),
                row.attempts,
            )
            for row in rows
        }

    def _forgotten(self) -> int:
        query = select(func.count()).where(SUBSCRIBER.c.erased_at.is_not(None))
        return int(self._database.read(lambda connection: connection.execute(query).scalar_one()))

    def _completed(self) -> set[str]:
        """The addresses of those who have completed the course."""
        query = (
            select(SUBSCRIBER.c.address)
            .join(ENROLLMENT, ENROLLMENT.c.subscriber_id == SUBSCRIBER.c.id)
            .where(ENROLLMENT.c.completed_at.is_not(None))
        )
        return {
            row.address
            for row in self._database.read(lambda connection: connection.execute(query).all())
        }

    # -- what people do

    def _sign_up(self, person: Person) -> str:
        asked_more = self._browser.sign_up(person)
        self._deeds.asked[person.address] = person.locale
        if person.confirms_at is None:
            return f"{person.first_name} fills in the form"
        return f"{person.first_name} types too fast and takes one step more" if asked_more else ""

    def _confirm(self, person: Person) -> str:
        link = self.mailbox.newest(person.address, lambda mail: mail.link("confirm"))
        if not link:
            later = self._clock.now() + COMES_BACK_AFTER
            self._at(later, partial(self._confirm, person))
            return f"{person.first_name} finds no mail yet"
        self._deeds.pressed[person.address] = self._clock.now()
        dates = self._browser.confirm(link, person)
        local = self._clock.now().astimezone(self._settings.zone)
        words = f"{person.first_name} confirms" + (f" at {local:%H:%M:%S}" if local.second else "")
        if person.locale != self._settings.workspace.locale:
            words += f", reads {person.locale}"
        return f"{words}: lesson 1 {_day(dates[0])}" if dates else f"{words} the newsletter"

    def _sign_up_again(self, person: Person) -> str:
        self._browser.sign_up(person)
        self._deeds.again.add(person.address)
        return f"{person.first_name} signs up again, long since confirmed"

    def _pause(self, person: Person) -> str:
        link = self._link_of(person, lambda mail: mail.link("preferences"))
        self._browser.pause(link, COURSE, people.PAUSE_WEEKS)
        self._deeds.paused[person.address] = people.PAUSE_WEEKS
        return f"{person.first_name} pauses for {people.PAUSE_WEEKS} weeks"

    def _forbid(self, person: Person) -> str:
        self._browser.forbid_measuring(self._link_of(person, lambda mail: mail.link("preferences")))
        return f"{person.first_name} no longer allows opens and clicks to be measured"

    def _somebody_leaves(self) -> str:
        """Press the mail program's button in the moment between planning and sending."""
        person = self._leaving
        is_queued = select(
            exists(
                select(DELIVERY.c.id)
                .join(SUBSCRIBER, SUBSCRIBER.c.id == DELIVERY.c.subscriber_id)
                .where(
                    SUBSCRIBER.c.address == person.address,
                    DELIVERY.c.slug == people.LEAVES_AT,
                    DELIVERY.c.state == "queued",
                )
            )
        )
        if not self._database.read(lambda connection: connection.execute(is_queued).scalar()):
            return ""
        self._browser.leave(self._link_of(person, lambda mail: mail.one_click))
        self._deeds.left[person.address] = self._clock.now()
        return f"{person.first_name} unsubscribes while the lesson is queued"

    def _scan(self, new: Sequence[Arrived]) -> str:
        """Open every link of somebody's new mails, as mail gateways do before anybody reads."""
        mails = [one for one in new if one.address == people.SCANNED]
        is_first = mails and people.SCANNED not in self._deeds.opened
        for one in mails:
            answers = self._browser.scan(one.links)
            self._deeds.opened[one.address] += len(answers)
            self._deeds.dead += sum(status >= 400 for status in answers)
        return "Hanna's mail scanner opens every link before she does" if is_first else ""

    def _link_of(self, person: Person, holding: Callable[[Arrived], str]) -> str:
        link = self.mailbox.newest(person.address, holding)
        if not link:
            raise DemoError(f"no mail to {person.first_name} holds the link that is needed")
        return link

    # -- what the office does

    def _foresee(self) -> str:
        """What `simulate` does."""
        terms = simulations.Terms(
            now=self._clock.now(),
            until=people.END,
            staff=self._settings.staff,
            fallback_locale=self._settings.workspace.locale,
        )
        agenda = make_agenda(self._settings, rehearsing=True)
        self._deeds.foreseen = self._database.read(
            lambda connection: simulations.simulate(connection, terms, agenda)
        )
        return f"The office looks ahead: {len(self._deeds.foreseen)} mails are to come"

    def _put_before_office(self) -> list[str]:
        """Let the office find what newly waits for its approval, after a cup of coffee."""
        now = self._clock.now()
        waiting = self._database.read(lambda connection: triggers.pending(connection, now))
        new = [one for one in waiting if one.id not in self._shown]
        self._shown |= {one.id for one in new}
        for one in new:
            self._at(now + people.COFFEE, partial(self._approve, one))
        return [f"{one.slug} waits for a yes until {self._hour(one.lapses_at)}" for one in new]

    def _approve(self, batch: triggers.Pending) -> str:
        """Follow the link in the mail that asks, read, and say yes."""
        link = self.mailbox.newest(people.STAFF, lambda mail: mail.link("approve"))
        if not link:
            raise DemoError(f"no mail asked the office about {batch.slug}")
        self._browser.approve(link)
        self._deeds.approved[batch.slug].append(self._clock.now())
        return f"The office approves {batch.slug}, due {self._hour(batch.due_at)}"

    def _hour(self, at: datetime) -> str:
        return f"{at.astimezone(self._settings.zone):%a %d %b %H:%M}"

    def _schedule_issue(self) -> str:
        """What `segments save` and `newsletters schedule` do."""
        terms, now = asking_terms(self._settings), self._clock.now()

        def verb(connection: Connection) -> newsletters.Audience:
            question = f'district == "{people.DISTRICT}"'
            audiences.save(connection, people.SEGMENT, question, terms, now)
            newsletters.schedule(
                connection,
                people.ISSUE,
                people.ISSUE_AT,
                segment=people.SEGMENT,
                by="demo",
                now=now,
            )
            actions.note(connection, "demo", f"newsletters schedule {people.ISSUE}", {}, now)
            asked = terms.question(connection, people.SEGMENT, now)
            stream_id = streams.find(connection, people.NEWSLETTER)
            assert stream_id is not None  # the issue could not have been scheduled
            return newsletters.audience(connection, stream_id, asked, now)

        audience = self._database.write(verb)
        return (
            f"The office schedules {people.ISSUE} for {self._hour(people.ISSUE_AT)}, to segment"
            f" {people.SEGMENT}: {audience.yes} of {audience.yes + audience.no} readers"
        )


def _no(code: int | None, status: str | None) -> str:
    return f"{code} {status or ''}".rstrip() if code is not None and code >= 400 else ""


def _day(iso: str) -> str:
    return f"{datetime.fromisoformat(iso):%a %d %b %H:%M}"
