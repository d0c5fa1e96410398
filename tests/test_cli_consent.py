"""`consent`: what an operator sees of the proof, what is handed out, and what a stranger finds."""

import json
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, null, update

from l3mail import consents, subscribers, typesetting
from l3mail.addresses import parse_address
from l3mail.consents.hashes import joined
from l3mail.database import opened
from l3mail.errors import PaperError
from l3mail.models import (
    ACTIONS,
    CONSENT,
    DELIVERY,
    MESSAGE,
    SIGNUP,
    STREAM,
    SUBSCRIBER,
    WORDING,
)
from l3mail.settings import load_settings
from l3mail.subscribers import Request, Rules
from l3mail.wiring import composer, make_rules
from tests.fakes.chromium import CHROMIUM, browser, faults_by_day_and_night
from tests.fakes.desk import TUESDAY, Desk, at_a_desk
from tests.fakes.newcomer import settle
from tests.fakes.post import send
from tests.fakes.relay import Relay
from tests.fakes.village import Village

ADA, BEA = "ada@schule.example", "bea@canary.example"
LONG = "Donaudampfschifffahrtsgesellschaft" * 4
ASKING = "{{ greeting }}\n{% for one in streams %}{{ one }}\n{% endfor %}Ja: {{ links.confirm }}\n"


class Registry:
    """People at a desk's workspace, who sign up and confirm by the mails they get."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.village = desk, desk.village
        self.settings = load_settings(desk.folder, {})
        self.rules: Rules = make_rules(self.settings)

    def sign_up(self, email: str, *slugs: str, **more: Any) -> None:
        request = Request(parse_address(email), slugs or ("kurs",), **more)
        self.village.do(subscribers.sign_up, self.rules, request, self.village.now)
        self.village.clock.advance(timedelta(minutes=1))

    def mail(self) -> list[bytes]:
        """Send what is due; the confirmations as the relay took them."""
        with Relay() as relay:
            send(self.village, relay, compose=composer(self.settings, self.village.database))
        return [taken.data for taken in relay.accepted if b"/confirm/" in taken.data]

    def confirm(self, *slugs: str) -> None:
        newest = self.village.rows(SIGNUP)[-1]
        self.village.clock.advance(timedelta(minutes=5))
        numbers = (newest["id"], newest["generation"])
        self.village.do(
            subscribers.confirm, self.rules, *numbers, slugs or ("kurs",), self.village.now
        )

    def erase(self, email: str) -> None:
        person = self.village.do(subscribers.find, self.rules, parse_address(email))
        assert person is not None
        self.village.do(subscribers.erase, self.rules, person, self.village.now, by="kim")


class _Silence:
    """What a desk reads its terminal by, where nobody looks."""

    out = err = ""

    def readouterr(self) -> "_Silence":
        return self


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace where Bea came first and confirmed, and Ada after her, by mails a relay took."""
    folder = tmp_path_factory.mktemp("registry")
    with pytest.MonkeyPatch.context() as patch, at_a_desk(folder, _Silence(), patch) as desk:
        settle(desk.village)
        desk.village.publish("notice/confirmation", text=ASKING)
        registry = Registry(desk)
        for email, source in ((BEA, "canary-fair"), (ADA, "aushang")):
            registry.sign_up(email, source=source)
            (folder / f"{email}.eml").write_bytes(*registry.mail())
            registry.confirm()
    return folder


@pytest.fixture
def registry(
    prepared: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Registry]:
    folder = Path(shutil.copytree(prepared, tmp_path / "house"))
    with opened(load_settings(folder, {}).database_url) as database:
        village = Village(database)
        village.clock.set(TUESDAY + timedelta(hours=1))
        yield Registry(Desk(folder, village, capsys, monkeypatch))


@dataclass(frozen=True)
class Unpacked:
    """A proof that somebody unpacked, and what its own program says of it."""

    folder: Path

    @property
    def said(self) -> dict[str, Any]:
        return dict(json.loads((self.folder / "proof.json").read_text(encoding="utf-8")))

    def check(self, *links: str) -> tuple[int, str]:
        ended = subprocess.run(
            [sys.executable, "-I", str(self.folder / "verify.py"), *links],
            capture_output=True,
            check=False,
            timeout=60,
            env={"PYTHONUTF8": "1"},
        )
        return ended.returncode, ended.stdout.decode()


def unpacked(registry: Registry, email: str = ADA, *, at: datetime = TUESDAY) -> Unpacked:
    target = registry.desk.folder / "proof.zip"
    registry.desk.run("consent", "export", email, "--out", str(target), at=at)
    folder = registry.desk.folder / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    with zipfile.ZipFile(target) as packed:
        packed.extractall(folder)
    return Unpacked(folder)


def test_show_tells_each_act_its_wording_and_its_proof_and_where_the_person_stands(
    registry: Registry,
) -> None:
    shown = registry.desk.run("consent", "show", ADA)
    assert "2026-11-24 10:07\tmailed\tkurs\t\taccepted by the relay (250), delivery 3\n" in shown
    assert "by the sign-up form; source aushang" in shown
    assert "by the link of the confirmation mail (delivery 3)" in shown
    assert "  kurs: confirmed 2026-11-24\n  tracking: no\n" in shown
    assert "Wording #1, course in de:\n  Ja zum Kurs.\n" in shown
    assert "The chain is whole: 6 acts." in shown
    assert "canary" not in shown


def test_show_tells_programs_the_same_and_the_hashes(registry: Registry) -> None:
    shown = registry.desk.json("consent", "show", ADA)
    assert [act["act"] for act in shown["acts"]] == ["requested", "mailed", "confirmed"]
    assert shown["acts"][0]["content"]["source"] == "aushang"
    assert shown["people"][0]["streams"][0]["status"] == "confirmed"
    assert shown["chain"]["verified"] is True
    assert shown["chain"]["link"] == registry.village.rows(CONSENT)[-1]["link"].hex()


def test_who_was_entered_is_shown_with_who_said_so_and_why(registry: Registry) -> None:
    note = "Liste vom Elternabend am 3. November"
    words = ("--stream", "kurs", "--confirmed", "--consent-note", note)
    registry.desk.run("--as", "kim", "subscribers", "add", "cleo@schule.example", *words)
    shown = registry.desk.run("consent", "show", "cleo@schule.example")
    assert f"2026-11-24 10:00\tattested\tkurs\t\tentered by the office; kim says: {note}" in shown


def test_the_proof_of_somebody_erased_is_found_shown_and_handed_out(registry: Registry) -> None:
    registry.erase(ADA)
    shown = registry.desk.run("consent", "show", ADA.upper())
    assert shown.startswith(
        "ADA@schule.example: erased on 2026-11-24, proof kept until 2029-12-31\n"
    )
    assert "with the erasure of their data" in shown
    proof = unpacked(registry)
    assert proof.check()[0] == 0
    assert not (proof.folder / "mails").exists()
    page = (proof.folder / "proof.html").read_text(encoding="utf-8")
    assert "am 24. November 2026 gelöscht" in page
    assert "weil ihre Adresse gelöscht ist" in page


def test_of_somebody_whose_proof_is_gone_nothing_is_known(registry: Registry) -> None:
    person = registry.village.do(subscribers.find, registry.rules, parse_address(ADA))
    assert person is not None
    registry.erase(ADA)
    registry.village.do(consents.forget, person)
    for command in ("show", "export"):
        registry.desk.run("consent", command, ADA, code=1)
        assert "nothing is known of ada@schule.example" in registry.desk.error


def test_somebody_who_comes_back_after_an_erasure_has_one_history(registry: Registry) -> None:
    registry.erase(ADA)
    registry.sign_up(ADA)
    registry.mail()
    registry.confirm()
    acts = registry.desk.json("consent", "show", ADA)["acts"]
    whole = ["requested", "mailed", "confirmed"]
    assert [act["act"] for act in acts] == [*whole, "withdrawn", *whole]
    assert len({act["subscriber"] for act in acts}) == 2
    proof = unpacked(registry)
    assert proof.check()[0] == 0
    last = registry.desk.village.rows(ACTIONS)[-1]
    assert (last["command"], last["counts"]) == ("consent export", {"subscribers": 1})


def test_acts_are_listed_and_sought(registry: Registry) -> None:
    desk = registry.desk
    assert [row["seq"] for row in desk.json("consent", "list")] == [1, 2, 3, 4, 5, 6]
    assert [row["seq"] for row in desk.json("consent", "list", "--act", "confirmed")] == [3, 6]
    assert [row["seq"] for row in desk.json("consent", "list", "--status", "confirmed")] == [3, 6]
    assert [row["seq"] for row in desk.json("consent", "list", "--search", "canary")] == [1, 2, 3]
    segment = ("--segment", f'email == "{BEA}"')
    assert [row["seq"] for row in desk.json("consent", "list", *segment)] == [1, 2, 3]
    since = desk.json("consent", "list", "--since", "2026-11-24 10:06")
    assert [row["seq"] for row in since] == [3, 4, 5, 6]
    newest = desk.run("consent", "list", "--limit", "1").splitlines()
    assert newest[1:] == [
        f"6\t2026-11-24 10:12\tconfirmed\t{ADA}\tkurs\tweb",
        "The newest 1; --limit shows more.",
    ]
    desk.run("consent", "list", "--act", "agreed", code=2)
    registry.erase(BEA)
    erased = desk.json("consent", "list", "--act", "requested")[0]
    assert (erased["seq"], erased["email"]) == (1, None)


def test_a_mail_that_an_operator_found_to_have_arrived_is_noted_as_that(
    registry: Registry,
) -> None:
    registry.sign_up("cleo@schule.example")
    (delivery,) = registry.village.claim(lane=0)
    registry.village.begin([delivery])
    registry.village.take_over()
    resolve = ("--as", "kim", "outbox", "resolve", str(delivery.id), "--arrived", "--yes")
    registry.desk.run(*resolve, "--dry-run")
    assert "mailed" not in registry.desk.run("consent", "show", "cleo@schule.example")
    registry.desk.run(*resolve)
    shown = registry.desk.run("consent", "show", "cleo@schule.example")
    assert f"mailed\tkurs\t\tfound to have arrived by kim, delivery {delivery.id}\n" in shown
    proof = unpacked(registry, "cleo@schule.example")
    assert proof.said["mails"][0]["identical"] is None
    assert proof.check()[0] == 0
    page = (proof.folder / "proof.html").read_text(encoding="utf-8")
    assert "Eine Prüfsumme der übergebenen Mail gibt es nicht" in page


def test_all_mails_of_a_message_that_arrived_are_noted_too(registry: Registry) -> None:
    for name in ("cleo", "dora"):
        registry.sign_up(f"{name}@schule.example")
    registry.village.begin(registry.village.claim(lane=0))
    registry.village.take_over()
    registry.village.do(lambda c: c.execute(update(DELIVERY).values(next_attempt_at=None)))
    message = ("--message", "notice/confirmation", "--arrived", "--yes")
    registry.desk.run("outbox", "resolve", *message)
    assert len(registry.desk.json("consent", "list", "--act", "mailed")) == 4
    assert registry.desk.json("consent", "verify")["verified"] is True


# -- the chain


def test_a_whole_chain_is_told_with_its_newest_link(registry: Registry) -> None:
    link = registry.village.rows(CONSENT)[-1]["link"].hex()
    assert registry.desk.run("consent", "verify").splitlines() == [
        "The chain is whole: 6 acts.",
        f"Newest link: {link}",
    ]


@pytest.mark.parametrize(
    ("seq", "change", "fault"),
    [
        (2, {"act": "refused"}, "content"),
        (4, {"link": b"0" * 32}, "link"),
        (5, {"digest": b"0" * 32}, "link"),
    ],
)
def test_a_changed_act_is_named_and_refused(
    registry: Registry, seq: int, change: dict[str, Any], fault: str
) -> None:
    registry.village.do(
        lambda c: c.execute(update(CONSENT).where(CONSENT.c.seq == seq).values(**change))
    )
    assert f"The chain is broken: act {seq} " in registry.desk.run("consent", "verify", code=1)
    told = registry.desk.json("consent", "verify", code=1)
    assert (told["verified"], told["broken_at"], told["fault"]) == (False, seq, fault)
    assert "is broken" in registry.desk.run("consent", "show", ADA)


def test_an_act_that_somebody_emptied_is_told_here_and_by_what_is_handed_out(
    registry: Registry,
) -> None:
    *_, last = (row["seq"] for row in registry.village.rows(CONSENT) if row["subscriber_id"] == 2)
    blank = {"act": None, "content": null(), "at": None, "salt": None}
    registry.village.do(
        lambda c: c.execute(update(CONSENT).where(CONSENT.c.seq == last).values(**blank))
    )
    told = registry.desk.run("consent", "verify", code=1)
    assert f"act {last} has lost its words, though nobody erased whose it is" in told
    assert registry.desk.json("consent", "verify", code=1)["emptied"] == [last]
    registry.desk.run("subscribers", "show", ADA)
    registry.desk.run("privacy", "export", ADA, "--out", str(registry.desk.folder / "ada.zip"))
    code, said = unpacked(registry).check()
    assert code == 1
    assert f"act {last} was emptied, and nobody erased the person" in said


def test_a_wording_that_was_changed_or_taken_away_is_found(registry: Registry) -> None:
    registry.village.change(WORDING, 1, text="Ja zu allem.")
    said = registry.desk.run("consent", "verify", code=1)
    assert "The chain is broken: act 1 names a wording that is gone" in said
    assert "Wording #1 has another text" in said
    # With a hash that fits, it is still not the one that was agreed to.
    registry.village.change(WORDING, 1, hash=consents.hash_of("Ja zu allem."))
    told = registry.desk.json("consent", "verify", code=1)
    assert (told["broken_at"], told["fault"], told["wordings_changed"]) == (1, "wording", [])


def test_a_link_noted_earlier_shows_what_was_cut_off(registry: Registry) -> None:
    links = [row["link"].hex() for row in registry.village.rows(CONSENT)]
    said = registry.desk.run("consent", "verify", "--anchor", f" {links[3].upper()} ")
    assert f"It stood at {links[3][:16]}… after act 4; 2 acts came since." in said
    registry.village.do(lambda c: c.execute(delete(CONSENT).where(CONSENT.c.seq > 4)))
    assert "The chain is whole" in registry.desk.run("consent", "verify")
    assert "never stood" in registry.desk.run("consent", "verify", "--anchor", links[5], code=1)
    told = registry.desk.json("consent", "verify", "--anchor", links[5], code=1)
    assert (told["verified"], told["anchor"]["stands"]) == (True, False)
    registry.desk.run("consent", "verify", "--anchor", "abc", code=2)
    assert "is no link" in registry.desk.error


# -- the ZIP


def test_the_zip_is_private_and_holds_nobody_else_and_no_secret(registry: Registry) -> None:
    proof = unpacked(registry)
    target = registry.desk.folder / "proof.zip"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not target.with_name("proof.zip.part").exists()
    files = {path.relative_to(proof.folder).as_posix() for path in proof.folder.rglob("*.*")}
    assert files == {
        *("proof.html", "proof.pdf", "proof.json", "chain.csv", "verify.py", "LIESMICH-README.txt"),
        "mails/3.eml",
    }
    whole = b"".join(path.read_bytes() for path in proof.folder.rglob("*.*")).lower()
    state = registry.desk.folder / "state"
    secrets = [(state / name).read_text(encoding="ascii") for name in ("pepper", "secret.key")]
    bea = registry.village.row(SUBSCRIBER, 1)["address_key"].hex()
    others = ["canary", bea, *(line for text in secrets for line in text.split())]
    assert [word for word in others if word.lower().encode() in whole] == []
    assert "http" not in (proof.folder / "proof.html").read_text(encoding="utf-8")


def test_the_mail_in_the_zip_is_what_the_relay_took(registry: Registry) -> None:
    proof = unpacked(registry)
    assert (proof.folder / "mails/3.eml").read_bytes() == (
        registry.desk.folder / f"{ADA}.eml"
    ).read_bytes()
    assert proof.said["mails"][0]["identical"] is True
    code, said = proof.check()
    assert (code, said.splitlines()[-1]) == (0, "SOUND | IN ORDNUNG")
    assert "mails/3.eml: as handed over" in said


def test_a_mail_that_cannot_be_made_again_keeps_no_proof_back(registry: Registry) -> None:
    for row in registry.village.rows(MESSAGE):
        compiled = row["compiled"] | {"text": "{{ somebody_else }}"}
        registry.village.change(MESSAGE, row["id"], compiled=compiled)
    proof = unpacked(registry)
    assert not (proof.folder / "mails/3.eml").exists()
    assert proof.said["mails"][0]["identical"] is False
    assert proof.check()[1].splitlines()[-1] == "SOUND | IN ORDNUNG"


def test_a_mail_is_the_same_whatever_its_sign_up_became_and_whoever_signs_now(
    registry: Registry,
) -> None:
    registry.village.do(lambda c: c.execute(update(DELIVERY).values(signup_id=None)))
    registry.village.do(
        lambda c: c.execute(update(SUBSCRIBER).values(first_name="Ada", salutation="Hallo Ada"))
    )
    key = registry.desk.folder / "state" / "secret.key"
    key.write_text("ab" * 32 + "\n" + key.read_text(encoding="ascii"), encoding="ascii")
    assert unpacked(registry).said["mails"][0]["identical"] is True
    key.write_text("cd" * 32 + "\n", encoding="ascii")
    proof = unpacked(registry)
    assert proof.said["mails"][0]["identical"] is False
    code, said = proof.check()
    assert (code, "mails/3.eml: NOT as handed over" in said) == (0, True)
    page = (proof.folder / "proof.html").read_text(encoding="utf-8")
    assert "lässt sich nicht mehr Byte für Byte herstellen" in page
    assert "ist Byte für Byte" not in page


def test_a_wording_that_is_changed_later_leaves_old_proofs_as_they_were(
    registry: Registry,
) -> None:
    registry.village.do(consents.declare_wording, "course", "de", "Ganz neu.", registry.village.now)
    registry.sign_up("dora@schule.example")
    registry.mail()
    registry.confirm()
    assert [one["text"] for one in unpacked(registry).said["wordings"]] == ["Ja zum Kurs."]
    assert "Ganz neu." not in registry.desk.run("consent", "show", ADA)
    later = unpacked(registry, "dora@schule.example")
    assert [one["text"] for one in later.said["wordings"]] == ["Ganz neu."]
    assert later.check()[0] == 0


def test_what_people_wrote_is_text_on_the_page(registry: Registry) -> None:
    hostile = "<script>alert(1)</script>\u202e<b>&"
    request = Request(parse_address("eve@schule.example"), ("kurs",), form="operator")
    registry.village.do(
        lambda c: subscribers.attest(
            c, registry.rules, request, note=hostile, by="<i>kim", now=registry.village.now
        )
    )
    registry.village.do(lambda c: c.execute(update(STREAM).values(title='"><img src=x>')))
    page = (unpacked(registry, "eve@schule.example").folder / "proof.html").read_text("utf-8")
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;i&gt;kim" in page
    assert "\u202e" not in page


def test_what_no_font_prints_is_left_out_of_the_paper_and_kept_in_the_evidence(
    registry: Registry,
) -> None:
    request = Request(parse_address("eve@schule.example"), ("kurs",), form="operator")
    registry.village.do(
        lambda c: subscribers.attest(
            c, registry.rules, request, note="Fest 🎈 王", by="kim", now=registry.village.now
        )
    )
    proof = unpacked(registry, "eve@schule.example")
    assert (proof.folder / "proof.pdf").read_bytes().startswith(b"%PDF-")
    assert "Fest 🎈 王" in (proof.folder / "proof.html").read_text(encoding="utf-8")
    assert proof.said["acts"][0]["content"]["note"] == "Fest 🎈 王"
    assert proof.check()[0] == 0


def test_a_proof_whose_paper_cannot_be_set_goes_without(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(paper: typesetting.Paper) -> bytes:
        raise PaperError(paper.template, 1, "no")

    monkeypatch.setattr(typesetting, "typeset", fail)
    proof = unpacked(registry)
    assert not (proof.folder / "proof.pdf").exists()
    assert proof.check()[0] == 0


@pytest.fixture(scope="module")
def sound(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unpacked]:
    """One proof for all who change a byte of it."""
    folder = Path(shutil.copytree(prepared, tmp_path_factory.mktemp("sound") / "house"))
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(load_settings(folder, {}).database_url) as database,
    ):
        registry = Registry(Desk(folder, Village(database), _Silence(), patch))
        registry.sign_up("cleo@canary.example")
        # What is called otherwise by now, and longer than a phone is wide.
        registry.village.do(lambda c: c.execute(update(STREAM).values(title=LONG)))
        yield unpacked(registry)


CHANGES = {
    "words of an act": ("proof.json", '"form": "w|eb"'),
    "moment of an act": ("proof.json", '"at": "202|6'),
    "kind of an act": ("proof.json", '"act": "request|ed"'),
    "salt": ("proof.json", '"salt": "|'),
    "hash of the mail": ("proof.json", '"sha256": "|'),
    "digest": ("proof.json", '"digest": "|'),
    "link": ("proof.json", '"link": "|'),
    "where the chain began": ("proof.json", '"link_before": "|'),
    "where the chain ends": ("proof.json", '"newest_link": "|'),
    "wording": ("proof.json", "Ja zum K|urs."),
    "hash of the wording": ("proof.json", '"hash": "|'),
    "mail": ("mails/3.eml", "Subject: |"),
    "chain of others": ("chain.csv", "\n7,|"),
    "own place in the chain": ("chain.csv", "\n5,|"),
    "page": ("proof.html", "Donau|dampf"),
    "paper": ("proof.pdf", "%PDF-1.|"),
}
"""By what it is: a file, and where in it one letter becomes another."""


@pytest.mark.parametrize("name", CHANGES)
def test_one_changed_byte_is_found_without_l3mail(
    sound: Unpacked, name: str, tmp_path: Path
) -> None:
    file, where = CHANGES[name]
    copy = Unpacked(shutil.copytree(sound.folder, tmp_path / "copy"))
    path = copy.folder / file
    data = path.read_bytes()
    before, _, after = where.encode().partition(b"|")
    at = data.index(before + after) + len(before)
    # One that may stand there: what can't be read at all would be found in any case.
    path.write_bytes(data[:at] + (b"1" if data[at : at + 1] == b"0" else b"0") + data[at + 1 :])
    code, said = copy.check()
    assert (code, said.splitlines()[-1]) == (1, "NOT SOUND | NICHT IN ORDNUNG")
    assert "FAULT" in said
    assert "damaged" not in said


def test_what_is_said_of_a_mail_is_checked_too(sound: Unpacked, tmp_path: Path) -> None:
    copy = Unpacked(shutil.copytree(sound.folder, tmp_path / "copy"))
    path = copy.folder / "proof.json"
    for told, changed in (("true", "false"), ("true", "null")):
        said = (sound.folder / "proof.json").read_text(encoding="utf-8")
        path.write_text(
            said.replace(f'"identical": {told}', f'"identical": {changed}'), encoding="utf-8"
        )
        assert copy.check()[0] == 1


def test_an_act_that_is_left_out_or_put_in_is_found_without_l3mail(
    sound: Unpacked, tmp_path: Path
) -> None:
    copy = Unpacked(shutil.copytree(sound.folder, tmp_path / "copy"))
    chain = copy.folder / "chain.csv"
    rows = chain.read_text(encoding="ascii").splitlines(keepends=True)
    for changed in (rows[:2] + rows[3:], rows[:3] + rows[2:], rows[:-1]):
        chain.write_text("".join(changed), encoding="ascii")
        assert copy.check()[0] == 1


def test_a_link_noted_earlier_is_found_without_l3mail(sound: Unpacked) -> None:
    assert sound.check()[0] == 0
    link = sound.said["acts"][1]["link"]
    code, said = sound.check(link)
    assert (code, f"stood at {link} after act 5" in said) == (0, True)
    assert sound.check("0" * 64)[0] == 1


def _invented(act: dict[str, Any], **changed: Any) -> dict[str, Any]:
    """Another act with a digest of its own, as anybody can compute one."""
    made = {**act, **changed, "salt": "00" * 16}
    said = [made["act"], made["subscriber"], made["at"], made["content"]]
    text = json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    made["digest"] = joined(bytes(16), text.encode()).hex()
    return made


def test_an_act_that_borrows_the_number_of_another_is_found_without_l3mail(
    sound: Unpacked, tmp_path: Path
) -> None:
    copy = Unpacked(shutil.copytree(sound.folder, tmp_path / "copy"))
    proof = sound.said
    link = proof["chain"]["newest_link"]
    proof["acts"].insert(0, _invented(proof["acts"][0], at="2019-01-01T00:00:00+00:00"))
    (copy.folder / "proof.json").write_text(json.dumps(proof), encoding="utf-8")
    code, said = copy.check(link)
    assert (code, "is there twice" in said) == (1, True)


def test_an_act_put_behind_a_noted_link_does_not_pass_for_one_before_it(
    sound: Unpacked, tmp_path: Path
) -> None:
    copy = Unpacked(shutil.copytree(sound.folder, tmp_path / "copy"))
    proof, chain = sound.said, copy.folder / "chain.csv"
    rows = chain.read_text(encoding="ascii")
    noted = proof["chain"]["newest_link"]
    first = proof["acts"][0]["seq"]

    def put_behind(seq: int) -> tuple[int, str]:
        late = _invented(proof["acts"][0], seq=seq)
        link = joined(bytes.fromhex(noted), bytes.fromhex(late["digest"])).hex()
        changed = {
            **proof,
            "acts": [{**late, "link": link}, *proof["acts"]],
            "chain": {**proof["chain"], "newest_link": link},
        }
        (copy.folder / "proof.json").write_text(json.dumps(changed), encoding="utf-8")
        chain.write_text(f"{rows}{seq},{late['digest']}\n", encoding="ascii")
        return copy.check(noted)

    code, said = put_behind(first - 1)
    assert (code, "comes after" in said) == (1, True)
    # Nobody can tell that it was not made later: so it is said that the link does not speak of it.
    code, said = put_behind(900)
    assert (code, "it says nothing of acts | er sagt nichts über Vorgänge: 900" in said) == (
        0,
        True,
    )


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"needs a browser: {CHROMIUM} (Debian's package chromium)"
)
def test_axe_finds_nothing_on_the_page_by_day_and_night_and_nothing_is_too_wide(
    sound: Unpacked,
) -> None:
    page_at = sound.folder / "proof.html"
    with browser(sound.folder.as_uri(), color_scheme="light") as page:
        page.goto(page_at.as_uri())
        assert faults_by_day_and_night(page) == []
