"""The check-up: everything a workspace needs, looked at in the order it is needed.

Owns that order. Each part knows what it looks at.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from l3mail.clocks import Clock
from l3mail.errors import L3mailError
from l3mail.sending import Relay
from l3mail.settings import Settings
from l3mail.upkeep import ground, pages, relays, samples
from l3mail.upkeep.checks import Check, fail, ok, unknown
from l3mail.wiring import make_relay

NOTHING = timedelta()


@dataclass(frozen=True, slots=True)
class Reach:
    """How far a check-up goes: whether another machine's pages are asked, and for how long.

    `sample` is a file with a mail of ours as it arrived.
    """

    online: bool = False
    seconds: float = 15.0
    sample: Path | None = None


def examine(
    settings: Settings, clock: Clock, reach: Reach, relay: Relay | None = None
) -> Iterator[Check]:
    """Every check, one after the other; `relay` is the configured one unless given."""
    yield from ground.look_at_settings(settings)
    between = ground.look_for_interruption(settings)
    if between is not None:
        yield between
    else:
        yield from ground.look_at_state(settings)
    yield ground.look_at_disk(settings)
    try:
        texts, findings = ground.look_at_content(settings)
    except L3mailError as error:
        texts, findings = [], []
        yield fail("content", str(error))
    if between is None:
        yield from ground.look_at_database(settings, clock.now(), texts, findings)
    checks, answers = relays.look_at_relay(
        relay or make_relay(settings), settings, clock.now(), reach.seconds
    )
    heard_at = clock.now()
    yield from checks
    page, date = pages.look_at_pages(settings, reach.seconds, online=reach.online)
    yield page
    differences = [*relays.clocks_differ(answers, heard_at)]
    if date is not None:
        differences.append(("the pages'", date - clock.now()))
    yield _clock(settings, clock.now(), differences)
    if reach.sample is not None:
        yield from samples.look_at_sample(reach.sample, settings)
    yield _names(settings, reach)


def _clock(settings: Settings, now: datetime, differences: list[tuple[str, timedelta]]) -> Check:
    words = f"{now.astimezone(settings.zone):%Y-%m-%d %H:%M:%S} in {settings.workspace.timezone}"
    compared = ", ".join(
        f"{whose} is {abs(ahead).total_seconds():,.0f} s {'ahead' if ahead > NOTHING else 'behind'}"
        for whose, ahead in differences
    )
    if any(abs(ahead) > ground.SKEW for _, ahead in differences):
        return fail("clock", f"{words}; {compared}; let the machine keep time by NTP")
    return ok("clock", f"{words}; {compared or 'there is no other clock to compare with'}")


def _names(settings: Settings, reach: Reach) -> Check:
    if settings.relay_is_loopback:
        return ok("dns", "no mail leaves this machine, so no name has to be known outside")
    domain = settings.sender_domain
    told = "" if reach.sample else "; or give `--sample` a mail of ours as it arrived outside"
    return unknown(
        "dns",
        f"SPF, DKIM and DMARC of {domain} are not looked up here; `l3mail doctor --letter` says"
        f" what to ask the IT{told}",
    )
