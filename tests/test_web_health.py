"""What machines ask: health, and the numbers a monitor draws, for those who may see them."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from l3mail import outbox
from l3mail.events import Guestbook, Visit
from l3mail.models import DELIVERY
from l3mail.sending import Board, Tally
from l3mail.subscribers import Rules
from l3mail.tokens import Purpose
from l3mail.web import create_app
from tests.fakes.porch import BASE_URL, TOKENS, Porch, TestClient, open_porch, open_settings
from tests.fakes.village import PEPPER, Village

HERE = ("127.0.0.1", 40000)
QUARTER = timedelta(minutes=15)


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(sqlite_village, tmp_path) as porch:
        yield porch


def asking_from(
    porch: Porch, host: str, silent: timedelta | None = None, book: Guestbook | None = None
) -> TestClient:
    """A client whose socket comes from an address."""
    village, settings = porch.village, porch.settings
    rules = Rules(PEPPER, settings.zone, "de")
    app = create_app(
        settings,
        village.database,
        TOKENS,
        village.clock,
        rules,
        late=lambda _connection, _now: ["the relay is late"] if silent else [],
        silent_for=lambda: silent,
        book=book,
    )
    return TestClient(app, base_url=BASE_URL, client=(host, 40000))


# -- late


def test_mail_that_waits_while_nothing_goes_is_late(village: Village) -> None:
    person = village.learner()

    def is_late() -> bool:
        return village.do(outbox.is_late, village.now)

    assert not is_late()
    village.delivery(person, due_at=village.now)
    village.clock.advance(QUARTER)
    assert not is_late()
    village.clock.advance(timedelta(seconds=1))
    assert is_late()
    # A long queue that drains is not late, however old its rows are.
    gone = village.delivery(person, state="accepted", ended_at=village.now - QUARTER)
    assert is_late()
    village.change(DELIVERY, gone, ended_at=village.now)
    assert not is_late()


def test_what_was_planned_late_has_not_waited_yet(village: Village) -> None:
    yesterday = village.now - timedelta(days=1)
    late = village.delivery(village.learner(), due_at=yesterday, planned_at=village.now)
    assert not village.do(outbox.is_late, village.now)
    village.change(DELIVERY, late, planned_at=yesterday)
    assert village.do(outbox.is_late, village.now)


def test_bulk_and_what_is_halted_is_never_late(village: Village) -> None:
    yesterday = village.now - timedelta(days=1)
    village.delivery(village.learner(), due_at=yesterday, planned_at=yesterday, lane=2)
    assert not village.do(outbox.is_late, village.now)
    bea = village.learner("bea@schule.example")
    village.delivery(bea, due_at=yesterday, planned_at=yesterday)
    assert village.do(outbox.is_late, village.now)
    village.do(outbox.halt, "everything", "", "me", village.now)
    assert not village.do(outbox.is_late, village.now)


# -- numbers


def test_numbers_are_counts_that_prometheus_reads(porch: Porch) -> None:
    village = porch.village
    person = village.learner()
    village.delivery(person, due_at=village.now - timedelta(seconds=90))
    village.delivery(person, state="accepted", ended_at=village.now)
    answer = asking_from(porch, "127.0.0.1", timedelta(seconds=3)).get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    numbers = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert numbers['l3mail_deliveries{state="queued"}'] == "1"
    assert numbers['l3mail_deliveries{state="accepted"}'] == "1"
    assert numbers['l3mail_deliveries{state="uncertain"}'] == "0"
    assert numbers["l3mail_oldest_waiting_seconds"] == "90"
    assert numbers["l3mail_last_tick_seconds"] == "3"
    assert (numbers["l3mail_halted"], numbers["l3mail_late"]) == ("0", "1")
    for name in {name.partition("{")[0] for name in numbers}:
        assert f"# TYPE {name} gauge" in lines
        assert any(line.startswith(f"# HELP {name} ") for line in lines)
    assert "@" not in answer.text


def test_visits_that_wait_or_were_let_go_are_told(porch: Porch) -> None:
    village = porch.village
    book = Guestbook(village.database, mode="aggregate", zone=porch.settings.zone, most=4)
    for _ in range(7):
        book.add(Visit("opened", village.now, village.publish()))
    text = asking_from(porch, "127.0.0.1", book=book).get("/metrics").text
    assert "l3mail_visits_waiting 4\n" in text
    assert "l3mail_visits_lost 3\n" in text


def test_what_the_relay_asks_of_senders_on_this_machine_is_told(porch: Porch) -> None:
    board = Board(porch.settings.state_dir, porch.village.clock)
    board.post(Tally())
    text = asking_from(porch, "127.0.0.1").get("/metrics").text
    assert "l3mail_senders 1\n" in text
    assert "l3mail_relay_down 0\n" in text
    assert "slowed_to" not in text
    board.post(Tally(relay_fault="relay.test:25 answered 421", slowed_to=2.5))
    text = asking_from(porch, "127.0.0.1").get("/metrics").text
    assert "l3mail_relay_down 1\n" in text
    assert "l3mail_relay_slowed_to 2.5\n" in text
    board.close()
    assert "l3mail_senders 0\n" in asking_from(porch, "127.0.0.1").get("/metrics").text


def test_beside_no_tick_of_its_own_a_process_tells_none(porch: Porch) -> None:
    porch.village.do(outbox.halt, "everything", "", "me", porch.village.now)
    text = asking_from(porch, "::1").get("/metrics").text
    assert "last_tick" not in text
    assert "l3mail_halted 1" in text


@pytest.mark.parametrize(
    ("host", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("127.8.9.1", {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("192.0.2.7", {}, 404),
        ("testclient", {}, 404),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, 404),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 404),
        ("127.0.0.1", {"X-Real-IP": "127.0.0.1"}, 404),
        ("127.0.0.1", {"Via": "1.1 proxy"}, 404),
        ("192.0.2.7", {"X-Forwarded-For": "127.0.0.1"}, 404),
        ("192.0.2.7", {"Authorization": "Bearer wrong"}, 404),
        ("192.0.2.7", {"Authorization": "Bearer "}, 404),
        ("192.0.2.7", {"Authorization": "Basic TOKEN"}, 404),
        ("192.0.2.7", {"Authorization": "Bearer TOKEN"}, 200),
        ("127.0.0.1", {"Authorization": "Bearer TOKEN", "X-Forwarded-For": "192.0.2.7"}, 200),
        ("192.0.2.7", {"Authorization": "Bearer OTHER"}, 404),
    ],
)
def test_only_this_machine_or_who_has_the_token_sees_numbers(
    porch: Porch, host: str, headers: dict[str, str], status: int
) -> None:
    tokens = {"TOKEN": TOKENS.make(Purpose.METRICS), "OTHER": TOKENS.make(Purpose.FORM)}
    sent = dict(headers)
    for word, token in tokens.items():
        sent = {name: value.replace(word, token) for name, value in sent.items()}
    answer = asking_from(porch, host).get("/metrics", headers=sent)
    assert answer.status_code == status
    assert ("l3mail_deliveries" in answer.text) == (status == 200)


def test_a_proxy_we_trust_is_not_this_machine(sqlite_village: Village, tmp_path: Path) -> None:
    trusting = 'trusted_proxies = ["127.0.0.1/32"]\n'
    settings = open_settings(tmp_path, trusting)
    rules = Rules(PEPPER, settings.zone, "de")
    app = create_app(settings, sqlite_village.database, TOKENS, sqlite_village.clock, rules)
    client = TestClient(app, base_url=BASE_URL, client=HERE)
    assert client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404
