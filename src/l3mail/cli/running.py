"""Commands that keep the house running: everything in one process, or its half with the pages."""

import asyncio
import logging
import os
import resource
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from l3mail.cli.context import House, Json, print_json, start_logging
from l3mail.cli.sending import warn_of_halts
from l3mail.errors import DatabaseUnavailableError, L3mailError, WorkspaceError

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import Connection

    from l3mail.database import Database
    from l3mail.events import Guestbook
    from l3mail.heartbeats import Heart
    from l3mail.rounds import Round
    from l3mail.sending import Sender, Tally
    from l3mail.ticks import Ticker
    from l3mail.web.limits import Over

    Late = Callable[[Connection, datetime], list[str]]

PANEL = "Sending"

T = TypeVar("T")

log = logging.getLogger("l3mail.run")

Host = Annotated[
    str | None,
    typer.Option(
        help="Listen at this address; default: web.host of l3mail.toml.", show_default=False
    ),
]
Port = Annotated[
    int | None,
    typer.Option(
        help="Listen at this port; default: web.port of l3mail.toml.",
        min=0,
        max=65535,
        show_default=False,
    ),
]


def register(app: typer.Typer) -> None:
    """Hang the commands into the panel "Sending"."""
    app.command("run", rich_help_panel=PANEL)(run)
    app.command("web", rich_help_panel=PANEL)(web)


def run(
    context: typer.Context,
    *,
    host: Host = None,
    port: Port = None,
    once: Annotated[
        bool,
        typer.Option(
            "--once", help="Plan and send what is due, then exit (1 if the relay is down)."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Do everything in one process until Ctrl-C or SIGTERM.

    Example: l3mail run
    """
    from l3mail.wiring import detect_restore, make_sender, only_sender, require_reconciled

    house: House = context.obj
    if once and (host or port is not None):
        raise typer.BadParameter("--once answers no pages; leave out --host and --port")
    if as_json and not once:
        raise typer.BadParameter("--json goes with --once")
    start_logging(house.settings.log.format, house.settings.zone)
    with house.database() as database, only_sender(database):
        if once:
            require_reconciled(house.settings, database, house.clock)
        else:
            # Pages go on, and the brake that lies now keeps this sender back until it is lifted.
            detect_restore(house.settings, database, house.clock)
        sender = make_sender(house.settings, database, house.clock)
        warn_of_halts(house, database)
        if once:
            _conclude(*_once(house, database, sender), as_json=as_json)
            return
        relay = house.settings.relay
        with _listening(house, host, port) as door:
            log.info("sending through %s:%d; Ctrl-C stops", relay.host, relay.port)
            asyncio.run(_live(house, database, door, sender))


def web(
    context: typer.Context,
    host: Host = None,
    port: Port = None,
    *,
    goodbye: Annotated[
        bool,
        typer.Option(
            "--goodbye",
            help="The house has stopped: only unsubscribing and mails in the browser stay.",
        ),
    ] = False,
) -> None:
    """Answer pages and plan; `l3mail worker` sends. With --goodbye only what is too old goes.

    Example: l3mail web --port 8000
    """
    from l3mail.wiring import detect_restore

    house: House = context.obj
    start_logging(house.settings.log.format, house.settings.zone)
    with house.database() as database, _listening(house, host, port) as door:
        if goodbye:
            log.info("only unsubscribing and what was sent stay open; nothing is planned or sent")
            asyncio.run(_stay(house, database, door))
            return
        detect_restore(house.settings, database, house.clock)
        warn_of_halts(house, database)
        asyncio.run(_live(house, database, door, None))


# -- once


def _once(house: House, database: "Database", sender: "Sender") -> tuple["Round", "Tally"]:
    """Plan all that is due and send it; what that makes due at once, too."""
    from l3mail import rounds
    from l3mail.wiring import make_watched_agenda

    agenda = make_watched_agenda(house.settings)
    done, fault = rounds.Round(), None
    try:
        done = rounds.run(database, house.clock, agenda, chores=True)
    except DatabaseUnavailableError:
        raise
    except Exception as one:  # noqa: BLE001 - raised below: what is planned goes out all the same
        fault = one
    tally = asyncio.run(_with_signals(sender.stop, sender.run(once=True)))
    if fault is not None:
        raise fault
    # Who had a lesson is led on now: nobody may be here to do it before the next one.
    after = rounds.run(database, house.clock, agenda)
    beat = _heart(house, database, sender).beat()
    if beat is not None:
        beat.join()
    return done.then(after), tally


def _conclude(done: "Round", tally: "Tally", *, as_json: bool) -> None:
    from l3mail.outbox import Outcome

    counts = {
        "planned": done.planned,
        "accepted": tally.outcomes[Outcome.ACCEPTED],
        "deferred": tally.outcomes[Outcome.DEFERRED],
        "failed": tally.outcomes[Outcome.REJECTED],
        "uncertain": tally.outcomes[Outcome.UNKNOWN] + tally.taken_over,
    }
    if as_json:
        print_json(counts | {"relay_fault": tally.relay_fault})
    else:
        typer.echo(", ".join(f"{count} {word}" for word, count in counts.items()))
    if tally.relay_fault:
        raise L3mailError(f"the relay is down, what is not accepted waits: {tally.relay_fault}")


# -- until stopped


def _take_all_files() -> None:
    """Raise this process's limit of open files to what it may have: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some systems name a limit that they then refuse
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextmanager
def _listening(house: House, host: str | None, port: int | None) -> "Iterator[socket.socket]":
    """A socket at the address, taken before anything else begins."""
    _take_all_files()
    settings = house.settings.web
    at = (settings.host if host is None else host, settings.port if port is None else port)
    family = socket.AF_INET6 if ":" in at[0] else socket.AF_INET
    try:
        door = socket.create_server(at, family=family)
    except OSError as fault:
        # The system's own words; Python's repeat the address.
        words = os.strerror(fault.errno) if fault.errno and fault.errno > 0 else str(fault)
        raise WorkspaceError(
            f"can't listen at {at[0]} port {at[1]}: {words}; choose others by --host and --port"
        ) from fault
    with door:
        log.info("pages at http://%s:%d", *door.getsockname()[:2])
        yield door


async def _live(
    house: House, database: "Database", door: socket.socket, sender: "Sender | None"
) -> None:
    """Tick, answer pages and, with a sender, send, until a signal or until one of them breaks."""
    from l3mail.events import Guestbook
    from l3mail.ticks import Ticker
    from l3mail.wiring import declare_streams, leave_no_trace, make_watched_agenda

    # What the settings offer is on offer from now on, published anew or not.
    await database.writes(
        lambda connection: declare_streams(connection, house.settings, house.clock.now())
    )
    wake = sender.wake if sender else _nobody
    agenda = make_watched_agenda(house.settings)
    heart = _heart(house, database, sender)
    book = Guestbook(database, mode=house.settings.tracking.mode, zone=house.settings.zone)

    async def write_visits() -> None:
        # What came within seconds of each other is judged together, so all of it must be in.
        if not await book.flushes():
            raise DatabaseUnavailableError("visits wait to be written")

    ticker = Ticker(
        database,
        house.clock,
        agenda,
        wake=wake,
        before=write_visits,
        after=heart.beat,
        tidy=lambda: asyncio.to_thread(leave_no_trace, house.settings, database),
    )

    application = _application(
        house,
        database,
        book,
        late=_lateness(house, database, ticker, sender),
        wake=wake,
        silent_for=ticker.silent_for,
    )
    server = _server(application)

    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        server.should_exit = True
        ticker.stop()
        if sender:
            sender.stop()

    parts = [
        asyncio.create_task(ticker.run(), name="the tick"),
        asyncio.create_task(server.serve([door]), name="the web server"),
    ]
    if sender:
        parts.append(asyncio.create_task(_sent(sender), name="the sender"))
    await _with_signals(stop, _together(parts, stop, stopping))


async def _stay(house: House, database: "Database", door: socket.socket) -> None:
    """Answer what stays open after the end, until a signal: nothing planned, sent or heard.

    What is too old goes all the same: the pages say so.
    """
    from l3mail.ticks import CHORES_EVERY, Ticker
    from l3mail.web import create_app
    from l3mail.wiring import leave_no_trace, load_tokens, make_agenda, make_rules

    settings = house.settings
    ticker = Ticker(
        database,
        house.clock,
        replace(make_agenda(settings), tidies=True),
        every=CHORES_EVERY,
        tidy=lambda: asyncio.to_thread(leave_no_trace, settings, database),
    )
    server = _server(
        create_app(
            settings,
            database,
            load_tokens(settings),
            house.clock,
            make_rules(settings),
            goodbye=True,
        )
    )

    stopping = asyncio.Event()

    def stop() -> None:
        stopping.set()
        server.should_exit = True
        ticker.stop()

    parts = [
        asyncio.create_task(ticker.run(), name="the tick"),
        asyncio.create_task(server.serve([door]), name="the web server"),
    ]
    await _with_signals(stop, _together(parts, stop, stopping))


def _lateness(
    house: House, database: "Database", ticker: "Ticker", sender: "Sender | None"
) -> "Late":
    """What says what is behind, in words for everybody: `/healthz` has no door."""
    from l3mail import needs, outbox
    from l3mail.upkeep.ground import lack_of_space
    from l3mail.wiring import who_sends

    def late(connection: "Connection", now: "datetime") -> list[str]:
        behind = []
        if outbox.restored_at(connection) is not None:
            behind.append("sending waits for l3mail db reconcile")
        if ticker.fault:
            # PostgreSQL's own words may name hosts and users.
            why = f": {ticker.fault}" if database.is_sqlite else "; the log says why"
            behind.append(f"the database can't be written{why}")
        elif ticker.is_late():
            behind.append("the tick is late")
        if lack := lack_of_space(house.settings):
            behind.append(lack)
        sending = who_sends(house.settings, database)
        if (sender and sender.tally.relay_fault) or sending.fault:
            behind.append("the relay is down")
        elif outbox.is_late(connection, now):
            # Beside a worker on another machine this is all that can be seen of the relay.
            behind.append("the relay is late")
        elif not sender and needs.of_sending(connection, now, sending):
            behind.append("nobody sends what is queued")
        return behind

    return late


def _heart(house: House, database: "Database", sender: "Sender | None") -> "Heart":
    """What tells the outside that we live, while mail goes out."""
    from l3mail import outbox
    from l3mail.heartbeats import Heart

    def is_well() -> bool:
        if sender and sender.tally.relay_fault:
            return False
        now = house.clock.now()
        return not database.read(
            lambda connection: (
                outbox.restored_at(connection) is not None or outbox.is_late(connection, now)
            )
        )

    url = house.settings.alerts.heartbeat_url.get_secret_value()
    return Heart(url, house.clock, is_well)


async def _sent(sender: "Sender") -> None:
    await sender.run()


def _nobody() -> None:
    """Wake nobody: the sender is another process, which looks by itself."""


async def _together(
    parts: "list[asyncio.Task[Any]]", stop: Callable[[], None], stopping: asyncio.Event
) -> None:
    """Wait for all parts; none ends before it is stopped but by a fault, which ends them all."""
    ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    broken = [] if stopping.is_set() else sorted(part.get_name() for part in ended)
    stop()
    for result in await asyncio.gather(*parts, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
    if broken:
        raise L3mailError(f"{broken[0]} ended by itself; the lines above say why")


async def _with_signals(stop: Callable[[], None], work: Awaitable[T]) -> T:
    """Do work that the first SIGTERM or SIGINT ends cleanly; a second one is the impatient way."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)

    def first() -> None:
        for number in numbers:
            loop.remove_signal_handler(number)
        log.info("stopping: what is begun is let end")
        stop()

    for number in numbers:
        loop.add_signal_handler(number, first)
    return await work


# -- the pages


def _server(application: Any) -> Any:
    """A web server that leaves the signals to us."""
    import uvicorn

    from l3mail.upkeep.units import LAST_ANSWERS_SECONDS
    from l3mail.web.patience import impatient

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> "Iterator[None]":
            yield

    return Server(
        uvicorn.Config(
            application,
            log_config=None,
            access_log=False,  # addresses and tokens stand in it
            server_header=False,
            proxy_headers=False,
            http=impatient(shortcut=application.shortcut),
            timeout_graceful_shutdown=LAST_ANSWERS_SECONDS,
        )
    )


def _application(
    house: House,
    database: "Database",
    book: "Guestbook",
    *,
    late: "Late",
    wake: Callable[[], None],
    silent_for: "Callable[[], timedelta]",
) -> Any:
    from l3mail.web import create_app
    from l3mail.wiring import load_tokens, make_rules

    settings = house.settings
    told: set[asyncio.Task[None]] = set()

    def alarm(over: "Over") -> None:
        log.warning("%s", over)
        task = asyncio.get_running_loop().create_task(_ring(house, database, over, wake))
        # The loop holds a task by a thread only.
        told.add(task)
        task.add_done_callback(told.discard)

    return create_app(
        settings,
        database,
        load_tokens(settings),
        house.clock,
        make_rules(settings),
        wake=wake,
        late=late,
        silent_for=silent_for,
        alarm=alarm,
        book=book,
    )


async def _ring(house: House, database: "Database", over: "Over", wake: Callable[[], None]) -> None:
    """Write to the person on duty that sign-ups are over a ceiling."""
    from l3mail import alarms
    from l3mail.wiring import make_duty

    duty, now = make_duty(house.settings), house.clock.now()
    try:
        if await database.writes(
            lambda c: alarms.ring(c, now, duty, over.ceiling, source=over.source)
        ):
            wake()
    except Exception:
        log.exception("the person on duty could not be told of it")
