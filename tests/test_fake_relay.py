"""The fake relay and the sink do what they say, seen by smtplib and by bare sockets."""

import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pytest

from tests.fakes.corpora import Stage, corpora, corpus
from tests.fakes.relay import FAULTS, Fault, Relay, Security, load_corpus_faults, make_authority
from tests.fakes.sink import running_sink

RelayOf = Callable[..., Relay]

SECURITIES: tuple[Security, ...] = ("none", "starttls", "tls")
MESSAGE = b"Message-ID: <1@l3.test>\r\nSubject: dots\r\n\r\n.one\r\n..two\r\n.\r\nend\r\n"
WIRE_MESSAGE = MESSAGE.replace(b"\r\n.", b"\r\n..")
MAIL, RCPT, DATA = b"MAIL FROM:<a@l3.test>\r\n", b"RCPT TO:<b@l3.test>\r\n", b"DATA\r\n"


class Client:
    """A bare client which says what it is told to and hears what comes.

    Its TLS is not that of `wrap_socket`, which takes a reset for an end.
    """

    def __init__(self, relay: Relay, *, handshake: float = 10.0) -> None:
        self._relay, self._handshake = relay, handshake
        self._sock = socket.create_connection((relay.host, relay.port), timeout=10)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def secure(self) -> None:
        self._sock.settimeout(self._handshake)
        context = make_authority().client_context()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self._turn(self._tls.do_handshake)

    def _turn(self, step: Callable[[], bytes | None]) -> bytes | None:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            finally:
                self._sock.sendall(self._out.read())
            octets = self._sock.recv(65536)
            if not octets:
                raise EOFError
            self._in.write(octets)

    def say(self, octets: bytes) -> None:
        if self._tls:
            self._tls.write(octets)
        self._sock.sendall(self._out.read() if self._tls else octets)

    def receive(self, octets: int = 65536) -> bytes:
        if self._tls is None:
            return self._sock.recv(octets)
        tls = self._tls
        with suppress(EOFError, ssl.SSLZeroReturnError):
            return self._turn(lambda: tls.read(octets)) or b""
        return b""

    def hear(self, *, patience: float = 10.0) -> str:
        """The code of the next reply, or how the connection ended: close, rst, hang or half."""
        self._sock.settimeout(patience)
        line = b""
        try:
            while not re.search(rb"^[^\r\n]{3}(?!-).*\n", line, re.MULTILINE):
                # One octet at a time: the next reply is not ours to read.
                octet = self.receive(1)
                if not octet:
                    return "half" if line == b"25" else f"close{line.decode()}"
                line += octet
        except ConnectionResetError:
            return "rst"
        except TimeoutError:
            return "hang"
        return line[:3].decode()

    def ask(self, *lines: bytes) -> list[str]:
        """Say it all at once and hear a reply to each."""
        self.say(b"".join(lines))
        return [self.hear() for _ in lines]

    def begin(self) -> None:
        """Come as far as MAIL."""
        if self._relay.tls == "tls":
            self.secure()
        assert self.hear() == "220"
        assert self.ask(b"EHLO l3.test\r\n") == ["250"]
        if self._relay.tls == "starttls":
            assert self.ask(b"STARTTLS\r\n") == ["220"]
            self.secure()
            assert self.ask(b"EHLO l3.test\r\n") == ["250"]

    def envelope(self) -> None:
        assert [*self.ask(MAIL), *self.ask(RCPT), *self.ask(DATA)] == ["250", "250", "354"]


@pytest.fixture
def relay_of() -> Iterator[RelayOf]:
    """Start relays that are closed at the end."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(Relay(**options))


def steps(security: Security, *, pipelined: bool) -> Iterator[tuple[str, bytes]]:
    """What a whole session says, after the stages whose replies it then waits for."""
    yield "tls connect" if security == "tls" else "connect", b""
    yield "ehlo", b"EHLO l3.test\r\n"
    if security == "starttls":
        yield "starttls tls", b"STARTTLS\r\n"
        yield "ehlo", b"EHLO l3.test\r\n"
    if pipelined:
        yield "mail rcpt data", MAIL + RCPT + DATA
    else:
        yield from (("mail", MAIL), ("rcpt", RCPT), ("data", DATA))
    yield "body", WIRE_MESSAGE[:30]
    yield "dot", WIRE_MESSAGE[30:] + b".\r\n"
    yield "quit", b"QUIT\r\n"


def talk(relay: Relay, fault: Fault, *, pipelined: bool) -> tuple[str, str]:
    """Hold a session until something goes wrong: at which stage, and how."""
    with Client(relay) as client:
        for stages, octets in steps(relay.tls, pipelined=pipelined):
            client.say(octets)
            for stage in stages.split():
                if stage == "tls":
                    client.secure()
                elif stage != "body" or fault.stage == "body":  # else nothing is to be heard
                    silent = fault.action == "hang" and fault.stage == stage
                    heard = client.hear(patience=0.2 if silent else 10.0)
                    if heard[0] not in "23":
                        return stage, heard
    raise AssertionError("nothing went wrong")


def test_the_fault_table_is_that_of_the_corpus() -> None:
    assert load_corpus_faults(corpus("smtp-faults.md")) == FAULTS
    assert [fault.case for fault in FAULTS] == list(range(1, 24))


def test_an_absent_corpus_skips_with_a_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L3MAIL_CORPORA", "/nowhere")
    assert corpora() == Path("/nowhere")
    with pytest.raises(pytest.skip.Exception, match="corpus 'a/b' not found; set L3MAIL_CORPORA"):
        corpus("a", "b")


@pytest.mark.parametrize("pipelined", [False, True], ids=["one-by-one", "pipelined"])
@pytest.mark.parametrize("security", SECURITIES)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_each_case_goes_wrong_where_and_how_it_says(
    relay_of: RelayOf, fault: Fault, security: Security, pipelined: bool
) -> None:
    relay = relay_of(tls=security, pipelining=pipelined, faults={1: fault})
    how = fault.reply[:3].decode() if fault.reply else fault.action
    assert talk(relay, fault, pipelined=pipelined) == (fault.stage, how)
    assert [taken.data for taken in relay.accepted] == ([MESSAGE] if fault.taken else [])
    assert len(relay.taken) == (fault.stage in ("dot", "quit"))
    assert relay.violations == []


@pytest.mark.parametrize("security", SECURITIES)
def test_smtplib_delivers_and_all_is_written_down(relay_of: RelayOf, security: Security) -> None:
    relay = relay_of(tls=security, auth=("user", "pass"), size=10_000)
    context = make_authority().client_context()
    if security == "tls":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(relay.host, relay.port, context=context, timeout=10)
    else:
        smtp = smtplib.SMTP(relay.host, relay.port, timeout=10)
    with smtp:
        if security == "starttls":
            smtp.starttls(context=context)
        smtp.ehlo()
        smtp.user, smtp.password = "user", "pass"
        assert smtp.auth("PLAIN", smtp.auth_plain)[0] == 235
        for rcpt in ("b@l3.test", "c@l3.test"):
            smtp.sendmail("a@l3.test", [rcpt], MESSAGE)
    relay.wait_until(lambda relay: relay.open_sessions == 0)
    assert [(t.rcpt_to, t.data, t.session, t.at_message, t.accepted) for t in relay.taken] == [
        (("b@l3.test",), MESSAGE, 1, 1, True),
        (("c@l3.test",), MESSAGE, 1, 2, True),
    ]
    hello = ["EHLO", "STARTTLS", "EHLO"] if security == "starttls" else ["EHLO"]
    assert relay.verbs() == [*hello, "AUTH", *["MAIL", "RCPT", "DATA"] * 2, "QUIT"]
    assert (relay.sessions, relay.max_open, relay.quits) == (1, 1, 1)
    assert (relay.commands[1][-1].stage, relay.violations) == ("quit", [])


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_wrong_password_is_refused_and_no_mail_is_taken_without_one(
    relay_of: RelayOf, mechanism: str
) -> None:
    relay = relay_of(auth=("user", "right"))
    with smtplib.SMTP(relay.host, relay.port, timeout=10) as smtp:
        smtp.ehlo()
        auth = smtp.auth_plain if mechanism == "PLAIN" else smtp.auth_login
        smtp.user, smtp.password = "user", "wrong"
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            smtp.auth(mechanism, auth)
        assert smtp.mail("a@l3.test")[0] == 530
        smtp.password = "right"
        for initial in (False, True):
            assert smtp.auth(mechanism, auth, initial_response_ok=initial)[0] == 235
        assert smtp.mail("a@l3.test")[0] == 250


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("certificate", ["wrong-name", "untrusted"])
def test_a_careful_client_refuses_a_wrong_certificate(
    relay_of: RelayOf, certificate: str, security: Security
) -> None:
    relay = relay_of(tls=security, certificate=certificate)
    with pytest.raises(ssl.SSLCertVerificationError), Client(relay) as client:
        client.begin()
    relay.wait_until(lambda relay: relay.handshake_failures == 1)
    assert "MAIL" not in relay.verbs()


@pytest.mark.parametrize("action", ["close", "rst", "hang"])
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_handshake_can_fail_too(relay_of: RelayOf, security: Security, action: str) -> None:
    relay = relay_of(tls=security, faults={1: Fault(None, "tls", action)})  # type: ignore[arg-type]
    expected = {"close": EOFError, "rst": ConnectionResetError, "hang": TimeoutError}
    handshake = 0.2 if action == "hang" else 10.0
    with Client(relay, handshake=handshake) as client, pytest.raises(expected[action]):
        client.begin()


LONG = b"x" * 999
VIOLATIONS = {
    "no address in angle brackets": [b"MAIL FROM:a@l3.test\r\n"],
    "command line too long": [b"NOOP " + b"x" * 506 + b"\r\n"],
    "bare CR or LF in a command": [b"NOOP\n"],
    "parameter was not offered": [b"MAIL FROM:<a@l3.test> SIZE=5\r\n"],
    "8-bit address without SMTPUTF8": ["MAIL FROM:<ä@l3.test>\r\n".encode()],
    "MAIL out of order": [MAIL, MAIL],
    "second RCPT": [MAIL, RCPT, RCPT],
    "bare CR or LF in the message": [MAIL, RCPT, DATA, b"a\nb\r\n.\r\n"],
    "line too long in the message": [MAIL, RCPT, DATA, LONG + b"\r\n.\r\n"],
    "8-bit message without BODY=8BITMIME": [MAIL, RCPT, DATA, b"\xc3\xa4\r\n.\r\n"],
    "dot at the start of a line was not doubled": [MAIL, RCPT, DATA, b"a\r\n.b\r\n.\r\n"],
    "did not wait for the reply to mail": [MAIL + RCPT],
    "did not wait for the reply to data": [MAIL, RCPT, DATA + b"a\r\n.\r\n"],
    "did not wait for the reply to dot": [MAIL, RCPT, DATA, b"a\r\n.\r\nQUIT\r\n"],
    "AUTH was not offered": [b"AUTH PLAIN AA==\r\n"],
}
CLEAN = {
    "a line of 998 octets": [MAIL, RCPT, DATA, LONG[1:] + b"\r\n.\r\n"],
    "a dotted line of 998 octets": [MAIL, RCPT, DATA, b".." + LONG[2:] + b"\r\n.\r\n"],
    "a command of 512 octets": [b"NOOP " + b"x" * 505 + b"\r\n"],
    "a quoted bracket": [b"MAIL FROM:<>\r\n", b'RCPT TO:<"a>b"@l3.test>\r\n'],
}


@pytest.mark.parametrize("what", [*VIOLATIONS, *CLEAN])
def test_violations_are_recorded_and_nothing_else_is(relay_of: RelayOf, what: str) -> None:
    relay = relay_of(one_rcpt=True)
    with Client(relay) as client:
        client.begin()
        for said in (VIOLATIONS | CLEAN)[what]:
            client.ask(said)
    assert [v.what for v in relay.violations] == ([what] if what in VIOLATIONS else [])


@pytest.mark.parametrize(("stage", "early"), [("connect", b"EHLO x\r\n"), ("mail", MAIL + RCPT)])
def test_a_held_reply_shows_who_does_not_wait_for_it(
    relay_of: RelayOf, stage: Stage, early: bytes
) -> None:
    relay = relay_of()
    relay.hold(stage)
    with Client(relay) as client:
        if stage == "mail":
            client.begin()
        for octet in early:
            client.say(bytes([octet]))
        relay.wait_for_held()
        relay.release()
        relay.wait_until(lambda relay: relay.violations != [])
    assert [v.what for v in relay.violations] == [f"did not wait for the reply to {stage}"]


def test_pipelining_is_right_when_offered_but_not_beyond_data(relay_of: RelayOf) -> None:
    relay = relay_of(pipelining=True, eightbitmime=True)
    with Client(relay) as client:
        client.begin()
        eight = MAIL.replace(b">", b"> BODY=8BITMIME")
        assert client.ask(eight, RCPT, DATA) == ["250", "250", "354"]
        assert client.ask("ä\r\n.\r\n".encode(), MAIL, RCPT) == ["250"] * 3
        assert relay.violations == []
        assert client.ask(DATA, b"early\r\n.\r\n") == ["354", "250"]
    assert [v.what for v in relay.violations] == ["did not wait for the reply to data"]


def test_refused_recipients_pipelined_leave_data_to_the_server(relay_of: RelayOf) -> None:
    refused = Fault(None, "rcpt", "reply", b"550 5.1.1 unknown")
    strict = relay_of(pipelining=True, faults={1: refused})
    eager = relay_of(pipelining=True, eager_data=True, faults={1: refused})
    with Client(strict) as client:
        client.begin()
        assert client.ask(MAIL, RCPT, DATA, b"RSET\r\n")[:3] == ["250", "550", "554"]
    with Client(eager) as client:
        client.begin()
        assert client.ask(MAIL, RCPT, DATA) == ["250", "550", "354"]
        assert client.ask(b".\r\n") == ["554"]
    assert (eager.violations, eager.accepted) == ([], [])


def test_replies_to_a_group_can_come_as_one(relay_of: RelayOf) -> None:
    with Client(relay_of(pipelining=True, glue=True)) as client:
        client.begin()
        client.say(MAIL + RCPT + DATA)
        assert client.receive().count(b"\r\n") == 3


def test_replies_can_come_octet_by_octet(relay_of: RelayOf) -> None:
    # In TLS each octet is a record, so that the kernel cannot put them together again.
    with Client(relay_of(tls="tls", bytewise=True)) as client:
        client.secure()
        assert [client.receive() for _ in range(4)] == [b"2", b"2", b"0", b" "]
    slow = Fault(None, "mail", "reply", b"451 4.3.0 later", bytewise=True)
    with Client(relay_of(tls="tls", faults={1: slow})) as client:
        client.begin()
        client.say(MAIL)
        assert [client.receive() for _ in range(3)] == [b"4", b"5", b"1"]


@pytest.mark.parametrize(
    "reply",
    [
        b"250-first\r\n250-second\r\n250 third\r\n",
        b"abc what\r\n",
        b"2\xff0 \xfe\r\n",
        b"250 " + b"x" * 20_000 + b"\r\n",
        b"250 one\r\n250 two\n",
    ],
    ids=["many lines", "no number", "8-bit", "overlong", "two in one"],
)
def test_any_reply_is_sent_as_it_is(relay_of: RelayOf, reply: bytes) -> None:
    relay = relay_of(faults={1: Fault(None, "mail", "reply", reply)})
    with Client(relay) as client:
        client.begin()
        client.say(MAIL)
        heard = b""
        while len(heard) < len(reply):
            heard += client.receive()
        assert heard == reply
        assert client.ask(RCPT) == ["250" if reply.startswith(b"250") else "503"]


def test_a_421_closes_even_behind_a_250(relay_of: RelayOf) -> None:
    both = Fault(None, "dot", "reply", b"250 ok\r\n421 4.3.2 bye\r\n", taken=True)
    with Client(relay_of(faults={1: both})) as client:
        client.begin()
        client.envelope()
        assert client.ask(b"x\r\n.\r\n") == ["250"]
        assert [client.hear(), client.hear()] == ["421", "close"]


def test_a_554_greeting_answers_503_until_quit(relay_of: RelayOf) -> None:
    with Client(relay_of(faults={1: FAULTS[1]})) as client:
        assert client.hear() == "554"
        assert [*client.ask(b"EHLO x\r\n"), *client.ask(b"QUIT\r\n")] == ["503", "221"]
        assert client.hear() == "close"


def test_faults_meet_their_message_of_a_kept_session(relay_of: RelayOf) -> None:
    relay = relay_of(
        faults={(1, 2): FAULTS[13], 1: Fault(None, "sent", "close", skip=2)},
        fault_for=lambda session, message, rcpt: FAULTS[8] if rcpt == "no@l3.test" else None,
    )
    with Client(relay) as client:
        client.begin()
        heard = []
        for _ in range(3):
            client.envelope()
            heard += client.ask(b"x\r\n.\r\n")
        assert heard == ["250", "451", "250"]
        assert client.hear() == "close"  # after the third reply, unasked for
    with Client(relay) as client:
        client.begin()
        assert client.ask(MAIL) == ["250"]
        assert client.ask(b"RCPT TO:<no@l3.test>\r\n") == ["550"]
        assert client.ask(RCPT) == ["250"]
    assert [taken.accepted for taken in relay.taken] == [True, False, True]


def test_a_held_dialogue_goes_on_when_released(relay_of: RelayOf) -> None:
    relay = relay_of()
    for point, accepted in (("dot", 0), ("taken", 1)):
        relay.hold(point)  # type: ignore[arg-type]  # a loop variable is a plain str
        before = len(relay.accepted)
        with Client(relay) as client:
            client.begin()
            client.envelope()
            client.say(b"x\r\n.\r\n")
            relay.wait_for_held()
            assert len(relay.accepted) == before + accepted
            relay.release()
            assert client.hear() == "250"


def test_who_leaves_while_held_is_no_longer_held(relay_of: RelayOf) -> None:
    relay = relay_of()
    relay.hold("dot")
    with Client(relay) as client:
        client.begin()
        client.envelope()
        client.say(b"x\r\n.\r\n")
        relay.wait_for_held(1)
    relay.wait_until(lambda relay: relay.held == relay.open_sessions == 0)
    assert relay.taken == []


def test_a_fault_can_wait_for_the_event_of_a_test(relay_of: RelayOf) -> None:
    gate = threading.Event()
    late = Fault(None, "mail", "reply", b"450 now", gate=gate)
    with Client(relay_of(faults={1: late})) as client:
        client.begin()
        client.say(MAIL)
        assert client.hear(patience=0.05) == "hang"
        gate.set()
        assert client.hear() == "450"


def test_open_sessions_are_counted(relay_of: RelayOf) -> None:
    relay = relay_of()
    with ExitStack() as stack:
        for client in [stack.enter_context(Client(relay)) for _ in range(20)]:
            assert client.hear() == "220"
        assert (relay.sessions, relay.open_sessions, relay.max_open) == (20, 20, 20)


@pytest.mark.parametrize("security", SECURITIES)
def test_closing_ends_whatever_is_open_and_the_port_can_be_had_again(security: Security) -> None:
    with ExitStack() as stack:
        with Relay(tls=security, faults={2: FAULTS[2]}) as relay:
            # A client that never begins its handshake is no trouble either.
            stack.enter_context(socket.create_connection((relay.host, relay.port), timeout=10))
            hung = stack.enter_context(Client(relay))
            relay.wait_until(lambda relay: relay.open_sessions == 2)
        assert hung.hear() == "close"
        assert relay.open_sessions == 0
        again = stack.enter_context(Relay(tls=security, port=relay.port))
        stack.enter_context(Client(again)).begin()


def test_an_error_of_the_script_is_an_error_of_the_test() -> None:
    def broken(session: int, message: int, rcpt: str) -> Fault | None:
        raise LookupError(rcpt)

    with pytest.raises(LookupError), Relay(fault_for=broken) as relay, Client(relay) as client:
        assert client.hear() == "close"


def _send(port: int, log: Path, numbers: range) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
        for number in numbers:
            rcpt, message = f"{number}@l3.test", MESSAGE.replace(b"<1@", b"<%d@" % number)
            smtp.sendmail("a@l3.test", [rcpt], message)
            assert f"<{rcpt}>\t{rcpt}\t" in log.read_text(encoding="ascii")


@pytest.mark.parametrize("options", [[], ["--delay-ms", "5", "--seed", "7", "--pipelining"]])
def test_the_sink_logs_each_mail_before_it_says_so(tmp_path: Path, options: list[str]) -> None:
    with running_sink(tmp_path, *options) as (port, log), ThreadPoolExecutor(20) as pool:
        assert (tmp_path / "sink.port").read_text(encoding="ascii") == str(port)
        parts = [range(start, start + 10) for start in range(0, 200, 10)]
        list(pool.map(lambda numbers: _send(port, log, numbers), parts))
        lines = [line.split("\t") for line in log.read_text(encoding="ascii").splitlines()]
    assert len({name for name, _, _ in lines}) == len(lines) == 200
    assert all(moment.isdigit() for _, _, moment in lines)


def test_the_sink_takes_what_is_complete_though_the_client_is_gone(tmp_path: Path) -> None:
    with running_sink(tmp_path) as (port, log):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(MAIL + RCPT + DATA)
            while b"354" not in sock.recv(65536):
                pass
            sock.sendall(WIRE_MESSAGE + b".\r\n")
        _send(port, log, range(2, 3))
        assert [line[:3] for line in log.read_text(encoding="ascii").splitlines()] == ["<1@", "<2@"]
