"""Content commands as an editor types them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from l3mail.cli import app
from l3mail.models import ACTIONS, MESSAGE, TRIGGER, WORDING
from tests.fakes.editor import Editor
from tests.fakes.library import LESSON


@pytest.fixture
def desk(tmp_path: Path) -> Editor:
    return Editor(tmp_path)


def test_publish_shows_what_changes_stores_it_and_notes_who(desk: Editor) -> None:
    result = desk.run("content", "publish", "--yes")
    assert "new  kurs/01-start (de)  lessons/kurs/01-start.md  +6 -0" in result.stdout
    assert result.stdout.endswith("Published 1 text, 1 course.\n")
    (action,) = desk.rows(ACTIONS)
    assert (action["command"], action["counts"]) == (
        "content publish",
        {"texts": 1, "courses": 1, "wordings": 0, "triggers": 0},
    )
    assert len(list((desk.office.folder / "state/media").glob("*/tafel.png"))) == 1
    again = desk.run("content", "publish", "--yes")
    assert again.stdout.startswith("Nothing to publish")
    assert len(desk.rows(ACTIONS)) == 1


def test_a_dry_run_and_a_missing_yes_change_nothing(desk: Editor) -> None:
    assert "Dry run" in desk.run("content", "publish", "--dry-run").stdout
    desk.run("content", "publish", code=1)
    assert desk.rows(MESSAGE) == []
    assert not (desk.office.folder / "state/media").exists()


def test_publish_leaves_a_broken_text_and_exits_1(desk: Editor) -> None:
    desk.run("content", "publish", "--yes")
    desk.shelf.lesson("{{ foo }}")
    desk.shelf.text("newsletters/2026-12.md")
    result = desk.run("content", "publish", "--yes", code=1)
    assert "Published 1 text." in result.stdout
    assert 'lessons/kurs/01-start.md:4:4: "foo" is no placeholder' in result.stderr
    desk.run("content", "publish", "newsletter/2026-12", "--yes")


def test_status_and_diff_say_what_differs(desk: Editor) -> None:
    desk.run("content", "publish", "--yes")
    desk.shelf.lesson("Guten Abend.")
    (row,) = json.loads(desk.run("content", "status", "--json").stdout)
    assert (row["slug"], row["state"]) == ("kurs/01-start", "changed")
    assert "kurs/01-start\tde\tchanged" in desk.run("content", "status").stdout
    for words in (("--status", "changed"), ("--search", "01-START"), ("--limit", "1")):
        assert json.loads(desk.run("content", "status", *words, "--json").stdout) == [row]
    assert json.loads(desk.run("content", "status", "--status", "draft", "--json").stdout) == []
    assert desk.run("content", "status", "--search", "nichts").stdout == "No such texts.\n"
    assert "\n+Guten Abend.\n" in desk.run("content", "diff", "kurs/01-start").stdout
    (change,) = json.loads(desk.run("content", "diff", "--json").stdout)
    assert "+Guten Abend." in change["diff"]


def test_check_names_file_and_line_and_exits_1(desk: Editor) -> None:
    desk.shelf.text("newsletters/2026-12.md", "[Mehr dazu](javascript:x)")
    result = desk.run("check", code=1)
    assert 'newsletters/2026-12.md:4:13: "javascript:x" is not for mails' in result.stdout
    assert result.stdout.endswith("2 texts: 1 error, 0 warnings.\n")
    assert desk.run("check", "lessons").stdout == "1 text: 0 errors, 0 warnings.\n"
    assert desk.run("check", "kurs/01-start").stdout == "1 text: 0 errors, 0 warnings.\n"
    (finding,) = json.loads(desk.run("check", "--json", code=1).stdout)
    assert (finding["path"], finding["line"]) == ("newsletters/2026-12.md", 4)


SEGMENTS = {
    "age >= 60": None,
    "senioren": None,
    'segment("senioren") and locale == "en"': None,
    "agee >= 60": "age",
    'stream("newsleter")': "newsletter",
    'enrolled("kursus")': "kurs",
}


@pytest.mark.parametrize(("segment", "nearest"), SEGMENTS.items(), ids=SEGMENTS.keys())
def test_an_audience_that_cannot_be_understood_is_an_error(
    desk: Editor, segment: str, nearest: str | None
) -> None:
    desk.shelf.text("newsletters/2026-12.md", matter=f"{LESSON}\nsegment: '{segment}'")
    told = desk.run("check", code=1 if nearest else 0).stdout
    if nearest:
        assert told.startswith("newsletters/2026-12.md:3:")
        assert nearest in told
        desk.run("content", "publish", "--yes", code=1)
        assert [row["slug"] for row in desk.rows(MESSAGE)] == ["kurs/01-start"]


def test_a_trigger_on_what_nobody_offers_is_a_warning(desk: Editor) -> None:
    desk.office.settings_text += '[streams.lifecycle]\ntitle = "x"\nkind = "lifecycle"\n'
    desk.shelf.put("l3mail.toml", desk.office.settings_text)
    path = "newsletters/lifecycle/folge.md"
    desk.shelf.lesson("[Ja, bitte](interest:video)")
    desk.shelf.text(path, matter=f"{LESSON}\ntrigger: interested\nof: vidoe")
    assert f'{path}:4:5: warning: "vidoe" is offered by no text' in desk.run("check").stdout
    desk.shelf.text(path, matter=f"{LESSON}\ntrigger: interested\nof: video")
    assert desk.run("check").stdout == "2 texts: 0 errors, 0 warnings.\n"
    desk.shelf.text(path, matter=f"{LESSON}\ntrigger: finished\nof: kurs")
    assert desk.run("check").stdout == "2 texts: 0 errors, 0 warnings.\n"


LIFECYCLE_STREAM = '[streams.lifecycle]\ntitle = "x"\nkind = "lifecycle"\n'
RULES = {
    "trigger: joined\nafter: 1d\nof: kurse": '5:5: warning: "kurse" is nothing one can join here;'
    ' did you mean "kurs"?',
    "trigger: joined\nafter: 1d\nof: newsletter": None,
    "trigger: joined\nafter: 1d": None,
    "trigger: finished\nof: kurz": '4:5: warning: "kurz" is no course here; did you mean "kurs"?',
    "trigger: clicked\nof: kurs/01-strat": '4:5: warning: "kurs/01-strat" is offered by no text'
    ' here; did you mean "kurs/01-start"?',
    "trigger: birthday\nvalid_for: 0d": '4:12: "valid_for" is "0d", so it would be too late',
    "trigger: inactive\nafter: 12h": '4:8: "after" is "12h", and silence is counted in days',
    "trigger: inactive\nafter: 90d": "3:10: warning: trigger inactive sends to nobody while",
    "trigger: clicked\nof: kurs/01-start": "3:10: warning: trigger clicked sends to nobody while",
}


@pytest.mark.parametrize(("rule", "words"), RULES.items(), ids=RULES)
def test_a_rule_that_can_never_fire_is_told_of(desk: Editor, rule: str, words: str | None) -> None:
    desk.shelf.put("l3mail.toml", desk.office.settings_text + LIFECYCLE_STREAM)
    path = "newsletters/lifecycle/folge.md"
    desk.shelf.text(path, matter=f"{LESSON}\n{rule}")
    code = 0 if words is None or "warning" in words else 1
    told = desk.run("check", code=code).stdout
    assert (f"{path}:{words}" in told) if words else told.endswith("0 errors, 0 warnings.\n")


def test_clicks_may_be_waited_for_where_they_are_measured(desk: Editor) -> None:
    tracking = '[tracking]\nmode = "consent"\n'
    desk.shelf.put("l3mail.toml", desk.office.settings_text + LIFECYCLE_STREAM + tracking)
    matter = f"{LESSON}\ntrigger: clicked\nof: kurs/01-start"
    desk.shelf.text("newsletters/lifecycle/folge.md", matter=matter)
    assert desk.run("check").stdout == "2 texts: 0 errors, 0 warnings.\n"


def test_a_text_that_is_named_is_refused_with_the_faults_of_its_blocks(desk: Editor) -> None:
    desk.shelf.text("newsletters/2026-12.md", "::: tip\na\n:::", 'subject: "a"')
    desk.shelf.put("templates/components/tip.txt", "[[ nobody ]]")
    result = desk.run("content", "publish", "newsletter/2026-12", "--yes", code=1)
    assert "templates/components/tip.txt:1:" in result.stderr
    assert desk.rows(MESSAGE) == []
    other = desk.run("content", "publish", "kurs/01-start", "--yes")
    assert "tip.txt" not in other.output


def test_publishing_puts_a_rule_in_force_and_reverting_the_one_before(desk: Editor) -> None:
    desk.shelf.put("l3mail.toml", desk.office.settings_text + LIFECYCLE_STREAM)
    path = "newsletters/lifecycle/tag.md"
    desk.shelf.text(path, matter=f'{LESSON}\ntrigger: yearly\non: "09-08"')
    told = desk.run("content", "publish", "--yes").stdout
    assert "trigger  lifecycle/tag: its rule is in force from now on" in told
    assert told.endswith("Published 2 texts, 1 course, 1 trigger.\n")
    (first,) = desk.rows(TRIGGER)
    assert (first["slug"], first["kind"], first["rule"]["on"]) == (
        "lifecycle/tag",
        "yearly",
        "09-08",
    )
    assert first["active_since"] is not None
    desk.shelf.text(path, "Anderer Text.", matter=f'{LESSON}\ntrigger: yearly\non: "09-08"')
    assert desk.run("content", "publish", "--yes").stdout.endswith("Published 1 text.\n")
    assert desk.rows(TRIGGER) == [first]
    desk.shelf.text(path, "Anderer Text.", matter=f'{LESSON}\ntrigger: yearly\non: "12-05"')
    desk.run("content", "publish", "--yes")
    (second,) = desk.rows(TRIGGER)
    assert second["rule"]["on"] == "12-05"
    assert second["active_since"] > first["active_since"]
    desk.run("content", "revert", "lifecycle/tag", "--yes")
    (third,) = desk.rows(TRIGGER)
    assert third["rule"] == first["rule"]
    assert third["active_since"] > second["active_since"]


def test_preview_fills_in_a_subscriber_and_leads_nowhere(desk: Editor, tmp_path: Path) -> None:
    desk.office.fill(1)
    result = desk.run("preview", "kurs/01-start")
    assert result.stdout.startswith("Subject:   Lektion\nPreheader: \n")
    assert "Guten Tag alle." in result.stdout
    html, text = tmp_path / "mail.html", tmp_path / "mail.txt"
    words = ("preview", "lessons/kurs/01-start.md", "--as", "p0@schule.example")
    before = desk.rows(MESSAGE), desk.rows(ACTIONS)
    desk.run(*words, "--html", str(html), "--text", str(text))
    assert (desk.rows(MESSAGE), desk.rows(ACTIONS)) == before
    page = html.read_text(encoding="utf-8")
    assert "http://127.0.0.1:8000/preview" in page
    assert "/unsubscribe/" not in page
    assert (desk.office.folder / "media/tafel.png").as_uri() in page
    assert "Abmelden: http://127.0.0.1:8000/preview" in text.read_text(encoding="utf-8")


def test_a_preview_has_days_to_show(desk: Editor) -> None:
    desk.shelf.text("lessons/kurs/02-tage.md", "::: done\n:::\n\nZusammen {{ course.together }}.")
    text = desk.run("preview", "kurs/02-tage").stdout
    assert "Heute gelernt: http://127.0.0.1:8000/preview\n" in text
    assert "an 1 von 14 Tagen gelernt." in text
    assert "Zusammen 1.234." in text


def test_preview_speaks_the_language_asked_for(desk: Editor) -> None:
    desk.shelf.text("lessons/kurs/01-start.en.md", "Hello.", 'subject: "Lesson"')
    assert "Subject:   Lesson" in desk.run("preview", "kurs/01-start", "--locale", "en").stdout
    assert "Subject:   Lektion" in desk.run("preview", "kurs/01-start", "--locale", "fr").stdout


def test_what_cannot_be_previewed_is_one_line(desk: Editor) -> None:
    missing = desk.run("preview", "kurs/01-strat", code=1)
    assert 'did you mean "kurs/01-start"?' in str(missing.exception)
    nobody = desk.run("preview", "kurs/01-start", "--as", "x@schule.example", code=1)
    assert "is no subscriber" in str(nobody.exception)
    desk.shelf.text("newsletters/2026-12.md", "{{ foo }}", LESSON)
    broken = desk.run("preview", "newsletter/2026-12", code=1)
    assert "has errors" in str(broken.exception)
    assert "newsletters/2026-12.md:4:" in broken.stderr


def test_an_old_version_can_be_put_in_force_again(desk: Editor) -> None:
    desk.run("content", "publish", "--yes")
    desk.shelf.lesson("Guten Abend. [Mehr dazu](https://stadt.example)")
    desk.run("content", "publish", "--yes")
    desk.run("content", "revert", "kurs/01-start", code=1)
    result = desk.run("content", "revert", "lessons/kurs/01-start.md", "--yes")
    assert "is in force, as version 3." in result.stdout
    first, second, third = desk.rows(MESSAGE)
    assert (third["compiled"], third["superseded_at"]) == (first["compiled"], None)
    assert second["superseded_at"] is not None
    versions = json.loads(desk.run("content", "history", "kurs/01-start", "--json").stdout)
    assert [version["id"] for version in versions] == [3, 2, 1]
    assert [row["state"] for row in json.loads(desk.run("content", "status", "--json").stdout)] == [
        "changed"
    ]
    desk.run("content", "revert", "kurs/01-start", "--to", "2", "--yes")
    assert desk.rows(MESSAGE)[-1]["compiled"] == second["compiled"]
    desk.run("content", "revert", "kurs/01-start", "--to", "99", "--yes", code=1)


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["preview"],
        *(["content", name] for name in ("status", "diff", "publish", "history", "revert")),
    ],
)
def test_every_command_has_an_example(words: list[str]) -> None:
    result = CliRunner().invoke(app, [*words, "--help"])
    assert "Example: l3mail " + " ".join(words) in result.stdout


def test_a_changed_wording_alone_is_published_and_a_single_text_leaves_it_alone(
    desk: Editor,
) -> None:
    desk.run("content", "publish", "--yes")
    desk.shelf.put("templates/wordings/course.md", "Ich willige ein.")
    assert "Nothing to publish" in desk.run("content", "publish", "kurs/01-start").stdout
    assert desk.rows(WORDING) == []
    result = desk.run("content", "publish", "--yes")
    assert "wording  course (de)  templates/wordings/course.md" in result.stdout
    assert result.stdout.endswith("Published 1 wording.\n")
    assert [row["text"] for row in desk.rows(WORDING)] == ["Ich willige ein."]
    assert "Nothing to publish" in desk.run("content", "publish").stdout


def test_an_unknown_name_is_refused_with_the_nearest(desk: Editor) -> None:
    for words in (["check"], ["preview"], ["content", "history"], ["content", "revert"]):
        result = desk.run(*words, "kurs/01-stat", code=1)
        assert 'did you mean "kurs/01-start"?' in str(result.exception)
    assert "Nothing was published" in desk.run("content", "history", "kurs/01-start").stdout


def test_a_files_bare_name_is_enough(desk: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.run("check", "01-start.md").stdout == "1 text: 0 errors, 0 warnings.\n"
    monkeypatch.chdir(desk.office.folder / "lessons" / "kurs")
    assert desk.run("check", "01-start.md").stdout == "1 text: 0 errors, 0 warnings.\n"
    assert desk.run("preview", "01-start.md").stdout.startswith("Subject:   Lektion")


def test_preview_says_which_variant_it_shows(desk: Editor) -> None:
    desk.shelf.text("lessons/kurs/01-start.en.md", matter='subject: "Lesson"')
    french = desk.run("preview", "kurs/01-start", "--locale", "fr").stdout
    assert "Variant:   de (there is no fr)\n" in french
    assert "Variant:   en\n" in desk.run("preview", "kurs/01-start", "--locale", "en").stdout
    assert "Variant:" not in desk.run("preview", "kurs/01-start").stdout
