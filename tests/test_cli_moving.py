"""Moving in from another tool: whoever left there stays away, and nothing known is lost."""

import csv
import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from l3mail.models import CONSENT, METADATA, STREAM, SUBSCRIBER, SUBSCRIPTION, SUPPRESSION
from l3mail.settings import load_pepper
from l3mail.subscribers import Rules, erasing, tools
from tests.fakes.desk import TUESDAY, Desk, at_a_desk

EXPORTS = Path(__file__).with_name("exports")
MORE = """
[streams.newsletter]
title = "Bildung im Stadtteil"
[streams.blog]
title = "Aus der Werkstatt"
[attributes.school]
[attributes.size]
type = "number"
[attributes.host]
type = "bool"
"""
PROOF = ("--confirmed", "--consent-note", "Export vom 1.11.", "--stream", "newsletter")


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with at_a_desk(tmp_path, capsys, monkeypatch) as desk:
        with (desk.folder / "l3mail.toml").open("a", encoding="utf-8") as file:
            file.write(MORE)
        yield desk


def bring(desk: Desk, tool: str, name: str, *more: str, code: int = 0) -> str:
    """Import a tool's export under the name that the tool gives it."""
    target = desk.folder / name.removeprefix("mailchimp-")
    shutil.copy(EXPORTS / name, target)
    return desk.run("subscribers", "import", str(target), "--from-tool", tool, *more, code=code)


def fates(desk: Desk) -> dict[str, str]:
    """What became of everybody: memberships of the newsletter, and reasons of suppressions."""
    people = {row["id"]: row for row in desk.village.rows(SUBSCRIBER)}
    newsletter = desk.village.stream("newsletter", "newsletter")
    return {
        people[row["subscriber_id"]]["address"].partition("@")[0]: row["state"]
        for row in desk.village.rows(SUBSCRIPTION)
        if row["stream_id"] == newsletter
    }


def barred(desk: Desk) -> list[str]:
    return sorted(row["reason"] for row in desk.village.rows(SUPPRESSION))


def ada(desk: Desk) -> dict[str, Any]:
    return next(row for row in desk.village.rows(SUBSCRIBER) if row["first_name"])


def test_mailchimp_comes_in_three_files_the_left_first(desk: Desk) -> None:
    bring(desk, "mailchimp", "mailchimp-unsubscribed_audience_export.csv", *PROOF)
    bring(desk, "mailchimp", "mailchimp-cleaned_audience_export.csv", *PROOF)
    said = bring(
        desk, "mailchimp", "mailchimp-subscribed_audience_export.csv", *PROOF,
        "--list", "Blog=blog", "--map", "Schule=school",
    )  # fmt: skip

    assert "2 taken, 0 rejected" in said
    assert "Fachtag 2024 (1)" in desk.error
    assert "birthday month first" in desk.error
    assert "nobody who unsubscribed" not in desk.error
    assert fates(desk) == {
        "ada": "confirmed", "bob": "confirmed", "eve": "unsubscribed", "liv": "unsubscribed",
    }  # fmt: skip
    assert barred(desk) == ["complaint", "hard_bounce"]
    person = ada(desk)
    assert (person["last_name"], person["attributes"]) == ("Groß", {"school": "Am See"})
    assert (person["birth_year"], person["birth_month"], person["birth_day"]) == (None, 5, 17)
    notes = [row["content"]["note"] for row in desk.village.rows(CONSENT)]
    assert notes[0] == (
        "Export vom 1.11. (Mailchimp: optin_time 2021-03-01 08:12:44,"
        " confirm_time 2021-03-01 08:15:02)"
    )
    everything = json.dumps(
        [desk.village.rows(table) for table in METADATA.sorted_tables], default=str
    )
    assert not any(number in everything for number in ("203.0.113", "198.51.100", "192.0.2"))


@pytest.mark.parametrize(
    ("tool", "states", "bars", "rejected"),
    [
        ("brevo", {"ada": "confirmed", "eve": "unsubscribed"}, [], 0),
        ("cleverreach", {"ada": "confirmed", "eve": "unsubscribed"}, ["hard_bounce"], 1),
        (
            "mailerlite",
            {"ada": "confirmed", "eve": "unsubscribed"},
            ["complaint", "hard_bounce"],
            1,
        ),
        ("listmonk", {"ada": "confirmed", "eve": "unsubscribed"}, ["operator"], 0),
    ],
)
def test_each_row_of_a_mixed_export_goes_its_own_way(
    desk: Desk, tool: str, states: dict[str, str], bars: list[str], rejected: int
) -> None:
    more = ("--map", "Schule=school") if tool == "cleverreach" else ()
    said = bring(desk, tool, f"{tool}.csv", *PROOF, *more, code=1 if rejected else 0)

    assert fates(desk) == states
    assert barred(desk) == bars
    assert f"{rejected} rejected" in said
    assert "nobody who unsubscribed" not in desk.error
    person = ada(desk)
    assert person["last_name"] == "Groß"
    assert person["first_name"] == ("Ada Lotte" if tool == "listmonk" else "Ada")
    if tool == "listmonk":
        assert person["attributes"] == {"school": "Am See", "size": 3, "host": True}
    if rejected:
        assert "never confirmed at" in said
    before = {table.name: desk.village.rows(table) for table in (SUBSCRIBER, SUBSCRIPTION)}
    bring(desk, tool, f"{tool}.csv", *PROOF, *more, code=1 if rejected else 0)
    assert before == {table.name: desk.village.rows(table) for table in (SUBSCRIBER, SUBSCRIPTION)}


def test_who_left_elsewhere_keeps_the_day_and_is_remembered_for_as_long_as_anybody(
    desk: Desk,
) -> None:
    bring(desk, "mailchimp", "mailchimp-unsubscribed_audience_export.csv")
    newsletter = desk.village.stream("newsletter", "newsletter")
    moments = [row["unsubscribed_at"] for row in desk.village.rows(SUBSCRIPTION)
               if row["stream_id"] == newsletter]  # fmt: skip
    eve = datetime(2023, 2, 1, 23, 0, tzinfo=UTC)
    assert moments == [eve, TUESDAY], "the tool tells no day of the other"
    file = desk.folder / "people.csv"
    file.write_text("email\neve@x.example\n")
    later = TUESDAY + timedelta(days=365)
    rules = Rules(load_pepper(desk.folder / "state"), ZoneInfo("Europe/Berlin"), "de")
    ended, _ = desk.village.do(erasing.erase_departed, rules, later, after=0, limit=100)
    assert ended == 0
    said = desk.run("subscribers", "import", str(file), *PROOF, code=1, at=later)
    assert "unsubscribed on 2023-02-02, needs a new opt-in (newsletter)" in said


@pytest.mark.parametrize(
    ("declared", "district", "attributes"),
    [("", "Löbtau", {}), ("[attributes.stadtteil]\n", None, {"stadtteil": "Löbtau"})],
)
def test_a_stadtteil_is_the_district_unless_an_attribute_has_that_name(
    desk: Desk, declared: str, district: str | None, attributes: dict[str, str]
) -> None:
    with (desk.folder / "l3mail.toml").open("a", encoding="utf-8") as file:
        file.write(declared)
    sheet = desk.folder / "liste.csv"
    rows = "email;vorname;Stadtteil;activated\nada@x.example;Ada;Löbtau;14.03.2022 10:12:00\n"
    sheet.write_text(rows, encoding="cp1252")
    order = ("subscribers", "import", str(sheet), "--from-tool", "cleverreach", *PROOF)
    desk.run(*order, "--yes")
    assert (ada(desk)["district"], ada(desk)["attributes"]) == (district, attributes)


def test_people_of_a_tool_are_not_mailed_before_it_is_known_who_left(desk: Desk) -> None:
    name = "mailchimp-subscribed_audience_export.csv"
    more = (*PROOF, "--map", "Schule=school")

    bring(desk, "mailchimp", name, *more, code=1)
    assert "import those first" in desk.error
    assert "add --yes" in desk.error
    assert desk.village.rows(SUBSCRIBER) == []
    bring(desk, "mailchimp", name, *more, "--dry-run")
    assert "import those first" in desk.error
    bring(desk, "mailchimp", "mailchimp-cleaned_audience_export.csv", "--as", "bounced")
    bring(desk, "mailchimp", name, *more)
    assert fates(desk) == {"ada": "confirmed", "bob": "confirmed"}


def test_of_two_rows_of_one_person_the_one_that_left_counts(desk: Desk) -> None:
    file = desk.folder / "two.csv"
    file.write_text("email,status\nada@x.example,enabled\nADA@x.example,blocklisted\n")

    said = desk.run("subscribers", "import", str(file), "--from-tool", "listmonk", *PROOF, code=1)

    assert "line 2: the same address as in line 3" in said
    assert barred(desk) == ["operator"]
    assert fates(desk) == {}


def test_an_open_export_asks_by_mail_and_only_those_who_stayed(desk: Desk) -> None:
    for slug in ("notice/confirmation", "notice/already-subscribed"):
        desk.village.publish(slug)
    bring(desk, "mailerlite", "mailerlite.csv", "--stream", "newsletter", "--yes", code=1)

    assert fates(desk) == {"ada": "unconfirmed", "eve": "unsubscribed"}
    assert [row["kind"] for row in desk.village.rows()] == ["confirmation"]


@pytest.mark.parametrize("tool", tools.TOOLS)
def test_no_column_of_an_address_in_the_net_is_ever_kept(tool: str) -> None:
    columns = tools.TOOLS[tool].columns
    assert {to for title, to in columns.items() if "ip" in title.split("_")[-1].split()} <= {"-"}
    assert not any("ip" in title.replace("-", "_").split("_") for title in tools.TOOLS[tool].proofs)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"Blog","Fachtag, 2024"', ["Blog", "Fachtag", "2024"]),
        ("blog,fachtag", ["blog", "fachtag"]),
        ("Blog; Fachtag|VHS", ["Blog", "Fachtag", "VHS"]),
        ("", []),
        (" , ", []),
    ],
)
def test_lists_in_one_cell_are_taken_apart(text: str, names: list[str]) -> None:
    assert tools.lists(text) == names


@pytest.mark.parametrize(
    ("text", "yes"),
    [("Yes", True), ("2021-03-01", True), ("1614586364", True), ("x", True), ("", False),
     ("0", False), ("No", False), ("0000-00-00 00:00:00", False), ("N/A", False), ("nein", False)],
)  # fmt: skip
def test_a_mark_says_yes_or_no(text: str, yes: bool) -> None:
    assert tools.says_yes(text) is yes


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--from-tool", "mailchip"), 'did you mean "mailchimp"?'),
        (("--list", "Blog=blog"), "--list goes with --from-tool"),
        (("--from-tool", "brevo", "--list", "Blog"), "is no pair"),
        (("--dates", "year"), "neither day nor month"),
        (("--encoding", "ebcdic"), "known are utf-8"),
        (("--as", "bounced", "--update"), "contradict"),
    ],
)
def test_options_that_mean_nothing_are_wrong_usage(
    desk: Desk, arguments: tuple[str, ...], said: str
) -> None:
    file = desk.folder / "people.csv"
    file.write_text("email\nada@x.example\n")
    desk.run("subscribers", "import", str(file), *arguments, code=2)
    assert said in " ".join(desk.error.replace("│", " ").split())


# -- what is known stays, or is said before it goes


KNOWN = "email,first_name,district,school,birthday\n"


def known_ada(desk: Desk) -> Path:
    file = desk.folder / "people.csv"
    file.write_text(f"{KNOWN}ada@x.example,Ada,Gorbitz,Am See,\n")
    desk.run("subscribers", "import", str(file), *PROOF)
    file.write_text(
        f"{KNOWN}ada@x.example,Ada,Prohlis,Am Berg,17. Mai 1980\nbob@x.example,Bob,,,\n"
    )
    return file


def test_a_dry_run_says_field_by_field_what_would_change(desk: Desk) -> None:
    file = known_ada(desk)

    said = desk.run("subscribers", "import", str(file), *PROOF, "--dry-run").splitlines()

    assert said == [
        "Dry run, nothing is changed.",
        "2 rows: 2 taken, 0 rejected",
        "  1 new person, 1 known person with values taken, 1 subscription confirmed",
        "  Values of 1 person known already differ from the file:",
        "    birthday: 1 filled in",
        "    district: 1 left as they are (--update takes the file's)",
        "    school: 1 left as they are (--update takes the file's)",
        "    line 2: ada@x.example: district Gorbitz -> Prohlis, stays",
        "    line 2: ada@x.example: birthday nothing -> 1980-05-17",
        "    line 2: ada@x.example: school Am See -> Am Berg, stays",
    ]
    file.write_text(f"{KNOWN}ada@x.example,,,,10.12.\n")
    told = desk.run("subscribers", "import", str(file), *PROOF, "--dry-run")
    assert "ada@x.example: birthday nothing -> 10 December\n" in told


def test_a_dry_run_shows_as_many_changes_as_are_asked_for(desk: Desk) -> None:
    file = known_ada(desk)
    few = desk.run("subscribers", "import", str(file), *PROOF, "--dry-run", "--show", "1")
    assert "and 2 more: --show N or --json" in few
    told = desk.json("subscribers", "import", str(file), *PROOF, "--dry-run", "--update")
    assert {(one["name"], one["kind"]) for one in told["changes"]} == {
        ("district", "replaced"), ("school", "replaced"), ("birthday", "filled"),
    }  # fmt: skip
    assert told["updated"] == 1


def test_an_update_is_shown_asked_and_then_takes_the_place_of_what_was(desk: Desk) -> None:
    file = known_ada(desk)

    said = desk.run("subscribers", "import", str(file), *PROOF, "--update", code=1)
    assert "district Gorbitz -> Prohlis" in said
    assert "Let the file take the place of 2 known values?" in desk.error
    assert ada(desk)["district"] == "Gorbitz"
    desk.run("subscribers", "import", str(file), *PROOF, "--update", "--yes")
    person = ada(desk)
    assert (person["district"], person["birth_year"]) == ("Prohlis", 1980)
    assert person["attributes"] == {"school": "Am Berg"}
    file.write_text(f"{KNOWN}ada@x.example,,,,\n")
    desk.run("subscribers", "import", str(file), *PROOF, "--update", "--yes")
    assert ada(desk) == person


def test_what_an_update_replaces_is_kept_and_taken_back_by_one_command(desk: Desk) -> None:
    known = desk.folder / "known.csv"
    known.write_text(
        "email,first_name,last_name,birthday,school,size,host\n"
        '=ada@x.example,"=cmd()",Groß,--05-17,"Am ""See"", Nord\nHaus 2",3.5,ja\n'
        "bob@x.example,Bob,Klein,1980-01-02,Ost,4,nein\n"
        "eve@x.example,Eve,Weg,1990-01-02,West,1,\n"
    )
    desk.run("subscribers", "import", str(known), *PROOF)
    before = desk.village.rows(SUBSCRIBER)
    file = desk.folder / "neu.csv"
    file.write_text(
        "email;first_name;last_name;birthday;school;size;host\n"
        "=ada@x.example;Ida;Groß;1981-05-17;Süd;7;nein\n"
        "bob@x.example;Bob;Kurz;;Ost;4;\n"
        "eve@x.example;Eve;Weg;;West;1;ja\n"
    )
    desk.run("subscribers", "import", str(file), "--update", "--yes")
    kept = desk.folder / "neu.before.csv"
    note = f"6 values of 2 people kept in {kept}; to take them back: l3mail subscribers import"
    assert note in desk.error
    assert kept.stat().st_mode & 0o777 == 0o600
    with kept.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.reader(lines, delimiter=";"))
    assert [row[0] for row in rows] == ["email", "'=ada@x.example", "bob@x.example"]
    assert rows[0][1:] == ["birthday", "first_name", "host", "last_name", "school", "size"]
    assert rows[2] == ["bob@x.example", "", "", "", "Klein", "", ""]
    assert rows[1][2] == "'=cmd()"

    desk.run("subscribers", "import", str(file), "--update", "--yes")
    assert "kept in" not in desk.error, "nothing was replaced, nothing is written"
    desk.run("subscribers", "import", str(kept), "--update", "--yes")
    after = desk.village.rows(SUBSCRIBER)
    assert after[:2] == before[:2]
    assert after[2]["attributes"] == before[2]["attributes"] | {"host": True}, "filled in, not lost"
    desk.run("subscribers", "import", str(file), "--update", "--yes")
    assert (desk.folder / "neu.before-2.csv").is_file(), "the first one is never overwritten"


def test_columns_in_german_are_ours_unless_one_is_declared(desk: Desk) -> None:
    with (desk.folder / "l3mail.toml").open("a", encoding="utf-8") as file:
        file.write("[attributes.sprache]\n")
    sheet = desk.folder / "liste.csv"
    text = (
        "E-Mail;Vorname;Nachname;Anrede;Geburtsdatum;Stadtteil;Sprache\r\n"
        "ada@x.example;Jürgen;Groß;Herr;1.2.1970;Löbtau;Sorbisch\r\n;;;;;;\r\n\r\n"
    )
    sheet.write_bytes(text.encode("cp1252"))
    desk.run("subscribers", "import", str(sheet), *PROOF)
    assert "separated by ;, E-Mail as email, Vorname as first_name" in desk.error
    assert "only a title: Herr (1)" in desk.error
    person = ada(desk)
    assert (person["first_name"], person["district"]) == ("Jürgen", "Löbtau")
    assert (person["birth_year"], person["birth_month"], person["birth_day"]) == (1970, 2, 1)
    assert person["attributes"] == {"sprache": "Sorbisch"}


def test_an_update_never_brings_back_who_left(desk: Desk) -> None:
    file = known_ada(desk)
    desk.run("subscribers", "unsubscribe", "ada@x.example")

    said = desk.run("subscribers", "import", str(file), *PROOF, "--update", "--yes", code=1)

    assert "needs a new opt-in" in said
    assert ada(desk)["district"] == "Gorbitz"
    assert fates(desk)["ada"] == "unsubscribed"


def test_what_was_found_out_about_a_file_is_said(desk: Desk) -> None:
    file = desk.folder / "people.csv"
    file.write_bytes("email;first_name;birthday\nada@x.example;Jürgen;5/6/1980\nb@x.example;;13/6/1980\n"
                     .encode("cp1252"))  # fmt: skip
    desk.run("subscribers", "import", str(file), *PROOF)
    note = "people.csv read as Windows-1252, separated by ;, birthday day first"
    assert note in desk.error
    assert (ada(desk)["birth_month"], ada(desk)["birth_day"]) == (6, 5)


def test_all_unknown_columns_are_named_at_once_with_a_line_to_copy(desk: Desk) -> None:
    file = desk.folder / "people.csv"
    file.write_text("email;Schol;Distrikt;Gröse\na@x.example;;;\n")
    desk.run("subscribers", "import", str(file), *PROOF, code=1)
    assert '"Schol" (school?), "Distrikt" (district?), "Gröse"' in desk.error
    assert '--map "Schol=school,Distrikt=district,Gröse=-"' in desk.error
    line = "Schol=school,Distrikt=district,Gröse=-"
    desk.run("subscribers", "import", str(file), *PROOF, "--map", line)


def test_a_comma_in_a_column_s_name_is_part_of_it(desk: Desk) -> None:
    file = desk.folder / "people.csv"
    file.write_text('email;"Name, Vorname"\na@x.example;Ada\n')
    desk.run(
        "subscribers", "import", str(file), *PROOF, "--map", "Name, Vorname=first_name,email=email"
    )
    assert ada(desk)["first_name"] == "Ada"
    assert {row["slug"] for row in desk.village.rows(STREAM)} >= {"newsletter"}
