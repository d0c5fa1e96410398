"""One fault a file: which line is named, and what the editor is told to write."""

from pathlib import Path

import pytest

from tests.fakes.library import COURSE, LESSON, Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


MATTER = {
    "unknown key": ('subject: "a"\nsubjekt: "b"', 3, '"subjekt" is not a key here; did you mean'),
    "no subject": ('preheader: "a"', 1, '"subject" is missing; write subject:'),
    "empty subject": ('preheader: "x"\nsubject: ""', 3, '"subject" is empty'),
    "subject of numbers": ("subject: 2026", 2, '"subject" is 2026, expected text in quotes'),
    "subject of two lines": ('subject: "a\\nb"', 2, "more than one line"),
    "a header within": ('subject: "2+2=?"', 2, 'the start of an encoded word, "=?"'),
    "a header before it": ('subject: "a"\npreheader: "=?utf-8?q?x"', 3, "write it without"),
    "a hidden line end": ('subject: "a\\u2028b"', 2, "a text no mail header may hold"),
    "key twice": ('subject: "a"\nsubject: "b"', 3, '"subject" stands here twice'),
    "unknown placeholder": ('subject: "{{ frist_name }}"', 2, 'did you mean "first_name"?'),
    "empty placeholder": ('subject: "{{ first_name }}"', 2, '"first_name" can be empty'),
    "broken Jinja": ('subject: "a"\npreheader: "{% if first_name %}x"', 3, "has no {% endif %}"),
    "no YAML": ('subject: "a', 2, "the quotes are not closed; write subject:"),
    "typographic quotes": ("subject: „Lektion“", 2, "the quotes are typographic ones; write subj"),
    "other typographic quotes": ("subject: “Lesson”", 2, 'subject: "…" with straight quotes'),
    "half typographic": ('subject: "Lektion“\npreheader: "b"', 2, "are typographic ones"),
    "half straight": ('subject: „Lektion"', 2, "are typographic ones"),
    "a lone quote": ('subject: Lektion"', 2, 'one quote is missing; write subject: "…"'),
    "a lone typographic one": ("subject: Lektion”", 2, "one quote is missing"),
    "a quote left open": ('subject: "a\npreheader: "b"', 2, "the quotes are not closed"),
    "quotes in quotes": ('subject: "Der "Kurs""', 2, "straight quotes inside straight quotes"),
    "a colon": ("subject: Lektion 2: Video", 2, "a text with a colon needs quotes; write subj"),
    "a tab": ('subject: "a"\n\tpreheader: "b"', 3, "a tab stands in this line"),
    "a sign": ("subject: @alle", 2, "a text that begins with @ needs quotes"),
    "neither": ('subject: "a"\n]', 3, "this line cannot be read; write subject:"),
    "no mapping": ("- a", 2, "expected lines such as subject:"),
    "an alias": ("subject: &a x\npreheader: *a", 3, "aliases"),
    "draft by word": ('subject: "a"\ndraft: "yes"', 3, "expected true or false"),
    "no layout": ('subject: "a"\nlayout: mial', 3, '"mial" is no layout'),
    "no sender": ('subject: "a"\nfrom: "Amt <amt>"', 3, '"from" is "Amt <amt>", no sender'),
    "foreign stream": ('subject: "a"\nstream: newsletter', 3, "a lesson goes out in its course's"),
    "issue's key": ('subject: "a"\nsegment: "age > 3"', 3, '"segment" is not a key here'),
}


@pytest.mark.parametrize(("matter", "line", "says"), MATTER.values(), ids=MATTER.keys())
def test_a_fault_above_a_text_is_told_with_its_line(
    shelf: Shelf, matter: str, line: int, says: str
) -> None:
    shelf.lesson(matter=matter)
    (told,) = shelf.findings
    assert told.startswith(f"lessons/kurs/01-start.md:{line}:")
    assert says in told


SOUND = (
    'subject: "„Lektion“ heißt sie"',
    "subject: Die „Lektion“",
    "subject: „Lektion“ heißt sie",
    "subject: „Lektion“ oder „Kurs“",
    "subject: Wie geht’s",
    "subject: 'a: b'",
)


@pytest.mark.parametrize("matter", SOUND)
def test_quotes_that_belong_to_a_text_are_no_fault(shelf: Shelf, matter: str) -> None:
    shelf.lesson(matter=matter)
    assert shelf.findings == []


def test_a_sign_that_no_mail_can_hold_is_told_at_its_line(shelf: Shelf) -> None:
    shelf.lesson("Eins\n\nZwei \x01 drei")
    (told,) = [one for one in shelf.findings if "hidden sign" in one]
    assert told == "lessons/kurs/01-start.md:6:6: a hidden sign stands here (U+0001); delete it"


def test_a_picture_that_is_missing_is_one_fault(shelf: Shelf) -> None:
    shelf.lesson("::: portrait\nimage: media/nein.png\nalt: a\nname: b\n\nc\n:::")
    assert len(shelf.findings) == 1


def test_no_fault_is_told_in_the_words_of_a_parser(shelf: Shelf) -> None:
    for matter in ('subject: "a', "subject: a: b", "\tsubject: a", "subject: [a", "? a\n- b"):
        shelf.lesson(matter=matter)
        assert not any("YAML" in one or "token" in one or "<" in one for one in shelf.findings)
    for body in ("{{ greeting", "{{ }}", "{{ a b }}", "{% if %}{% endif %}", "{{ 'a }}"):
        shelf.lesson(body)
        (told,) = shelf.findings
        assert "Jinja" not in told
        assert "template" not in told


TRIGGERS = {
    "none": ('subject: "a"', 1, '"trigger" is missing'),
    "unknown": ('subject: "a"\ntrigger: birthdate', 3, "expected one of birthday, yearly"),
    "yearly without a day": ('subject: "a"\ntrigger: yearly', 3, 'needs "on"; write on: "09-08"'),
    "clicked without what": ('subject: "a"\ntrigger: clicked', 3, 'needs "of"'),
    "interested without what": ('subject: "a"\ntrigger: interested', 3, 'needs "of"'),
    "joined without when": ('subject: "a"\ntrigger: joined', 3, 'needs "after"'),
    "a day for a birthday": ('subject: "a"\ntrigger: birthday\non: "09-08"', 4, "says nothing"),
    "30 February": ('subject: "a"\ntrigger: yearly\non: "02-30"', 4, "no day of the year"),
    "a span without unit": ('subject: "a"\ntrigger: joined\nafter: "2"', 4, "no span of time"),
    "25 o'clock": ('subject: "a"\ntrigger: birthday\nat: "25:00"', 4, "no time of day"),
    "a time without quotes": ('subject: "a"\ntrigger: birthday\nat: 10:00', 4, "a time in quotes"),
    "approval by whom": ('subject: "a"\ntrigger: birthday\napproval: "no"', 4, "auto or required"),
}


@pytest.mark.parametrize(("matter", "line", "says"), TRIGGERS.values(), ids=TRIGGERS.keys())
def test_a_trigger_that_could_not_run_is_told_with_its_line(
    shelf: Shelf, matter: str, line: int, says: str
) -> None:
    shelf.text("newsletters/lifecycle/gruss.md", matter=matter)
    (told,) = shelf.findings
    assert told.startswith(f"newsletters/lifecycle/gruss.md:{line}:")
    assert says in told


BODIES = {
    "unknown placeholder": ("a\n\n{{ frist_name }}", 6, 'did you mean "first_name"?'),
    "unknown attribute": ('{{ attrs.rolle|default("x") }}', 4, 'did you mean "attrs.role"?'),
    "unknown link": ("{{ links.unsubscribed }}", 4, 'did you mean "links.unsubscribe"?'),
    "unknown part of the course": ("{{ course.titel }}", 4, 'did you mean "course.title"?'),
    "unknown part of the house": ("{{ house.street }}", 4, '"house.street" is no placeholder'),
    "can be empty": ("{{ district }}", 4, '"district" can be empty'),
    "empty in the other branch": (
        "{% if district %}a{% else %}{{ district }}{% endif %}",
        4,
        '"district" can be empty',
    ),
    "guarded upside down": ("{% if not district %}{{ district }}{% endif %}", 4, "can be empty"),
    "guarded by either": (
        "{% if locale or district %}{{ district }}{% endif %}",
        4,
        "can be empty",
    ),
    "guarded by a difference": (
        '{% if district != "x" %}{{ district }}{% endif %}',
        4,
        "can be empty",
    ),
    "guarded by another": ("{% if locale %}{{ district }}{% endif %}", 4, "can be empty"),
    "default of nothing": ("{{ district|default }}", 4, "|default needs a text"),
    "unknown filter": ('{{ greeting|defualt("x") }}', 4, 'did you mean "default"?'),
    "unsafe filter": ("{{ greeting|safe }}", 4, '"|safe" is not a filter here'),
    "unknown function": ("{{ now() }}", 4, '"now" is not a function here'),
    "method": ("{{ greeting.upper() }}", 4, "is not a function here"),
    "out of the sandbox": ("{{ greeting.__class__ }}", 4, "is no placeholder"),
    "set": ("{% set x = 1 %}", 4, "{% set %} is not for texts"),
    "include": ('{% include "x" %}', 4, "{% include %} is not for texts"),
    "raw": ("{% raw %}{{ x }}{% endraw %}", 4, "{% raw %} is not for texts"),
    "unknown tag": ("{% fi %}", 4, '{% fi %} is not for texts; did you mean "if"?'),
    "open if": ("a\n\n{% if district %}", 6, "{% if … %} has no {% endif %}"),
    "open value": ("a\n{{ greeting", 5, '"{{" has no "}}" behind it'),
    "half closed value": ("a {{ greeting } b", 4, '"{{" has no "}}" behind it'),
    "open tag": ("{% if district ", 4, '"{%" has no "%}" behind it'),
    "open for": ("{% for a in [] %}x", 4, "{% for … %} has no {% endfor %}"),
    "endif alone": ("a\n{% endif %}", 5, "{% endif %} has no {% if … %} before it"),
    "else alone": ("a {% else %} b", 4, "{% else %} has no {% if … %} before it"),
    "crossed": ("{% if locale %}{% for a in [] %}{% endif %}{% endfor %}", 4, "{% endif %} has no"),
    "condition missing": ("{% if %}a{% endif %}", 4, '"{% if %}" cannot be read; write it like'),
    "over two lines": ("{{ greeting\n}}", 4, "must fit into one line"),
    "loops in loops": (
        "{% for a in [] %}{% for b in [] %}{% for c in [] %}x{% endfor %}{% endfor %}{% endfor %}",
        4,
        "deeper than two",
    ),
    "loop over much": ("{% for a in range(9999) %}x{% endfor %}", 4, "range() goes to 1000"),
    "loop over letters": ("{% for a in greeting %}x{% endfor %}", 4, "a loop goes over a list"),
    "if over paragraphs": (
        "a {% if district %}b\n\nc{% endif %}",
        4,
        "must stand in one paragraph",
    ),
    "unknown block": ("a\n\n::: tipp\nb\n:::", 6, '"tipp" is no block here; did you mean "tip"'),
    "a block below words": ("a\n:::box{.rot}", 5, '"box{.rot}" is no block here'),
    "an end of nothing": ("a\n\nb\n:::", 7, '":::" begins and ends no block; delete the line'),
    "a hidden sign before a block": ("\u200b::: tip\na\n:::", 4, "begin one at its left edge"),
    "two colons": (":: tip\n\na", 4, "begin one at its left edge"),
    "a block behind a tab": ("a\n\n\t::: tip\n\tb\n\t:::", 6, "begin one at its left edge"),
    "an empty block": ("a\n\n::: tip\n:::", 6, "tip is empty"),
    "a name of no link": (
        "::: event hier\ntitle: a\nwhen: b\n:::",
        4,
        '"hier" names a link, and there is none',
    ),
    "a key twice": ("::: card\ntitle: a\ntitle: b\n\nc\n:::", 6, '"title" stands here twice'),
    "a key in capitals": ("::: card\nTitle: a\n\nb\n:::", 5, '"Title" is a key of card'),
    "a key without a blank": ("::: card\ntitle:a\n\nb\n:::", 5, '"title" is a key of card'),
    "a key after an empty line": ("::: card\n\ntitle: a\n:::", 6, '"title" is a key of card'),
    "a key of a hidden sign": ("::: event\ntitle: \u200b\nwhen: a\n:::", 5, 'event needs "title"'),
    "quotes without end": (">" * 60 + " WORT", 4, "are nested too deep here"),
    "marks without end": ("Ja.\n\n" + "*a\n" * 600 + "b*\n" * 600, 6, "are nested too deep here"),
    "a condition over two keys": (
        "::: event\ntitle: a {% if district %}\nwhen: b {% endif %}\n:::",
        5,
        "must stand in one key",
    ),
    "words behind a link": (
        "::: event\ntitle: a\nwhen: b\nlink: https://a.example/ hier\n:::",
        7,
        "has a blank or a hidden sign",
    ),
    "a hidden sign in a link": (
        "::: event\ntitle: a\nwhen: b\nlink: https://a.example/\u202eb\n:::",
        7,
        "has a blank or a hidden sign",
    ),
    "a NUL in a picture's name": ("![Tafel](media/a%00.png)", 4, "can be no file's name"),
    "a picture's name without end": (f"![Tafel](media/{'a' * 300}.png)", 4, "can be no file's"),
    "a placeholder as a picture": (
        "::: hero\nimage: media/{{ locale }}.png\nalt: a\n:::",
        5,
        "media/{{ locale }}.png",
    ),
    "an open block": ("a\n\n::: tip\nb\n\nc", 6, "::: tip is never closed; write :::"),
    "an open block in a block": ("::: card\n::: checklist\n- a\n:::", 4, "card is never closed"),
    "unknown key": ("::: card\ntitel: a\n\nb\n:::", 5, '"titel" is not a key of card; did you m'),
    "a key of none": ("::: tip\nmerke: a\n:::", 5, "leave a line empty before it"),
    "needed key": ("::: event\ntitle: a\n\nb\n:::", 4, 'event needs "when"; write when: Donn'),
    "empty key": ("::: event\nwhen:\ntitle: a\n:::", 5, 'event needs "when"'),
    "unknown kind": ("::: button secundary\n[a b](https://a.example)\n:::", 4, '"secondary"?'),
    "words behind a block": ("::: tip Merke\nb\n:::", 4, '"Merke" stands behind tip'),
    "a name with blanks": (
        "::: video der Film\ntitle: a\nlink: https://a.example\n:::",
        4,
        "is no name for its link",
    ),
    "a block in a block": ("::: card\na\n\n::: tip\nb\n:::\n:::", 7, "may not stand in card"),
    "a block in a list": ("- a\n\n  ::: tip\n  b\n  :::", 6, "may not stand in a list or a quote"),
    "a button of words": ("::: button\nAnmelden\n:::", 4, "button holds one link"),
    "a button of two": (
        "::: button\n[a b](https://a.example)\n\n[c d](https://a.example)\n:::",
        4,
        "button holds one link",
    ),
    "a checklist of words": ("::: checklist\na\n:::", 4, "checklist holds one list"),
    "a script behind a block": (
        "::: video\ntitle: a\nlink: javascript:alert(1)\n:::",
        6,
        "is not for mails",
    ),
    "a foreign picture in a block": (
        "::: hero\nimage: https://x.example/a.png\nalt: a\n:::",
        5,
        "is a foreign image",
    ),
    "a picture without words in a block": (
        "::: hero\nimage: media/tafel.png\n\nb\n:::",
        4,
        'write "alt: …"',
    ),
    "a quiz without a name": ("::: quiz\nA?\n\n- [x] b\n- [ ] c\n:::", 4, "write ::: quiz q1"),
    "a quiz of no name": (
        "::: quiz Q 1\nA?\n\n- [x] b\n- [ ] c\n:::",
        4,
        "is no name for a question",
    ),
    "a name of two questions": (
        "::: quiz q1\nA?\n\n- [x] b\n- [ ] c\n:::\n\n::: quiz q1\nD?\n\n- [x] e\n- [ ] f\n:::",
        11,
        'has a question "q1" already',
    ),
    "a quiz without a question": ("::: quiz q1\n- [x] b\n- [ ] c\n:::", 4, "holds one question"),
    "a quiz without answers": ("::: quiz q1\nA?\n\nB.\n:::", 4, "holds one question"),
    "a quiz with numbers": ("::: quiz q1\nA?\n\n1. [x] b\n2. [ ] c\n:::", 4, "begin with - [ ]"),
    "an answer without a mark": ("::: quiz q1\nA?\n\n- [x] b\n- c\n:::", 8, "begins with [ ]"),
    "one answer alone": ("::: quiz q1\nA?\n\n- [x] b\n:::", 7, "needs two answers at least"),
    "seven answers": (
        "::: quiz q1\nA?\n\n" + "".join(f"- [x] b{n}\n" for n in range(7)) + ":::",
        7,
        "has 6 answers at most",
    ),
    "no right answer": ("::: quiz q1\nA?\n\n- [ ] b\n- [ ] c\n:::", 7, "mark one with [x]"),
    "an answer twice": ("::: quiz q1\nA?\n\n- [x] b\n- [ ] b\n:::", 7, "are the same"),
    "a placeholder in a quiz": (
        '::: quiz q1\nA?\n\n- [x] {{ district|default("b") }}\n- [ ] c\n:::',
        7,
        "a placeholder may not stand in a question",
    ),
    "a condition in a quiz": (
        "::: quiz q1\nA?\n\n- [x] b\n- [ ] c\n\n{% if district %}d{% endif %}\n:::",
        10,
        "a placeholder may not stand in a question",
    ),
    "a link in a quiz": (
        "::: quiz q1\nA?\n\n- [x] b\n- [ ] c\n\n[Mehr dazu](https://a.example)\n:::",
        10,
        "a question is words alone",
    ),
    "HTML in a quiz": ("::: quiz q1\nA <b>?\n\n- [x] b\n- [ ] c\n:::", 5, "is words alone"),
    "a quiz in a box": (
        "::: card\n\n::: quiz q1\nA?\n\n- [x] b\n- [ ] c\n:::\n:::",
        6,
        "may not stand in card",
    ),
    "feedback without ends": ("::: feedback f\nA?\n:::", 4, 'feedback needs "from"'),
    "feedback with a list": (
        "::: feedback f\nfrom: a\nto: b\n\n- [ ] c\n:::",
        4,
        "feedback holds one question",
    ),
    "feedback with half a comment": (
        "::: feedback f\nfrom: a\nto: b\ncomment: maybe\n\nC?\n:::",
        4,
        "write comment: yes",
    ),
    "a placeholder at an end": (
        "::: feedback f\nfrom: {{ greeting }}\nto: b\n\nC?\n:::",
        4,
        "a placeholder may not stand in a question",
    ),
    "placeholder in a block": ("::: tip\n{{ frist_name }}\n:::", 5, '"first_name"?'),
    "if over the end of a block": (
        "::: tip\n{% if district %}\na\n:::\n\n{% endif %}",
        4,
        "must stand in one paragraph",
    ),
    "HTML block": ("a\n\n<div>b</div>", 6, "HTML is not read here"),
    "HTML in a line": ("a\nb <b>c</b>", 5, "HTML is not read here"),
    "script": ("<script>alert(1)</script>", 4, "HTML is not read here"),
    "javascript": ("[Klick mich](javascript:alert(1))", 4, "is not for mails"),
    "data": ("a [b c](data:text/html,x) d", 4, "is not for mails"),
    "file": ("a\nb [b c](file:///etc/passwd) d", 5, "is not for mails"),
    "no scheme": ("siehe [unsere Seite](www.stadt.example)", 4, "is not for mails"),
    "double slash": ("siehe [unsere Seite](//stadt.example)", 4, "is not for mails"),
    "link by a person's value": (
        'siehe [Ihre Seite]({{attrs.role|default("x")}}) an',
        4,
        "decides where this link leads",
    ),
    "host by a value": (
        "siehe [die Seite](https://{{locale}}.example/) an",
        4,
        "may not be the host",
    ),
    "interest without a name": ("[Ja bitte](interest:)", 4, "no name of an interest"),
    "link without words": ("a [](https://stadt.example) b", 4, "this link has no words"),
    "image without words": ("![](media/tafel.png)", 4, "no words for who does not see it"),
    "missing image": ("![Tafel](media/tavel.png)", 4, 'did you mean "media/tafel.png"?'),
    "foreign image": ("![Tafel](https://x.example/a.png)", 4, "is a foreign image"),
    "image from above": ("![Tafel](media/../l3mail.toml)", 4, "is not in media/"),
    "image in a sentence": ("eine ![Tafel](media/tafel.png) hier", 4, "an image stands alone"),
    "no image": ("![Tafel](media/falsch.png)", 4, "holds no image"),
    "drawing": ("![Tafel](media/tafel.svg)", 4, "is no file for mails"),
    "nothing": ("", 5, "there is no text"),
}


@pytest.mark.parametrize(("body", "line", "says"), BODIES.values(), ids=BODIES.keys())
def test_a_fault_in_a_text_is_told_with_its_line(
    shelf: Shelf, body: str, line: int, says: str
) -> None:
    shelf.image()
    shelf.put("media/falsch.png", b"GIF? PNG? neither")
    shelf.put("media/tafel.svg", "<svg/>")
    shelf.lesson(body)
    told = shelf.findings
    assert any(f"lessons/kurs/01-start.md:{line}:" in one and says in one for one in told), told
    assert not any("Traceback" in one or ": warning: " in one for one in told)


WARNINGS = {
    "vague link": ("Mehr steht [hier](https://stadt.example).", 4, "does not say where it leads"),
    "heading too deep": (
        "## A\n\ntext\n\n#### B",
        8,
        "a heading of level 4 follows one of level 2",
    ),
}


@pytest.mark.parametrize(("body", "line", "says"), WARNINGS.values(), ids=WARNINGS.keys())
def test_what_a_careful_editor_would_mend_is_a_warning(
    shelf: Shelf, body: str, line: int, says: str
) -> None:
    shelf.lesson(body)
    (told,) = shelf.findings
    assert told.startswith(f"lessons/kurs/01-start.md:{line}:")
    assert ": warning: " in told
    assert says in told
    assert shelf.compiled().compiled is not None


COURSES = {
    "unknown key": (COURSE + "holidays: DE-SN\n", 3, 'did you mean "skip_holidays"?'),
    "no title": ('cadence: {weekday: mon, at: "10:00"}\n', 1, '"title" is missing'),
    "no weekday": ('title: a\ncadence: {weekday: mondag, at: "10:00"}\n', 2, "mon"),
    "a time without quotes": (
        "title: a\ncadence: {weekday: mon, at: 10:00}\n",
        2,
        'a time needs quotes, such as at: "10:00"',
    ),
    "a title no header holds": (
        COURSE.replace('"Kurs"', '"Kurs =?"'),
        1,
        '"title" is a text no mail header may hold: it holds the start of an encoded word',
    ),
    "no such calendar": (COURSE + "skip_holidays: DE-XX\n", 3, "is not a holiday calendar"),
    "no range": (COURSE + "closed: [christmas]\n", 3, "is neither a day"),
    "no grace": (COURSE + "grace: 48\n", 3, '"grace"'),
    "no start": (COURSE + "start: monday\n", 3, "expected rolling or a day"),
    "no such lesson": (COURSE + "lessons: [01-start, 02-viedo]\n", 3, "is no lesson of this"),
    "no such number": (COURSE + "lessons: [1, 7]\n", 3, '"7" is no lesson of this course'),
    "a lesson twice": (COURSE + "lessons: [1, 01-start]\n", 3, "listed twice"),
    "no such evaluation": (COURSE + "evaluation: true\n", 3, '"evaluation" is no text'),
}


@pytest.mark.parametrize(("yaml", "line", "says"), COURSES.values(), ids=COURSES.keys())
def test_a_fault_of_a_course_is_told_with_its_line(
    shelf: Shelf, yaml: str, line: int, says: str
) -> None:
    shelf.lesson()
    shelf.text("lessons/kurs/02-video.md")
    shelf.course(yaml=yaml)
    (told,) = shelf.findings
    assert told.startswith(f"lessons/kurs/course.yaml:{line}:")
    assert says in told


def test_a_stream_nobody_declared_is_an_error(shelf: Shelf) -> None:
    shelf.text("newsletters/2026-12.md", matter=f"{LESSON}\nstream: newsleter")
    (told,) = shelf.findings
    assert told.startswith('newsletters/2026-12.md:3:9: the stream "newsleter" is not declared')
    assert 'did you mean "newsletter"?' in told


def test_a_question_is_not_for_notices(shelf: Shelf) -> None:
    body = "[Bestätigen]({{ links.confirm }})\n\n::: quiz q1\nA?\n\n- [x] b\n- [ ] c\n:::"
    shelf.text("templates/notices/confirmation.md", body)
    assert any("a question is not for notices" in told for told in shelf.findings)


@pytest.mark.parametrize(("of", "known"), [("q1", True), ("kurs/01-start", True), ("q2", False)])
def test_a_trigger_may_wait_for_a_question_some_text_asks(
    shelf: Shelf, of: str, known: bool
) -> None:
    shelf.lesson("::: quiz q1\nA?\n\n- [x] b\n- [ ] c\n:::")
    matter = f'{LESSON}\ntrigger: answered\nof: "{of}"'
    shelf.text("newsletters/lifecycle/danke.md", matter=matter)
    told = [one for one in shelf.findings if "is offered by no text here" in one]
    assert (told == []) is known


def test_a_text_over_102_kilobytes_is_an_error(shelf: Shelf) -> None:
    shelf.lesson("Ein Wort und noch ein Wort.\n" * 6_000)
    (told,) = shelf.findings
    assert "over 102 KB" in told


def test_a_text_that_is_missing_in_the_own_language_is_an_error(shelf: Shelf) -> None:
    shelf.text("newsletters/2026-12.en.md")
    (told,) = shelf.findings
    assert "newsletter/2026-12 has no text in de" in told


def test_faults_of_a_draft_are_warnings_and_it_stays_a_draft(shelf: Shelf) -> None:
    shelf.lesson()
    shelf.text("lessons/kurs/02-video.md", "{{ foo }}", f"{LESSON}\ndraft: true")
    (told,) = shelf.findings
    assert ": warning: " in told


def test_a_workspace_without_faults_has_none(shelf: Shelf) -> None:
    shelf.lesson()
    shelf.text("lessons/kurs/evaluation.md")
    shelf.text("newsletters/2026-12.md", matter='subject: "a"\nsegment: "age >= 60"')
    shelf.text("newsletters/lifecycle/b.md", matter='subject: "a"\ntrigger: birthday')
    shelf.text("templates/notices/confirmation.md", "[Bestätigen]({{ links.confirm }})")
    assert shelf.findings == []


@pytest.mark.parametrize(
    "body",
    [
        "{% if district %}{{ district }}{% endif %}",
        "{% if not district %}a{% else %}{{ district }}{% endif %}",
        "{% if locale and attrs.role %}{{ attrs.role|upper }}{% endif %}",
        '{% if attrs.role == "vhs" %}{{ attrs.role }}{% endif %}',
        "{% if locale %}b{% elif district %}{{ district }}{% endif %}",
        '{{ district or "hier" }}',
        '{{ district if district else "hier" }}',
        '{{ first_name|trim|default("Sie")|upper }}',
        '{% if attrs["role"] %}{{ attrs.role }}{% endif %}',
    ],
)
def test_a_placeholder_that_cannot_be_empty_there_needs_no_default(shelf: Shelf, body: str) -> None:
    shelf.lesson(body)
    assert shelf.findings == []
