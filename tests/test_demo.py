"""The demo, lived through once: each of its claims can fail, and a second run finds its place."""

import re
import sqlite3
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest
import typer
from sqlalchemy import Connection, delete, func, insert, select, update

from l3mail import courses, rounds, simulations
from l3mail.cli import house
from l3mail.clocks import FixedClock
from l3mail.content import compile_all
from l3mail.database import Database
from l3mail.database import opened as opened_database
from l3mail.demo import answering, people
from l3mail.demo.evidence import CLAIMS, Claim, Evidence, Summary, look
from l3mail.demo.mailserver import Arrived
from l3mail.demo.premises import clear, filled, listening, open_door
from l3mail.demo.timelapse import Moment, Timelapse, opened
from l3mail.demo.visitors import Browser, Page
from l3mail.errors import DemoError, WorkspaceError
from l3mail.models import (
    CERTIFICATE,
    CONSENT,
    COUNTER,
    DELIVERY,
    ENROLLMENT,
    EVENT,
    MESSAGE,
    METADATA,
    SIGNUP,
    STREAM,
    SUBSCRIBER,
    SUBSCRIPTION,
)
from l3mail.outbox import Outcome
from l3mail.planning import LANES
from l3mail.settings import DATABASE_FILE, FILE, Settings, load_settings
from l3mail.simulations import Terms as Supposed
from l3mail.starter import starter
from l3mail.web import create_app
from l3mail.wiring import make_agenda, open_database, read_content
from tests.fakes.paper import PaperRead
from tests.fakes.village import Village

DAY = timedelta(days=1)
ADA = "ada@schule-am-park.example"
LIVED: list[Moment] = []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "here"


@pytest.fixture(scope="module")
def lived(folder: Path) -> Iterator[tuple[Timelapse, Database]]:
    with opened(folder, create_app) as (timelapse, database):
        timelapse.run(LIVED.append)
        yield timelapse, database


class UndoneError(Exception):
    """Takes back what was done to the rows."""


def claims_after(
    lived: tuple[Timelapse, Database], tamper: Callable[[Connection, Evidence], object]
) -> dict[str, Claim]:
    timelapse, database = lived
    found: dict[str, Claim] = {}

    def verb(connection: Connection) -> None:
        whole = timelapse.evidence(connection)
        evidence = Evidence(
            connection, list(whole.arrived), deepcopy(whole.deeds), whole.zone, whole.tokens
        )
        tamper(connection, evidence)
        summary = look(evidence, timelapse.mailbox.folder)
        found.update({claim.name: claim for claim in summary.claims})
        raise UndoneError

    with pytest.raises(UndoneError):
        database.write(verb)
    return found


def ada(connection: Connection) -> int:
    query = select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.address == ADA)
    return int(connection.execute(query).scalar_one())


def of_ada(evidence: Evidence, slug: str) -> int:
    """Where in the post the mail with a text to Ada lies."""
    for number, one in enumerate(evidence.arrived):
        row = evidence.delivery(one)
        if one.address == ADA and row is not None and row.slug.endswith(slug):
            return number
    raise AssertionError(slug)


def put(evidence: Evidence, number: int, *, later: timedelta) -> None:
    post = evidence.arrived
    assert isinstance(post, list)
    post[number] = replace(post[number], at=post[number].at + later)


def forget_a_confirmation(connection: Connection, evidence: Evidence) -> None:
    is_act = (CONSENT.c.act == "confirmed", CONSENT.c.subscriber_id == ada(connection))
    connection.execute(update(CONSENT).where(*is_act).values(act="requested"))


def keep_an_address(connection: Connection, evidence: Evidence) -> None:
    one = select(SIGNUP.c.id).limit(1).scalar_subquery()
    said = {"said": {"note": f"by {people.SILENTLY}"}}
    connection.execute(update(SIGNUP).where(SIGNUP.c.id == one).values(signup_values=said))


def keep_whom_nobody_confirmed(connection: Connection, evidence: Evidence) -> None:
    del evidence.deeds.asked[ADA]


def confirm_late(connection: Connection, evidence: Evidence) -> None:
    change_membership(connection, confirmed_at=people.END)


def confirm_by_opening(connection: Connection, evidence: Evidence) -> None:
    change_membership(connection, confirmed_at=people.BEGIN)


def leave_by_opening(connection: Connection, evidence: Evidence) -> None:
    evidence.deeds.opened[ADA] += 1
    change_membership(connection, unsubscribed_at=people.END)


def lead_nowhere(connection: Connection, evidence: Evidence) -> None:
    evidence.deeds.dead += 1


def leave_early(connection: Connection, evidence: Evidence) -> None:
    change_membership(connection, state="unsubscribed", unsubscribed_at=people.FIRST_SLOT)


def change_membership(connection: Connection, **values: object) -> None:
    course = select(STREAM.c.id).where(STREAM.c.slug == people.COURSE).scalar_subquery()
    mine = (SUBSCRIPTION.c.subscriber_id == ada(connection), SUBSCRIPTION.c.stream_id == course)
    connection.execute(update(SUBSCRIPTION).where(*mine).values(**values))


def mail_who_left(connection: Connection, evidence: Evidence) -> None:
    evidence.deeds.left[people.LEAVES] -= 10 * DAY
    connection.execute(
        update(SUBSCRIPTION)
        .where(SUBSCRIPTION.c.state == "unsubscribed")
        .values(unsubscribed_at=evidence.deeds.left[people.LEAVES])
    )


def ignore_a_click(connection: Connection, evidence: Evidence) -> None:
    evidence.deeds.left[ADA] = people.END


def tell_nobody(connection: Connection, evidence: Evidence) -> None:
    is_notice = DELIVERY.c.kind == "notice"
    connection.execute(update(DELIVERY).where(is_notice).values(state="failed"))


def settle_a_doubt(connection: Connection, evidence: Evidence) -> None:
    connection.execute(update(DELIVERY).values(uncertain_at=None))


def ignore_a_pause(connection: Connection, evidence: Evidence) -> None:
    evidence.deeds.paused[ADA] = 2


def enroll_twice(connection: Connection, evidence: Evidence) -> None:
    query = select(ENROLLMENT).where(ENROLLMENT.c.subscriber_id == ada(connection))
    row = dict(connection.execute(query).one()._mapping)
    del row["id"]
    connection.execute(insert(ENROLLMENT).values(**row))


def rewrite_history(connection: Connection, evidence: Evidence) -> None:
    connection.execute(update(CONSENT).where(CONSENT.c.seq == 3).values(content={"streams": []}))


def lose_a_mail(connection: Connection, evidence: Evidence) -> None:
    post = evidence.arrived
    assert isinstance(post, list)
    del post[of_ada(evidence, "/04-newsletter")]


def send_unasked(connection: Connection, evidence: Evidence) -> None:
    number = evidence.delivery(evidence.arrived[of_ada(evidence, "/welcome")])
    assert number is not None
    connection.execute(update(DELIVERY).where(DELIVERY.c.id == number.id).values(state="failed"))
    del evidence.__dict__["deliveries"]


def send_again_as_new(connection: Connection, evidence: Evidence) -> None:
    post = evidence.arrived
    assert isinstance(post, list)
    post.append(renamed(post[of_ada(evidence, "/02-social-media")]))


def renamed(one: Arrived) -> Arrived:
    mail = deepcopy(one.mail)
    mail.replace_header("Message-ID", "<9999.other@musterstadt.example>")
    return replace(one, mail=mail)


def send_again(connection: Connection, evidence: Evidence) -> None:
    post = evidence.arrived
    assert isinstance(post, list)
    post.append(post[of_ada(evidence, "/02-social-media")])


def speak_english(connection: Connection, evidence: Evidence) -> None:
    evidence.deeds.asked[ADA] = "en"


def come_on_tuesday(connection: Connection, evidence: Evidence) -> None:
    put(evidence, of_ada(evidence, "/evaluation"), later=DAY)


def come_late(connection: Connection, evidence: Evidence) -> None:
    put(evidence, of_ada(evidence, "/evaluation"), later=timedelta(seconds=1))


def hurry(connection: Connection, evidence: Evidence) -> None:
    put(evidence, of_ada(evidence, "/06-netzwerk"), later=7 * DAY)


def move_to_the_north(connection: Connection, evidence: Evidence) -> None:
    elsewhere = SUBSCRIBER.c.district.is_distinct_from(people.DISTRICT)
    connection.execute(update(SUBSCRIBER).where(elsewhere).values(district=people.DISTRICT))


def move_away(connection: Connection, evidence: Evidence) -> None:
    address = SUBSCRIBER.c.address == "zoe@verein.example"
    connection.execute(update(SUBSCRIBER).where(address).values(district="Mitte"))


def delay_the_issue(connection: Connection, evidence: Evidence) -> None:
    for number, one in enumerate(evidence.arrived):
        if one.stream == people.NEWSLETTER:
            put(evidence, number, later=DAY)


def greet_late(connection: Connection, evidence: Evidence) -> None:
    put(evidence, of_ada(evidence, "/birthday"), later=timedelta(hours=1))


def be_born_a_day_later(connection: Connection, evidence: Evidence) -> None:
    mine = SUBSCRIBER.c.id == ada(connection)
    connection.execute(update(SUBSCRIBER).where(mine).values(birth_month=11, birth_day=1))


def answer_a_day_early(connection: Connection, evidence: Evidence) -> None:
    put(evidence, of_ada(evidence, "/video-checkliste"), later=-DAY)


def answer_twice(connection: Connection, evidence: Evidence) -> None:
    post = evidence.arrived
    assert isinstance(post, list)
    post.append(post[of_ada(evidence, "/video-checkliste")])


def press_nothing(connection: Connection, evidence: Evidence) -> None:
    del evidence.deeds.wished[ADA, "video"]


def call_it_a_machine(connection: Connection, evidence: Evidence) -> None:
    is_click = EVENT.c.kind == "clicked"
    connection.execute(update(EVENT).where(is_click).values(verdict="machine"))


def ask_no_office(connection: Connection, evidence: Evidence) -> None:
    evidence.deeds.approved.clear()


def thank_again(connection: Connection, evidence: Evidence) -> None:
    post = evidence.arrived
    assert isinstance(post, list)
    post.append(post[of_ada(evidence, "/tag-des-ehrenamts")])


def thank_one_less(connection: Connection, evidence: Evidence) -> None:
    post = evidence.arrived
    assert isinstance(post, list)
    del post[of_ada(evidence, "/tag-des-ehrenamts")]


def forbid_in_secret(connection: Connection, evidence: Evidence) -> None:
    mine = (CONSENT.c.act == "tracking_granted", CONSENT.c.subscriber_id == ada(connection))
    connection.execute(update(CONSENT).where(*mine).values(act="tracking_withdrawn"))


def leave_out_a_pixel(connection: Connection, evidence: Evidence) -> None:
    post = evidence.arrived
    assert isinstance(post, list)
    number = of_ada(evidence, "/03-video")
    mail = deepcopy(post[number].mail)
    mail.get_payload(0).set_content("Ohne")
    mail.get_payload(1).set_content("<p>Ohne</p>", subtype="html")
    post[number] = replace(post[number], mail=mail)


def lose_a_click(connection: Connection, evidence: Evidence) -> None:
    one = select(EVENT.c.id).where(EVENT.c.verdict == "human").limit(1).scalar_subquery()
    connection.execute(delete(EVENT).where(EVENT.c.id == one))


def count_one_too_many(connection: Connection, evidence: Evidence) -> None:
    connection.execute(update(COUNTER).values(n=COUNTER.c.n + 1))


def believe_the_scanner(connection: Connection, evidence: Evidence) -> None:
    is_machine = EVENT.c.verdict == "machine"
    connection.execute(update(EVENT).where(is_machine).values(verdict="human"))


def doubt_people(connection: Connection, evidence: Evidence) -> None:
    mine = (EVENT.c.subscriber_id == ada(connection), EVENT.c.kind == "opened")
    connection.execute(update(EVENT).where(*mine).values(verdict="unsure"))


def report_on_tuesday(connection: Connection, evidence: Evidence) -> None:
    put(evidence, of_staff(evidence), later=DAY)


def report_to_ada(connection: Connection, evidence: Evidence) -> None:
    post, number = evidence.arrived, of_staff(evidence)
    assert isinstance(post, list)
    post[number] = replace(post[number], address=ADA)


def of_staff(evidence: Evidence) -> int:
    """Where in the post the first weekly report lies."""
    numbers = (n for n, one in enumerate(evidence.arrived) if "Wochenbericht" in one.subject)
    return next(numbers)


def foresee_nothing(connection: Connection, evidence: Evidence) -> None:
    evidence.deeds.foreseen.clear()


def foresee_too_much(connection: Connection, evidence: Evidence) -> None:
    told = evidence.deeds.foreseen
    mine = next(one for one in told if one.email == ADA and one.kind == "lesson")
    told.append(replace(mine, due_at=mine.due_at + DAY))


def forget_a_second_thought(connection: Connection, evidence: Evidence) -> None:
    sent = next(values for values in evidence.deeds.answered.values() if len(values) > 1)
    sent.pop()


def lose_an_answer(connection: Connection, evidence: Evidence) -> None:
    last = select(func.max(EVENT.c.id)).where(EVENT.c.kind == "answered").scalar_subquery()
    connection.execute(delete(EVENT).where(EVENT.c.id == last))


def answer_by_opening(connection: Connection, evidence: Evidence) -> None:
    scanned = select(SUBSCRIBER.c.id).where(SUBSCRIBER.c.address == people.SCANNED)
    last = select(func.max(EVENT.c.id)).where(EVENT.c.kind == "answered").scalar_subquery()
    values = {"subscriber_id": scanned.scalar_subquery()}
    connection.execute(update(EVENT).where(EVENT.c.id == last).values(values))


def measure_everybody(connection: Connection, evidence: Evidence) -> None:
    connection.execute(update(SUBSCRIBER).values(tracking=True))


def complete_unasked(connection: Connection, evidence: Evidence) -> None:
    connection.execute(update(ENROLLMENT).values(completed_at=people.END))


def complete_nothing(connection: Connection, evidence: Evidence) -> None:
    connection.execute(update(ENROLLMENT).values(completed_at=None))


def issue_unearned(connection: Connection, evidence: Evidence) -> None:
    connection.execute(update(ENROLLMENT).values(completed_at=None))


def lose_a_certificate(connection: Connection, evidence: Evidence) -> None:
    connection.execute(delete(CERTIFICATE))


def call_it_forged(connection: Connection, evidence: Evidence) -> None:
    paper, _ = evidence.deeds.collected[ADA]
    evidence.deeds.collected[ADA] = paper, False


TAMPERED = [
    ("confirmed", forget_a_confirmation),
    ("confirmed", keep_whom_nobody_confirmed),
    ("forgotten", keep_an_address),
    ("asked", confirm_late),
    ("by hand", confirm_by_opening),
    ("by hand", leave_by_opening),
    ("by hand", lead_nowhere),
    ("left", leave_early),
    ("left", mail_who_left),
    ("left", ignore_a_click),
    ("enrolled", enroll_twice),
    ("enrolled", tell_nobody),
    ("proved", rewrite_history),
    ("arrived", lose_a_mail),
    ("arrived", send_unasked),
    ("repeated", send_again_as_new),
    ("resent", send_again),
    ("resent", settle_a_doubt),
    ("language", speak_english),
    ("complete", lose_a_mail),
    ("mondays", come_on_tuesday),
    ("mondays", ignore_a_pause),
    ("sharp", come_late),
    ("crowded", hurry),
    ("reported", report_on_tuesday),
    ("reported", report_to_ada),
    ("foreseen", foresee_nothing),
    ("foreseen", foresee_too_much),
    ("foreseen", come_late),
    ("answered", forget_a_second_thought),
    ("answered", lose_an_answer),
    ("by themselves", answer_by_opening),
    ("by themselves", measure_everybody),
    ("completed", complete_unasked),
    ("completed", complete_nothing),
    ("certified", issue_unearned),
    ("certified", lose_a_certificate),
    ("certified", call_it_forged),
    ("issue", move_to_the_north),
    ("issue", move_away),
    ("issue", delay_the_issue),
    ("birthdays", greet_late),
    ("birthdays", be_born_a_day_later),
    ("wishes", answer_a_day_early),
    ("wishes", answer_twice),
    ("wishes", press_nothing),
    ("by click", call_it_a_machine),
    ("by click", ask_no_office),
    ("yearly", thank_again),
    ("yearly", thank_one_less),
    ("private", forbid_in_secret),
    ("private", leave_out_a_pixel),
    ("on record", forbid_in_secret),
    ("on record", lose_a_click),
    ("on record", count_one_too_many),
    ("judged", believe_the_scanner),
    ("judged", doubt_people),
]


@pytest.mark.slow
def test_every_claim_holds_and_has_a_way_to_fail(lived: tuple[Timelapse, Database]) -> None:
    claims = claims_after(lived, lambda _connection, _evidence: None)
    assert [name for name, claim in claims.items() if not claim.holds] == []
    assert len(claims) == len(CLAIMS)
    assert claims.keys() == {name for name, _ in TAMPERED}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tamper"), TAMPERED, ids=lambda value: getattr(value, "__name__", value)
)
def test_a_claim_fails_when_it_is_not_so(
    lived: tuple[Timelapse, Database],
    name: str,
    tamper: Callable[[Connection, Evidence], object],
) -> None:
    claim = claims_after(lived, tamper)[name]
    assert not claim.holds, claim.words


@pytest.mark.slow
def test_people_did_what_the_story_says(lived: tuple[Timelapse, Database]) -> None:
    notes = [note for moment in LIVED for note in moment.notes]
    for words in (
        "Clara types too fast and takes one step more",
        "Gerda finds no mail yet",
        "Xenia confirms, reads en: lesson 1 Mon 12 Oct 10:00",
        "Karim signs up again, long since confirmed",
        "Bert confirms at 10:00:01: lesson 1 Mon 12 Oct 10:00",
        "Bert unsubscribes while the lesson is queued",
        "Jana pauses for 2 weeks",
        "Elif presses the button for newsletter-vorlage",
        "Paul no longer allows opens and clicks to be measured",
        "The office approves lifecycle/mehr-beispiele, due Wed 21 Oct 10:00",
        "Karim reads why q3 was not right, and changes it",
        "Wilma has answered every question: the course is completed",
        "Ada fetches the certificate, and looks its code up",
    ):
        assert notes.count(words) == 1, words
    nos = {no for moment in LIVED for _, _, no in moment.mails if no}
    assert nos == {"450 4.2.1", "550 5.1.1", "552 5.2.2"}
    assert sum("is forgotten" in note for note in notes) == 2
    assert [moment.share for moment in LIVED] == sorted(moment.share for moment in LIVED)


def test_who_knows_the_answers_in_the_demo_knows_those_of_the_course() -> None:
    texts = compile_all(read_content(load_settings(starter(), {})))
    named = {text.source.slug: text.compiled for text in texts if text.source.locale == "de"}
    lessons = sorted(slug for slug in named if slug.startswith(f"{people.COURSE}/0"))
    for slug, known in zip(lessons, answering.KNOWN, strict=True):
        compiled = named[slug]
        assert compiled is not None
        right = tuple(
            "".join(option["value"] for option in asked["options"] if option["right"])
            for asked in compiled["questions"]
            if asked["kind"] == "quiz"
        )
        assert right == known, slug


@pytest.mark.slow
def test_the_gallery_holds_every_text_that_arrived_once(
    tmp_path: Path, lived: tuple[Timelapse, Database]
) -> None:
    timelapse, database = lived
    summary = database.read(lambda connection: timelapse.conclude(connection, tmp_path))
    assert summary.pages[0] == tmp_path / "gallery" / "index.html"
    assert summary.pages[2] == tmp_path / "certificates" / "ada.pdf"
    assert PaperRead(summary.pages[2].read_bytes()).is_tagged
    index = summary.pages[0].read_text(encoding="utf-8")
    # Of what is written anew for the staff each time, one of a kind.
    sent = select(DELIVERY.c.message_id).where(DELIVERY.c.state == "accepted")
    named = select(MESSAGE.c.slug, MESSAGE.c.locale).where(MESSAGE.c.id.in_(sent)).distinct()
    texts = database.read(lambda connection: connection.execute(named).all())
    hung = Counter(re.findall(r"<code>([^<]+)</code></p>\n<p class=\"fine\">([\w-]+) ·", index))
    assert hung == Counter((row.slug, row.locale) for row in texts)
    shown = [path.read_text(encoding="utf-8") for path in (tmp_path / "gallery").rglob("*.html")]
    assert not any("/o/" in address for html in shown for address in _SOURCES.findall(html))
    banner = next(html for html in shown if 'alt="Zeichnung: Von einem Haus' in html)
    assert "data:image/png;base64," in banner


_SOURCES = re.compile(r'src="([^"]*)"')


@pytest.mark.slow
def test_reports_are_pages_that_fetch_nothing(
    tmp_path: Path, lived: tuple[Timelapse, Database]
) -> None:
    timelapse, database = lived
    summary = database.read(lambda connection: timelapse.conclude(connection, tmp_path))
    assert summary.pages[1] == tmp_path / "report" / "report-2026-W49.html"
    written = sorted(path.name for path in (tmp_path / "report").iterdir())
    weeks = [f"report-2026-W{week}.html" for week in range(41, 51)]
    assert written == [*weeks, f"report-{people.COURSE}.html", "report-newsletter-2026-12.html"]
    for name in written:
        page = (tmp_path / "report" / name).read_text(encoding="utf-8")
        assert not re.search(r"""(?:src|href)="(?!#|data:)""", page)


@pytest.mark.slow
def test_a_link_of_a_mail_opens_when_the_workspace_is_served_again(
    folder: Path, lived: tuple[Timelapse, Database]
) -> None:
    timelapse, _ = lived
    link = timelapse.mailbox.newest(ADA, lambda mail: mail.link("preferences"))
    settings = load_settings(folder, {})
    assert link.startswith(f"http://127.0.0.1:{settings.web.port}/preferences/")
    clock = FixedClock(people.END + 400 * DAY)
    with (
        open_database(settings) as database,
        listening() as door,
        open_door(create_app, settings, database, clock, door),
    ):
        here = f"http://127.0.0.1:{door.getsockname()[1]}"
        with urlopen(link.replace(settings.web.base_url, here)) as answer:
            assert answer.status == 200
            assert "Bildung im Stadtteil" in answer.read().decode()


def test_the_starters_settings_are_filled_in_where_they_stand() -> None:
    text = (starter() / FILE).read_text(encoding="utf-8")
    values = {
        "relay": {"port": "2525"},
        "web": {"port": "9"},
        "signup": {"fields": '["district"]'},
        "uncertain": {"lesson": '"hold"'},
        "impressum": {"name": '"Stadt"'},
    }
    done = filled(text, values)
    assert "\nport = 2525\n" in done
    assert "# port = 587" not in done
    assert '[signup]\nfields = ["district"]\n' in done
    assert re.search(r'base_url = "[^"]*"\nport = 9\n\n#', done)
    assert '[impressum]\nname = "Stadt"\naddress = ""' in done
    assert '[uncertain]\nlesson = "hold"\n' in done
    opened = text.replace("# [signup]", "[signup]")
    kept = [line for line in opened.splitlines() if line.startswith("[")]
    assert [line for line in done.splitlines() if line.startswith("[")] == [*kept, "[uncertain]"]


def test_a_section_that_is_only_shown_is_there_where_it_has_values() -> None:
    text = (
        '[web]\nport = 1\n\n# Measured?\n# [tracking]\n# mode = "off"\n\n# [log]\n# host = "text"\n'
    )
    done = filled(text, {"tracking": {"mode": '"consent"'}, "web": {"host": '"::1"'}})
    assert tomllib.loads(done) == {
        "web": {"port": 1, "host": "::1"},
        "tracking": {"mode": "consent"},
    }
    assert '# Measured?\n[tracking]\nmode = "consent"\n\n# [log]\n' in done


def test_an_old_demo_is_made_anew_and_nothing_else_is_touched(tmp_path: Path) -> None:
    clear(tmp_path / "demo")
    (tmp_path / "demo" / "l3mail.toml").touch()
    clear(tmp_path / "demo")
    assert not (tmp_path / "demo" / "l3mail.toml").exists()
    (tmp_path / "letter.txt").touch()
    with pytest.raises(WorkspaceError, match="holds something else"):
        clear(tmp_path)
    assert (tmp_path / "letter.txt").exists()


def test_nobody_of_the_demo_leaves_this_machine() -> None:
    browser = Browser("http://127.0.0.1:1", lambda _time: None)
    for url in ("https://stadt.example/", "http://127.0.0.1:12/", "file:///etc/passwd"):
        with pytest.raises(DemoError, match="leads away"):
            browser.get(url)
    assert browser.scan(["https://stadt.example/datenschutz"]) == []


def test_a_page_that_lost_its_field_or_its_form_is_noticed() -> None:
    page = Page("http://127.0.0.1:1/subscribe", 200, '<form><input name="email" value=""></form>')
    form = page.form()
    assert form.filled({"email": "a@b.example"}) == [("email", "a@b.example")]
    with pytest.raises(DemoError, match="no field for first_name"):
        form.filled({"first_name": "Ada"})
    with pytest.raises(DemoError, match="no field for newsletter"):
        form.filled({}, (("stream", "newsletter"),))
    with pytest.raises(DemoError, match="/subscribe answered 200 without the form"):
        page.form(action="pause")


def test_a_claim_that_fails_is_shown_and_fails_the_command() -> None:
    claims = (Claim("a", True, "0 mails came late"), Claim("b", False, "1 came " + "too " * 30))
    said: list[str] = []
    summary = Summary(
        folder=Path("here"),
        pages=(Path("here/gallery/index.html"),),
        people=1,
        mails=2,
        states=Counter(failed=1),
        claims=claims,
    )
    with pytest.raises(typer.Exit) as ended:
        house._conclude(said.append, summary)
    assert ended.value.exit_code == 1
    assert "  ok  0 mails came late" in said
    assert any(line.startswith("  NO  1 came too") for line in said)
    assert "  here/gallery/index.html" in said
    assert max(map(len, said)) <= 80


# -- the year after


@pytest.fixture
def year_after(
    lived: tuple[Timelapse, Database], folder: Path, tmp_path: Path
) -> Iterator[tuple[Village, Settings]]:
    """The demo's people in a copy of its database; all begin the course anew, one after another."""
    settings = lived[0]._settings
    copy = tmp_path / DATABASE_FILE
    with sqlite3.connect(settings.state_dir / DATABASE_FILE) as source:
        source.execute("VACUUM INTO ?", (str(copy),))
    source.close()
    members = (
        select(SUBSCRIPTION.c.subscriber_id)
        .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
        .where(STREAM.c.slug == people.COURSE, SUBSCRIPTION.c.state == "confirmed")
        .order_by(SUBSCRIPTION.c.subscriber_id)
    )
    with opened_database(f"sqlite:///{copy}") as database:
        village = Village(database, FixedClock(people.END), staff=settings.staff)
        for n, (person,) in enumerate(village.ask(members)):
            begins = people.END + n * timedelta(days=9, hours=5)
            village.do(courses.enroll, people.COURSE, person, begins, settings.zone)
        yield village, settings


def live_until(village: Village, until: datetime, settings: Settings) -> None:
    """The real planner and the real outbox, with a relay that takes everything."""
    agenda = make_agenda(settings, rehearsing=True)
    moment: datetime | None = village.now
    while moment is not None and moment <= until:
        village.clock.set(moment)
        rounds.run(village.database, village.clock, agenda)
        begun = [one for lane in LANES for one in village.begin(village.claim(lane=lane))]
        for started in begun:
            village.record(started, Outcome.ACCEPTED)
        if not begun:
            moment = village.do(rounds.next_moment, moment, agenda)


def test_a_year_over_the_demo_s_people_comes_as_it_was_foreseen(
    year_after: tuple[Village, Settings],
) -> None:
    village, settings = year_after
    agenda = make_agenda(settings, rehearsing=True)
    until = village.now + timedelta(days=365)
    supposed = Supposed(village.now, until, staff=settings.staff)
    before = {table.name: village.rows(table) for table in METADATA.sorted_tables}
    foreseen = village.database.read(
        lambda connection: simulations.simulate(connection, supposed, agenda)
    )
    assert {table.name: village.rows(table) for table in METADATA.sorted_tables} == before
    live_until(village, until, settings)
    rows = village.ask(
        select(
            DELIVERY.c.due_at,
            func.coalesce(SUBSCRIBER.c.address, DELIVERY.c.address),
            DELIVERY.c.slug,
            DELIVERY.c.kind,
            DELIVERY.c.state,
        )
        .select_from(DELIVERY.outerjoin(SUBSCRIBER, SUBSCRIBER.c.id == DELIVERY.c.subscriber_id))
        .where(DELIVERY.c.id > max(row["id"] for row in before["delivery"]))
    )
    # What nobody approves is foreseen as held, and lapses.
    states = {"accepted": "planned", "lapsed": "held"}
    came = sorted((*row[:4], states[row.state]) for row in rows)
    told = [(one.due_at, one.email, one.message, one.kind, one.status) for one in foreseen]
    assert told == came
    kinds = Counter(one.kind for one in foreseen)
    assert kinds["lesson"] == 6 * kinds["evaluation"] > 100
    assert kinds["report"] == 52
    assert {"lifecycle/birthday", "lifecycle/tag-des-ehrenamts", "lifecycle/weltbildungstag"} <= {
        one.message for one in foreseen
    }
