"""What machines ask: whether all is well, and the numbers a monitor draws.

Owns the two answers. Numbers are counts only: no address, no slug, nothing of a person.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from sqlalchemy import Connection, select
from starlette.exceptions import HTTPException

from l3mail import outbox
from l3mail.errors import DatabaseClosedError, DatabaseUnavailableError, TokenError
from l3mail.models import WORKSPACE
from l3mail.sending import Bulletin, bulletins
from l3mail.tokens import Purpose
from l3mail.web.door import Visit, Visiting

FORMAT = "text/plain; version=0.0.4"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")

router = APIRouter()


@router.get("/healthz")
async def show_health(visit: Visiting) -> Response:
    """200 while the database answers and nothing is late, else 503."""

    def verb(connection: Connection) -> Sequence[str]:
        connection.execute(select(WORKSPACE.c.id)).all()
        return visit.door.late(connection, visit.now)

    try:
        late = list(await visit.read(verb))
    except (DatabaseUnavailableError, DatabaseClosedError):
        late = ["the database does not answer"]
    return JSONResponse({"status": "late" if late else "ok", "late": late}, 503 if late else 200)


@dataclass(frozen=True, slots=True)
class _Numbers:
    states: Mapping[str, int]
    waiting_since: datetime | None
    halted: bool
    late: bool
    senders: Sequence[Bulletin]


@router.get("/metrics")
async def show_metrics(visit: Visiting) -> Response:
    """The numbers as Prometheus reads them, for this machine itself or a bearer of its token."""
    if not (_is_from_here(visit) or _bears_token(visit)):
        raise HTTPException(404)

    def verb(connection: Connection) -> _Numbers:
        return _Numbers(
            outbox.counts(connection),
            outbox.waiting_since(connection),
            bool(outbox.halts(connection)),
            bool(visit.door.late(connection, visit.now)),
            bulletins(visit.door.settings.state_dir),
        )

    lines = _lines(await visit.read(verb), visit)
    return PlainTextResponse("\n".join(lines) + "\n", media_type=FORMAT)


def _lines(numbers: _Numbers, visit: Visit) -> Iterator[str]:
    # All gauges: rows are kept for a time only, so even what was accepted does not grow for ever.
    yield from _gauge("deliveries", "Deliveries on file by state; kept as long as retention says.")
    for state, count in sorted(numbers.states.items()):
        yield f'l3mail_deliveries{{state="{state}"}} {count}'
    since = numbers.waiting_since
    waited = max((visit.now - since).total_seconds(), 0) if since else 0
    yield from _gauge(
        "oldest_waiting_seconds", "How long the oldest mail waits that should be gone."
    )
    yield f"l3mail_oldest_waiting_seconds {waited:.0f}"
    silent = visit.door.silent_for()
    if silent is not None:
        yield from _gauge("last_tick_seconds", "How long ago planning last went through.")
        yield f"l3mail_last_tick_seconds {silent.total_seconds():.0f}"
    yield from _gauge("halted", "Whether a halt is in force.")
    yield f"l3mail_halted {numbers.halted:d}"
    yield from _gauge("senders", "Senders at work on this machine.")
    yield f"l3mail_senders {len(numbers.senders)}"
    yield from _gauge("relay_down", "How many of them can't use the relay.")
    yield f"l3mail_relay_down {sum(bool(one.relay_fault) for one in numbers.senders)}"
    slowed = [one.slowed_to for one in numbers.senders if one.slowed_to is not None]
    if slowed:
        yield from _gauge(
            "relay_slowed_to", "Mails a second that it lets those send whom it slowed down."
        )
        yield f"l3mail_relay_slowed_to {sum(slowed):.3g}"
    yield from _gauge("visits_waiting", "Openings and clicks that are still to be written.")
    yield f"l3mail_visits_waiting {len(visit.door.book)}"
    yield from _gauge("visits_lost", "Those that did not wait for the database, since the start.")
    yield f"l3mail_visits_lost {visit.door.book.lost}"
    yield from _gauge("late", "Whether /healthz answers 503.")
    yield f"l3mail_late {numbers.late:d}"


def _gauge(name: str, words: str) -> Iterator[str]:
    yield f"# HELP l3mail_{name} {words}"
    yield f"# TYPE l3mail_{name} gauge"


def _is_from_here(visit: Visit) -> bool:
    """Whether this machine itself asks, and nobody through a proxy on it."""
    request = visit.request
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        peer = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    mapped = peer.ipv4_mapped if isinstance(peer, ipaddress.IPv6Address) else None
    return (mapped or peer).is_loopback


def _bears_token(visit: Visit) -> bool:
    kind, _, token = visit.request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer":
        return False
    try:
        visit.door.tokens.read(Purpose.METRICS, token.strip(), visit.now)
    except TokenError:
        return False
    return True
