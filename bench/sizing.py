"""What the rows of a house take on a disk, and what a sent mail writes into the database's log.

These are the amounts that `docs/sizing.md` reckons with. They are counted and not timed, so a busy
machine changes none of them but the backup's seconds. A table's bytes are those of its indexes too.
"""

import asyncio
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, event, func, select, text

from bench import reference
from bench.crowd import crowd, plan
from bench.dialogue import far_away
from bench.figures import Figure, Goal, MissingError, Size
from bench.multitude import BACKENDS, Multitude, fresh, look_around, settle_in
from bench.planning import LARGEST, planned_in
from l3mail import backups, events, outbox, subscribers
from l3mail.addresses import parse_address
from l3mail.clocks import SystemClock
from l3mail.database import Database, opened
from l3mail.events import Visit
from l3mail.models import DELIVERY, METADATA, SIGNUP
from l3mail.outbox import Attempt, Claim, Gate, Outcome, Started, Uncertainty
from l3mail.planning import LANE_OF_BULK
from l3mail.settings import load_settings, make_state
from l3mail.starter import lay_out
from l3mail.subscribers import Request
from l3mail.wiring import make_sender

AT_ONCE = 20
"""So many connections: a commit has the outcomes of as many mails, and the intents of the next."""
BATCH = 500
VISITS_AT_ONCE = 100
TOLD = ("subscriber", "subscription", "enrollment", "delivery", "event")
NEWS = ("subscriber", "subscription", "signup", "consent", "event", "enrollment", "delivery")
POLICY = dict.fromkeys(("newsletter", "confirmation"), Uncertainty.HOLD)
ANSWER = "2.0.0 Ok: queued as 4dKq2Z1Tz7z9vXy"


@dataclass(frozen=True, slots=True)
class Scale:
    """How many people are there, how many more sign up, and how many mails go out.

    `mails` go without a relay, `carried` ones to a sink.
    """

    people: int
    newcomers: int
    mails: int
    carried: int


SCALES = {Size.FULL: Scale(100_000, 300, 10_000, 3_000), Size.QUICK: Scale(3_000, 60, 900, 200)}


def figures(size: Size) -> Iterator[Figure]:
    """Rows on the disk, bytes of log, and a backup, on each database."""
    scale = SCALES[size]
    for backend in BACKENDS:
        try:
            with fresh(backend) as url:
                yield from _counted(backend, url, scale)
            for far in (False, True):
                with fresh(backend) as url:
                    yield _sending(backend, url, scale.carried, far=far)
        except MissingError as fault:
            yield Figure(_goal("rows and log", backend), None, str(fault))


def _goal(what: str, backend: str, unit: str = "B") -> Goal:
    return Goal(f"{what}, {backend}", None, None, unit, less_is_better=True)


def _counted(backend: str, url: str, scale: Scale) -> Iterator[Figure]:
    with opened(url) as database:
        one = settle_in(database, scale.people)
        # Those made in bulk brought their numbers with them.
        database.write(outbox.jump)
        with _logged(database) as log:
            yield _rows(backend, one)
            yield _newcomers(backend, one, scale.newcomers)
            yield from _mails(backend, one, log, scale.mails)
            yield _visits(backend, one, log)
        yield _backup(backend, url, one)


class _Log:
    """How far the database's write-ahead log has come, in bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._file = Path(f"{database.engine.url.database}-wal")
        self.words = (
            "whole pages of 4 KB, and each once more when the log is carried over"
            if database.is_sqlite
            else "full pages after a checkpoint included"
        )

    def position(self) -> int:
        if self._database.is_sqlite:
            return self._file.stat().st_size
        query = text("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn")
        return int(self._database.read(lambda c: c.execute(query).scalar_one()))


@contextmanager
def _logged(database: Database) -> Iterator[_Log]:
    """Let the log be as it is in earnest; on SQLite it grows, so that its length tells all."""
    if database.is_sqlite:
        database.engine.dispose()
        event.listen(database.engine, "connect", _let_grow)
        database.write(lambda c: c.execute(text("UPDATE workspace SET uuid = uuid")))
        yield _Log(database)
        return
    # The server of the tests does without whole pages: nothing there has to survive.
    _alone(database, "ALTER SYSTEM SET full_page_writes = on", "SELECT pg_reload_conf()")
    _alone(database, "CHECKPOINT")
    try:
        yield _Log(database)
    finally:
        _alone(database, "ALTER SYSTEM RESET full_page_writes", "SELECT pg_reload_conf()")


def _let_grow(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA wal_autocheckpoint = 0")


def _alone(database: Database, *statements: str) -> None:
    with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as one:
        for statement in statements:
            one.exec_driver_sql(statement)


def _changes(database: Database, expected: int) -> str:
    """What became of the changes of rows, in words."""
    if database.is_sqlite:
        return "rows that grew in their place"
    # A server's process tells what it did when it ends.
    database.engine.dispose()
    changed = spared = 0
    for _ in range(50):
        changed, spared = database.read(lambda c: tuple(c.execute(_CHANGES).one()))
        if changed >= expected:
            break
        time.sleep(0.1)
    return f"{spared:,} of {changed:,} changes spared the indexes, nothing was vacuumed"


_CHANGES = text(
    "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'delivery'"
)
_ON_SQLITE = text(
    "SELECT tbl_name, sum(pgsize) FROM sqlite_master JOIN dbstat USING (name) GROUP BY tbl_name"
)
_ON_POSTGRES = text(
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class"
    " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
)


def bytes_of_tables(database: Database) -> dict[str, int]:
    """What each table takes with all its indexes."""
    query = _ON_SQLITE if database.is_sqlite else _ON_POSTGRES
    return database.read(lambda c: {row[0]: int(row[1]) for row in c.execute(query)})


def _counts(database: Database) -> dict[str, int]:
    def verb(connection: Connection) -> dict[str, int]:
        return {
            name: int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            for name, table in METADATA.tables.items()
        }

    return database.read(verb)


def _rows(backend: str, one: Multitude) -> Figure:
    taken, counted = bytes_of_tables(one.database), _counts(one.database)
    each = {name: taken[name] / counted[name] for name in TOLD}
    told = ", ".join(f"{name} {octets:.0f}" for name, octets in each.items())
    return Figure(
        _goal("a delivery with its indexes, made in bulk", backend),
        each["delivery"],
        f"{told}; {one.people:,} people",
    )


def _newcomers(backend: str, one: Multitude, number: int) -> Figure:
    """What one who signs up for a course and confirms adds to all tables together."""
    before = bytes_of_tables(one.database)
    for first in range(0, number, 50):
        few = range(first, min(first + 50, number))
        one.database.write(partial(_join, one=one, few=few))
    after = bytes_of_tables(one.database)
    grown = {name: (after[name] - before[name]) / number for name in after}
    told = ", ".join(f"{name} {grown[name]:.0f}" for name in NEWS)
    return Figure(
        _goal("a person who signs up and confirms", backend), sum(grown.values()), f"{told}"
    )


def _join(connection: Connection, one: Multitude, few: Sequence[int]) -> None:
    now, rules = one.clock.now(), one.agenda.rules
    for n in few:
        values = {"first_name": "Änne", "last_name": f"Beispiel{n}", "district": "Gorbitz"}
        request = Request(parse_address(f"neu-{n}@schule-{n % 97}.example"), ("kurs",), values)
        subscribers.sign_up(connection, rules, request, now)
        signup = connection.execute(
            select(SIGNUP.c.id, SIGNUP.c.generation).order_by(SIGNUP.c.id.desc()).limit(1)
        ).one()
        subscribers.confirm(connection, rules, signup.id, signup.generation, ("kurs",), now)


def hand_over(one: Multitude, mails: int) -> tuple[int, int]:
    """Send without a relay, a commit for so many mails as there are connections.

    As a sender does it, which commits more often where dialogues end one by one. How many were
    sent, and in how many commits.
    """
    now, ready, ended = one.clock.now(), deque[Claim](), list[Attempt]()
    gate = Gate("bench", now, frozenset(), "de")
    sent = commits = after = 0
    while sent < mails or ended:
        if not ready and sent < mails:
            claims = one.database.write(partial(_claimed, now=now, after=after))
            ready.extend(claims)
            after, commits = claims[-1].id, commits + 1
        begun = [ready.popleft() for _ in range(min(AT_ONCE, len(ready)) if sent < mails else 0)]
        started = one.database.write(partial(_written, ended=ended, begun=begun, gate=gate))
        ended = [Attempt(d, Outcome.ACCEPTED, "dot", 250, "2.0.0", ANSWER) for d in started]
        sent, commits = sent + len(started), commits + 1
    return sent, commits


def _claimed(connection: Connection, now: datetime, after: int) -> list[Claim]:
    return outbox.claim(connection, "bench", now, lane=LANE_OF_BULK, after=after, limit=BATCH)


def _written(
    connection: Connection, ended: list[Attempt], begun: list[Claim], gate: Gate
) -> list[Started]:
    outbox.record(connection, ended, gate.now, POLICY)
    return outbox.begin(connection, begun, gate)


def _mails(backend: str, one: Multitude, log: _Log, mails: int) -> Iterator[Figure]:
    """What planning and sending add to the outbox, and to the log."""
    database = one.database
    before = bytes_of_tables(database)["delivery"]
    planned, _ = planned_in(one, LARGEST)
    look_around(database)
    queued = bytes_of_tables(database)["delivery"]
    began = log.position()
    sent, commits = hand_over(one, mails)
    written = log.position() - began
    made, grown = (
        (queued - before) / planned,
        (bytes_of_tables(database)["delivery"] - queued) / sent,
    )
    yield Figure(
        _goal("an accepted mail's row", backend),
        made + grown,
        f"{made:.0f} when planned, {grown:.0f} more by sending: {_changes(database, 3 * sent)};"
        f" {sent:,} mails",
    )
    yield Figure(
        _goal("log for each sent mail", backend),
        written / sent,
        f"{commits:,} commits for {sent:,} mails, {AT_ONCE} at once; {log.words}",
    )


def _visits(backend: str, one: Multitude, log: _Log) -> Figure:
    """What an opening takes, of those who agreed, from the request to the verdict."""
    now, zone = one.clock.now(), one.agenda.rules.zone
    sent = (DELIVERY.c.state == "accepted", DELIVERY.c.campaign_id.is_not(None))
    ids = one.database.read(lambda c: list(c.execute(select(DELIVERY.c.id).where(*sent)).scalars()))
    visits = [Visit("opened", now, delivery_id=number) for number in ids]
    before, rows, began = bytes_of_tables(one.database), _counts(one.database), log.position()
    for first in range(0, len(visits), VISITS_AT_ONCE):
        some = visits[first : first + VISITS_AT_ONCE]
        one.database.write(partial(events.record_visits, visits=some, mode="consent", zone=zone))
    written = log.position() - began
    one.clock.advance(timedelta(hours=1))
    settled = 0
    while step := one.database.write(lambda c: events.settle(c, one.clock.now(), 5_000)):
        settled += step
    grown = bytes_of_tables(one.database)["event"] - before["event"]
    kept = _counts(one.database)["event"] - rows["event"]
    return Figure(
        _goal("an opening that is kept", backend),
        grown / kept,
        f"{written / kept:.0f} B of log, {VISITS_AT_ONCE} visits a commit; {kept:,} of"
        f" {len(visits):,} people agreed, {settled:,} were judged",
    )


def _sending(backend: str, url: str, mails: int, *, far: bool) -> Figure:
    """How many mails a real sender puts into one commit, over loopback and 20 ms away."""
    environment = {} if backend == "sqlite" else {"L3MAIL_DATABASE_URL": url}
    goal = _goal(
        f"commits for each sent mail, relay {'20 ms away' if far else 'near'}", backend, ""
    )
    commits = 0

    def count(_: Connection) -> None:
        nonlocal commits
        commits += 1

    with ExitStack() as stack:
        port = stack.enter_context(reference.sink())
        if far:
            port = stack.enter_context(far_away(port))
        made = stack.enter_context(
            crowd(mails, port=port, connections=AT_ONCE, tracked=True, environment=environment)
        )
        database = made.database
        look_around(database)
        plan(made)
        look_around(database)
        log = stack.enter_context(_logged(database))
        sender = make_sender(made.settings, database, SystemClock())
        event.listen(database.engine, "commit", count)
        position, began = log.position(), time.perf_counter()
        tally = asyncio.run(sender.run(once=True))
        took, written = time.perf_counter() - began, log.position() - position
    if tally.outcomes[Outcome.ACCEPTED] != mails:
        raise RuntimeError(f"of {mails} mails {tally.outcomes[Outcome.ACCEPTED]} were accepted")
    return Figure(
        goal,
        commits / mails,
        f"{written / mails:,.0f} B of log a mail; {mails / took:,.0f} mails a second,"
        f" {AT_ONCE} connections",
    )


def _backup(backend: str, url: str, one: Multitude) -> Figure:
    """How long a proved backup takes for each GB that the database has."""
    octets = sum(bytes_of_tables(one.database).values())
    with tempfile.TemporaryDirectory(prefix="l3mail-bench-") as folder:
        workspace = Path(folder) / "workspace"
        lay_out(workspace)
        settings = load_settings(workspace, {"L3MAIL_DATABASE_URL": url})
        make_state(settings.state_dir)
        began, busy = time.perf_counter(), time.process_time()
        backup = backups.back_up(
            settings,
            one.database,
            one.clock.now(),
            lambda *_: None,
            target=Path(folder),
            media=None,
            with_key=True,
        )
        took, worked = time.perf_counter() - began, time.process_time() - busy
    return Figure(
        _goal("a backup of 1 GB", backend, "s"),
        took / octets * 1e9,
        f"{worked / octets * 1e9:.0f} s of a processor; {octets / 1e6:.0f} MB become"
        f" {backup.size / 1e6:.0f} MB, packed, opened again and compared",
    )
