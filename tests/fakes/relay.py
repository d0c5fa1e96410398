"""A real SMTP server for tests, which does wrong what it is told to and writes down what it saw.

Owns the dialogue, the records and the certificates; knows nothing of l3mail. The server lives in
a thread with a loop of its own, and every public member is safe to use from any thread.
"""

import asyncio
import base64
import binascii
import functools
import re
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Literal, Self, cast

import trustme

from tests.fakes.corpora import (
    FAULTS,
    WAIT_SECONDS,
    Book,
    Command,
    Fault,
    HoldPoint,
    Stage,
    Taken,
    Violation,
    load_corpus_faults,
)
from tests.fakes.sink import BARE, GoneError, Wire, parse_path, unstuff

__all__ = [
    "FAULTS",
    "Authority",
    "Command",
    "Fault",
    "Relay",
    "Stage",
    "Taken",
    "Violation",
    "load_corpus_faults",
    "make_authority",
]

Security = Literal["none", "starttls", "tls"]
Certificate = Literal["good", "wrong-name", "untrusted"]
# (session, message in the session, recipient) -> what goes wrong; see `Relay`.
FaultFor = Callable[[int, int, str], Fault | None]

_VERBS = "EHLO HELO STARTTLS AUTH MAIL RCPT DATA RSET NOOP QUIT".split()
# RFC 2920 section 3.1: all others may only end a group of commands.
_MAY_BE_FOLLOWED: frozenset[Stage] = frozenset({"mail", "rcpt", "rset", "dot"})
_COMMAND_OCTETS = 512  # RFC 5321 section 4.5.3.1.4, with CRLF
_AUTH_OCTETS = 12288  # RFC 4954 section 4


class Authority:
    """A certificate authority of the tests' own."""

    def __init__(self, name: str) -> None:
        self._ca = trustme.CA(organization_name=name)
        self._servers: dict[tuple[str, ...], ssl.SSLContext] = {}

    def server_context(self, *names: str) -> ssl.SSLContext:
        """A server's context with a certificate for these names, else localhost and 127.0.0.1."""
        names = names or ("localhost", "127.0.0.1")
        if names not in self._servers:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._ca.issue_cert(*names).configure_cert(context)
            self._servers[names] = context
        return self._servers[names]

    def client_context(self) -> ssl.SSLContext:
        """A client's context that trusts this authority only and checks the host's name."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._ca.configure_trust(context)
        return context

    @property
    def pem(self) -> bytes:
        """The authority's certificate, for settings that name a file."""
        return self._ca.cert_pem.bytes()


_authority = functools.cache(Authority)


def make_authority(name: str = "trusted") -> Authority:
    """The authority of this name, the same one for the whole test session."""
    return _authority(name)


class _Dialogue:
    """One SMTP session, in the order of RFC 5321."""

    def __init__(self, relay: "Relay", wire: Wire, number: int) -> None:
        self.relay, self.wire, self.number = relay, wire, number
        self.message, self._offered, self._unsent = 0, "", b""
        self._passed: Counter[Stage] = Counter()
        self._secured = self._greeted = self._refused = False
        self._authenticated = relay.auth is None
        self._forget()
        self._handlers: Mapping[Stage, Callable[[bytes], Awaitable[None]]] = {
            "ehlo": self._ehlo,
            "starttls": self._starttls,
            "auth": self._auth,
            "mail": self._mail,
            "rcpt": self._rcpt,
            "data": self._data,
            "quit": self._quit,
        }

    async def run(self) -> None:
        """Talk until the connection ends."""
        if self.relay.tls == "tls":
            await self._secure()
        self._refused = await self._answer("connect", b"220 relay.test ESMTP") != "2"
        while True:
            await self._command(await self.wire.line())

    def _forget(self) -> None:
        self._sender: str | None = None
        self._rcpts: list[str] = []
        self._eight_bit = False

    def _violated(self, what: str, evidence: bytes | bytearray) -> None:
        self.relay.note(Violation(self.number, self.message, what, bytes(evidence[:200])))

    async def _command(self, line: bytes) -> None:
        verb = line.split()[0].upper().decode("ascii", "replace") if line.split() else ""
        stage: Stage = "other"
        if verb in _VERBS:
            stage = "ehlo" if verb == "HELO" else cast("Stage", verb.lower())
        if stage == "mail":
            self.message += 1
            self._offered = ""
        text = line.removesuffix(b"\n").removesuffix(b"\r")
        self.relay.note_command(self.number, Command(verb, stage, self.message, text))
        limit = _AUTH_OCTETS if stage == "auth" else _COMMAND_OCTETS
        if len(line) > limit:
            self._violated("command line too long", line)
        if not line.endswith(b"\r\n") or BARE.search(text):
            self._violated("bare CR or LF in a command", line)
        if self._refused and stage != "quit":  # RFC 5321 section 3.1
            await self._say(b"503 5.5.1 no service here")
            return
        if handler := self._handlers.get(stage):
            await handler(text)
        else:
            await self._answer(stage, b"500 5.5.1 what?" if stage == "other" else b"250 2.0.0 ok")
        if stage == "rset":
            self._forget()

    async def _ehlo(self, text: bytes) -> None:
        self._greeted = await self._answer("ehlo", self._extensions(text)) == "2"
        self._forget()

    async def _quit(self, _: bytes) -> None:
        self.relay.count("quits")
        await self._answer("quit", b"221 2.0.0 bye")
        await self.wire.part()

    async def _check_group(self, stage: Stage) -> None:
        """More octets before our reply are for those only who may pipeline (RFC 2920)."""
        if stage in ("body", "sent") or (self.relay.pipelining and stage in _MAY_BE_FOLLOWED):
            return
        await self.wire.breathe()
        if self.wire.buffer:
            self._violated(f"did not wait for the reply to {stage}", self.wire.buffer)

    def _extensions(self, text: bytes) -> bytes:
        relay = self.relay
        if text.upper().startswith(b"HELO"):
            return b"250 relay.test"
        offers = {
            b"ENHANCEDSTATUSCODES": True,
            b"PIPELINING": relay.pipelining,
            b"SMTPUTF8": relay.smtputf8,
            b"8BITMIME": relay.eightbitmime,
            b"SIZE %d" % (relay.size or 0): relay.size is not None,
            b"STARTTLS": relay.tls == "starttls" and not self._secured,
            b"AUTH PLAIN LOGIN": relay.auth is not None and self._may_mail_in_this_security(),
        }
        lines = [b"relay.test", *(offer for offer, offered in offers.items() if offered)]
        return b"\r\n".join([b"250-" + line for line in lines[:-1]] + [b"250 " + lines[-1]])

    def _may_mail_in_this_security(self) -> bool:
        return self._secured or self.relay.tls == "none"

    async def _secure(self) -> None:
        fault = self._due("tls")
        if fault is not None:
            await self.wire.more()  # the client's first octets: unread, they make a close a reset
            await self._act(fault, b"")
        if not await self.wire.secure(self.relay.context):
            self.relay.count("handshake_failures")
            raise GoneError
        self._secured = True

    async def _starttls(self, _: bytes) -> None:
        offered = self.relay.tls == "starttls" and not self._secured
        normal = b"220 2.0.0 ready" if offered else b"502 5.5.1 no STARTTLS here"
        if await self._answer("starttls", normal) == "2":
            await self._flush()
            await self._secure()
            self._greeted = False
            self._forget()

    async def _auth(self, text: bytes) -> None:
        words = [*text.split(b" "), b"", b""]
        mechanism, initial = words[1].upper(), words[2]
        if self.relay.auth is None or not self._may_mail_in_this_security():
            self._violated("AUTH was not offered", b"AUTH " + mechanism)
            await self._say(b"503 5.5.1 no AUTH here")
            return
        if mechanism not in (b"PLAIN", b"LOGIN"):
            await self._say(b"504 5.5.4 unknown mechanism")
            return
        first = await self._respond(initial, b"" if mechanism == b"PLAIN" else b"Username:")
        if mechanism == b"LOGIN":
            first = b"\0" + first + b"\0" + await self._respond(b"", b"Password:")
        right = first.partition(b"\0")[2] == "\0".join(self.relay.auth).encode()
        normal = b"235 2.7.0 welcome" if right else b"535 5.7.8 wrong username or password"
        self._authenticated = await self._answer("auth", normal) == "2"

    async def _respond(self, initial: bytes, challenge: bytes) -> bytes:
        if not initial:
            await self._say(b"334 " + base64.b64encode(challenge))
            initial = (await self.wire.line()).rstrip(b"\r\n")
        with suppress(binascii.Error):
            return base64.b64decode(initial, validate=True)
        return b""

    def _path(self, text: bytes) -> tuple[str | None, dict[str, str]]:
        path, parameters = parse_path(text)
        if path is None:
            self._violated("no address in angle brackets", text)
        return path, parameters

    async def _mail(self, text: bytes) -> None:
        sender, parameters = self._path(text)
        normal = self._judge_mail(sender, parameters)
        utf8 = "SMTPUTF8" in parameters
        if not utf8 and not text.isascii():
            self._violated("8-bit address without SMTPUTF8", text)
        if await self._answer("mail", normal) == "2":
            self._forget()
            self._sender = sender or ""
            self._eight_bit = utf8 or parameters.get("BODY") == "8BITMIME"

    def _judge_mail(self, sender: str | None, parameters: dict[str, str]) -> bytes:
        relay = self.relay
        offered = {
            "SMTPUTF8": relay.smtputf8,
            "BODY": relay.eightbitmime,
            "SIZE": relay.size is not None,
        }
        unknown = {name for name in parameters if not offered.get(name)}
        if unknown:
            self._violated("parameter was not offered", " ".join(sorted(unknown)).encode())
        if not self._greeted or self._sender is not None:
            self._violated("MAIL out of order", b"")
            return b"503 5.5.1 not now"
        if not self._may_mail_in_this_security():
            self._violated("MAIL in the clear", b"")
            return b"530 5.7.0 STARTTLS first"
        if not self._authenticated:
            return b"530 5.7.0 authentication required"
        if sender is None:
            return b"501 5.5.4 <address>, please"
        if unknown:
            return b"555 5.5.4 unknown parameter"
        if relay.size and int(parameters.get("SIZE") or 0) > relay.size:
            return b"552 5.3.4 too big"
        return b"250 2.1.0 ok"

    async def _rcpt(self, text: bytes) -> None:
        rcpt, _ = self._path(text)
        normal = b"250 2.1.5 ok"
        if rcpt is None:
            normal = b"501 5.5.4 <address>, please"
        elif self._sender is None:
            normal = b"503 5.5.1 MAIL first"
        if self._offered and self.relay.one_rcpt:
            self._violated("second RCPT", text)
        self._offered = rcpt or ""
        if await self._answer("rcpt", normal) == "2":
            self._rcpts.append(self._offered)

    async def _data(self, _: bytes) -> None:
        normal = b"354 go ahead"
        if self._sender is None:
            normal = b"503 5.5.1 MAIL first"
        elif not self._rcpts and not self.relay.eager_data:
            normal = b"554 5.5.1 no valid recipients"
        if await self._answer("data", normal) != "3":
            return
        await self._flush()
        while not self.wire.buffer:
            await self.wire.more()
        await self._answer("body", b"")
        data, wrong = unstuff(await self.wire.data())
        for what, evidence in wrong:
            self._violated(what, evidence)
        if not data.isascii() and not self._eight_bit:
            self._violated("8-bit message without BODY=8BITMIME", b"")
        await self._dot(data)

    async def _dot(self, data: bytes) -> None:
        normal = b"250 2.0.0 taken"
        if not self._rcpts:
            normal = b"554 5.5.1 no valid recipients"
            if data:
                self._violated("a message without recipients", data)
        elif self.relay.size and len(data) > self.relay.size:
            normal = b"552 5.3.4 too big"
        await self.wire.breathe()
        if self.wire.buffer:
            self.relay.count("ahead")
        await self.relay._hold("dot", self.wire)
        await self._check_group("dot")
        fault = self._due("dot")
        accepted = fault.taken if fault else normal.startswith(b"2")
        path = (self._sender or "", tuple(self._rcpts))
        self.relay.note(Taken(*path, data, self.number, self.message, accepted))
        self._forget()
        if accepted:
            await self.relay._hold("taken", self.wire)
        await self._act(fault, normal)
        await self._answer("sent", b"")

    async def _answer(self, stage: Stage, normal: bytes) -> str:
        """Hold if told to, then do what is due or else answer; the first digit of the reply."""
        await self.relay._hold(stage, self.wire)
        await self._check_group(stage)
        return await self._act(self._due(stage), normal)

    def _due(self, stage: Stage) -> Fault | None:
        self._passed[stage] += 1
        place = (self.number, self.message, self._offered)
        return self.relay._fault(place, stage, self._passed[stage])

    async def _act(self, fault: Fault | None, normal: bytes) -> str:
        if fault is None:
            await self._say(normal)
            return normal[:1].decode()
        await self._flush()
        if fault.gate is not None:
            await self.wire.gate(fault.gate)
        if fault.action != "reply":
            self.wire.write(fault.reply or (b"25" if fault.action == "half" else b""))
            end = {"rst": self.wire.reset, "hang": self.wire.ignore}.get(fault.action)
            await (end or self.wire.close)()
        reply = normal if fault.reply is None else fault.reply
        await self._say(reply, bytewise=fault.bytewise)
        if re.search(rb"^421\b", reply, re.MULTILINE):  # RFC 5321 section 3.8: then it closes
            await self._flush()
            await self.wire.close()
        return reply[:1].decode() if reply[:3].isdigit() else ""

    async def _say(self, reply: bytes, *, bytewise: bool = False) -> None:
        if reply:
            self._unsent += reply if reply.endswith(b"\n") else reply + b"\r\n"
        if not (self.relay.glue and b"\n" in self.wire.buffer):
            await self._flush(bytewise=bytewise)

    async def _flush(self, *, bytewise: bool = False) -> None:
        unsent, self._unsent = self._unsent, b""
        if not (bytewise or self.relay.bytewise):
            self.wire.write(unsent)
            return
        for octet in unsent:
            self.wire.write(bytes([octet]))
            await asyncio.sleep(0)


class Relay(Book):
    """The fake server: `with Relay(...) as relay:` listens on `relay.host` and `relay.port`.

    Sessions, and messages in a session, are counted from 1; a message begins with its MAIL.
    What goes wrong is said in one of two ways. `faults` maps a session, or a pair (session,
    message), to one fault that happens once. `fault_for(session, message, rcpt)` is asked at
    every stage, and what it returns happens if it is of this stage; the message is 0 before the
    first MAIL, the recipient is empty before RCPT.

    `glue` sends the replies to a pipelined group as one, `bytewise` every reply octet by octet,
    `eager_data` says 354 even when all recipients were refused (RFC 2920 section 3.1), and
    `one_rcpt` makes a second RCPT a violation. A `port` may be named to come back where it was.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *,
        tls: Security = "none",
        certificate: Certificate = "good",
        auth: tuple[str, str] | None = None,
        pipelining: bool = False,
        smtputf8: bool = False,
        eightbitmime: bool = False,
        size: int | None = None,
        glue: bool = False,
        bytewise: bool = False,
        eager_data: bool = False,
        one_rcpt: bool = False,
        faults: Mapping[int | tuple[int, int], Fault] | None = None,
        fault_for: FaultFor | None = None,
        port: int = 0,
    ) -> None:
        super().__init__()
        self.tls, self.auth, self.pipelining = tls, auth, pipelining
        self.smtputf8, self.eightbitmime, self.size = smtputf8, eightbitmime, size
        self.glue, self.bytewise = glue, bytewise
        self.eager_data, self.one_rcpt = eager_data, one_rcpt
        authority = make_authority("stranger" if certificate == "untrusted" else "trusted")
        self.context = authority.server_context(*["wrong.test"] * (certificate == "wrong-name"))
        self.port = port
        self._faults = dict(faults or {})
        self._fault_for = fault_for
        self._wires: set[Wire] = set()
        self._errors: list[BaseException] = []

    def __enter__(self) -> Self:
        listener = socket.create_server((self.host, self.port), backlog=512)
        # Inherited by what it accepts: replies to a group must not wait 40 ms for each other.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(listener,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection and the thread; may be called twice.

        Raises what the fake itself, or `fault_for`, failed with.
        """
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(WAIT_SECONDS)
            assert not self._thread.is_alive(), "the fake relay does not stop"
        if self._errors:
            raise self._errors.pop()

    def _run(self, listener: socket.socket) -> None:
        try:
            self._loop.run_until_complete(self._serve(listener))
        finally:
            self._loop.close()

    async def _serve(self, listener: socket.socket) -> None:
        server = await self._loop.create_server(
            lambda: Wire(self._begin, self._end, paused=self.tls == "tls"), sock=listener
        )
        await self._stopped.wait()
        server.close()
        while self._wires or len(asyncio.all_tasks()) > 1:
            for wire in list(self._wires):
                wire.abort()
            await asyncio.sleep(0)
        await server.wait_closed()

    def _begin(self, wire: Wire) -> None:
        self._wires.add(wire)
        wire.task = self._loop.create_task(_Dialogue(self, wire, self.open_session()).run())
        wire.task.add_done_callback(functools.partial(self._finished, wire))

    def _end(self, wire: Wire) -> None:
        self._wires.discard(wire)
        self.count("open", -1)

    def _finished(self, wire: Wire, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, GoneError):
            self._errors.append(error)
            wire.abort()

    def _fault(self, place: tuple[int, int, str], stage: Stage, passed: int) -> Fault | None:
        for key in (place[:2], place[0]):
            fault = self._faults.get(key)
            if fault and fault.stage == stage and passed > fault.skip:
                return self._faults.pop(key)
        fault = self._fault_for(*place) if self._fault_for else None
        return fault if fault and fault.stage == stage and passed > fault.skip else None

    async def _hold(self, point: HoldPoint, wire: Wire) -> None:
        gate = self.gate_at(point)
        if gate is not None:
            self.count("held")
            try:
                await wire.gate(gate)
            finally:
                self.count("held", -1)
