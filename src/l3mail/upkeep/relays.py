"""The relay: whether it lets us in, what it can do, and whether it takes our sender.

Owns the questions; they are asked by the code that sends. No recipient is named and no mail is
begun that is not taken back.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from l3mail.errors import RelayDownError, printable
from l3mail.sending import Relay
from l3mail.sending.dialogue import GoneError
from l3mail.sending.replies import LOGIN_WANTED, Reply
from l3mail.settings import Settings
from l3mail.upkeep.checks import Check, fail, ok, unknown, warn

SMALL_MAIL = 1_000_000
"""Bytes: below this a lesson with worksheets may not pass."""
SOON = timedelta(days=14)

_CURES = {
    "connection": "",  # the fault itself says it
    "greeting": "; ask the IT to let this machine hand over mail",
    "tls": (
        "; ask the IT which name its certificate has, and which authority to install here; is"
        ' "relay.tls" right?'
    ),
    "login": "; check relay.username and L3MAIL_SMTP_PASSWORD",
}
_DATE = re.compile(r"(?:\w{3}, )?\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}")
_EXTENSIONS = ("SIZE", "PIPELINING", "8BITMIME", "SMTPUTF8")


@dataclass(frozen=True, slots=True)
class Answers:
    """What a relay said in one session; `taken` is its reply to our sender."""

    greeting: str
    tls: str
    certificate_until: datetime | None
    extensions: dict[str, str]
    taken: Reply | None
    gone: str = ""

    def told_at(self) -> datetime | None:
        """The moment a relay names in its greeting, as some do."""
        found = _DATE.search(self.greeting)
        try:
            return parsedate_to_datetime(found[0]) if found else None
        except ValueError:
            return None


async def ask(relay: Relay, sender: str, seconds: float) -> Answers:
    """One session up to a sender that is taken back; raises RelayDownError."""
    wire = await replace(relay, opening_seconds=seconds).open()
    version, until = wire.security()
    taken, gone = None, ""
    try:
        taken = await wire.sound_out(sender, seconds)
    except GoneError as fault:
        gone = str(fault)
    await wire.quit(min(seconds, 5.0))
    return Answers(wire.greeting, version, until, dict(wire.extensions), taken, gone)


def look_at_relay(
    relay: Relay, settings: Settings, now: datetime, seconds: float
) -> tuple[list[Check], Answers | None]:
    """What the relay answers within so many seconds a step, and that in checks."""
    sender = settings.sender.from_.address
    try:
        answers = asyncio.run(ask(relay, sender, seconds))
    except RelayDownError as fault:
        told = f"{fault}{_CURES[fault.stage]}"
        return [
            fail("relay", told),
            unknown("sender", f"whether {sender} may send is not known while the relay is closed"),
        ], None
    taken = _sender(sender, answers, login=bool(relay.username))
    checks = [_session(relay, answers, now), _offers(answers), taken]
    return checks, answers


def _session(relay: Relay, answers: Answers, now: datetime) -> Check:
    where = f"{relay.host}:{relay.port}"
    login = f"logged in as {relay.username}" if relay.username else "without a login"
    until = answers.certificate_until
    secured = f"{answers.tls}, certificate until {until:%Y-%m-%d}" if until else answers.tls
    words = f"{where} answers, {secured or 'no TLS'}, {login}"
    if until is not None and until < now + SOON:
        return warn("relay", f"{words}; ask the IT to renew its certificate")
    return ok("relay", words)


def _offers(answers: Answers) -> Check:
    offered = answers.extensions
    names = [name for name in _EXTENSIONS if name.lower() in offered]
    words = f"offers {', '.join(names)}" if names else "offers no extension"
    size = offered.get("size", "").strip()
    limit = int(size) if size.isdecimal() and len(size) < 20 else 0
    if limit:
        words += f"; takes mails up to {limit:,} bytes"
    if "smtputf8" not in offered:
        words += "; addresses with umlauts before the @ can't be mailed through it"
    if 0 < limit < SMALL_MAIL:
        return warn("offers", f"{words}; that is little: ask the IT for {SMALL_MAIL:,} or more")
    return ok("offers", words)


def _sender(sender: str, answers: Answers, *, login: bool) -> Check:
    if answers.taken is None:
        return fail("sender", f"at MAIL FROM:<{sender}> the relay went away: {answers.gone}")
    reply = answers.taken
    said = printable(f"{reply.code} {reply.status or ''} {reply.text}".replace("  ", " "), 200)
    if 200 <= reply.code < 300:
        return ok("sender", f"MAIL FROM:<{sender}> is taken ({said.strip()})")
    if reply.code < 500:
        return warn("sender", f"MAIL FROM:<{sender}> is put off: {said.strip()}; try again later")
    cure = "ask the IT to let this login send as it"
    if reply.code in LOGIN_WANTED and not login:
        cure = "the relay wants a login: set username below [relay] and L3MAIL_SMTP_PASSWORD"
        if "TLS" in reply.text.upper():
            cure = 'the relay wants TLS first: set tls = "starttls" below [relay]'
    elif not login:
        cure = "ask the IT to let this machine send as it"
    return fail("sender", f"MAIL FROM:<{sender}> is refused: {said.strip()}; {cure}")


def clocks_differ(answers: Answers | None, now: datetime) -> Iterator[tuple[str, timedelta]]:
    """How far the relay's clock is ahead of ours, where it tells."""
    told = answers.told_at() if answers else None
    if told is not None and told.tzinfo is not None:
        yield "the relay's", told - now
