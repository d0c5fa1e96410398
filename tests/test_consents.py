"""The chain of consents: what it proves, and what erasing leaves of it."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, delete, null, update

from l3mail import consents
from l3mail.consents import Verification
from l3mail.database import Database
from l3mail.models import CONSENT, SUBSCRIBER
from tests.fakes.village import Village

WORDING = {"streams": ["kurs"], "wording": "Ich möchte den Kurs per E-Mail.", "form": "web"}


def note(village: Village, person: int, act: str = "confirmed", **content: Any) -> int:
    return village.database.write(
        lambda connection: consents.note(connection, act, person, WORDING | content, village.now)
    )


def forget(village: Village, person: int) -> int:
    return village.database.write(lambda connection: consents.forget(connection, person))


def empty(village: Village, seq: int, **values: Any) -> None:
    """As somebody does who may write in the database."""
    blank = {"act": None, "content": null(), "at": None, "salt": None} | values
    village.database.write(
        lambda connection: connection.execute(
            update(CONSENT).where(CONSENT.c.seq == seq).values(**blank)
        )
    )


def verify(village: Village) -> Verification:
    return village.database.read(consents.verify)


@pytest.fixture
def chain(village: Village) -> Village:
    ada, bea = village.person(), village.person("bea@schule.example")
    for person, act in [
        (ada, "requested"),
        (ada, "mailed"),
        (bea, "requested"),
        (ada, "confirmed"),
    ]:
        note(village, person, act)
    return village


def test_a_chain_nobody_touched_verifies(chain: Village) -> None:
    found = verify(chain)
    assert (found.acts, found.broken_at) == (4, None)
    assert found.link == chain.rows(CONSENT)[-1]["link"]


def test_an_empty_chain_verifies(village: Village) -> None:
    assert verify(village).acts == 0
    assert verify(village).broken_at is None


@pytest.mark.parametrize(
    ("change", "broken_at"),
    [
        ({"act": "confirmed"}, 2),
        ({"content": WORDING | {"wording": "Ich will alles."}}, 2),
        ({"subscriber_id": 2}, 2),
        ({"digest": b"0" * 32}, 2),
        ({"link": b"0" * 32}, 2),
        ({"salt": b"0" * 16}, 2),
        ({"salt": None, "content": {"wording": "Ich will alles."}}, 2),
        ({"content": null()}, 2),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_changed_act_is_found(chain: Village, change: dict[str, Any], broken_at: int) -> None:
    chain.database.write(
        lambda connection: connection.execute(
            update(CONSENT).where(CONSENT.c.seq == 2).values(**change)
        )
    )
    assert verify(chain).broken_at == broken_at


def test_the_zone_of_the_clock_does_not_matter(village: Village) -> None:
    person = village.person()
    at = village.now.astimezone(ZoneInfo("Asia/Kathmandu"))
    village.database.write(
        lambda connection: consents.note(connection, "requested", person, WORDING, at)
    )
    assert verify(village).broken_at is None


def test_a_removed_act_is_found(chain: Village) -> None:
    chain.database.write(
        lambda connection: connection.execute(delete(CONSENT).where(CONSENT.c.seq == 2))
    )
    assert verify(chain).broken_at == 3


def test_acts_cut_off_at_the_end_show_against_a_link_noted_before(chain: Village) -> None:
    noted = verify(chain).link
    chain.database.write(
        lambda connection: connection.execute(delete(CONSENT).where(CONSENT.c.seq == 4))
    )
    assert verify(chain).broken_at is None
    assert verify(chain).link != noted


def test_erasing_a_person_leaves_a_chain_that_verifies_and_names_nobody(chain: Village) -> None:
    before = verify(chain).link
    assert forget(chain, 1) == 3
    chain.change(SUBSCRIBER, 1, erased_at=chain.now)
    found = verify(chain)
    assert (found.acts, found.erased, found.broken_at, found.link) == (4, 3, None, before)
    assert note(chain, 2, "confirmed") == 5
    assert verify(chain).broken_at is None
    left = [row for row in chain.rows(CONSENT) if row["act"] is None]
    assert len(left) == 3
    for row in left:
        kept = {name for name, value in row.items() if value is not None}
        # The number is a tombstone's: it tells an erased act from one that somebody emptied.
        assert kept == {"seq", "subscriber_id", "digest", "link"}
    assert forget(chain, 1) == 0


@pytest.mark.parametrize("whose", [1, None, 2], ids=["their own", "nobody's", "somebody else's"])
def test_an_act_that_was_emptied_though_its_person_lives_is_found(
    chain: Village, whose: int | None
) -> None:
    empty(chain, 2, subscriber_id=whose)
    found = verify(chain)
    assert (found.broken_at, found.fault, found.erased) == (2, "emptied", 0)
    assert found.emptied == ((2, whose),)


def test_who_was_forgotten_and_is_known_again_leaves_no_gap_but_what_is_emptied_later_is(
    chain: Village,
) -> None:
    forget(chain, 1)
    chain.clock.advance(timedelta(days=8))
    note(chain, 2, "withdrawn")
    chain.clock.advance(timedelta(days=1))
    # As `people.meet` makes it of a sign-up that ran out: the same row, known since now.
    chain.change(SUBSCRIBER, 1, created_at=chain.now)
    note(chain, 1, "requested")
    note(chain, 1, "confirmed")
    found = verify(chain)
    assert (found.broken_at, found.erased) == (None, 3)
    empty(chain, 7)
    assert verify(chain).emptied == ((7, 1),)


def test_two_writers_make_one_chain(database: Database, database_url: str) -> None:
    village = Village(database)
    people = [village.person(f"p{n}@schule.example") for n in range(4)]

    def sign(person: int) -> None:
        def verb(connection: Connection) -> None:
            for _ in range(5):
                consents.note(connection, "requested", person, WORDING, village.now)

        database.write(verb)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sign, people))
    assert verify(village).acts == 20
    assert verify(village).broken_at is None
