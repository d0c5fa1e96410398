"""Parts of a text that only some people get: how `::: if` is written, and what becomes of it."""

from pathlib import Path

import pytest

from l3mail.content import compile_all
from l3mail.rendering import Head, compose, fill, press
from tests.fakes.library import Shelf, values
from tests.fakes.village import MONDAY_TEN

NORTH = '::: if district == "Nord"'
FIRST_LINE = 4


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def shown(shelf: Shelf, body: str, part: str = "text", *when: bool) -> str:
    shelf.lesson(body)
    text = shelf.compiled()
    assert text.compiled is not None
    ada = {"first_name": "Ada"}
    return fill(text.compiled, part, values(ada, when=when, hrefs=text.hrefs))


@pytest.mark.parametrize("part", ["text", "html"])
def test_a_part_is_there_for_whom_it_is(shelf: Shelf, part: str) -> None:
    body = f"Guten Tag.\n\n{NORTH}\nNur im Norden.\n:::\n\nBis bald."
    assert "Nur im Norden" in shown(shelf, body, part, True)
    without = shown(shelf, body, part, False)
    assert "Nur im Norden" not in without
    assert "Guten Tag" in without
    assert "Bis bald" in without


def test_what_stands_below_else_is_for_those_of_whom_the_opposite_is_known(shelf: Shelf) -> None:
    body = f"{NORTH}\nNorden.\n::: else\nSüden.\n:::"
    shelf.lesson(body)
    compiled = shelf.compiled().compiled
    assert compiled is not None
    asks = {"if": 'district == "Nord"'}
    assert compiled["conditions"] == [asks | {"else": False}, asks | {"else": True}]
    for when, words in (((1, 0), "Norden."), ((0, 1), "Süden."), ((0, 0), "")):
        text = shown(shelf, body, "text", *map(bool, when))
        assert ("Norden." in text, "Süden." in text) == (words == "Norden.", words == "Süden.")


def test_what_asks_the_same_has_one_number(shelf: Shelf) -> None:
    shelf.lesson(f"{NORTH}\nEins.\n:::\n\nZwei.\n\n{NORTH}\nDrei.\n:::")
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert len(compiled["conditions"]) == 1


def test_a_text_without_conditions_says_nothing_of_them(shelf: Shelf) -> None:
    shelf.lesson("Guten Tag.")
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert "conditions" not in compiled
    assert "when[" not in compiled["html"] + compiled["text"]


BLOCKS = {
    "a card": "::: card\ntitle: Kasten\n\nInhalt.\n:::",
    "a button": "::: button\n[Zur Anmeldung](https://a.example)\n:::",
    "a link alone": "[Zur Anmeldung](https://a.example)",
    "a tip between paragraphs": "Davor.\n\n::: tip\nInhalt.\n:::\n\nDanach.",
    "a picture": "![Eine Tafel](media/tafel.png)",
    "a list": "- eins\n- zwei",
    "a heading": "## Überschrift",
    "a quiz": "::: quiz q1\nWas stimmt?\n\n- [ ] dies\n- [x] das\n:::",
    "another condition": "::: if age >= 60\nInhalt.\n::: else\nAnders.\n:::",
    "a tag's lines": "{% if first_name %}\n\nHallo {{ first_name }}.\n\n{% endif %}",
}


@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS.keys())
def test_a_part_holds_whatever_a_mail_holds(shelf: Shelf, block: str) -> None:
    shelf.image()
    body = f"Guten Tag.\n\n{NORTH}\n{block}\n:::\n\nBis bald."
    plain = "Guten Tag.\n\nBis bald."
    for part in ("text", "html"):
        with_it = shown(shelf, body, part, True, True, True)
        assert len(with_it) > len(shown(shelf, plain, part))
        # The column around it is another one where what it holds is as wide as the mail.
        for word in ("Inhalt", "Anmeldung", "eins", "Was stimmt", "Tafel", "Überschrift", "Hallo"):
            assert word not in shown(shelf, body, part, False, False, False)


def test_a_part_stands_in_a_card(shelf: Shelf) -> None:
    body = f"::: card\nFür alle.\n\n{NORTH}\n[Zur Anmeldung](https://a.example)\n:::\n:::"
    assert "Anmeldung" in shown(shelf, body, "html", True)
    assert "Anmeldung" not in shown(shelf, body, "html", False)


def test_links_keep_their_numbers_and_media_their_copies_whether_shown_or_not(shelf: Shelf) -> None:
    shelf.image()
    shelf.lesson(
        f"[Eins für alle](https://a.example/1)\n\n{NORTH}\n![Tafel](media/tafel.png)\n\n"
        "[Zwei im Norden](https://a.example/2)\n:::\n\n[Drei für alle](https://a.example/3)"
    )
    text = shelf.compiled()
    assert [url[-1] for url, _ in text.links] == ["1", "2", "3"]
    assert [medium.name for medium in text.media] == ["tafel.png"]


def test_a_question_not_put_to_everybody_says_so(shelf: Shelf) -> None:
    quiz = "::: quiz {}\nWas stimmt?\n\n- [ ] dies\n- [x] das\n:::\n"
    shelf.lesson(f"{quiz.format('q1')}\n{NORTH}\n{quiz.format('q2')}:::")
    compiled = shelf.compiled().compiled
    assert compiled is not None
    assert [one.get("conditional", False) for one in compiled["questions"]] == [False, True]


def test_no_gap_is_left_where_a_part_is_missing(shelf: Shelf) -> None:
    body = f"Eins.\n\n{NORTH}\nZwei.\n:::\n\nDrei.\n\n::: if age >= 60\nVier.\n:::"
    texts = {
        (1, 1): "Eins.\n\nZwei.\n\nDrei.\n\nVier.\n",
        (0, 1): "Eins.\n\nDrei.\n\nVier.\n",
        (0, 0): "Eins.\n\nDrei.\n",
    }
    for when, expected in texts.items():
        text = shown(shelf, body, "text", *map(bool, when))
        assert text[text.index("Eins.") :].partition("\n\n\n")[0] + "\n" == expected


def test_a_text_with_conditions_goes_the_fast_way_and_says_the_same(shelf: Shelf) -> None:
    shelf.lesson(f"Guten Tag.\n\n{NORTH}\n::: card\nNorden.\n:::\n::: else\nSüden.\n:::")
    text = shelf.compiled()
    assert text.compiled is not None
    assert press(text.compiled).is_pressed
    head = Head("1@h", MONDAY_TEN, '"B" <a@b.example>', "ada@schule.example")
    for when in ((True, False), (False, True), (False, False)):
        mail = compose(text.compiled, values(when=when), head).decode()
        assert ("Norden." in mail, "S=C3=BCden." in mail) == when


FAULTS = {
    "never closed": (f"Text\n\n{NORTH}\nA", 2, "never closed"),
    "empty": (f"{NORTH}\n:::", 0, "::: if is empty"),
    "an empty else": (f"{NORTH}\nA\n::: else\n:::", 2, "else is empty"),
    "nothing asked": ("::: if\nA\n:::", 0, "asks nothing"),
    "two elses": (f"{NORTH}\nA\n::: else\nB\n::: else\nC\n:::", 4, "has an else already"),
    "else if": (
        f"{NORTH}\nA\n::: else if age > 2\nB\n:::",
        2,
        "write ::: if age > 2 in a line below it",
    ),
    "elif": (f"{NORTH}\nA\n::: elif age > 2\nB\n:::", 2, "write ::: if age > 2 in a line below it"),
    "an else of nothing": ("A\n\n::: else\nB\n:::", 2, "it stands in an ::: if"),
    "an else in a card of it": (
        f"{NORTH}\n::: card\nA\n::: else\nB\n:::\n:::",
        3,
        "close what is open above it",
    ),
    "braces": ("::: if {{ locale }} == 'x'\nA\n:::", 0, "without braces"),
    "braces in quotes": ('::: if district == "{{ 7*7 }}"\nA\n:::', 0, "without braces"),
    "in a list": ("- a\n\n  ::: if age > 3\n  A\n  :::", 2, "may not stand in a list"),
    "in a quote": ("> ::: if age > 3\n> A\n> :::", 0, "may not stand in a list or a quote"),
    "a tag that ends elsewhere": (
        f"{{% if locale %}}\n\n{NORTH}\nA\n\n{{% endif %}}\n\nB\n:::",
        2,
        "on the same level",
    ),
    "a tag that ends below else": (
        f"{NORTH}\nA\n\n{{% if locale %}}\n\n::: else\n{{% endif %}}\n\nB\n:::",
        1,
        "on the same level",
    ),
    "wide in a card": (
        f"::: card\n{NORTH}\n::: tip\nA\n:::\n:::\n:::",
        2,
        "may not stand in card",
    ),
    "nested a hundred times": (f"{NORTH}\n" * 100 + "A\n" + ":::\n" * 100, 3, "nested too deep"),
    "two hundred": (
        "".join(f"::: if age > {n}\nA\n:::\n\n" for n in range(200)),
        120,
        "30 conditions at most",
    ),
    "a slip of its name": ("::: iff age > 3\nA\n:::", 0, 'did you mean "if"?'),
}


@pytest.mark.parametrize(("body", "line", "words"), FAULTS.values(), ids=FAULTS.keys())
def test_what_is_wrong_is_told_in_its_line(shelf: Shelf, body: str, line: int, words: str) -> None:
    shelf.lesson(body)
    (text,) = compile_all(shelf.library)
    assert text.compiled is None
    found = [str(one) for one in text.findings]
    here = f"lessons/kurs/01-start.md:{FIRST_LINE + line}:"
    assert [one for one in found if one.startswith(here) and words in one], found


def test_what_a_condition_compares_with_never_becomes_a_part_of_the_mail(shelf: Shelf) -> None:
    for hostile in ('"%}"', '"}}"', '"\'; DROP TABLE subscriber --"', '"</mj-raw><script>"'):
        shelf.lesson(f"::: if district == {hostile}\nA\n:::")
        compiled = shelf.compiled().compiled
        assert compiled is not None
        assert compiled["conditions"] == [{"if": f"district == {hostile}", "else": False}]
        assert "{% if when[0] %}" in compiled["text"]
        assert hostile not in compiled["text"] + compiled["html"]


@pytest.mark.parametrize("body", ["{% if when[0] %}A{% endif %}", "{{ when }}"])
def test_what_is_shown_cannot_be_asked_otherwise(shelf: Shelf, body: str) -> None:
    shelf.lesson(body)
    (text,) = compile_all(shelf.library)
    assert text.compiled is None


def test_who_is_asked_by_a_notice_is_not_known(shelf: Shelf) -> None:
    shelf.text("templates/notices/confirmation.md", f"{NORTH}\nA\n:::")
    assert [one for one in shelf.findings if "an ::: if is not for notices" in one]


def test_whoever_might_get_an_empty_mail_is_thought_of(shelf: Shelf) -> None:
    shelf.lesson(f"{NORTH}\nA\n:::")
    (warning,) = shelf.findings
    assert warning.startswith(f"lessons/kurs/01-start.md:{FIRST_LINE}: warning: all of this text")
    shelf.lesson(f"{NORTH}\nA\n::: else\nB\n:::")
    assert shelf.findings == []
