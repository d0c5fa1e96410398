"""What somebody learns or changes who knows nothing but an address: nothing.

Whoever an address belongs to, the answer, its headers and the work behind it are the same; and no
header or parameter of a request turns up in a link or a mail of ours.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from l3mail.addresses import parse_address
from l3mail.models import SUBSCRIBER
from tests.fakes.midst import FORM, SETTINGS, Answer, Knock, knocking, midst, routes
from tests.fakes.newcomer import Newcomer, settle
from tests.fakes.porch import Porch, open_porch
from tests.fakes.village import Village
from tests.test_addresses import isemail_cases
from tests.test_subscribers_signups import Counted

JSON = {"Content-Type": "application/json"}
EVIL = "evil.example"


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(sqlite_village, tmp_path, SETTINGS) as porch:
        yield porch


@pytest.fixture
def knock(porch: Porch) -> Iterator[Knock]:
    with knocking(porch) as knock:
        yield knock


def become(village: Village, state: str) -> str:
    """An address whose person is in this state; each is as long as the others."""
    someone = Newcomer(village, f"{re.sub('[ ,]+', '.', state):x<16}@schule.example")
    if state == "unknown":
        return someone.address
    if state == "unconfirmed":
        someone.sign_up()
        someone.read_mail()
        return someone.address
    someone.join()
    match state:
        case "unsubscribed":
            someone.unsubscribe("kurs")
        case "erased":
            someone.erase()
        case "erased, barred":
            someone.suppress("complaint")
            someone.erase()
        case "refused":
            someone.refuse()
        case "complaint" | "hard_bounce" | "operator":
            someone.suppress(state)
    return someone.address


STATES = [
    "unknown",
    "unconfirmed",
    "confirmed",
    "unsubscribed",
    "complaint",
    "hard_bounce",
    "operator",
    "refused",
    "erased",
    "erased, barred",
]


def asked(knock: Knock, door: str, address: str) -> Answer:
    said: dict[str, Any] = {"email": address, "first_name": "Ada"}
    if door != "/link":
        said["stream"] = ["kurs", "newsletter"]
    if door.startswith("/api"):
        return knock("POST", door, json.dumps(said).encode(), JSON)
    return knock("POST", door, urlencode(said, doseq=True).encode(), FORM)


@pytest.mark.parametrize("door", ["/subscribe", "/api/subscriptions", "/link"])
def test_the_answer_and_the_work_are_the_same_whoever_it_is(
    porch: Porch, knock: Knock, door: str
) -> None:
    settle(porch.village)
    people = {state: become(porch.village, state) for state in STATES}
    asked(knock, door, "first@schule.example")  # what is read once and remembered
    for _again in range(2):
        seen: dict[str, tuple[Any, ...]] = {}
        for state, address in people.items():
            with Counted(porch.village.database.engine) as statements:
                answer = asked(knock, door, address)
            seen[state] = (answer.status, answer.headers, answer.body, tuple(statements))
        assert {state: told for state, told in seen.items() if told != seen["unknown"]} == {}
        assert seen["unknown"][0] in {200, 202}


# -- where links lead

HEADERS = {
    "Host": EVIL,
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Server": EVIL,
    "X-Original-URL": f"//{EVIL}/x",
    "X-Rewrite-URL": f"https://{EVIL}/",
    "X-Forwarded-Prefix": f"//{EVIL}",
    "X-Forwarded-Proto": "javascript",
    "Forwarded": f"host={EVIL};proto=https",
    "Referer": f"https://{EVIL}/",
    "Origin": f"https://{EVIL}",
}
TARGETS = [
    f"//{EVIL}",
    f"https://{EVIL}/",
    f"/\\{EVIL}",
    f"https:{EVIL}",
    f"%2f%2f{EVIL}",
    f"javascript:alert(1)//{EVIL}",
    f"https://porch.example@{EVIL}",
    f"\thttps://{EVIL}",
]
NAMES = "next url to redirect return returnUrl continue goto target r u link href back".split()
_LEADS = re.compile(rb"""(?:href|action|src|formaction)\s*=\s*["']([^"']*)["']""")


def test_no_header_and_no_parameter_turns_a_link_of_ours_elsewhere(
    porch: Porch, knock: Knock
) -> None:
    someone = midst(porch.village)
    plain = [path for method, path in routes() if method == "GET" and "{" not in path]
    more = ["/archive/newsletter/2026-12", "/nothing", f"//{EVIL}", "/together/kurs"]
    for path in [*plain, *more, *(link.path for link in someone.links.values())]:
        joint = "&" if "?" in path else "?"
        query = urlencode({name: TARGETS[n % len(TARGETS)] for n, name in enumerate(NAMES)})
        for url in (path, f"{path}{joint}{query}"):
            answer = knock("GET", url, headers=HEADERS)
            usual = knock("GET", path)
            assert answer.header(b"location") == usual.header(b"location"), url
            assert EVIL.encode() not in (answer.header(b"location") or b"")
            for target in _LEADS.findall(answer.body):
                # What a page's own language links carry along is a query of this very page.
                at_home = target.startswith(b"?") or EVIL.encode() not in target
                assert at_home, (url, target)


def test_what_a_request_says_of_its_host_is_in_no_mail(porch: Porch, knock: Knock) -> None:
    settle(porch.village)
    before = porch.dump()
    said = urlencode({"email": "ada@schule.example", "stream": "kurs", "source": "x"}).encode()
    assert knock("POST", "/subscribe", said, FORM | HEADERS).status == 200
    said = urlencode({"email": "ada@schule.example", "next": f"//{EVIL}"}).encode()
    assert knock("POST", "/link", said, FORM | HEADERS).status == 200
    after = porch.dump()
    assert len(after["delivery"]) == len(before["delivery"]) + 1
    assert EVIL not in str(after)


@pytest.mark.parametrize("door", ["/subscribe", "/api/subscriptions", "/link"])
def test_of_the_isemail_corpus_no_door_takes_an_invalid_address(
    porch: Porch, knock: Knock, door: str
) -> None:
    """All 164: none of the 66 that are invalid, and of 22 that can be mailed all but one."""
    settle(porch.village)
    cases = isemail_cases()
    assert len(cases) == 164
    taken: dict[str, list[str]] = {}
    for address, category in cases:
        answer = asked(knock, door, address)
        assert answer.status in {200, 202, 422}, ascii(address)
        if answer.status != 422:
            taken.setdefault(category, []).append(address)
    assert "ISEMAIL_ERR" not in taken
    sendable = {"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN"}
    assert sum(len(taken[category]) for category in sendable) == 21
    # A space before or behind is forgiven to fingers; nothing else that is not quite an address is.
    rest = [address for category in taken.keys() - sendable for address in taken[category]]
    assert [address for address in rest if address == address.strip()] == []
    kept = {row["address"] for row in porch.village.rows(SUBSCRIBER)}
    assert all(parse_address(address).address == address for address in kept)


def test_a_link_of_an_earlier_request_does_nothing_after_its_person_has_acted(
    porch: Porch, knock: Knock
) -> None:
    """Replayed confirmations: what was confirmed and left stays left, however often."""
    village = porch.village
    settle(village)
    ada = Newcomer(village)
    ada.sign_up()
    ada.read_mail()
    first = porch.confirmation()
    assert knock("POST", first, b"stream=kurs&shown=kurs", FORM).status == 200
    assert ada.membership() == ("confirmed", 2)
    ada.unsubscribe("kurs")
    left = porch.dump()
    for body in (b"stream=kurs&shown=kurs", b"", b"stream=kurs&tracking=yes"):
        for _ in range(20):
            assert knock("POST", first, body, FORM).status == 200
    assert porch.dump() == left
    assert ada.membership() == ("unsubscribed", 3)
    ada.erase()
    gone = porch.dump()
    assert knock("POST", first, b"stream=kurs", FORM).status == 404
    assert porch.dump() == gone
