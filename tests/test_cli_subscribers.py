"""The operators' desk for people, as they type it: messages, exit codes, JSON, files."""

import csv
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from l3mail.cli import app
from l3mail.database import opened
from l3mail.errors import L3mailError
from l3mail.models import ACTIONS, CONSENT, ENROLLMENT, SUBSCRIBER, SUBSCRIPTION, SUPPRESSION
from l3mail.settings import DATABASE_FILE, FILE, make_state
from tests.fakes.village import Village

SETTINGS = """
[streams.newsletter]
title = "Bildung im Stadtteil"
[streams.lifecycle]
title = "Grüße"
kind = "lifecycle"
[attributes.role]
type = "choice"
choices = ["vhs", "schule"]
[attributes.size]
type = "number"
"""
PROOF = ("--confirmed", "--consent-note", "Ordner 7")


@dataclass
class Said:
    code: int
    text: str
    fault: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


@dataclass
class Desk:
    """A workspace on disk and the commands on it, run in this process."""

    folder: Path
    village: Village

    def run(self, *arguments: str) -> Said:
        result = CliRunner().invoke(app, ["--workspace", str(self.folder), *arguments])
        if isinstance(result.exception, L3mailError):
            return Said(1, result.stdout, str(result.exception))
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return Said(result.exit_code, result.stdout, result.stderr)

    def people(self, *arguments: str) -> Said:
        return self.run("subscribers", *arguments)

    def file(self, text: str, name: str = "people.csv") -> str:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def actions(self) -> list[tuple[str, dict[str, Any]]]:
        return [(row["command"], row["counts"]) for row in self.village.rows(ACTIONS)]


@pytest.fixture
def desk(tmp_path: Path, prepared_sqlite: Path) -> Iterator[Desk]:
    (tmp_path / FILE).write_text(SETTINGS, encoding="utf-8")
    make_state(tmp_path / "state")
    database = tmp_path / "state" / DATABASE_FILE
    shutil.copy(prepared_sqlite, database)
    with opened(f"sqlite:///{database}") as database_open:
        village = Village(database_open)
        for slug in ("notice/confirmation", "notice/already-subscribed"):
            village.publish(slug)
        yield Desk(tmp_path, village)


# -- add


def test_adding_somebody_queues_the_mail_that_asks_them(desk: Desk) -> None:
    said = desk.people("add", "Ada@Bücher.example", "--stream", "newsletter", "--first-name", "Ada")

    assert (said.code, said.text) == (
        0,
        "Confirmation mail queued: Ada@bücher.example is asked to confirm newsletter.\n",
    )
    assert [row["kind"] for row in desk.village.rows()] == ["confirmation"]
    assert desk.people("show", "ada@bücher.example", "--json").json["status"] == "unconfirmed"
    again = desk.people("add", "ada@bücher.example", "--stream", "newsletter")
    assert (again.code, "no second mail" in again.text) == (0, True)
    assert len(desk.village.rows()) == 1
    assert desk.actions() == [
        ("subscribers add", {"people": 1, "outcome": "queued"}),
        ("subscribers add", {"people": 1, "outcome": "waiting"}),
    ]


def test_adding_somebody_with_proof_confirms_them_and_enrolls_nobody(desk: Desk) -> None:
    desk.village.stream("kurs", "course")
    said = desk.people(
        "add", "ada@x.example", "--stream", "newsletter", "--stream", "kurs", *PROOF,
        "--birthday", "17.05.", "--attr", "role=VHS", "--attr", "size=3", "--locale", "de-SIMPLE",
        "--last-name", "Groß",
    )  # fmt: skip

    assert said.text == "ada@x.example is confirmed for newsletter, kurs; no mail is sent.\n"
    shown = desk.people("show", "ada@x.example", "--json").json
    assert shown["status"] == "active"
    assert (shown["birthday"], shown["last_name"], shown["locale"]) == (
        "--05-17",
        "Groß",
        "de-simple",
    )
    assert "birthday  17 May" in desk.people("show", "ada@x.example").text
    assert shown["attributes"] == {"role": "vhs", "size": 3}
    assert not shown["tracking"]
    assert desk.village.rows() == []
    assert desk.village.rows(ENROLLMENT) == []
    [act] = desk.village.rows(CONSENT)
    assert act["content"]["note"] == "Ordner 7"
    again = desk.people("add", "ada@x.example", "--stream", "newsletter", *PROOF)
    assert (again.code, again.text) == (
        0,
        "ada@x.example was confirmed already; nothing is changed.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--confirmed"], 2, "--confirmed needs --consent-note"),
        (["--confirmed", "--consent-note", " \u200b"], 2, "--confirmed needs --consent-note"),
        ([*PROOF], 2, "--confirmed needs --stream"),
        (["--consent-note", "x", "--stream", "newsletter"], 2, "belongs to --confirmed"),
        (["--stream", "newsleter"], 1, 'stream "newsleter" is not here; did you mean "newsletter"'),
        (["--attr", "rolle=vhs"], 1, '"rolle" is no attribute here; did you mean "role"?'),
        (["--attr", "role=vsh"], 1, 'role "vsh" is no choice; did you mean "vhs"?'),
        (["--attr", "role"], 2, "has no value"),
        (["--birthday", "31.2.1980"], 1, "is no day of the calendar"),
        (["--first-name", "=?utf-8?q?x?="], 1, "the start of an encoded word"),
        (["--locale", "deutsch!"], 1, "is no language tag"),
        (["--tracking"], 2, "name one"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_does_not_fit_is_refused_and_nobody_is_added(
    desk: Desk, arguments: list[str], code: int, said: str
) -> None:
    answer = desk.people("add", "ada@x.example", *arguments)

    assert answer.code == code
    plain = " ".join(answer.fault.replace("│", " ").split())
    assert said in plain
    assert desk.village.rows(SUBSCRIBER) == []


def test_no_address_is_refused_in_one_line(desk: Desk) -> None:
    said = desk.people("add", "ada.x.example", "--stream", "newsletter")

    assert said.code == 1
    assert said.fault.startswith('"ada.x.example" is not an address we can mail')


def test_who_left_needs_a_new_opt_in_and_can_be_asked_for_it(desk: Desk) -> None:
    desk.people("add", "ada@x.example", "--stream", "newsletter", *PROOF)
    assert desk.people("unsubscribe", "ada@x.example").code == 0

    refused = desk.people("add", "ada@x.example", "--stream", "newsletter", *PROOF)
    assert refused.code == 1
    assert "ada@x.example: unsubscribed on " in refused.fault
    assert "needs a new opt-in" in refused.fault
    asked = desk.people("add", "ada@x.example", "--stream", "newsletter")
    assert asked.code == 0
    assert "unsubscribed on" in asked.text
    assert "Confirmation mail queued" in asked.text


# -- list, show, export


def test_people_are_listed_by_what_one_looks_for(desk: Desk) -> None:
    for name, stream, role in (("ada", "newsletter", "vhs"), ("bob", "lifecycle", "schule")):
        desk.people("add", f"{name}@x.example", "--first-name", name.title(), "--stream", stream,
                    "--attr", f"role={role}", *PROOF)  # fmt: skip
    desk.people("add", "100%@x.example")

    def found(*arguments: str) -> list[str]:
        return [row["email"] for row in desk.people("list", "--json", *arguments).json]

    assert found() == ["ada@x.example", "bob@x.example", "100%@x.example"]
    assert found("--search", "Ada x.exa") == ["ada@x.example"]
    assert found("--search", "0%@") == ["100%@x.example"]
    assert found("--status", "active") == ["ada@x.example", "bob@x.example"]
    assert found("--stream", "lifecycle") == ["bob@x.example"]
    assert found("--segment", 'attrs.role == "vhs"') == ["ada@x.example"]
    assert found("--limit", "1") == ["100%@x.example"]
    assert "The newest 1 of 3; --limit shows more." in desk.people("list", "--limit", "1").text
    assert desk.people("list", "--search", "nobody").text == "Nobody.\n"
    assert desk.people("list", "--status", "activ").code == 2
    assert desk.people("list", "--stream", "newsleter").code == 1
    assert desk.people("list", "--segment", 'attrs.rolle == "x"').code == 1


def test_show_has_the_shape_that_programs_rely_on(desk: Desk) -> None:
    desk.people("add", "ada@x.example", "--stream", "newsletter", *PROOF)
    shown = desk.people("show", "ADA@x.example", "--json").json

    assert shown["email"] == "ada@x.example"
    assert [(one["stream"], one["status"]) for one in shown["subscriptions"]] == [
        ("newsletter", "confirmed")
    ]
    assert [act["act"] for act in shown["consents"]] == ["attested"]
    assert shown["enrollments"] == []
    assert shown["deliveries"] == {}
    text = desk.people("show", "ada@x.example").text
    assert "newsletter: confirmed" in text
    [consent] = [line for line in text.splitlines() if line.lstrip().startswith("consent")]
    assert re.search(rf"  attested newsletter: {re.escape(PROOF[-1])} \(by .+\)$", consent)
    stranger = desk.people("show", "bob@x.example")
    assert (stranger.code, "nobody here has the address" in stranger.fault) == (1, True)


def test_what_people_wrote_does_not_steer_the_terminal(desk: Desk) -> None:
    person = desk.village.person(
        "ada@x.example", first_name="\x1b[2J", attributes={"size\x1b": "\x1b]0;x\x07\u202e"}
    )
    assert person
    for command in (("list",), ("show", "ada@x.example")):
        assert not {"\x1b", "\x07", "\u202e"} & set(desk.people(*command).text)


def test_the_list_is_written_as_csv_and_json(desk: Desk) -> None:
    desk.people("add", "ada@x.example", "--first-name", "=1+1", "--stream", "newsletter", *PROOF)
    target = desk.folder / "list.csv"

    assert desk.people("export", "--csv", str(target)).text == f"1 person written to {target}.\n"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    [row] = csv.DictReader(target.read_text(encoding="utf-8-sig").splitlines())
    assert (row["email"], row["first_name"], row["streams"]) == (
        "ada@x.example", "'=1+1", "newsletter",
    )  # fmt: skip
    assert {"role", "size"} <= row.keys()
    [person] = desk.people("export", "--json", "-").json
    assert person["subscriptions"][0]["stream"] == "newsletter"
    assert desk.people("export", "--csv", "-", "--segment", 'attrs.role == "vhs"').text.count(
        "\n"
    ) == 1  # fmt: skip
    assert desk.people("export", "--json", "-", "--search", "nobody").json == []
    assert desk.people("export", "--json").json == [person]
    assert desk.people("export", "--json", "--search", "nobody").json == []
    assert desk.people("export", "--csv").text == desk.people("export", "--csv", "-").text
    assert desk.people("export", "--csv", "--json").code == 2
    assert desk.people("export").code == 2
    assert desk.people("export", "--csv", "a", "--json", "b").code == 2
    nowhere = desk.people("export", "--csv", str(desk.folder / "none" / "x.csv"))
    assert (nowhere.code, "can't be written" in nowhere.fault) == (1, True)
    assert f"there is no folder {desk.folder / 'none'}; make it first" in nowhere.fault
    file = desk.folder / "again.csv"
    told = [desk.people("export", "--csv", str(file)).text for _ in range(2)]
    assert told[0].endswith(f"{file}.\n")
    assert told[1].endswith(f"{file}, in place of what was there.\n")


def test_an_export_is_an_import(desk: Desk) -> None:
    desk.people("add", "ada@x.example", "--birthday", "17.05.", "--stream", "newsletter", *PROOF)
    target = str(desk.folder / "list.csv")
    desk.people("export", "--csv", target)

    said = desk.people("import", target, *PROOF)

    assert (said.code, said.text) == (
        0,
        "1 row: 1 taken, 0 rejected\n  1 unchanged\n",
    )


# -- unsubscribe, suppress, erase


def test_unsubscribing_names_what_changed(desk: Desk) -> None:
    desk.people("add", "ada@x.example", "--stream", "newsletter", "--stream", "lifecycle", *PROOF)

    one = desk.people("unsubscribe", "ada@x.example", "--stream", "newsletter")
    assert one.text == "ada@x.example is unsubscribed from newsletter.\n"
    rest = desk.people("unsubscribe", "ada@x.example", "--all")
    assert rest.text == "ada@x.example is unsubscribed from lifecycle.\n"
    nothing = desk.people("unsubscribe", "ada@x.example")
    assert (nothing.code, "nothing is changed" in nothing.text) == (0, True)
    assert desk.people("unsubscribe", "ada@x.example", "--stream", "x", "--all").code == 2
    assert desk.people("unsubscribe", "bob@x.example").code == 1


def test_a_suppression_holds_until_it_is_lifted_with_a_reason(desk: Desk) -> None:
    assert desk.people("suppress", "ada@x.example", "--reason", "complaint").code == 0
    weaker = desk.people("suppress", "ada@x.example")
    assert (weaker.code, "(complaint); nothing is changed" in weaker.text) == (0, True)
    for proof in ((), PROOF):
        refused = desk.people("add", "ada@x.example", "--stream", "newsletter", *proof)
        assert refused.code == 1
        assert "suppressed" in refused.fault

    unexplained = desk.people("suppress", "ada@x.example", "--lift", "--yes")
    assert unexplained.code == 1
    assert "--note must say why" in unexplained.fault
    unasked = desk.people("suppress", "ada@x.example", "--lift", "--note", "rief an")
    assert (unasked.code, "To say yes" in unasked.fault) == (1, True)
    assert len(desk.village.rows(SUPPRESSION)) == 1
    note = "schrieb von ada@x.example"
    lifted = desk.people("suppress", "ada@x.example", "--lift", "--note", note, "--yes")
    assert lifted.code == 0
    assert lifted.text.splitlines()[0].endswith(": complaint.")
    assert desk.village.rows(SUPPRESSION) == []
    assert desk.actions()[-1] == (
        "subscribers suppress --lift",
        {"lifted": 1, "reason": "complaint", "note": "schrieb von (address)"},
    )
    assert "not suppressed" in desk.people("suppress", "ada@x.example", "--lift").text
    assert desk.people("suppress", "ada@x.example", "--reason", "dislike").code == 2


def test_erasing_says_what_goes_and_what_stays_and_asks(desk: Desk) -> None:
    desk.people("add", "ada@x.example", "--stream", "newsletter")

    unasked = desk.people("erase", "ada@x.example")
    assert unasked.code == 1
    assert "1 subscription, 0 enrollments, 1 waiting mail" in unasked.text
    assert desk.people("show", "ada@x.example").code == 0
    assert desk.people("erase", "ada@x.example", "--yes").text.splitlines()[-1].startswith("Erased")
    assert desk.people("show", "ada@x.example").code == 1
    assert desk.people("list").text == "Nobody.\n"
    assert desk.actions()[-1] == ("subscribers erase", {"subscribers": 1})


def test_no_action_holds_an_address(desk: Desk) -> None:
    desk.people("add", "ada@x.example", "--stream", "newsletter")
    desk.people("import", desk.file("email\nbob@x.example\n"), "--stream", "newsletter", *PROOF)
    desk.people("unsubscribe", "ada@x.example")
    desk.people("suppress", "ada@x.example")
    desk.people("erase", "ada@x.example", "--yes")

    assert len(desk.actions()) == 5
    assert "x.example" not in json.dumps(desk.actions())


# -- import


FILE_OF_FOUR = (
    "E-Mail;Vorname;role;streams\nada@x.example;Ada;vhs;lifecycle\nno address;;;\n"
    "bob@x.example;=Bob;schule;\nADA@X.example;;;\n"
)
MAPPED = ("--map", "E-Mail=email,Vorname=first_name")


def test_an_import_takes_what_it_can_and_hands_back_the_rest(desk: Desk) -> None:
    said = desk.people("import", desk.file(FILE_OF_FOUR), *MAPPED, "--stream", "newsletter", *PROOF)

    assert said.code == 1
    unreadable = said.text.splitlines()[2]
    assert unreadable.startswith('  line 3: "no address" is not an address we can mail: ')
    assert said.text.splitlines() == [
        "4 rows: 2 taken, 2 rejected",
        "  2 new people, 3 subscriptions confirmed",
        unreadable,
        "  line 5: the same address as in line 2",
        f"Rejected rows, each with its reason: {desk.folder / 'people.rejected.csv'}",
    ]
    rejected = desk.folder / "people.rejected.csv"
    assert stat.S_IMODE(rejected.stat().st_mode) == 0o600
    rows = list(csv.DictReader(rejected.read_text("utf-8-sig").splitlines(), delimiter=";"))
    assert [row["E-Mail"] for row in rows] == ["no address", "ADA@X.example"]
    assert rows[1]["reason"] == "the same address as in line 2"
    assert desk.actions() == [
        ("subscribers import (attest)", {"taken": 2, "people": 2, "joined": 3, "rejected": 2})
    ]


def test_no_reason_is_lost_where_the_rejected_rows_cannot_be_written(desk: Desk) -> None:
    text = "email\n" + "".join(f"wrong {n}\n" for n in range(20))
    (desk.folder / "people.rejected.csv.part").mkdir()

    said = desk.people("import", desk.file(text), "--stream", "newsletter", *PROOF)

    assert said.code == 1
    assert "people.rejected.csv can't be written" in said.fault
    assert said.text.count("is not an address we can mail") == 20


def test_an_import_shows_numbers_and_asks_before_it_mails(desk: Desk) -> None:
    file = desk.file("email\nada@x.example\nbob@x.example\n")

    unasked = desk.people("import", file, "--stream", "newsletter")
    assert unasked.code == 1
    assert unasked.text.splitlines() == [
        "2 rows: 2 taken, 0 rejected",
        "  2 new people, 2 asked to confirm, 2 confirmation mails",
    ]
    assert desk.village.rows(SUBSCRIBER) == []
    said = desk.people("import", file, "--stream", "newsletter", "--yes", "--json")
    assert said.code == 0
    assert (said.json["taken"], said.json["mails"]) == (2, 2)
    assert [row["kind"] for row in desk.village.rows()] == ["confirmation"] * 2
    again = desk.people("import", file, "--stream", "newsletter")
    assert (again.code, "2 unchanged" in again.text) == (0, True)


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    file = desk.file(FILE_OF_FOUR)
    for more in (PROOF, (), ("--as", "complained")):
        said = desk.people(
            "import", file, *MAPPED, "--stream", "newsletter", *more, "--dry-run", "--json"
        )
        assert said.code == 0
        assert (said.json["dry_run"], said.json["rejected"]) == (True, 2)
        assert [one["line"] for one in said.json["rejections"]] == [3, 5]
    assert desk.village.rows(SUBSCRIBER) == desk.village.rows(SUPPRESSION) == []
    assert desk.actions() == []
    assert not (desk.folder / "people.rejected.csv").exists()


def test_files_of_people_who_must_not_be_mailed_are_obeyed(desk: Desk) -> None:
    file = desk.file("email\nada@x.example\n")
    desk.people("import", file, "--stream", "newsletter", *PROOF)

    left = desk.people("import", file, "--as", "unsubscribed", "--stream", "newsletter")
    assert (left.code, "1 subscription ended" in left.text) == (0, True)
    assert "1 suppressed" in desk.people("import", file, "--as", "bounced").text
    assert "1 suppressed" in desk.people("import", file, "--as", "complained").text
    refused = desk.people("import", file, "--stream", "newsletter", *PROOF)
    assert refused.code == 1
    assert "(complaint)" in refused.text
    assert {row["state"] for row in desk.village.rows(SUBSCRIPTION)} == {"unsubscribed"}
    assert desk.village.rows() == []


def test_a_column_nobody_declared_is_kept_as_text_and_told(desk: Desk) -> None:
    file = desk.file("email,Lieblings Farbe\nada@schule.example,blau\n")
    answer = desk.people("import", file, *PROOF, "--stream", "newsletter")
    assert answer.code == 0
    assert "lieblings_farbe is not declared in l3mail.toml; kept as text" in answer.fault
    assert "declare [attributes.lieblings_farbe] before you import" in answer.fault
    shown = json.loads(desk.people("show", "ada@schule.example", "--json").text)
    assert shown["attributes"] == {"lieblings_farbe": "blau"}
    added = desk.people("add", "bob@schule.example", "--attr", "schuhe=43")
    assert added.code == 0


@pytest.mark.parametrize(
    ("text", "arguments", "code", "said"),
    [
        ("email\n", ("--confirmed", "--stream", "newsletter"), 2, "needs --consent-note"),
        ("email\na@x.example\n", PROOF, 2, "needs --stream, or a column streams"),
        ("email\n", ("--as", "unsubscribed", *PROOF), 2, "contradict each other"),
        ("email\n", ("--as", "gone"), 2, "known are unsubscribed, bounced, complained"),
        ("email\n", ("--map", "Mail=email"), 2, 'has no column "Mail"; did you mean "email"?'),
        ("email,x\n", ("--map", "x=emial"), 2, 'did you mean "email"?'),
        ("email\n", ("--map", "email"), 2, "is no pair"),
        ("email\n", ("--stream", "newsleter"), 1, 'did you mean "newsletter"?'),
        ("email,rolle\n", (), 1, 'column "rolle" is not known; did you mean "role"?'),
        ("", (), 1, "holds no header"),
    ],
)
def test_what_an_import_cannot_understand_changes_nothing(
    desk: Desk, text: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    answer = desk.people("import", desk.file(text), *arguments)

    assert answer.code == code
    assert said in " ".join(answer.fault.replace("│", " ").split())
    assert desk.actions() == []


def test_an_import_in_several_transactions_notes_its_beginning_and_its_end(desk: Desk) -> None:
    text = "email\n" + "".join(f"p{n}@x.example\n" for n in range(501))

    assert desk.people("import", desk.file(text), "--stream", "newsletter", *PROOF).code == 0
    assert desk.actions() == [
        ("subscribers import (attest) begun", {"rows": 501}),
        ("subscribers import (attest)", {"taken": 501, "people": 501, "joined": 501}),
    ]


# -- on a terminal


def on_a_terminal(desk: Desk, *arguments: str) -> list[str]:
    """The lines of a command whose standard output is a terminal of 80 columns."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "l3mail", "--workspace", str(desk.folder), *arguments]
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=environment
    ) as process:
        os.close(slave)
        written = b""
        while True:
            try:
                chunk = os.read(master, 65536)
            except OSError:  # Linux says so when nobody writes any more
                break
            if not chunk:
                break
            written += chunk
    os.close(master)
    assert process.returncode == 0
    return written.decode().splitlines()


def test_the_list_fits_a_terminal_of_80_columns(desk: Desk) -> None:
    for number in range(2):
        desk.people("add", f"{number}.{'lang' * 10}@bücher.example", "--first-name", "Ada" * 20,
                    "--stream", "newsletter", "--stream", "lifecycle", *PROOF)  # fmt: skip

    lines = on_a_terminal(desk, "subscribers", "list")

    assert max(map(len, lines)) <= 80
    heading = "".join(line for line in lines[:3] if line.isupper())
    assert heading.split() == ["ADDRESS", "NAME", "STATUS", "STREAMS", "SINCE"]
    assert f"0.{'lang' * 10}@bücher.example" in "\n".join(lines)


def test_every_command_has_an_example_and_help_that_fits(desk: Desk) -> None:
    for name in ("add", "import", "list", "show", "export", "unsubscribe", "suppress", "erase"):
        lines = on_a_terminal(desk, "subscribers", name, "--help")
        assert max(map(len, lines)) <= 80
        assert f"Example: l3mail subscribers {name} " in "\n".join(lines)
