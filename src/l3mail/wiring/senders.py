"""A sender for the relay that the settings name."""

import math
import os
import secrets
import socket
from functools import partial

from l3mail import conditions
from l3mail.clocks import Clock
from l3mail.database import Database
from l3mail.errors import SettingsError
from l3mail.needs import Sending
from l3mail.outbox import Uncertainty
from l3mail.sending import (
    Board,
    DomainLimit,
    HighWater,
    Limits,
    Relay,
    Sender,
    Terms,
    bulletins,
    read_mark,
)
from l3mail.settings import Settings, sending_problems
from l3mail.wiring.mails import composer, workspace_uuid
from l3mail.wiring.rules import asking_terms, restraint_of, staff_of


def who_sends(settings: Settings, database: Database) -> Sending:
    """What the senders on this machine tell; only SQLite's can't be on another one."""
    senders = bulletins(settings.state_dir)
    down = [one for one in senders if one.relay_fault]
    return Sending(
        down[0].relay_fault or "" if down else "",
        down[0].relay_fault_since if down else None,
        nobody=database.is_sqlite and not senders,
    )


def make_sender(settings: Settings, database: Database, clock: Clock) -> Sender:
    """A sender for this workspace's relay; raises SettingsError while it must not send."""
    problems = sending_problems(settings)
    if problems:
        raise SettingsError(problems)
    terms = Terms(
        owner=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        envelope_from=settings.sender.from_.address,
        staff=staff_of(settings),
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
        restraint=restraint_of(settings),
    )
    return Sender(
        database,
        clock,
        terms,
        make_relay(settings).open,
        composer(settings, database),
        decide=partial(conditions.decide, terms=asking_terms(settings)),
        high_water=_high_water(settings, database),
        board=Board(settings.state_dir, clock),
    )


def _high_water(settings: Settings, database: Database) -> HighWater:
    uuid, mark = database.read(workspace_uuid), read_mark(settings.state_dir)
    highest = mark.highest if mark and mark.uuid == uuid else 0
    return HighWater(settings.state_dir, uuid, highest)


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
