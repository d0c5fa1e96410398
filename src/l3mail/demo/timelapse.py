"""Ten weeks in seconds: from one due moment to the next, with the real parts on a virtual clock."""

import asyncio
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, func, insert, select, update

from l3mail import courses, migrations, publishing
from l3mail.addresses import address_key, parse_address
from l3mail.clocks import FixedClock
from l3mail.database import Database, opened
from l3mail.demo.mailserver import Mailbox, running
from l3mail.demo.people import COURSE, FIRST_DAY, STREAM, TEXTS, Educator, educators
from l3mail.errors import WorkspaceError
from l3mail.models import DELIVERY, ENROLLMENT, SUBSCRIBER, SUBSCRIPTION, UtcDateTime
from l3mail.models import STREAM as STREAM_TABLE
from l3mail.settings import FILE, Settings, load_pepper, load_settings, make_state
from l3mail.wiring import make_sender, only_sender

WEEKS = 10
_MARK = ".l3mail-demo"

_SETTINGS = """\
# The demo's workspace: play with it, it is made anew by every demo.
[workspace]
name = "Bildung in Musterstadt"
timezone = "Europe/Berlin"

[sender]
from = "Bildung in Musterstadt <kurs@musterstadt.example>"

[relay]
host = "127.0.0.1"
port = {port}
connections = 4
"""


@dataclass(frozen=True, slots=True)
class Moment:
    """One moment something was due at, and what then happened; `share` is how far the demo is."""

    at: datetime
    joined: tuple[str, ...]
    states: Mapping[str, int]
    notes: tuple[str, ...]
    share: float


@dataclass(slots=True)
class Summary:
    """What the rows and the mail server say in the end, found by looking and not by counting along.

    `whole` counts learners whose seven mails were all accepted, `mondays` those of them who had
    each on a Monday, seven days after the one before, by the moment the server took it; `sharp`
    those whose every mail was taken at 10:00 local time. `repeated` counts mails, by addressee
    and subject, that arrived under more than one Message-ID.
    """

    folder: Path
    people: int = 0
    mails: int = 0
    states: Counter[str] = field(default_factory=Counter)
    mondays: int = 0
    sharp: int = 0
    whole: int = 0
    repeated: int = 0
    arrived_twice: int = 0
    after_leaving: int = 0


def play(folder: Path, tell: Callable[[Moment], None]) -> Summary:
    """Run the demo in `folder`, which is made anew; `tell` hears of every moment.

    Raises WorkspaceError where the folder holds something that is not a demo.
    """
    _clear(folder)
    with running(folder / "mails") as (port, mailbox):
        (folder / FILE).write_text(_SETTINGS.format(port=port), encoding="utf-8")
        settings = load_settings(folder, {})
        make_state(settings.state_dir)
        with opened(settings.database_url) as database:
            migrations.upgrade(database, FIRST_DAY)
            with only_sender(database):
                _Timelapse(settings, database, mailbox).run(tell)
            return _look(database, settings.zone, mailbox, folder)


def _clear(folder: Path) -> None:
    if folder.exists():
        if not (folder / _MARK).exists() and any(folder.iterdir()):
            raise WorkspaceError(f"{folder} holds something else; name an empty folder by --dir")
        shutil.rmtree(folder)
    (folder / "mails").mkdir(parents=True)
    (folder / _MARK).touch()


class _Timelapse:
    def __init__(self, settings: Settings, database: Database, mailbox: Mailbox) -> None:
        self._settings = settings
        self._database = database
        self._mailbox = mailbox
        self._clock = FixedClock(FIRST_DAY)
        self._pepper = load_pepper(settings.state_dir)
        self._coming = educators()
        self._known: dict[int, str] = {}

    def run(self, tell: Callable[[Moment], None]) -> None:
        self._database.write(self._lay_out)
        end = FIRST_DAY + timedelta(weeks=WEEKS)
        tell(self._live_through(0.0))
        while (moment := self._next_moment()) is not None and moment <= end:
            self._clock.set(moment)
            share = (self._clock.now() - FIRST_DAY) / (end - FIRST_DAY)
            tell(self._live_through(share))

    def _next_moment(self) -> datetime | None:
        """The next moment something falls due: somebody joins, a lesson, a new attempt."""

        def verb(connection: Connection) -> list[datetime | None]:
            due = (ENROLLMENT.c.next_due_at, DELIVERY.c.next_attempt_at)
            return [
                connection.execute(
                    select(func.min(column, type_=UtcDateTime)).where(column > self._clock.now())
                ).scalar()
                for column in due
            ]

        moments = [*self._database.read(verb), *(person.confirmed_at for person in self._coming)]
        return min((moment for moment in moments if moment is not None), default=None)

    def _live_through(self, share: float) -> Moment:
        """What the running house does in one tick, and what came of it."""
        zone, now = self._settings.zone, self._clock.now()
        joined = self._join(now)
        self._database.write(lambda connection: courses.plan(connection, now, zone))
        notes = self._somebody_leaves()
        before = self._states()
        sender = make_sender(self._settings, self._database, self._clock)
        asyncio.run(sender.run(once=True))
        self._database.write(lambda connection: courses.advance(connection, now, zone))
        after = self._states()
        changed = Counter(state for row, (state, _) in after.items() if before[row] != after[row])
        return Moment(now.astimezone(zone), joined, changed, notes, share)

    def _states(self) -> dict[int, tuple[str, int]]:
        query = select(DELIVERY.c.id, DELIVERY.c.state, DELIVERY.c.attempts)
        rows = self._database.read(lambda connection: connection.execute(query).all())
        return {row.id: (row.state, row.attempts) for row in rows}

    def _lay_out(self, connection: Connection) -> None:
        """The course and its published texts."""
        stream = connection.execute(
            insert(STREAM_TABLE)
            .values(slug=STREAM, kind="course", title=COURSE.title, created_at=FIRST_DAY)
            .returning(STREAM_TABLE.c.id)
        ).scalar_one()
        courses.define(connection, COURSE, stream, FIRST_DAY)
        for name, (subject, body) in TEXTS.items():
            text = f"{{{{ greeting }}}},\n\n{body}\n\nIhr Team Bildung in Musterstadt\n"
            publishing.publish(
                connection,
                slug=f"{STREAM}/{name}",
                locale="de",
                source=text,
                compiled={"subject": subject, "text": text, "html": ""},
                by="demo",
                now=FIRST_DAY,
            )

    def _join(self, now: datetime) -> tuple[str, ...]:
        here = [person for person in self._coming if person.confirmed_at <= now]
        self._coming = [person for person in self._coming if person.confirmed_at > now]
        for person in here:
            self._database.write(partial(self._welcome, person=person))
        return tuple(person.first_name for person in here)

    def _welcome(self, connection: Connection, person: Educator) -> None:
        address = parse_address(person.address)
        stream = connection.execute(select(STREAM_TABLE.c.id)).scalar_one()
        subscriber = connection.execute(
            insert(SUBSCRIBER)
            .values(
                address=address.address,
                address_key=address_key(address, self._pepper),
                first_name=person.first_name,
                created_at=person.confirmed_at,
            )
            .returning(SUBSCRIBER.c.id)
        ).scalar_one()
        connection.execute(
            insert(SUBSCRIPTION).values(
                subscriber_id=subscriber,
                stream_id=stream,
                state="confirmed",
                created_at=person.confirmed_at,
                confirmed_at=person.confirmed_at,
            )
        )
        courses.enroll(connection, STREAM, subscriber, person.confirmed_at, self._settings.zone)
        if person.leaves:
            self._known[subscriber] = person.first_name

    def _somebody_leaves(self) -> tuple[str, ...]:
        """Unsubscribe whoever means to, in the moment between planning and sending."""

        def verb(connection: Connection) -> list[int]:
            waiting = select(DELIVERY.c.subscriber_id).where(
                DELIVERY.c.state == "queued", DELIVERY.c.slug == COURSE.lessons[2][0]
            )
            left = connection.execute(
                update(SUBSCRIPTION)
                .where(
                    SUBSCRIPTION.c.subscriber_id.in_(self._known),
                    SUBSCRIPTION.c.subscriber_id.in_(waiting),
                    SUBSCRIPTION.c.state == "confirmed",
                )
                .values(
                    state="unsubscribed",
                    unsubscribed_at=self._clock.now(),
                    generation=SUBSCRIPTION.c.generation + 1,
                )
                .returning(SUBSCRIPTION.c.subscriber_id)
            ).scalars()
            gone = list(left)
            connection.execute(
                update(ENROLLMENT)
                .where(ENROLLMENT.c.subscriber_id.in_(gone))
                .values(state="cancelled", ended_at=self._clock.now(), next_due_at=None)
            )
            return gone

        gone = self._database.write(verb)
        names = (self._known[person] for person in gone)
        return tuple(f"{name} unsubscribes while the mail is queued" for name in names)


def _look(database: Database, zone: ZoneInfo, mailbox: Mailbox, folder: Path) -> Summary:
    """Read from the rows and the arrived mails what the demo claims."""
    query = (
        select(
            DELIVERY.c.id,
            DELIVERY.c.subscriber_id,
            DELIVERY.c.state,
            DELIVERY.c.ended_at,
            DELIVERY.c.started_at,
            SUBSCRIPTION.c.unsubscribed_at,
        )
        .join(SUBSCRIPTION, SUBSCRIPTION.c.subscriber_id == DELIVERY.c.subscriber_id)
        .order_by(DELIVERY.c.id)
    )
    rows = database.read(lambda connection: connection.execute(query).all())
    courses_of: dict[int, list[datetime]] = defaultdict(list)
    for row in rows:
        if row.state == "accepted":
            courses_of[row.subscriber_id].append(row.ended_at.astimezone(zone))
    whole = [dates for dates in courses_of.values() if len(dates) == len(COURSE.lessons)]
    return Summary(
        folder=folder,
        people=len({row.subscriber_id for row in rows}),
        mails=len(mailbox.arrived),
        states=Counter(row.state for row in rows),
        mondays=sum(_are_mondays(dates) for dates in whole),
        whole=len(whole),
        sharp=sum(all((at.hour, at.minute) == (10, 0) for at in dates) for dates in whole),
        repeated=sum(len(set(ids)) > 1 for ids in mailbox.by_subject().values()),
        arrived_twice=sum(times > 1 for times in Counter(mailbox.arrived).values()),
        after_leaving=sum(
            row.unsubscribed_at is not None
            and row.started_at is not None
            and row.started_at >= row.unsubscribed_at
            for row in rows
        ),
    )


def _are_mondays(dates: list[datetime]) -> bool:
    """Whether mails came on Mondays, each seven calendar days after the one before."""
    return all(day.weekday() == 0 for day in dates) and all(
        later.date() - earlier.date() == timedelta(days=7) for earlier, later in pairwise(dates)
    )
