"""The last gate before SMTP: halts, lapsed moments, and which text is sent."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from l3mail import migrations, outbox, subscribers
from l3mail.database import Database, opened
from l3mail.models import CAMPAIGN, DELIVERY, MESSAGE, SUBSCRIBER
from l3mail.outbox import Outcome
from tests.fakes.postgres import drop_database, fresh_database, postgres_url
from tests.fakes.village import BACKENDS, MONDAY_TEN, Village, ground

MOMENT = timedelta(microseconds=1)


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("gates")) as database:
        yield database


@pytest.fixture
def village(database: Database) -> Village:
    village = Village(database)
    village.empty()
    return village


# -- halts


def halting(scope: str, subject: str = "") -> Callable[[Village, int], None]:
    def order(village: Village, _campaign: int) -> None:
        village.do(outbox.halt, scope, subject, "op", village.now)

    return order


def stopping(column: str) -> Callable[[Village, int], None]:
    return lambda village, campaign: village.change(CAMPAIGN, campaign, **{column: village.now})


def released(village: Village, campaign: int) -> None:
    village.do(outbox.resume)
    village.change(CAMPAIGN, campaign, paused_at=None, cancelled_at=None)


HALTS = {
    "everything is halted": (halting("everything"), set()),
    "its kind is halted": (halting("kind", "newsletter"), {"lesson"}),
    "its message is halted": (halting("message", "newsletter/2026-12"), {"lesson"}),
    "its campaign is paused": (stopping("paused_at"), {"lesson"}),
    "its campaign is cancelled": (stopping("cancelled_at"), {"lesson"}),
    "another kind is halted": (halting("kind", "report"), {"lesson", "newsletter"}),
    "another message is halted": (halting("message", "kurs/02"), {"lesson", "newsletter"}),
}


def a_lesson_and_an_issue(village: Village) -> int:
    """One queued row of each, and the campaign that the issue belongs to."""
    village.publish("kurs/01")
    village.publish("newsletter/2026-12")
    campaign = village.campaign()
    person = village.learner()
    village.subscribe(person, village.stream("newsletter"))
    village.delivery(person, lane=1)
    village.delivery(
        person,
        "newsletter",
        lane=1,
        slug="newsletter/2026-12",
        campaign_id=campaign,
        stream_id=village.stream("newsletter"),
    )
    return campaign


@pytest.mark.parametrize(("order", "goes"), HALTS.values(), ids=HALTS.keys())
def test_a_halt_ordered_after_the_claim_holds_until_it_is_released(
    village: Village, order: Callable[[Village, int], None], goes: set[str]
) -> None:
    campaign = a_lesson_and_an_issue(village)
    claims = village.claim()
    order(village, campaign)
    assert {one.kind for one in village.begin(claims)} == goes
    kept = [row for row in village.rows() if row["kind"] not in goes]
    assert {(row["state"], row["lease_owner"], row["lease_until"]) for row in kept} <= {
        ("queued", None, None)
    }
    assert village.claim() == []
    released(village, campaign)
    assert {one.id for one in village.start()} == {row["id"] for row in kept}


@pytest.mark.parametrize(("order", "goes"), HALTS.values(), ids=HALTS.keys())
def test_a_retry_stays_deferred_under_a_halt(
    village: Village, order: Callable[[Village, int], None], goes: set[str]
) -> None:
    campaign = a_lesson_and_an_issue(village)
    for begun in village.start():
        village.record(begun, Outcome.DEFERRED, code=451)
    order(village, campaign)
    village.clock.advance(timedelta(hours=1))
    assert {one.kind for one in village.begin(village.claim_retries())} == goes
    assert {row["state"] for row in village.rows() if row["kind"] not in goes} <= {"deferred"}
    released(village, campaign)
    rest = {"lesson", "newsletter"} - goes
    assert {one.kind for one in village.begin(village.claim_retries())} == rest


def test_a_halted_row_without_a_text_stays_queued(village: Village) -> None:
    delivery = village.delivery(village.learner(), slug="kurs/unpublished")
    claims = village.claim()
    village.do(outbox.halt, "everything", "", "op", village.now)
    assert village.begin(claims) == []
    assert village.state(delivery) == "queued"


def test_a_halted_row_nobody_may_mail_any_more_is_cancelled_at_once(village: Village) -> None:
    village.publish()
    person = village.learner()
    delivery = village.delivery(person)
    claims = village.claim()
    village.do(outbox.halt, "everything", "", "op", village.now)
    village.suppress(person, "never")
    assert village.begin(claims) == []
    assert village.state(delivery) == "cancelled"


@pytest.mark.parametrize("database", BACKENDS[1:], indirect=True, ids=["postgres"])
def test_a_halt_lifted_in_mid_begin_leaves_no_lease_that_its_holder_forgot(
    village: Village,
) -> None:
    """A lease on a row its holder dropped would be renewed for ever and the row never sent."""
    village.publish()
    delivery = village.delivery(village.learner())
    claims = village.claim()
    village.do(outbox.halt, "everything", "", "op", village.now)

    released: list[int] = []

    def between(_connection: Connection, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("UPDATE delivery") and not released:
            released.append(len(village.do(outbox.resume)))

    event.listen(village.database.engine, "after_cursor_execute", between)
    try:
        assert village.begin(claims) == []
    finally:
        event.remove(village.database.engine, "after_cursor_execute", between)
    assert released == [1]
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["lease_owner"]) == ("queued", None)
    assert [one.id for one in village.start()] == [delivery]


# -- moments


@pytest.mark.parametrize(
    ("left", "state"),
    [
        pytest.param(None, "sending", id="never lapses"),
        pytest.param(MOMENT, "sending", id="lapses in a moment"),
        pytest.param(timedelta(), "lapsed", id="lapses now"),
        pytest.param(-MOMENT, "lapsed", id="lapsed"),
    ],
)
def test_a_mail_whose_moment_passed_is_not_sent(
    village: Village, left: timedelta | None, state: str
) -> None:
    village.publish()
    lapses = None if left is None else village.now + left
    delivery = village.delivery(village.learner(), lapses_at=lapses)
    village.start()
    row = village.row(DELIVERY, delivery)
    assert row["state"] == state
    if state == "lapsed":
        assert row["reason"] == "its moment passed before it could be sent"
        assert (row["ended_at"], row["lease_owner"], row["attempts"]) == (village.now, None, 0)


def test_a_lapsed_mail_that_nobody_may_send_says_lapsed(village: Village) -> None:
    delivery = village.delivery(village.person(), lapses_at=village.now)
    village.start()
    assert village.state(delivery) == "lapsed"


# -- texts: the published version nearest to the person's locale

LOCALES: dict[str, tuple[str | None, str, list[str], str | None]] = {
    # person, workspace, published, sent
    "own": ("de-simple", "de", ["de", "de-simple", "en"], "de-simple"),
    "a subtag is cut": ("de-simple", "de", ["de", "en"], "de"),
    "one subtag at a time": ("zh-Hant-TW", "de", ["de", "zh", "zh-Hant"], "zh-Hant"),
    "own before the workspace's": ("en-GB", "de-AT", ["de-AT", "en"], "en"),
    "the workspace's": ("uk", "de", ["de", "de-simple", "en"], "de"),
    "the workspace's, cut": ("uk", "de-AT", ["de", "en"], "de"),
    "none known": (None, "de", ["de", "en"], "de"),
    "no wider than asked": ("de", "de", ["de-simple"], None),
    "the same letters are no subtag": ("den", "uk", ["de"], None),
    "another language": ("uk", "de", ["en"], None),
    "nothing at all": ("de", "de", [], None),
}


@pytest.mark.parametrize(
    ("person", "workspace", "published", "sent"), LOCALES.values(), ids=LOCALES.keys()
)
def test_the_text_nearest_to_a_persons_locale_is_sent(
    village: Village, person: str | None, workspace: str, published: list[str], sent: str | None
) -> None:
    village.locale = workspace
    texts = {village.publish(locale=locale): locale for locale in published}
    village.publish("kurs/02", "de")
    delivery = village.delivery(village.learner(locale=person))
    assert [texts[one.message_id] for one in village.start()] == ([sent] if sent else [])
    row = village.row(DELIVERY, delivery)
    if sent is None:
        assert (row["state"], row["message_id"]) == ("held", None)
        assert row["reason"] == "nothing is published under this slug"
        assert (row["lease_owner"], row["lease_until"], row["ended_at"]) == (None, None, None)


def test_each_of_a_batch_gets_the_text_of_their_own_locale(village: Village) -> None:
    texts = {village.publish(locale=locale): locale for locale in ("de", "en", "uk")}
    wishes = ["en", "uk", None, "uk-UA", "fr", "en"]
    people = [village.learner(f"p{n}@schule.example", locale=wish) for n, wish in enumerate(wishes)]
    for person in people:
        village.delivery(person)
    sent = [texts[one.message_id] for one in village.start()]
    assert sent == ["en", "uk", "de", "uk", "de", "en"]


def test_staff_get_the_workspaces_locale(village: Village) -> None:
    village.learner(locale="en")
    village.publish("reports/week", "en")
    german = village.publish("reports/week", "de")
    village.report(slug="reports/week")
    assert [one.message_id for one in village.start(lane=0)] == [german]


def test_a_superseded_version_is_never_chosen(village: Village) -> None:
    old = village.publish(subject="alt")
    village.publish("kurs/01", "en")
    new = village.publish(subject="neu")
    village.delivery(village.learner())
    assert [one.message_id for one in village.start()] == [new]
    assert village.row(MESSAGE, old)["superseded_at"] == village.now


def test_a_version_withdrawn_without_successor_is_not_sent(village: Village) -> None:
    village.change(MESSAGE, village.publish(), superseded_at=village.now)
    delivery = village.delivery(village.learner())
    assert village.start() == []
    assert village.state(delivery) == "held"


def test_a_pinned_version_is_sent_whatever_was_published_since(village: Village) -> None:
    pinned = village.publish(subject="genehmigt")
    village.publish(subject="neuer")
    delivery = village.delivery(village.learner(), message_id=pinned)
    assert [one.message_id for one in village.start()] == [pinned]
    assert village.row(DELIVERY, delivery)["message_id"] == pinned


def test_a_retry_sends_the_version_of_the_first_attempt(village: Village) -> None:
    first = village.publish(subject="erster")
    village.delivery(village.learner())
    (begun,) = village.start()
    village.record(begun, Outcome.DEFERRED, code=451)
    village.publish(subject="zweiter")
    village.clock.advance(timedelta(hours=1))
    assert [one.message_id for one in village.begin(village.claim_retries())] == [first]


def test_a_held_row_goes_once_its_text_is_published(village: Village) -> None:
    delivery = village.delivery(village.learner())
    village.start()
    text = village.publish()
    assert village.do(outbox.retry, [delivery]) == [delivery]
    assert [one.message_id for one in village.start()] == [text]


# -- glimpses


def test_a_glimpse_shows_what_would_be_sent_and_changes_nothing(village: Village) -> None:
    village.publish(locale="de")
    english = village.publish(locale="en")
    village.learner("berta@schule.example", locale="de")
    delivery = village.delivery(village.learner(locale="en", first_name="Ada"))
    before = village.rows()
    seen = village.do(outbox.glimpse, delivery, "de")
    assert seen is not None
    assert (seen.message_id, seen.address) == (english, "ada@schule.example")
    assert (seen.person["first_name"], seen.first_started_at) == ("Ada", village.now)
    assert village.rows() == before


def test_there_is_no_glimpse_of_the_unknown_the_erased_or_the_unwritten(village: Village) -> None:
    person = village.learner()
    unwritten = village.delivery(person, slug="kurs/09")
    village.publish()
    erased = village.delivery(person)
    village.change(SUBSCRIBER, person, address=None, address_key=None, erased_at=village.now)
    for number in (unwritten, erased, erased + 1):
        assert village.do(outbox.glimpse, number, "de") is None


@pytest.mark.postgres
def test_who_leaves_while_a_mail_begins_is_waited_for_and_not_mailed() -> None:
    url = fresh_database(postgres_url())
    with opened(url) as database:
        migrations.upgrade(database, MONDAY_TEN)
        village = Village(database)
        village.publish()
        person = village.learner()
        delivery = village.delivery(person)
        claims = village.claim()
        with database.engine.connect() as leaving, ThreadPoolExecutor(1) as pool:
            # Left, and not committed yet: the last check must not look past it.
            subscribers.unsubscribe(leaving, person, None, village.now, "page")
            beginning = pool.submit(village.begin, claims)
            _wait_for_a_lock(village, beginning)
            leaving.commit()
            assert beginning.result() == []
        assert village.state(delivery) == "cancelled"
    drop_database(url)


def _wait_for_a_lock(village: Village, begun: Future[Any]) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    while village.database.read(lambda connection: connection.execute(waiting).scalar()) == 0:
        assert not begun.done(), "it did not wait"
