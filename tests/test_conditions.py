"""Parts that only some people get, from the question put to what was shown, on both databases."""

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, select

from l3mail import audiences, conditions, outbox, publishing
from l3mail.audiences import Terms
from l3mail.database import Database
from l3mail.errors import RenderingError, SegmentError
from l3mail.models import DELIVERY, EVENT, MESSAGE, SUBSCRIBER
from l3mail.outbox import Outcome, Started
from l3mail.segments import Attribute
from l3mail.sending.versions import Versions
from l3mail.settings import Settings, load_settings, make_state
from l3mail.subscribers import Rules, erase
from l3mail.tokens import Purpose
from l3mail.wiring import composer, rendered
from tests.fakes.porch import Porch, open_porch
from tests.fakes.post import send
from tests.fakes.relay import Relay
from tests.fakes.village import BACKENDS, PEPPER, POLICY, Village, ground

TERMS = Terms(ZoneInfo("Europe/Berlin"), "consent", "de", {"role": Attribute()})
SETTINGS = '[sender]\nfrom = "Bildung <kurs@stadt.example>"\n[tracking]\nmode = "consent"\n'
NORTH = 'district == "Nord"'
OLD = "age >= 60"
PAIR = ((NORTH, False), (NORTH, True))
"""A condition with its else."""


def part(number: int) -> str:
    return f"Teil {number}."


def publish(
    village: Village, *asked: tuple[str, bool], slug: str = "kurs/01", locale: str = "de"
) -> int:
    """A version with one part for each condition: what it asks, and whether it is an else."""
    said = (f"{{% if when[{n}] %}}{part(n)}{{% endif %}}\n" for n in range(len(asked)))
    message = village.publish(slug, locale, text=f"Für alle.\n{''.join(said)}")
    compiled = village.row(MESSAGE, message)["compiled"]
    listed = [{"if": text, "else": otherwise} for text, otherwise in asked]
    village.change(MESSAGE, message, compiled=compiled | {"conditions": listed})
    return message


def begin(village: Village, terms: Terms = TERMS) -> list[Started]:
    """What is in the queue, begun as a sender begins it."""
    started = village.start()
    versions = Versions(partial(conditions.decide, terms=terms))
    return village.database.write(lambda c: versions.load(c, started, village.now)[0])


def bits(started: list[Started]) -> dict[int | None, int | None]:
    return {one.subscriber_id: one.shown for one in started}


@pytest.fixture
def workspace(tmp_path: Path) -> Settings:
    (tmp_path / "l3mail.toml").write_text(SETTINGS, encoding="utf-8")
    settings = load_settings(tmp_path, {})
    make_state(settings.state_dir)
    return settings


# -- who is shown what

ATOMS = st.sampled_from(
    [
        NORTH,
        'district != "Nord"',
        'district in ["Nord", ""]',
        OLD,
        "tracking",
        'attrs.role == "vhs"',
        'stream("newsletter")',
        'opened("kurs/00")',
        "inactive_days > 3",
        'segment("north")',
        "joined_days == 0",
    ]
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map("not ({})".format),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) and ({two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}) or ({two[1]})"),
    ),
    max_leaves=4,
)
PERSON = st.fixed_dictionaries(
    {
        "district": st.sampled_from(["Nord", "Süd", None]),
        "tracking": st.booleans(),
        "birth_year": st.sampled_from([1950, 2000, None]),
        "attributes": st.sampled_from([{}, {"role": "vhs"}]),
    }
)


@pytest.fixture(scope="module", params=BACKENDS)
def square(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("conditions")) as database:
        yield database


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
@given(
    people=st.lists(st.tuples(PERSON, st.booleans(), st.booleans()), min_size=1, max_size=6),
    asked=st.lists(st.tuples(EXPRESSIONS, st.booleans()), min_size=1, max_size=12),
)
def test_what_a_mail_shows_is_what_a_segment_would_say_of_its_person_then(
    square: Database,
    people: list[tuple[dict[str, Any], bool, bool]],
    asked: list[tuple[str, bool]],
) -> None:
    village = Village(square)
    village.empty()
    village.do(audiences.save, "north", NORTH, TERMS, village.now)
    numbers = village.crowd([village.stream()], [values for values, _, _ in people])
    letters, seen = village.stream("newsletter", "newsletter"), village.publish("kurs/00")
    for number, (_, reads, opens) in zip(numbers, people, strict=True):
        if reads:
            village.subscribe(number, letters)
        if opens:
            happened = {"kind": "opened", "verdict": "human", "at": village.now, "data": {}}
            village.insert(EVENT, subscriber_id=number, message_id=seen, **happened)
    publish(village, *asked)
    for number in numbers:
        village.delivery(number)
    shown = bits(begin(village))
    for place, (text, otherwise) in enumerate(asked):
        meant = f"not ({text})" if otherwise else text
        question = village.do(TERMS.question, meant, village.now)
        selected = village.ask(select(SUBSCRIBER.c.id).where(question.yes))
        assert {number for number in numbers if (shown[number] or 0) >> place & 1} == {
            row.id for row in selected
        }


def test_of_whom_it_is_unknown_gets_neither_the_part_nor_its_else(village: Village) -> None:
    publish(village, ('opened("kurs/01")', False), ('opened("kurs/01")', True))
    unseen = village.learner(tracking=False)
    seen = village.learner("bob@schule.example", tracking=True)
    village.delivery(unseen)
    village.delivery(seen)
    assert bits(begin(village)) == {unseen: 0b00, seen: 0b10}


def test_a_mail_holds_the_parts_of_its_person_and_keeps_what_they_were(
    village: Village, workspace: Settings
) -> None:
    publish(village, *PAIR)
    north = village.delivery(village.learner(district="Nord"))
    south = village.delivery(village.learner("bob@schule.example", district="Süd"))
    decide = partial(conditions.decide, terms=TERMS)
    with Relay() as relay:
        send(village, relay, compose=composer(workspace, village.database), decide=decide)
        texts = {mail.rcpt_to[0]: mail.data.decode() for mail in relay.accepted}
    ada, bob = texts["ada@schule.example"], texts["bob@schule.example"]
    assert (part(0) in ada, part(1) in ada) == (True, False)
    assert (part(0) in bob, part(1) in bob) == (False, True)
    assert village.row(DELIVERY, north)["shown"] == 0b01
    assert village.row(DELIVERY, south)["shown"] == 0b10


# -- the first answer stays


def test_a_second_attempt_says_what_the_first_said(village: Village) -> None:
    publish(village, *PAIR)
    person = village.learner(district="Nord")
    village.delivery(person)
    (first,) = begin(village)
    village.record(first, Outcome.UNKNOWN)
    village.change(SUBSCRIBER, person, district="Süd")
    village.clock.advance(timedelta(hours=1))
    village.settle()
    (second,) = begin(village)
    assert (second.attempts, second.shown) == (2, first.shown)


def test_a_second_attempt_speaks_the_version_it_was_asked_of(village: Village) -> None:
    old = publish(village, *PAIR)
    village.delivery(village.learner(district="Nord"))
    (first,) = begin(village)
    village.record(first, Outcome.UNKNOWN)
    publish(village, (OLD, False), (NORTH, False))
    village.clock.advance(timedelta(hours=1))
    village.settle()
    (second,) = begin(village)
    assert (second.message_id, second.shown) == (old, 0b01)


def test_a_mail_is_seen_again_as_it_was_sent(village: Village, workspace: Settings) -> None:
    publish(village, *PAIR)
    person = village.learner(district="Nord")
    delivery = village.delivery(person)
    assert part(0) in rendered(workspace, village.database, delivery).decode()
    village.change(SUBSCRIBER, person, district="Süd")
    assert part(1) in rendered(workspace, village.database, delivery).decode()
    begin(village)
    village.change(SUBSCRIBER, person, district="Nord")
    assert part(1) in rendered(workspace, village.database, delivery).decode()


def test_the_view_of_a_mail_shows_what_it_showed(village: Village, tmp_path: Path) -> None:
    porch: Porch
    with open_porch(village, tmp_path) as porch:
        publish(village, *PAIR)
        person = village.learner(district="Nord")
        delivery = village.delivery(person)
        begin(village)
        village.change(SUBSCRIBER, person, district="Süd")
        page = porch.client.get(f"/view/{porch.token(Purpose.VIEW, delivery)}").text
    assert part(0) in page
    assert part(1) not in page


def test_an_erased_persons_mails_forget_what_they_showed(village: Village) -> None:
    publish(village, *PAIR)
    person = village.learner(district="Nord")
    delivery = village.delivery(person)
    begin(village)
    rules = Rules(PEPPER, TERMS.zone, "de")
    village.do(erase, rules, person, village.now, by="operator")
    assert village.row(DELIVERY, delivery)["shown"] is None


# -- what it costs


def statements(village: Village, ask: Any) -> int:
    """How many statements a verb runs."""
    found = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        found.append(statement)

    def verb(connection: Connection) -> None:
        event.listen(connection, "before_cursor_execute", note)
        ask(connection)
        event.remove(connection, "before_cursor_execute", note)

    village.database.write(verb)
    return len(found)


@pytest.mark.parametrize(
    ("conditions_of_it", "more"), [(0, 0), (1, 1), (5, 1), (6, 2), (30, 6)], ids=str
)
def test_a_text_costs_by_its_conditions_and_never_by_its_people(
    village: Village, conditions_of_it: int, more: int
) -> None:
    publish(village, *((f"age >= {n}", False) for n in range(conditions_of_it)))
    for number in village.crowd([village.stream()], [{"district": "Nord"}] * 20):
        village.delivery(number)
    started = village.start()
    assert len(started) == 20

    def cost(versions: Versions) -> int:
        return statements(village, lambda c: versions.load(c, started, village.now))

    without = cost(Versions(None))
    assert cost(Versions(partial(conditions.decide, terms=TERMS))) == without + more


def test_a_saved_segment_is_read_once_whoever_asks_for_it(village: Village) -> None:
    village.do(audiences.save, "north", NORTH, TERMS, village.now)
    publish(village, ('segment("north")', False), ('segment("north")', True))
    for number in village.crowd([village.stream()], [{}] * 5):
        village.delivery(number)
    started = village.start()
    versions = Versions(partial(conditions.decide, terms=TERMS))
    versions.keep([], village.do(publishing.load, {one.message_id for one in started}))
    assert statements(village, lambda c: versions.load(c, started, village.now)) == 2


# -- segments, and what can't be asked any more


def test_a_segment_is_asked_as_it_is_when_the_mail_goes(village: Village) -> None:
    village.do(audiences.save, "home", NORTH, TERMS, village.now)
    publish(village, ('segment("home")', False))
    village.delivery(village.learner(district="Süd"))
    village.do(audiences.save, "home", 'district == "Süd"', TERMS, village.now)
    assert [one.shown for one in begin(village)] == [1]


def test_a_segment_that_a_text_asks_for_is_not_deleted(village: Village) -> None:
    village.do(audiences.save, "home", NORTH, TERMS, village.now)
    publish(village, ('segment("home")', False))
    with pytest.raises(SegmentError, match="text kurs/01"):
        village.do(audiences.remove, "home")
    person = village.learner()
    pinned = village.delivery(person, message_id=village.rows(MESSAGE)[0]["id"])
    village.publish("kurs/01", text="Ohne.")
    assert village.do(audiences.users, "home") == ["text kurs/01"]
    village.change(DELIVERY, pinned, state="accepted")
    village.do(audiences.remove, "home")


def test_a_text_that_cannot_be_asked_fails_its_own_mails_alone(
    village: Village, workspace: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    publish(village, ('attrs.role == "vhs"', False))
    village.publish("kurs/02")
    village.delivery(village.learner(attributes={"role": "vhs"}))
    village.delivery(village.learner("bob@schule.example"), slug="kurs/02")
    undeclared = Terms(TERMS.zone, "consent", "de", {})
    broken, sound = begin(village, undeclared)
    assert "attrs.role" in caplog.text
    assert "schule.example" not in caplog.text
    texts = village.do(publishing.load, {broken.message_id, sound.message_id})
    compose = composer(workspace, village.database)
    with pytest.raises(RenderingError, match="could not be asked"):
        compose(broken, texts[broken.message_id])
    assert b"los geht es" in compose(sound, texts[sound.message_id])


def test_hostile_words_are_only_compared(village: Village) -> None:
    hostile = """'); DROP TABLE subscriber; -- {{ 7*7 }} %} %(x)s :y"""
    publish(village, (f'district == "{hostile}"', False))
    one = village.learner(district=hostile)
    other = village.learner("bob@schule.example", district="49")
    village.delivery(one)
    village.delivery(other)
    assert bits(begin(village)) == {one: 1, other: 0}


def test_the_longest_conditions_there_may_be_are_asked(village: Village) -> None:
    values = ", ".join(f'"x{n}"' for n in range(199))
    publish(village, *((f'district in [{values}, "y{n}"]', n % 2 == 1) for n in range(30)))
    village.delivery(village.learner(district="y2"))
    (begun,) = begin(village)
    assert begun.shown == sum(1 << n for n in range(30) if n % 2 == 1) | 1 << 2


def test_a_mail_never_begun_has_shown_nothing(village: Village) -> None:
    publish(village, *PAIR)
    person = village.learner(district="Nord")
    delivery = village.delivery(person)
    village.change(SUBSCRIBER, person, erased_at=village.now)
    assert begin(village) == []
    assert village.row(DELIVERY, delivery)["shown"] is None


def test_what_was_shown_is_told_by_its_words(village: Village) -> None:
    publish(village, *PAIR)
    village.delivery(village.learner(district="Nord"))
    (begun,) = begin(village)
    told = village.do(conditions.told, [(begun.id, begun.message_id, begun.shown), (99, 1, None)])
    assert told == {
        begun.id: [
            {"if": NORTH, "else": False, "shown": True},
            {"if": NORTH, "else": True, "shown": False},
        ]
    }


def test_outcomes_and_take_over_know_nothing_of_parts(village: Village) -> None:
    publish(village, *PAIR)
    delivery = village.delivery(village.learner(district="Nord"))
    begin(village)
    village.do(outbox.take_over, "other", village.now, POLICY, alone=True)
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["shown"]) == ("uncertain", 0b01)
