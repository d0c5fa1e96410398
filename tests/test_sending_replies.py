"""What a relay says: cut from bytes, and judged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.outbox import Cause, Outcome
from l3mail.sending.replies import (
    LONGEST_LINE,
    NonsenseError,
    Reply,
    ReplyReader,
    asks_for_patience,
    judge,
)


def read(*packets: bytes) -> list[Reply]:
    reader = ReplyReader()
    return [reply for packet in packets for reply in reader.feed(packet)]


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"250 ok\r\n", Reply(250, None, "ok")),
        (b"250\r\n", Reply(250, None, "")),
        (b"250 ok\n", Reply(250, None, "ok")),
        (b"550 5.1.1 no such user\r\n", Reply(550, "5.1.1", "5.1.1 no such user")),
        (b"550-5.1.1 no\r\n550 5.1.1 user\r\n", Reply(550, "5.1.1", "5.1.1 no 5.1.1 user")),
        (b"550 5.1.1\r\n", Reply(550, "5.1.1", "5.1.1")),
        (b"550 5.1.10.2 x\r\n", Reply(550, None, "5.1.10.2 x")),
        (b"451 gr\xc3\xbc\xff\x00\x1b[31m\r\n", Reply(451, None, "grü\ufffd\\x00\\x1b[31m")),
    ],
    ids=[
        "plain",
        "bare code",
        "bare LF",
        "status",
        "lines",
        "status alone",
        "no status",
        "hostile",
    ],
)
def test_a_reply_is_code_status_and_printable_text(data: bytes, reply: Reply) -> None:
    assert read(data) == [reply]


@given(st.integers(min_value=1, max_value=8))
def test_packets_do_not_matter(size: int) -> None:
    data = b"250-one\r\n250 two\r\n354 go\r\n421 4.3.2 bye\r\n"
    packets = [data[start : start + size] for start in range(0, len(data), size)]
    assert [reply.code for reply in read(*packets)] == [250, 354, 421]


@pytest.mark.parametrize(
    "data",
    [
        b"hello\r\n",
        b"999 x\r\n",
        b"25\r\n",
        b"2500 ok\r\n",
        b"150 wait\r\n",
        b"\r\n",
        b"250-a\r\n550 b\r\n",
        b"250 " + b"x" * LONGEST_LINE + b"\r\n",
        b"x" * (LONGEST_LINE + 1),
        b"250-again and again\r\n" * 10_000,
    ],
    ids=[
        "words",
        "no such class",
        "short",
        "long code",
        "1yz",
        "empty",
        "two codes",
        "long line",
        "endless line",
        "endless reply",
    ],
)
def test_what_is_no_reply_is_nonsense(data: bytes) -> None:
    with pytest.raises(NonsenseError):
        read(data)


@given(st.binary(max_size=200))
def test_no_bytes_do_more_than_be_replies_or_nonsense(data: bytes) -> None:
    try:
        replies = read(data)
    except NonsenseError:
        return
    assert all(200 <= reply.code <= 599 and reply.text.isprintable() for reply in replies)


@pytest.mark.parametrize(
    ("stage", "words", "outcome", "cause"),
    [
        ("rcpt", b"550 5.1.1 unknown", Outcome.REJECTED, Cause.PERSON),
        ("dot", b"550 5.1.1 unknown", Outcome.REJECTED, Cause.PERSON),
        ("rcpt", b"550 5.1.10 null MX", Outcome.REJECTED, Cause.PERSON),
        ("rcpt", b"550 5.2.1 disabled", Outcome.REJECTED, Cause.PERSON),
        ("rcpt", b"550 User unknown", Outcome.REJECTED, Cause.PERSON),
        ("rcpt", b"553 recipient address not found", Outcome.REJECTED, Cause.PERSON),
        ("rcpt", b"550 mailbox unavailable", Outcome.REJECTED, Cause.SOFT),
        ("rcpt", b"550 5.0.0 user unknown", Outcome.REJECTED, Cause.SOFT),
        ("dot", b"550 User unknown", Outcome.REJECTED, Cause.SOFT),
        ("rcpt", b"552 5.2.2 full", Outcome.REJECTED, Cause.SOFT),
        ("dot", b"552 5.3.4 too big", Outcome.REJECTED, Cause.SOFT),
        ("dot", b"554 5.7.1 spam", Outcome.REJECTED, Cause.SENDER),
        ("dot", b"550 5.7.26 unauthenticated", Outcome.REJECTED, Cause.SENDER),
        ("dot", b"550 5.7.515 sender", Outcome.REJECTED, Cause.SENDER),
        ("mail", b"550 no", Outcome.REJECTED, Cause.SENDER),
        ("rcpt", b"530 5.7.0 login first", Outcome.DEFERRED, Cause.SENDER),
        ("mail", b"550 5.1.1 unknown", Outcome.REJECTED, Cause.SENDER),
        ("rcpt", b"550 Sender verify failed: User unknown", Outcome.REJECTED, Cause.SENDER),
        ("rcpt", b"550 5.2.1 receiving mail at a rate that", Outcome.REJECTED, Cause.SOFT),
        ("rcpt", b"450 4.2.1 greylisted", Outcome.DEFERRED, None),
        ("dot", b"421 4.7.28 rate", Outcome.DEFERRED, Cause.SENDER),
        ("data", b"451 4.3.0 later", Outcome.DEFERRED, None),
    ],
)
def test_a_refusal_is_judged_by_stage_and_status(
    stage: str, words: bytes, outcome: Outcome, cause: Cause | None
) -> None:
    (reply,) = read(words + b"\r\n")
    assert judge(reply, stage) == (outcome, cause)


@pytest.mark.parametrize(
    ("stage", "code", "status", "text", "asks"),
    [
        ("mail", 421, "4.7.28", "4.7.28 unusual rate of mail", True),
        ("mail", 450, "4.7.1", "4.7.1 Error: too much mail from 192.0.2.1", True),
        ("mail", 451, None, "try again later", True),
        ("mail", 452, "4.3.1", "4.3.1 insufficient system storage", True),
        ("rcpt", 421, "4.7.0", "4.7.0 try again later", True),
        ("rcpt", 450, "4.7.1", "4.7.1 rate limit exceeded", True),
        ("rcpt", 452, None, "too many recipients received this hour", True),
        ("rcpt", 451, "4.3.2", "4.3.2 please try again later", True),
        ("dot", 451, "4.7.28", "4.7.28 rate limited", True),
        ("dot", 421, "4.3.2", "4.3.2 shutting down", True),
        ("rcpt", 450, "4.7.1", "4.7.1 Greylisting in action, try again", False),
        ("mail", 451, "4.7.1", "4.7.1 Greylisted", False),
        ("rcpt", 450, "4.2.1", "4.2.1 greylisted", False),
        ("rcpt", 450, "4.2.1", "4.2.1 receiving mail at a rate that is too fast", False),
        ("rcpt", 452, "4.2.2", "4.2.2 mailbox full, quota exceeded", False),
        ("rcpt", 450, None, "mailbox busy", False),
        ("rcpt", 451, "4.1.8", "4.1.8 domain of sender not found", False),
        ("dot", 451, "4.3.0", "4.3.0 mail server temporarily rejected message", False),
        ("rcpt", 550, "5.7.1", "5.7.1 rate limit", False),
        ("mail", 530, "5.7.0", "5.7.0 authentication required", False),
        ("dot", 250, "2.0.0", "2.0.0 ok", False),
        ("mail", None, None, "connection closed", False),
    ],
)
def test_only_answers_about_us_ask_for_patience(
    stage: str, code: int | None, status: str | None, text: str, asks: bool
) -> None:
    assert asks_for_patience(stage, code, status, text) is asks


def test_a_kept_connection_that_was_idle_for_too_long_asks_for_nothing() -> None:
    assert not asks_for_patience("mail", 421, "4.4.2", "4.4.2 idle too long", reused=True)
    assert asks_for_patience("mail", 421, "4.7.0", "4.7.0 too many messages", reused=True)
