"""Sign-ups by the thousand: nobody is buried under our mail, and a full hall gets all of its own.

`L3MAIL_FLOOD=10000 pytest tests/test_web_floods.py` is the long form.
"""

import os
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from l3mail import sources, subscribers
from l3mail.addresses import parse_address
from l3mail.models import DELIVERY, SIGNUP, SUBSCRIPTION, SUPPRESSION
from l3mail.subscribers import Request, Rules
from l3mail.tokens import Purpose
from l3mail.web.limits import Over
from tests.fakes.porch import (
    BASE_URL,
    Porch,
    TestClient,
    declare_streams,
    form_of,
    open_porch,
    title_of,
)
from tests.fakes.village import PEPPER, Village

FLOOD = int(os.environ.get("L3MAIL_FLOOD", "200"))
HALL = "stadtfest"


def sign_up(porch: Porch, email: str, whence: str, **values: Any) -> Any:
    """A form of another page, by way of a proxy of ours."""
    data = {"email": email, "stream": "kurs", **values}
    return porch.client.post("/subscribe", data=data, headers={"X-Forwarded-For": whence})


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    """A door behind a proxy, with low ceilings and an event that is on for a day."""
    more = 'trusted_proxies = ["10.0.0.0/8"]\n'
    more += "[signup]\nper_network = 3\nper_source = 200\noverall = 100\n"
    with open_porch(sqlite_village, tmp_path, more) as porch:
        porch.client = TestClient(
            porch.client.app,
            base_url=BASE_URL,
            follow_redirects=False,
            client=("10.0.0.1", 4711),
        )
        until = sqlite_village.now + timedelta(days=1)
        sqlite_village.do(sources.register, HALL, sqlite_village.now, "ada", ends_at=until)
        yield porch


def test_a_flood_of_sign_ups_for_ten_addresses_send_ten_mails(
    sqlite_village: Village,
) -> None:
    """What the door lets through, whoever asks for it, and the queue as the sender takes it."""
    village = sqlite_village
    declare_streams(village)
    village.publish("notice/confirmation")
    rules = Rules(PEPPER, ZoneInfo("Europe/Berlin"), "de")
    typed = [f"opfer{n}@schule.example" for n in range(5)]
    typed += [f"Opfer{n}@SCHULE.example" for n in range(5, 10)]

    def flood(connection: Connection, begin: int, end: int) -> None:
        for number in range(begin, end):
            request = Request(
                parse_address(typed[number % 10]),
                ("kurs",) if number % 3 else ("newsletter", "kurs"),
                values={"first_name": f"Ada{number}"},
                source=f"s{number % 7}",
            )
            subscribers.sign_up(connection, rules, request, village.now)

    sent = []
    for part in range(4):
        village.do(flood, part * FLOOD // 4, (part + 1) * FLOOD // 4)
        sent += village.start(lane=0)
        village.do(subscribers.plan_confirmations, rules, village.now)
    assert Counter(one.address.lower() for one in sent) == {
        f"opfer{n}@schule.example": 1 for n in range(10)
    }
    assert len(village.rows(DELIVERY)) == len(village.rows(SIGNUP)) == 10


def test_ten_addresses_get_ten_mails_over_the_pages_from_one_network_and_from_many(
    porch: Porch,
) -> None:
    codes: Counter[int] = Counter()
    for number in range(120):
        whence = "192.0.2.7" if number % 2 else f"198.51.{number}.7"
        answer = sign_up(porch, f"opfer{number % 10}@schule.example", whence)
        codes[answer.status_code] += 1
        if answer.status_code == 428:
            again = form_of(answer.text)
            porch.client.post("/subscribe", data=again, headers={"X-Forwarded-For": whence})
    assert set(codes) == {200, 428, 429}
    assert len(porch.village.rows(DELIVERY)) == 10


def test_a_full_hall_signs_up_over_one_network_in_ten_minutes(porch: Porch) -> None:
    for number in range(60):
        porch.village.clock.advance(timedelta(seconds=10))
        values = {"source": HALL, "locale": "de"}
        answer = sign_up(porch, f"gast{number}@schule.example", f"192.0.2.{number}", **values)
        assert title_of(answer.text) == "Bitte sehen Sie in Ihr Postfach", number
    assert len(porch.village.rows(DELIVERY)) == 60
    assert {signup["source"] for signup in porch.village.rows(SIGNUP)} == {HALL}
    # Nobody else has paid for it: neither this network nor all together.
    codes = [sign_up(porch, f"p{n}@schule.example", "192.0.2.1").status_code for n in range(4)]
    assert codes == [200, 200, 200, 428]


SAID: list[tuple[dict[str, Any], bool]] = [
    ({"source": "Stadtfest"}, True),
    ({"source": "  stadtfest\u200b\t"}, True),
    ({"source": [HALL, "flut-2"]}, True),
    ({"source": ["flut-1", HALL]}, False),
    ({"source": "stadtfest "}, True),
    ({"source": "stadt fest"}, False),
    ({"source": "ｓtadtfest"}, False),
    ({"source": "stadtfest%00"}, False),
    ({"source": "stadtfest-2"}, False),
    ({"source": "fest' OR '1'='1"}, False),
    ({}, False),
]
"""What a form may say of its source, and whether that is the event."""


def test_only_the_source_itself_raises_the_ceiling(porch: Porch) -> None:
    for case, (said, counts) in enumerate(SAID):
        whence = f"198.51.{case}.1"
        codes = [
            sign_up(porch, f"p{n}@schule{case}.example", whence, **said).status_code
            for n in range(5)
        ]
        assert codes == ([200] * 5 if counts else [200] * 3 + [428] * 2), said
        if counts:
            assert porch.newest(SIGNUP)["source"] == HALL, "spelt as it was written down"


def test_spellings_of_a_source_share_one_ceiling(porch: Porch) -> None:
    porch.village.do(sources.register, HALL, porch.village.now, "ada", per_hour=4)
    spelt = ("stadtfest", "STADTFEST", " Stadtfest", "stadtFest ", "stadtfest")
    codes = [
        sign_up(porch, f"p{n}@schule.example", "192.0.2.1", source=source).status_code
        for n, source in enumerate(spelt)
    ]
    assert codes == [200] * 4 + [428]


def test_after_its_end_the_usual_ceilings_hold(porch: Porch) -> None:
    village = porch.village
    village.clock.advance(timedelta(days=1))
    codes = [
        sign_up(porch, f"p{n}@schule.example", "192.0.2.1", source=HALL).status_code
        for n in range(4)
    ]
    assert codes == [200, 200, 200, 428]
    assert porch.newest(SIGNUP)["source"] == HALL


def test_an_event_that_is_full_gives_the_filled_form_back_and_loses_nobody(
    sqlite_village: Village, tmp_path: Path
) -> None:
    told: list[Over] = []
    village, more = sqlite_village, "[signup]\nper_source = 3\n"
    with open_porch(village, tmp_path, more, alarm=told.append) as porch:
        until = village.now + timedelta(days=1)
        village.do(sources.register, HALL, village.now, "ada", ends_at=until)
        forms = []
        for number in range(5):
            data = {"email": f"p{number}@schule.example", "stream": "kurs", "first_name": "Ada"}
            link = f"/subscribe?source={HALL}&locale=en"
            answer = porch.client.post(link, data=data)
            if answer.status_code == 428:
                forms.append(form_of(answer.text))
        assert [form["email"] for form in forms] == [["p3@schule.example"], ["p4@schule.example"]]
        for form in forms:
            assert (form["source"], form["locale"], form["first_name"]) == ([HALL], ["en"], ["Ada"])
            answer = porch.client.post("/subscribe", data=form)
            assert answer.status_code == 200
            assert 'lang="en"' in answer.text
        assert porch.signups() == 5
        assert porch.newest(SIGNUP)["source"] == HALL
        assert told == [Over(3, HALL)]


def test_the_programs_twin_knows_events_as_well(porch: Porch) -> None:
    codes = [
        porch.client.post(
            "/api/subscriptions",
            json={"email": f"p{n}@schule.example", "stream": "kurs", "source": HALL},
        ).status_code
        for n in range(6)
    ]
    assert codes == [202] * 6


def test_each_way_through_the_door_answers_all_addresses_alike(porch: Porch) -> None:
    """Taken, one step more, shut, full event, ticked what is wrong: byte by byte the same."""
    village = porch.village
    village.subscribe(village.person("known@schule.example"), village.stream())
    village.suppress(village.person("never@schule.example"), "never")
    names = (
        "known",
        "never",
        "newer",
    )  # of one length, and the form comes back with what was typed
    ways: dict[str, dict[str, Any]] = {
        "taken": {"whence": "198.51.100.1"},
        "by an event": {"whence": "192.0.2.1", "source": HALL},
        "trapped": {"whence": "198.51.101.1", "website": "x"},
        "hasty": {"whence": "198.51.102.1", "token": "x"},
        "broken": {"whence": "198.51.103.1", "birthday": "gestern"},
        "shut": {"whence": "203.0.113.1"},
    }
    while sign_up(porch, "x@schule.example", "203.0.113.1").status_code != 429:
        pass
    for way, values in ways.items():
        answers = []
        for name in names:
            answer = sign_up(porch, f"{name}@schule.example", **values)
            step = form_of(answer.text).get("step", ["-"])[0] if "<form" in answer.text else "-"
            shown = answer.text.replace(name, "NAME").replace(step, "STEP")
            headers = {k: v for k, v in answer.headers.items() if k != "content-length"}
            answers.append((answer.status_code, shown, tuple(sorted(headers.items())), len(step)))
        assert len(set(answers)) == 1, way
    assert {sign_up(porch, "a@schule.example", **ways["shut"]).status_code} == {429}


def test_a_forwarded_address_counts_as_far_as_proxies_vouch_for_it(porch: Porch) -> None:
    """One visitor who invents a new address each time is one network still."""
    codes = [
        sign_up(porch, f"p{n}@schule.example", f"198.51.{n}.1, 192.0.2.9").status_code
        for n in range(4)
    ]
    assert codes == [200, 200, 200, 428]
    chained = [
        sign_up(porch, f"q{n}@schule.example", f"2001:db8::{n}, 10.1.2.3").status_code
        for n in range(4)
    ]
    assert chained == [200, 200, 200, 428], "one /64 behind two proxies of ours"
    other = sign_up(porch, "r@schule.example", "2001:db8:0:1::1, 10.1.2.3")
    assert other.status_code == 200


def test_who_never_asked_ends_it_by_a_link_and_no_flood_mails_them_again(porch: Porch) -> None:
    sign_up(porch, "opfer@schule.example", "192.0.2.1")
    signup = porch.newest(SIGNUP)
    refuse = porch.token(Purpose.REFUSE, signup["id"], 1, expires_at=signup["expires_at"])
    assert porch.client.get(f"/refuse/{refuse}").status_code == 200
    assert porch.village.rows(SUPPRESSION) == []
    assert porch.client.post(f"/refuse/{refuse}").status_code == 200
    assert [row["reason"] for row in porch.village.rows(SUPPRESSION)] == ["never"]
    for day in range(1, 9):
        porch.village.clock.advance(timedelta(days=1))
        sign_up(porch, "opfer@schule.example", f"198.51.{day}.1", source=HALL)
    assert len(porch.village.rows(DELIVERY)) == 1
    assert {row["state"] for row in porch.village.rows(SUBSCRIPTION)} <= {
        "unconfirmed",
        "unsubscribed",
    }


def test_visitors_write_no_source_down(porch: Porch) -> None:
    before = porch.village.do(sources.listing)
    for number in range(10):
        sign_up(porch, f"p{number}@schule.example", f"198.51.{number}.1", source=f"flut-{number}")
    known = [one for one in porch.village.do(sources.listing) if one.is_known]
    assert [one.name for one in known] == [one.name for one in before] == [HALL]
    assert len(porch.client.get("/subscribe").text) < 20_000
