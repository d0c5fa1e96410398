"""The SMTP dialogue, stage by stage, on a connection somebody else opened.

Records how far each mail came, because that alone decides whether it may be sent again:
before the final dot the relay cannot have taken it; after the dot, without an answer, nobody
knows; after a 250 nothing takes it back (RFC 5321 sections 4.1.1.4 and 4.2.5, RFC 1047).

Where the relay offers PIPELINING, the envelope of the next mail leaves together with the dot of the
one before (RFC 2920 section 3.1), so that a mail costs one round trip. An envelope is no mail: its
answers are kept until somebody hands over the text, and a connection whose envelope is not wanted
any more is cut, because after a 354 even an empty text would be a mail.
"""

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Literal, Protocol

from l3mail.addresses import wire_safe
from l3mail.outbox import Attempt, Cause, Outcome, Started
from l3mail.sending.replies import LOGIN_WANTED, NonsenseError, Reply, ReplyReader, judge

CLOSE_SECONDS = 1.0
"""How long TLS may take to say goodbye before the connection is cut."""

CHUNK = 65536
"""Octets of text written at once: TLS would take any number into a buffer nobody can ask."""

REPLIES_KEPT = 16
"""Four can be asked for at once: to a dot, and to the envelope that left with it."""

Next = Callable[[], str | None]
"""Asked when a dot is about to leave: to whom the next mail goes, None if nothing is known."""

_GO_AHEAD = 354
_OK = range(200, 300)
_CLOSING = 421
_UNEXPECTED = range(500, 504)
"""What a relay says to commands it cannot read or does not expect (RFC 5321 section 4.2.2)."""


class Timeouts(Protocol):
    """Seconds to wait in each stage; RFC 5321 section 4.5.3.2 has the minima named here."""

    @property
    def mail(self) -> float:
        """For the answer to MAIL, 5 minutes."""

    @property
    def rcpt(self) -> float:
        """For the answer to RCPT, 5 minutes."""

    @property
    def data(self) -> float:
        """For the answer to DATA, 2 minutes."""

    @property
    def body(self) -> float:
        """For handing over the text, 3 minutes."""

    @property
    def dot(self) -> float:
        """For the answer to the final dot, 10 minutes."""


class GoneError(Exception):
    """The connection can't be used any more: closed, silent, or talking nonsense."""


class _BreachError(GoneError):
    """An answer that nobody had asked for yet, or that answers nothing."""


class _OutOfStepError(_BreachError):
    """An answer that fits no command of ours: to which one it belongs is not known."""


class _RefusedError(Exception):
    def __init__(self, stage: str, reply: Reply) -> None:
        super().__init__(stage, reply)
        self.stage = stage
        self.reply = reply


class Wire(asyncio.Protocol):
    """A connection in the state after EHLO; carries one mail at a time, many in its life."""

    def __init__(
        self, transport: asyncio.Transport, extensions: Mapping[str, str], greeting: str = ""
    ) -> None:
        """Take over `transport`.

        `extensions` are the relay's EHLO keywords in lower case with what stands behind each.
        """
        self.carried = 0
        self.greeting = greeting
        self.extensions = extensions
        self._transport = transport
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._fault: str | None = None
        self._breach = False
        self._sender = ""
        self._announced: str | None = None
        self._loop = asyncio.get_running_loop()
        # One future and one timer for all that is ever waited for: a time-out object for each
        # reply costs more than the reply.
        self._waiting: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._until = math.inf
        self._full = False
        self._lost = asyncio.Event()
        # With the lowest mark that plain and TLS transports both take, "drained" means that the
        # kernel has every byte: a body still in our own buffer when the relay resets is
        # certainly not taken.
        transport.set_write_buffer_limits(high=1, low=0)
        transport.set_protocol(self)
        if transport.is_closing():
            self._fault = "connection closed"

    @property
    def usable(self) -> bool:
        """Whether another mail can be started; unasked-for words from a relay are a goodbye.

        With an announced envelope they are asked for: what was said to it before the connection
        ended is still worth a hearing.
        """
        if self._announced is not None:
            return self._fault is None or bool(self._replies)
        return self._fault is None and not self._replies and not self._reader.in_mid_reply

    def data_received(self, data: bytes) -> None:
        """Collect replies; asyncio calls this."""
        known = len(self._replies)
        try:
            # One more than may wait is enough to know a flood.
            self._replies.extend(islice(self._reader.feed(data), REPLIES_KEPT + 1 - known))
            flooded = len(self._replies) > REPLIES_KEPT
            nonsense = "more answers than were asked for" if flooded else ""
        except NonsenseError as error:
            nonsense = str(error)
        if nonsense:
            self._breach = True
            self._end(nonsense)
            self._transport.abort()
        elif len(self._replies) > known:  # a relay that trickles octets wins no time by it
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember why the connection ended; asyncio calls this."""
        self._end("connection closed" if exc is None else f"connection lost: {exc}")
        if self._timer is not None:
            self._timer.cancel()
        self._lost.set()

    def pause_writing(self) -> None:
        """Note that the kernel's buffer is full; asyncio calls this."""
        self._full = True

    def resume_writing(self) -> None:
        """Note that all is handed to the kernel; asyncio calls this."""
        self._full = False
        self._wake()

    def abort(self) -> None:
        """End the connection at once; a dialogue under way learns it as a lost connection."""
        self._announced = None
        self._end("connection ended by us")
        self._transport.abort()

    async def hand_over(
        self,
        delivery: Started,
        sender: str,
        content: bytes,
        timeouts: Timeouts,
        following: Next = lambda: None,
    ) -> Attempt:
        """Carry one mail and return what became of it; never raises for what a relay does.

        `content` is the whole message with CRLF line ends and no dot-stuffing. Afterwards
        `usable` says whether the connection can carry another: the one to whom `following` named
        the recipient, an ASCII address that is safe for the wire, or any if it named none. Raises
        AddressError, before a byte is written, for an address that no mail may go to.
        """
        announced, self._announced = self._announced, None
        reused = self.carried > 0
        if announced is None:
            recipient = wire_safe(delivery.address)
        elif announced == delivery.address:
            recipient = announced
        else:
            # Somebody changes their address between claim and intent.
            self.abort()
            text = "announced to another address"
            return Attempt(delivery, Outcome.DEFERRED, "mail", text=text, reused=True)
        if sender != self._sender:
            self._sender = wire_safe(sender)
        utf8 = not (sender.isascii() and delivery.address.isascii())
        if utf8 and not self.offers("smtputf8"):
            text = "the relay does not offer SMTPUTF8, which this address needs (RFC 6531)"
            return Attempt(delivery, Outcome.REJECTED, "mail", text=text, cause=Cause.SOFT)
        self.carried += 1
        mail = _Mail(self, sender, timeouts)
        try:
            await mail.envelope(recipient, len(content), announced=announced is not None)
            reply = await mail.body(content, following)
        except _RefusedError as refused:
            outcome, cause = judge(refused.reply, refused.stage)
            words, stage = refused.reply, refused.stage
            # One answer too many to the mail before would look like this, and fail an innocent.
            stray = announced is not None and outcome is Outcome.REJECTED and stage != "dot"
            if stray:
                self.abort()
                outcome, cause = Outcome.DEFERRED, None
            else:
                await self._recover(refused, timeouts)
            said = (words.code, words.status, words.text)
            return Attempt(delivery, outcome, stage, *said, cause, reused, stray)
        except GoneError as gone:
            self.abort()
            outcome = Outcome.UNKNOWN if mail.stage == "dot" else Outcome.DEFERRED
            # An announced mail has no part in a relay that lost count before its text left.
            innocent = announced and isinstance(gone, _OutOfStepError)
            stage = "mail" if innocent else mail.stage
            breach = self._breach or isinstance(gone, _BreachError)
            return Attempt(delivery, outcome, stage, text=str(gone), reused=reused, breach=breach)
        return Attempt(delivery, Outcome.ACCEPTED, "dot", reply.code, reply.status, reply.text)

    def announce(self, sender: str, recipient: str) -> bytes:
        """The envelope of the next mail, to be written with a dot."""
        self._announced = recipient
        # Its size is not known before its text is made.
        return b"".join(command for _, command in _envelope(sender, recipient))

    def forget(self) -> None:
        """The announced mail will not come: cut the connection, no text may end it politely."""
        if self._announced is not None:
            self.abort()

    async def quit(self, seconds: float) -> None:
        """Part politely; whatever goes wrong now changes nothing (RFC 5321 section 4.1.1.10)."""
        self.forget()
        try:
            if self.usable:
                self.write(b"QUIT\r\n")
                await self.reply(seconds)
        except GoneError:
            pass
        self._transport.close()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._lost.wait()
        except TimeoutError:
            self.abort()
            await self._lost.wait()

    async def _recover(self, refused: _RefusedError, timeouts: Timeouts) -> None:
        """Bring the session back to the state after EHLO, or give it up."""
        if refused.reply.code in (_CLOSING, *LOGIN_WANTED) or refused.stage == "body":
            # In mid-text any command would be taken for text.
            self.abort()
            return
        if refused.stage == "dot":
            return
        try:
            self.write(b"RSET\r\n")
            if (await self.reply(timeouts.mail)).code not in _OK:
                self.abort()
        except GoneError:
            self.abort()

    async def sound_out(self, sender: str, seconds: float) -> Reply:
        """What the relay says to a mail from `sender`, which is begun and taken back at once."""
        self.write(f"MAIL FROM:<{wire_safe(sender)}>\r\n".encode())
        reply = await self.reply(seconds)
        if reply.code != _CLOSING:
            self.write(b"RSET\r\n")
            await self.reply(seconds)
        return reply

    def security(self) -> tuple[str, datetime | None]:
        """The version of TLS, and until when the relay's certificate is valid; "" without TLS."""
        secured = self._transport.get_extra_info("ssl_object")
        if secured is None:
            return "", None
        until = (secured.getpeercert() or {}).get("notAfter")
        if not until:
            return secured.version() or "", None
        seconds = ssl.cert_time_to_seconds(until)
        return secured.version() or "", datetime.fromtimestamp(seconds, UTC)

    def offers(self, extension: str) -> bool:
        """Whether the relay named `extension` (lower case) in its EHLO reply."""
        return extension in self.extensions

    def write(self, data: bytes | memoryview) -> None:
        """Send bytes; raise GoneError where the connection has ended."""
        if self._fault is not None:
            raise GoneError(self._fault)
        self._transport.write(data)

    def ask(self, stage: str, command: bytes) -> None:
        """Send a command, unless the relay has said goodbye, which it may at any time.

        Raises GoneError where it has said anything else: that answers nothing of ours, and would
        be taken for the answer to this (RFC 5321 section 4.2).
        """
        if not self._replies:
            self.write(command)
        elif (code := self._replies[0].code) != _CLOSING:
            raise _BreachError(f"answered {code} before it was asked for {stage.upper()}")

    async def drained(self, seconds: float) -> None:
        """Wait until the kernel has every byte written so far, or the relay speaks."""
        if not self._full:
            # One turn of the loop, so that a reset which is already here is seen.
            await asyncio.sleep(0)
        self._until = self._loop.time() + seconds
        while self._waits_for_room():
            await self._news(seconds)
        if self._fault is not None and not self._replies:
            raise GoneError(self._fault)

    def _waits_for_room(self) -> bool:
        return self._full and not self._replies and self._fault is None

    async def reply(self, seconds: float) -> Reply:
        """The next reply; one that came before the connection ended still counts."""
        if not self._replies:
            self._until = self._loop.time() + seconds
            while not self._replies:
                if self._fault is not None:
                    raise GoneError(self._fault)
                await self._news(seconds)
        return self._replies.popleft()

    async def _news(self, seconds: float) -> None:
        """Wait for replies, room, or the end; raise GoneError when the time is over."""
        if self._timer is None or self._timer.when() > self._until:
            self._set_timer()
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None
        if self._loop.time() >= self._until and not self._replies and self._fault is None:
            raise GoneError(f"silent for {seconds:g} seconds")

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._until, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._waiting is None:
            return
        if self._loop.time() >= self._until:
            self._wake()
        else:
            # Set for a wait that is long over; the one under way may last longer.
            self._set_timer()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _end(self, fault: str) -> None:
        self._fault = self._fault or fault
        self.resume_writing()


class _Mail:
    """One transaction under way; `stage` is how far it has certainly come."""

    def __init__(self, wire: Wire, sender: str, timeouts: Timeouts) -> None:
        self.stage = "mail"
        self._wire = wire
        self._sender = sender
        self._timeouts = timeouts

    async def envelope(self, recipient: str, octets: int, *, announced: bool) -> None:
        """MAIL, RCPT and DATA: in one packet where the relay offers PIPELINING (RFC 2920).

        Both addresses are safe for the wire. What was `announced` is only listened to.
        """
        wire, timeouts = self._wire, self._timeouts
        pipelined = wire.offers("pipelining")
        utf8 = not (self._sender.isascii() and recipient.isascii())
        steps = _envelope(
            self._sender,
            recipient,
            *([f"SIZE={octets}"] if wire.offers("size") else []),
            *(["SMTPUTF8"] if utf8 else []),
        )
        if pipelined and not announced:
            wire.ask("mail", b"".join(command for _, command in steps))
        refused: _RefusedError | None = None
        for stage, command in steps:
            if refused is None:
                self.stage = stage
                if not pipelined:
                    wire.ask(stage, command)
            elif not pipelined:
                break
            try:
                reply = await wire.reply(getattr(timeouts, stage))
            except GoneError as gone:
                # What was refused stays refused, though the rest of the answers is missing.
                raise refused or gone from None
            if announced and stage == "mail" and reply.code in _UNEXPECTED:
                raise _OutOfStepError(f"answered {reply.code} to an announced envelope")
            if refused is None:
                refused = None if _agrees(stage, reply) else _RefusedError(stage, reply)
            elif stage == "data" and reply.code == _GO_AHEAD:
                # The relay goes ahead although nobody is left to mail: an empty text ends it.
                wire.write(b".\r\n")
                await wire.reply(timeouts.dot)
        if refused is not None:
            raise refused

    async def body(self, content: bytes, following: Next) -> Reply:
        """The text, then the dot: apart, so that a loss before the dot is known as such.

        With the dot goes the envelope of the mail that follows, if there is one.
        """
        wire, timeouts = self._wire, self._timeouts
        self.stage = "body"
        text = memoryview(_stuffed(content))
        for start in range(0, len(text), CHUNK):
            if not wire.usable:
                break
            wire.write(text[start : start + CHUNK])
            await wire.drained(timeouts.body)
        if not wire.usable:
            reply = await wire.reply(timeouts.body)
            if reply.code < 400:
                raise _BreachError(f"answered {reply.code} in mid-text")
            raise _RefusedError("body", reply)
        end = b".\r\n"
        if wire.offers("pipelining") and self._sender.isascii():
            recipient = following()
            if recipient is not None:
                end += wire.announce(self._sender, recipient)
        self.stage = "dot"
        wire.write(end)
        reply = await wire.reply(timeouts.dot)
        if reply.code not in _OK:
            if reply.code < 400:
                raise GoneError(f"answered {reply.code} to the end of the text")
            raise _RefusedError("dot", reply)
        return reply


def _envelope(
    sender: str, recipient: str, *parameters: str
) -> tuple[tuple[Literal["mail", "rcpt", "data"], bytes], ...]:
    mail_from = " ".join((f"MAIL FROM:<{sender}>", *parameters))
    return (
        ("mail", f"{mail_from}\r\n".encode()),
        ("rcpt", f"RCPT TO:<{recipient}>\r\n".encode()),
        ("data", b"DATA\r\n"),
    )


def _agrees(stage: str, reply: Reply) -> bool:
    """Whether a reply lets the transaction go on; one that is neither yes nor no is nonsense."""
    if stage == "data":
        if reply.code == _GO_AHEAD:
            return True
    elif reply.code in _OK:
        return True
    if reply.code < 400:
        raise _OutOfStepError(f"answered {reply.code} to {stage.upper()}")
    return False


def _stuffed(content: bytes) -> bytes:
    """Double leading dots (RFC 5321 section 4.5.2) and end with a line end."""
    if not content.endswith(b"\r\n"):
        content += b"\r\n"
    if content.startswith(b"."):
        content = b"." + content
    if content.rfind(b"\r\n.") < 0:
        # Pressed mails have none, and to look for one from behind costs a quarter of replacing.
        return content
    return content.replace(b"\r\n.", b"\r\n..")
