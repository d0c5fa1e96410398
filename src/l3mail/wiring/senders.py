"""A sender for the relay that the settings name."""

import math
import os
import secrets
import socket

from sqlalchemy import Connection

from l3mail import outbox
from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.errors import RestoredError, SettingsError, StateError
from l3mail.outbox import Uncertainty
from l3mail.sending import (
    DomainLimit,
    HighWater,
    Limits,
    Mark,
    Relay,
    Sender,
    Terms,
    contradiction,
    read_mark,
)
from l3mail.settings import Settings, sending_problems
from l3mail.wiring.mails import composer, workspace_uuid


def make_sender(settings: Settings, database: Database, clock: Clock) -> Sender:
    """A sender for this workspace's relay; raises SettingsError while it must not send."""
    problems = sending_problems(settings)
    if problems:
        raise SettingsError(problems)
    terms = Terms(
        owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        envelope_from=settings.sender.from_.address,
        staff=settings.staff,
        fallback_locale=settings.workspace.locale,
        policy={
            kind: Uncertainty(choice) for kind, choice in settings.uncertain.model_dump().items()
        },
        timeouts=settings.relay.timeouts,
        connections=settings.relay.connections,
        messages_per_connection=settings.relay.messages_per_connection,
        connection_age=settings.relay.connection_age or math.inf,
        limits=limits_of(settings),
        alone=database.is_sqlite,
        measures=settings.tracking.mode == "consent",
    )
    return Sender(
        database,
        clock,
        terms,
        make_relay(settings).open,
        composer(settings, database),
        high_water=_high_water(settings, database),
    )


def _high_water(settings: Settings, database: Database) -> HighWater:
    uuid, mark = database.read(workspace_uuid), read_mark(settings.state_dir)
    highest = mark.highest if mark and mark.uuid == uuid else 0
    return HighWater(settings.state_dir, uuid, highest)


def detect_restore(settings: Settings, database: Database, clock: Clock) -> str | None:
    """Look whether the database is a restored copy, and pull its brake if so; why, or None.

    For whoever is about to send, plan or number new rows. Once the brake lies, the rows say so.
    """
    mark = read_mark(settings.state_dir)

    def verb(connection: Connection) -> str | None:
        if outbox.restored_at(connection) is not None:
            return "nobody has reconciled it yet"
        why = contradiction(connection, mark) if mark else None
        if why and mark:
            highest = mark.highest if mark.uuid == workspace_uuid(connection) else 0
            outbox.hold_back(connection, outbox.BY_ITSELF, clock.now(), highest)
        return why

    found = database.read(lambda connection: _suspicion(connection, mark))
    return database.write(verb) if found else None


def _suspicion(connection: Connection, mark: Mark | None) -> bool:
    if outbox.restored_at(connection) is not None:
        return True
    return mark is not None and contradiction(connection, mark) is not None


def undetected_restore(settings: Settings, database: Database) -> list[str]:
    """Why the next sender will find a restored copy, in a line; nothing once its brake lies."""
    try:
        mark = read_mark(settings.state_dir)
    except StateError as error:
        return [str(error)]

    def verb(connection: Connection) -> str | None:
        if mark is None or outbox.restored_at(connection) is not None:
            return None
        return contradiction(connection, mark)

    why = database.read(verb)
    return [f"this database is a restored copy ({why}): `l3mail db reconcile`"] if why else []


def require_reconciled(settings: Settings, database: Database, clock: Clock) -> None:
    """Raise RestoredError while the database is a restored copy that nobody reconciled."""
    why = detect_restore(settings, database, clock)
    if why:
        raise RestoredError(
            f"this database is a restored copy ({why}), so nothing is sent;"
            " `l3mail db reconcile` shows what may have been sent already, and releases it"
        )


def limits_of(settings: Settings) -> Limits:
    """The rates agreed with whoever runs the relay."""
    relay = settings.relay
    domains = {
        domain: DomainLimit(limit.at_once, limit.per_minute)
        for domain, limit in relay.domains.items()
    }
    return Limits(relay.per_second, relay.per_hour, domains)


def make_relay(settings: Settings) -> Relay:
    """The relay as configured."""
    own_name = socket.getfqdn()
    password = settings.smtp_password
    return Relay(
        host=settings.relay.host,
        port=settings.relay.port,
        tls=settings.relay.tls,
        # RFC 5321 section 4.1.4 wants a full name; a bare host name gets mail refused.
        name=own_name if "." in own_name else settings.sender_domain,
        username=settings.relay.username,
        password=password.get_secret_value() if password else None,
        opening_seconds=settings.relay.timeouts.greeting,
    )
