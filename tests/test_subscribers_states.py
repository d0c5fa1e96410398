"""The consent state table (TRUST section 6), cell by cell: what each act does in each state.

Every state is reached by the verbs themselves, every mail on the way is sent. A cell says what is
answered and what is then true: membership and generation, mails, suppression, enrollments, and
which acts of consent were added to a chain that still verifies.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from l3mail import consents, subscribers
from l3mail.database import Database
from l3mail.models import SUBSCRIBER
from l3mail.subscribers import Attested, Confirmed, Refused, imports, spreadsheets
from l3mail.subscribers.entries import Vocabulary, columns, read
from l3mail.subscribers.imports import Order
from tests.fakes.newcomer import A_DAY, RULES, Newcomer, settle
from tests.fakes.village import BACKENDS, MONDAY_TEN, Village, ground

CONFIRMATION, ALREADY = "notice/confirmation", "notice/already-subscribed"
WELCOME = "kurs/welcome"


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("states")) as database:
        yield database


@pytest.fixture
def ada(database: Database) -> Newcomer:
    village = Village(database)
    village.empty()
    settle(village)
    return Newcomer(village)


# -- the states


def unconfirmed(ada: Newcomer) -> None:
    ada.sign_up()
    ada.read_mail()
    ada.village.clock.advance(A_DAY)


def confirmed(ada: Newcomer) -> None:
    ada.join()


def unsubscribed(ada: Newcomer) -> None:
    ada.join()
    ada.unsubscribe("kurs")


def complained(ada: Newcomer) -> None:
    ada.join()
    ada.suppress("complaint")


def complained_at_once(ada: Newcomer) -> None:
    unconfirmed(ada)
    ada.suppress("complaint")


def never(ada: Newcomer) -> None:
    ada.join()
    ada.refuse()


def bounced(ada: Newcomer) -> None:
    ada.join()
    ada.suppress("hard_bounce")


def erased(ada: Newcomer) -> None:
    ada.join()
    ada.erase()


def erased_and_barred(ada: Newcomer) -> None:
    ada.join()
    ada.suppress("complaint")
    ada.erase()


STATES: dict[str, Callable[[Newcomer], None]] = {
    "none": lambda ada: None,
    "unconfirmed": unconfirmed,
    "confirmed": confirmed,
    "unsubscribed": unsubscribed,
    "complained": complained,
    "complained at once": complained_at_once,
    "never": never,
    "bounced": bounced,
    "erased": erased,
    "erased and barred": erased_and_barred,
}
ANSWERS_ANEW = ("unsubscribed", "bounced")
"""States whose way on is a new request: its link is the valid one, the first link is old."""


@dataclass(frozen=True)
class Cell:
    """What an act answers, and what is true then.

    `of_new` says that the address belongs to a new person then; else it is asked of the person
    who had it before. `left` is what is left of their acts of consent, where not all.
    """

    answer: Any = None
    membership: tuple[str, int] | None = None
    mails: tuple[str, ...] = ()
    suppression: str | None = None
    enrollments: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()
    gone: bool = False
    of_new: bool = False
    forgotten: bool = False


JOINED = Cell(membership=("confirmed", 2), enrollments=("active",))
LEFT = Cell(membership=("unsubscribed", 3), enrollments=("cancelled",))


def but(cell: Cell, **changes: Any) -> Cell:
    return Cell(**{**cell.__dict__, **changes})


ACTS = {"sign up", "confirm", "confirm late", "unsubscribe", "attest", "not me", "erase"}
COMPLAINED = but(JOINED, suppression="complaint")
AT_ONCE = Cell(membership=("unconfirmed", 1), suppression="complaint")
NEVER = but(LEFT, suppression="never")
BOUNCED = but(JOINED, suppression="hard_bounce")
ERASED = but(LEFT, gone=True)
BARRED = but(ERASED, suppression="complaint")
REFUSED = ("refused", "withdrawn")
PAGE = "the present state"

TABLE: dict[str, dict[str, Cell]] = {
    "none": {
        "sign up": Cell(membership=("unconfirmed", 1), mails=(CONFIRMATION,), acts=("requested",)),
        "confirm": Cell(),
        "confirm late": Cell(),
        "unsubscribe": Cell(answer=[]),
        "attest": Cell(answer="attested", membership=("confirmed", 1), acts=("attested",)),
        "not me": Cell(answer=False),
        "erase": Cell(),
    },
    "unconfirmed": {
        "sign up": Cell(membership=("unconfirmed", 1), mails=(CONFIRMATION,)),
        "confirm": but(JOINED, answer="changed", mails=(WELCOME,), acts=("confirmed",)),
        "confirm late": Cell(membership=("unconfirmed", 1)),
        "unsubscribe": Cell(answer=["kurs"], membership=("unsubscribed", 2), acts=("withdrawn",)),
        "attest": Cell(answer="attested", membership=("confirmed", 2), acts=("attested",)),
        "not me": Cell(
            answer=True, membership=("unsubscribed", 2), suppression="never", acts=REFUSED
        ),
        "erase": Cell(membership=("unsubscribed", 2), gone=True, forgotten=True),
    },
    "confirmed": {
        "sign up": but(JOINED, mails=(ALREADY,), acts=("requested",)),
        "confirm": but(JOINED, answer=PAGE),
        "confirm late": but(JOINED, answer=PAGE),
        "unsubscribe": but(LEFT, answer=["kurs"], acts=("withdrawn",)),
        "attest": but(JOINED, answer="attested"),
        "not me": but(LEFT, answer=True, suppression="never", acts=REFUSED),
        "erase": but(ERASED, acts=("withdrawn",)),
    },
    "unsubscribed": {
        "sign up": but(LEFT, mails=(CONFIRMATION,), acts=("requested",)),
        "confirm": Cell(
            answer="changed",
            membership=("confirmed", 4),
            mails=(WELCOME,),
            enrollments=("cancelled", "active"),
            acts=("confirmed",),
        ),
        "confirm late": but(LEFT, answer=PAGE),
        "unsubscribe": but(LEFT, answer=[]),
        "attest": but(LEFT, answer="unsubscribed on 2026-11-24, needs a new opt-in (kurs)"),
        "not me": but(LEFT, answer=True, suppression="never", acts=("refused",)),
        "erase": but(ERASED, acts=("withdrawn",)),
    },
    "complained": {
        "sign up": but(COMPLAINED, acts=("requested",)),
        "confirm": COMPLAINED,
        "confirm late": COMPLAINED,
        # Suppressed as before; and should an operator lift that, nothing starts again.
        "unsubscribe": but(LEFT, answer=["kurs"], suppression="complaint", acts=("withdrawn",)),
        "attest": but(COMPLAINED, answer="suppressed on 2026-11-24 (complaint)"),
        "not me": but(LEFT, answer=True, suppression="complaint", acts=REFUSED),
        "erase": but(BARRED, acts=("withdrawn",)),
    },
    "complained at once": {
        "sign up": AT_ONCE,
        "confirm": AT_ONCE,
        "confirm late": AT_ONCE,
        "unsubscribe": but(
            AT_ONCE, answer=["kurs"], membership=("unsubscribed", 2), acts=("withdrawn",)
        ),
        "attest": but(AT_ONCE, answer="suppressed on 2026-11-24 (complaint)"),
        "not me": but(AT_ONCE, answer=True, membership=("unsubscribed", 2), acts=REFUSED),
        "erase": but(AT_ONCE, membership=("unsubscribed", 2), gone=True, forgotten=True),
    },
    "never": {
        "sign up": but(NEVER, acts=("requested",)),
        "confirm": NEVER,
        "confirm late": NEVER,
        "unsubscribe": but(NEVER, answer=[]),
        "attest": but(NEVER, answer="suppressed on 2026-11-24 (never)"),
        "not me": but(NEVER, answer=True),
        "erase": but(NEVER, gone=True, acts=("withdrawn",)),
    },
    "bounced": {
        "sign up": but(BOUNCED, mails=(CONFIRMATION,), acts=("requested",)),
        "confirm": but(JOINED, answer="changed", acts=("confirmed",)),
        "confirm late": but(BOUNCED, answer=PAGE),
        "unsubscribe": but(LEFT, answer=["kurs"], suppression="hard_bounce", acts=("withdrawn",)),
        "attest": but(BOUNCED, answer="suppressed on 2026-11-24 (hard bounce)"),
        "not me": but(LEFT, answer=True, suppression="never", acts=REFUSED),
        "erase": but(ERASED, suppression="hard_bounce", acts=("withdrawn",)),
    },
    "erased": {
        "sign up": Cell(
            membership=("unconfirmed", 1),
            mails=(CONFIRMATION,),
            acts=("requested",),
            of_new=True,
        ),
        "confirm": ERASED,
        "confirm late": ERASED,
        "unsubscribe": but(ERASED, answer=[]),
        "attest": Cell(
            answer="attested", membership=("confirmed", 1), acts=("attested",), of_new=True
        ),
        "not me": but(ERASED, answer=True, suppression="never"),
        "erase": ERASED,
    },
    "erased and barred": {
        "sign up": Cell(
            membership=("unconfirmed", 1),
            suppression="complaint",
            acts=("requested",),
            of_new=True,
        ),
        "confirm": BARRED,
        "confirm late": BARRED,
        "unsubscribe": but(BARRED, answer=[]),
        "attest": but(BARRED, answer="suppressed on 2026-11-24 (complaint)"),
        "not me": but(BARRED, answer=True),
        "erase": BARRED,
    },
}
CELLS = [
    pytest.param(state, act, cell, id=f"{state} × {act}")
    for state, row in TABLE.items()
    for act, cell in row.items()
]


def perform(ada: Newcomer, act: str, person: int | None, link: tuple[int, int]) -> Any:
    nobody = 999
    match act:
        case "sign up":
            return ada.sign_up()
        case "confirm" | "confirm late":
            return _told(ada.confirm("kurs", link=link))
        case "unsubscribe":
            return ada.unsubscribe("kurs", person=person or nobody)
        case "attest":
            return _told(ada.attest())
        case "not me":
            return ada.refuse(link)
        case "erase":
            return ada.erase(person or nobody)
    raise AssertionError(act)


def _told(answer: object) -> object:
    match answer:
        case Confirmed(changed=changed):
            return "changed" if changed else PAGE
        case Attested():
            return "attested"
        case Refused(reason=reason):
            return reason
    return answer


@pytest.mark.parametrize(("state", "act", "cell"), CELLS)
def test_the_table_holds(ada: Newcomer, state: str, act: str, cell: Cell) -> None:
    STATES[state](ada)
    first_link = ada.link()
    if act == "confirm" and state in ANSWERS_ANEW:
        ada.sign_up()
        ada.read_mail()
    link = ada.link() if act == "confirm" else first_link
    if act == "confirm late":
        ada.village.clock.advance(timedelta(days=8))
    people = [row["id"] for row in ada.village.rows(SUBSCRIBER)]
    person = people[-1] if people else None
    before = ada.acts(person or 999)
    ada.mails()

    answer = perform(ada, act, person, link)

    now_at_address = ada.id
    if cell.of_new:
        assert now_at_address not in {None, person}
        person, before = now_at_address, []
    elif act in {"sign up", "attest"} and person is None:
        person = now_at_address
    who = person or 999
    assert answer == cell.answer
    assert ada.membership(person=who) == cell.membership
    assert tuple(ada.mails()) == cell.mails
    assert ada.suppression() == cell.suppression
    assert tuple(ada.enrollments(who)) == cell.enrollments
    acts = [] if cell.forgotten else [*before, *cell.acts]
    assert ada.acts(who) == acts
    assert ada.village.database.read(consents.verify).broken_at is None
    if person is not None and not cell.of_new:
        assert (now_at_address is None) == cell.gone


def test_a_row_of_a_file_does_what_attesting_by_hand_does(database: Database) -> None:
    """`import --confirmed`, in every state: taken or refused with the same words and mails."""
    vocabulary = Vocabulary({}, {"kurs", "newsletter"}, MONDAY_TEN.date())
    sheet = spreadsheets.read(b"email\nada@schule.example\n", "people.csv", ("email",))
    order = Order("attest", "amt", "Liste vom Elternabend")
    for state, row in TABLE.items():
        village = Village(database)
        village.empty()
        settle(village)
        ada, cell = Newcomer(village), row["attest"]
        STATES[state](ada)
        people = village.rows(SUBSCRIBER)
        ada.mails()
        found = read(sheet, columns(sheet, {}, vocabulary), ("kurs",), vocabulary)
        tally = village.do(imports.take, RULES, found.entries, order, village.now)
        refused = [one.reason for one in tally.rejections]
        assert refused == ([] if cell.answer == "attested" else [cell.answer]), state
        who = ada.id or people[-1]["id"]
        assert ada.membership(person=who) == cell.membership, state
        assert (ada.mails(), ada.suppression()) == (list(cell.mails), cell.suppression), state
        assert tuple(ada.enrollments(who)) == cell.enrollments, state
        assert village.database.read(consents.verify).broken_at is None


def test_the_table_has_a_cell_for_every_act_in_every_state() -> None:
    assert set(TABLE) == set(STATES)
    assert {state for state, row in TABLE.items() if set(row) != ACTS} == set()


@pytest.mark.parametrize("state", STATES)
def test_what_was_queued_before_follows_the_state(ada: Newcomer, state: str) -> None:
    """Mails planned for whoever signs up again reach the relay only where the table has them."""
    STATES[state](ada)
    ada.sign_up()
    cell = TABLE[state]["sign up"]
    assert ada.read_mail() == list(cell.mails)


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ("unconfirmed", "unconfirmed"),
        ("confirmed", "active"),
        ("unsubscribed", "unsubscribed"),
        ("complained", "suppressed"),
        ("complained at once", "suppressed"),
        ("never", "suppressed"),
        ("bounced", "suppressed"),
    ],
)
def test_the_state_is_told_in_one_word(ada: Newcomer, state: str, status: str) -> None:
    STATES[state](ada)
    shown = ada.village.do(subscribers.show, ada.person)
    assert shown is not None
    assert shown["status"] == status


@pytest.mark.parametrize("state", STATES)
def test_the_page_of_the_first_link_says_what_confirming_would_do(
    ada: Newcomer, state: str
) -> None:
    STATES[state](ada)
    told = ada.village.do(subscribers.look_up_signup, *ada.link(), ada.village.now)
    expected = {
        "none": None,
        "unconfirmed": ("open", ["kurs"]),
        "confirmed": ("confirmed", ["kurs"]),
        "unsubscribed": ("confirmed", []),
        "bounced": ("confirmed", ["kurs"]),
    }.get(state, ("refused", None))
    if expected is None or told is None:
        assert (told, expected) == (None, None)
        return
    assert told.state == expected[0]
    if expected[1] is not None:
        assert [stream.slug for stream in told.streams] == expected[1]
