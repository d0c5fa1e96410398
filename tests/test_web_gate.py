"""What holds on every page: headers, limits, languages, scanners, and nothing that is a 5xx."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from l3mail import subscribers
from l3mail.addresses import parse_address
from l3mail.database import Verb
from l3mail.errors import DatabaseUnavailableError
from l3mail.models import DELIVERY, LINK_REQUEST
from l3mail.tokens import Purpose
from l3mail.web.gate import Gate, Message, Receive, Scope, Send
from l3mail.web.limits import Over
from tests.fakes.newcomer import RULES
from tests.fakes.porch import Porch, open_porch, title_of
from tests.fakes.questions import FEEDBACK, QUIZ, ask
from tests.fakes.village import Village

ACTS = ("interest", "quiz", "feedback", "course")
PAGES = ("confirm", "refuse", "unsubscribe", "preferences", "view", "address", *ACTS)
FRESH = ("", "/data", "/details", "/address")
"""The pages of a fresh link, but that on which somebody would delete everything."""


@pytest.fixture
def porch(sqlite_village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(sqlite_village, tmp_path) as porch:
        yield porch


@pytest.fixture
def any_porch(village: Village, tmp_path: Path) -> Iterator[Porch]:
    with open_porch(village, tmp_path) as porch:
        yield porch


def every_link(porch: Porch) -> list[str]:
    """Every personal link there is, to somebody who is in the middle of everything."""
    village = porch.village
    person = village.learner(first_name="Ada")
    message = village.publish(html="<p>{{ greeting }}</p>")
    ask(village, message, QUIZ, FEEDBACK)
    delivery = village.delivery(person, message_id=message)
    signup = village.signup(person)
    request = village.link_request(person)
    hour = village.now + timedelta(hours=1)
    make = porch.token
    tokens = {
        "confirm": make(Purpose.CONFIRM, signup, 1, expires_at=hour),
        "refuse": make(Purpose.REFUSE, signup, 1, expires_at=hour),
        "unsubscribe": make(Purpose.UNSUBSCRIBE, person, village.stream(), 1),
        "preferences": make(Purpose.PREFERENCES, delivery),
        "view": make(Purpose.VIEW, delivery),
        "interest": make(Purpose.ACT, delivery) + "?of=video",
        "quiz": make(Purpose.ACT, delivery) + "?of=q1&pick=b",
        "feedback": make(Purpose.ACT, delivery) + "?of=nutzen&pick=4",
        "course": make(Purpose.ACT, delivery),
    }
    new = parse_address("ada@neu.example")
    village.do(subscribers.ask_new_address, RULES, person, new, village.now)
    tokens["address"] = make(Purpose.ADDRESS, porch.newest(LINK_REQUEST)["id"], expires_at=hour)
    token = make(Purpose.PREFERENCES, 0, request, expires_at=hour)
    fresh = [f"/preferences/{token}{page}" for page in FRESH]
    links = [f"/{page}/{token}" for page, token in tokens.items()]
    return [*links, *fresh, "/subscribe", "/link", "/healthz", "/"]


def test_scanners_change_nothing(village: Village, tmp_path: Path) -> None:
    with open_porch(village, tmp_path) as porch:
        links = every_link(porch)
        before = porch.dump()
        for link in links:
            for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND"):
                answer = porch.client.request(method, link)
                assert answer.status_code < 500, (method, link)
        assert porch.dump() == before


def test_head_is_get_without_a_body(porch: Porch) -> None:
    for link in [*every_link(porch), "/assets/pages.css", "/nothing"]:
        get, head = porch.client.get(link), porch.client.head(link)
        assert head.status_code == get.status_code
        assert head.content == b""
        assert head.headers["content-length"] == get.headers["content-length"]
        assert head.headers.get("content-type") == get.headers.get("content-type")


def test_every_answer_keeps_itself_to_itself(porch: Porch) -> None:
    links = [*every_link(porch), "/nothing", "/preview", "/robots.txt", "/assets/pages.css"]
    for link in links:
        for answer in (porch.client.get(link), porch.client.post(link, data={"email": "x"})):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy, link
            assert "frame-ancestors 'none'" in policy, link
            assert "script-src" not in policy
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "set-cookie" not in answer.headers
            if "/assets/" not in link:
                assert answer.headers["cache-control"] == "no-store"
            if "/view/" not in link:
                assert "unsafe" not in policy
            assert "<script" not in answer.text
            assert " style=" not in answer.text
            assert " onclick" not in answer.text


def test_every_page_names_the_provider_and_helps_readers_on(porch: Porch) -> None:
    for link in every_link(porch):
        answer = porch.client.get(link)
        if "html" not in answer.headers.get("content-type", "") or "/view/" in link:
            continue
        for text in (
            '<html lang="de" dir="ltr">',
            'class="skip" href="#main"',
            '<main id="main"',
            "Landeshauptstadt Musterstadt",
            "Rathausplatz 1",
            "https://stadt.example/privacy",
            "bildung@stadt.example",
        ):
            assert text in answer.text, link
        assert answer.text.count("<h1") == 1


@pytest.mark.parametrize("locale", ["de", "de-simple", "en"])
def test_pages_speak_every_language_we_have_words_for(porch: Porch, locale: str) -> None:
    seen = set()
    for link in every_link(porch):
        joint = "&" if "?" in link else "?"
        answer = porch.client.get(f"{link}{joint}locale={locale}")
        if "html" in answer.headers.get("content-type", "") and "/view/" not in link:
            assert f'<html lang="{locale}"' in answer.text, link
            assert "{" not in answer.text
            seen.add(title_of(answer.text))
    assert len(seen) >= 5


def test_the_browsers_language_counts_where_nobody_chose(porch: Porch) -> None:
    answer = porch.client.get("/subscribe", headers={"Accept-Language": "fr, en-GB;q=0.8"})
    assert '<html lang="en"' in answer.text
    assert 'href="?locale=de"' in answer.text


def test_the_workspace_says_it_its_own_way_and_mistakes_do_not_show(
    sqlite_village: Village, tmp_path: Path
) -> None:
    pages = tmp_path / "templates" / "pages"
    pages.mkdir(parents=True)
    (tmp_path / "templates" / "pages.toml").write_text(
        '[de.subscribe]\ntitle = "Hier <lang>"\n[fr.subscribe]\ntitle = "Inscription"\nodd = 3\n'
    )
    (pages / "note.html").write_text("{{ no.such.thing }}")
    (pages / "stale.html").write_text("Eigene Seite: {{ w('stale.title') }}")
    with open_porch(sqlite_village, tmp_path) as porch:
        assert title_of(porch.client.get("/subscribe").text) == "Hier &lt;lang&gt;"
        french = porch.client.get("/subscribe?locale=fr").text
        assert title_of(french) == "Inscription"
        assert "E-Mail-Adresse" in french  # nobody translated it: better German than a fault
        assert title_of(porch.client.get("/nothing").text) == "Diese Seite gibt es nicht"
        assert porch.client.get("/link").text.startswith("Eigene Seite")


def test_words_that_cannot_be_read_are_left_aside(sqlite_village: Village, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    for broken in (b"[de.subscribe\n", b"\xff\xfe", b'de = "x"\n'):
        (tmp_path / "templates" / "pages.toml").write_bytes(broken)
        with open_porch(sqlite_village, tmp_path) as porch:
            assert title_of(porch.client.get("/subscribe").text) == "Anmelden"


def test_a_right_to_left_language_runs_from_the_right(
    sqlite_village: Village, tmp_path: Path
) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "pages.toml").write_text('[ar.subscribe]\ntitle = "\u0627"\n')
    with open_porch(sqlite_village, tmp_path) as porch:
        assert '<html lang="ar" dir="rtl">' in porch.client.get("/subscribe?locale=ar").text


def test_the_page_of_previews_is_where_inert_links_lead(porch: Porch) -> None:
    for link in ("/preview", "/preview/x/y", *(f"/{page}/preview" for page in PAGES)):
        for answer in (porch.client.get(link), porch.client.post(link)):
            assert answer.status_code == 200
            assert title_of(answer.text) == "Das ist eine Vorschau"


# Limits


@pytest.mark.parametrize(
    ("values", "status"),
    [
        pytest.param({"content": b"x" * (64 * 1024 + 1)}, 413, id="a large body"),
        pytest.param({"headers": {"Content-Length": "9" * 30}}, 413, id="a body that is announced"),
        pytest.param({"headers": {"Content-Length": "-1"}}, 413, id="a body of less than nothing"),
        pytest.param({"headers": {"X-Much": "x" * 20_000}}, 431, id="a large header"),
        pytest.param({"params": {"q": "x" * 5000}}, 414, id="a long address"),
    ],
)
def test_what_is_too_large_is_refused(porch: Porch, values: dict[str, Any], status: int) -> None:
    for path in ("/subscribe", "/api/subscriptions", "/link"):
        answer = porch.client.post(path, **values)
        assert answer.status_code == status
        assert "content-security-policy" in answer.headers


def test_a_large_body_in_pieces_is_refused(porch: Porch) -> None:
    pieces = iter([b"x" * 40_000] * 3)
    assert porch.client.post("/subscribe", content=pieces).status_code == 413


def test_head_is_answered_without_a_body_whatever_the_page_says() -> None:
    answered: list[Message] = []
    methods: list[str] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    async def send(message: Message) -> None:
        answered.append(message)

    async def app(scope: Scope, _receive: Receive, answer: Send) -> None:
        methods.append(scope["method"])
        await answer({"type": "http.response.start", "status": 200, "headers": []})
        await answer({"type": "http.response.body", "body": b"page"})

    scope: Scope = {"type": "http", "method": "HEAD", "path": "/subscribe"}
    scope.update(headers=[], query_string=b"")
    asyncio.run(Gate(app, lambda _scope, _status: app)(scope, receive, send))
    assert methods == ["GET"]
    assert answered[1]["body"] == b""


@pytest.mark.parametrize("sent", [b"", b"email=ada@schule.exa"], ids=["nothing", "half"])
def test_half_a_form_is_no_form(porch: Porch, sent: bytes) -> None:
    said: list[Message] = [{"type": "http.request", "body": sent, "more_body": True}]
    answered: list[Message] = []
    reached: list[Scope] = []

    async def receive() -> Message:
        return said.pop(0) if said else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answered.append(message)

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        reached.append(scope)

    scope: Scope = {"type": "http", "method": "POST", "path": "/subscribe"}
    scope.update(headers=[], query_string=b"")
    asyncio.run(Gate(app, lambda _scope, _status: app)(scope, receive, send))
    assert (answered, reached) == ([], [])


def test_many_fields_files_and_odd_types_are_refused(porch: Porch) -> None:
    fields = {f"n{n}": "x" for n in range(500)}
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    for values in (
        {"data": fields},
        {"files": {"email": ("a.txt", b"ada@schule.example")}},
        {"content": b"--x\r\nrubbish", "headers": boundary},
        {"content": b"--x\r\n" + b"A: b\r\n" * 500 + b"\r\n", "headers": boundary},
    ):
        answer = porch.client.post("/subscribe", **values)
        assert answer.status_code in {400, 422}, values
    assert porch.signups() == 0


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MKCOL"])
def test_unknown_methods_are_refused(porch: Porch, method: str) -> None:
    for path in ("/subscribe", "/unsubscribe/x", "/api/subscriptions", "/healthz"):
        assert porch.client.request(method, path).status_code == 405


def test_nothing_tells_how_the_door_is_built(porch: Porch) -> None:
    for path in ("/docs", "/redoc", "/openapi.json", "/metrics", "/subscribe/", "/.git/config"):
        assert porch.client.get(path).status_code == 404


_TEXT = st.text(max_size=40) | st.sampled_from(
    [
        "",
        "\x00",
        "\ud800",
        "x" * 10_000,
        "%s",
        "{{ 7*7 }}",
        "<script>",
        "' OR 1=1 --",
        "../..",
        "🙈",
    ]
)
_FIELDS = "email stream first_name birthday locale source token step website tracking of action "
_FIELDS += "shown choice weeks course language List-Unsubscribe"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    page=st.sampled_from(["subscribe", "link", *PAGES]),
    form=st.lists(st.tuples(st.sampled_from(_FIELDS.split()) | _TEXT, _TEXT), max_size=8),
    number=st.integers(0, 11),
    query=_TEXT,
)
def test_no_form_is_a_fault_of_ours(
    any_porch: Porch, page: str, form: list[tuple[str, str]], number: int, query: str
) -> None:
    porch = any_porch
    if not porch.village.rows(DELIVERY):
        porch.links = every_link(porch)
    links = porch.links
    link = links[number].partition("?")[0] if number % 2 else f"/{page}"
    body = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in form)
    answer = porch.client.post(
        link,
        content=body,
        params={"locale": query.encode("utf-8", "replace").decode()},
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code < 500, (link, form)
    assert "<script>" not in answer.text


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


# Health and trouble


def test_health_says_what_is_late(sqlite_village: Village, tmp_path: Path) -> None:
    late: list[str] = []
    with open_porch(sqlite_village, tmp_path, late=lambda _connection, _now: late) as porch:
        answer = porch.client.get("/healthz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
        late.append("the tick is 5 min late")
        answer = porch.client.get("/healthz")
        assert (answer.status_code, answer.json()["late"]) == (503, late)


def test_a_database_that_is_away_is_a_page_that_says_wait(
    porch: Porch, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: object, verb: Verb[Any]) -> Any:
        raise DatabaseUnavailableError("locked")

    links = every_link(porch)
    for name in ("reads", "writes"):
        monkeypatch.setattr(type(porch.village.database), name, away)
    for link in links:
        if link in {"/link", "/"}:
            continue
        answer = porch.client.get(link)
        assert answer.status_code == 503
        if link != "/healthz":
            assert answer.headers["retry-after"]
            assert title_of(answer.text) == "Einen Augenblick bitte"
    assert porch.client.post("/api/subscriptions", json={}).json()["status"] == "busy"


def test_on_a_full_disk_a_form_is_asked_to_wait_and_pages_go_on(porch: Porch) -> None:
    def fill(connection: Connection) -> None:
        used = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {used}")

    porch.village.do(fill)
    statuses = [porch.sign_up(f"{n:03}@schule.example").status_code for n in range(40)]
    full = statuses.index(503)
    assert set(statuses[full:]) == {503}
    answer = porch.sign_up("late@schule.example")
    assert answer.headers["retry-after"] == "30"
    assert title_of(answer.text) == "Einen Augenblick bitte"
    assert porch.client.get("/subscribe").status_code == 200
    assert porch.signups() == full  # all of it, or nothing


def test_the_sender_is_woken_where_mail_was_queued(sqlite_village: Village, tmp_path: Path) -> None:
    calls: list[int] = []
    with open_porch(sqlite_village, tmp_path, wake=lambda: calls.append(1)) as porch:
        porch.client.get("/subscribe")
        assert calls == []
        porch.sign_up()
        assert calls == [1]


def test_nothing_is_written_into_logs_that_could_be_used(
    porch: Porch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "l3mail")
    for link in every_link(porch):
        porch.client.get(link)
        porch.client.post(link)
    porch.sign_up("canary@schule.example", first_name="Canary")
    said = "\n".join(record.getMessage() for record in caplog.records if "l3mail" in record.name)
    assert "canary" not in said.lower()
    assert "." not in said


def test_too_many_sign_ups_are_told_to_who_is_on_duty(
    sqlite_village: Village, tmp_path: Path
) -> None:
    told: list[Over] = []
    more = "[signup]\noverall = 2\n"
    with open_porch(sqlite_village, tmp_path, more, alarm=told.append) as porch:
        for n in range(5):
            porch.sign_up(f"p{n}@schule.example")
    assert [str(over) for over in told] == [
        "more than 2 sign-ups in an hour; each needs a step more"
    ]


def test_links_keep_the_path_of_the_base_url(sqlite_village: Village, tmp_path: Path) -> None:
    with open_porch(sqlite_village, tmp_path, base_url="http://stadt.example/bildung") as porch:
        for path in ("/subscribe", "/bildung/subscribe"):  # whether or not the proxy cuts it off
            page = porch.client.get(path)
            assert page.status_code == 200
            assert 'href="/bildung/assets/pages.css"' in page.text
        assert porch.client.get("/bildung").headers["location"] == "/bildung/subscribe"
        assert porch.client.get("/bildungsfern").status_code == 404
