"""Which texts are segments, and how the others are refused."""

import json
from collections.abc import Iterator
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from l3mail import audiences, segments
from l3mail.cli.statements import as_text
from l3mail.database import Database
from l3mail.errors import SegmentError
from l3mail.models import SUBSCRIBER
from l3mail.segments import Attribute, Explaining, Vocabulary, mentions, parse
from tests.fakes.village import BACKENDS, MONDAY_TEN, Village, ground

BERLIN = ZoneInfo("Europe/Berlin")
WORDS = Vocabulary(
    attributes={
        "role": Attribute("text"),
        "groups": Attribute("number"),
        "since": Attribute("date"),
        "mentor": Attribute("bool"),
        "school": Attribute("choice", ("kita", "schule", "vhs")),
    },
    streams={"newsletter", "kurs"},
    courses={"kurs"},
    messages={"kurs/01-start", "kurs/02-video"},
    segments={"west": 'district == "Gorbitz"', "old": "age >= 60"},
)


def refused(text: str, words: Vocabulary = WORDS) -> SegmentError:
    with pytest.raises(SegmentError) as caught:
        parse(text, words)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


@pytest.mark.parametrize(
    ("text", "column", "problem"),
    [
        ('distric == "x"', 1, '"distric" is not known; did you mean "district"?'),
        ('age > 3 and distric == "x"', 13, '"distric" is not known; did you mean "district"?'),
        ("attrs.rolle == 1", 1, '"attrs.rolle" is not known; did you mean "attrs.role"?'),
        (
            'attrs.ring == "1"',
            1,
            '"attrs.ring" is not known; l3mail.toml declares one as [attributes.NAME]',
        ),
        ("role == 1", 1, '"role" is declared; write attrs.role'),
        ("true", 1, '"true" is not known; did you mean "True"?'),
        ('streams("kurs")', 1, '"streams" is not known; did you mean "stream"?'),
        ('stream("newslettr")', 8, '"newslettr" is not a stream; did you mean "newsletter"?'),
        ('enrolled("kurz")', 10, '"kurz" is not a course; did you mean "kurs"?'),
        (
            'opened("kurs/02-vide")',
            8,
            '"kurs/02-vide" is not a published text; did you mean "kurs/02-video"?',
        ),
        ('segment("wset")', 9, '"wset" is not a saved segment; did you mean "west"?'),
        ('"ö" == district and opend("x")', 21, '"opend" is not known; did you mean "opened"?'),
        (
            'attrs.school == "shule"',
            17,
            '"shule" is not a choice of this attribute; did you mean "schule"?',
        ),
        (
            'attrs.school in ["kita", "x"]',
            26,
            '"x" is not a choice of this attribute; choices are "kita", "schule", "vhs"',
        ),
        ("district == Gorbitz", 13, 'expected a value; a text stands in quotes: "Gorbitz"'),
        ("district", 1, '"district" alone is no question; compare it, as in == "x"'),
        ("age", 1, '"age" alone is no question; compare it, as in >= 60'),
        ('"Gorbitz"', 1, 'a value alone is no question; compare it, as in district == "x"'),
        ("district == 5", 13, 'expected a text in quotes as "x", found "5"'),
        ('age >= "60"', 8, 'expected a whole number as 60, found "60"'),
        ("age >= 60.5", 8, 'expected a whole number as 60, found "60.5"'),
        ("age == True", 8, 'expected a whole number as 60, found "True"'),
        ('joined_days > ""', 15, 'expected a whole number of days as 30, found ""'),
        (
            'attrs.since > "21.11.2026"',
            15,
            'expected a day as "2026-11-21" or today - 30, found "21.11.2026"',
        ),
        (
            'attrs.since > "2026-02-30"',
            15,
            'expected a day as "2026-11-21" or today - 30, found "2026-02-30"',
        ),
        (
            'birthday == "2-3"',
            13,
            'expected a day without a year as "03-15", or today, found "2-3"',
        ),
        ("attrs.mentor == 1", 17, 'expected True or False, found "1"'),
        ("attrs.groups == True", 17, 'expected a number as 2.5, found "True"'),
        ('district < "x"', 1, '"district" has no order; use ==, != or in'),
        ('age < ""', 1, "a missing value has no order; use ==, != or in"),
        ('"x" in district', 8, 'after in stands a list, as in district in ["x", "y"]'),
        ('district in "xyz"', 13, 'after in stands a list, as in district in ["x", "y"]'),
        ('district == ["x"]', 13, "expected one value; a list stands only after in"),
        ("district in []", 13, "an empty list selects nobody; name at least one value"),
        ('district in ["x" "y"]', 14, "expected one text in plain quotes; is a comma missing?"),
        ("district is 5", 1, "is is not used here; write == or !="),
        ("district == None", 13, 'there is no None here; a missing value is ""'),
        (
            "first_name == last_name",
            15,
            "compare an attribute with a value; a text stands in quotes",
        ),
        ("5 == 5", 1, "compare an attribute with a value, as in age >= 60"),
        ('stream("kurs") == True', 1, "a function is a question of its own, compared with nothing"),
        ("opened", 1, 'opened is a function; write opened("kurs/02-video")'),
        ("district()", 1, '"district" is no function; write it without brackets'),
        ("attrs", 1, "attrs alone means nothing; write attrs.name"),
        ('attrs["role"] == "x"', 1, "square brackets only hold a list after in; write attrs.name"),
        ("district.role == 1", 1, "only attrs has a dot after it, as in attrs.role"),
        ("age + 1 > 60", 1, "nothing is calculated here; combine questions with and, or, not"),
        (
            "tracking & tracking",
            1,
            "nothing is calculated here; combine questions with and, or, not",
        ),
        (
            "tracking if tracking else tracking",
            1,
            "there is no if inside a question; use and, or, not",
        ),
        ("stream()", 1, 'expected stream; found 0 arguments; write stream("newsletter")'),
        ("stream(5)", 8, 'expected a text in quotes, as in stream("newsletter")'),
        ('stream("")', 8, 'expected a text in quotes, as in stream("newsletter")'),
        ('stream(name="kurs")', 1, 'arguments stand in their order, as in stream("newsletter")'),
        ("age > 9999999999999999", 7, "this number is too large"),
        ("attrs.groups > 1e999", 16, "this number is too large"),
        (r'district == "\x41"', 14, r'the character "\" has no place here'),
        ('district == "\0"', 14, r'the character "\x00" has no place here'),
        ('district == "\ud800"', 14, r'the character "\ud800" has no place here'),
        ("age = 60", 5, "a single = sets a value; write =="),
        ('district == "a=b" and age = 60', 27, "a single = sets a value; write =="),
        ("district == “Gorbitz”", 13, 'typographic quotes; write straight quotes: "…"'),
        ("district = „Gorbitz“", 12, 'typographic quotes; write straight quotes: "…"'),
        ("attrs.groups >= 60,5", 17, "60,5 is two numbers here; write 60.5"),
        ('district == "1,5" and attrs.groups > 2,5', 38, "2,5 is two numbers here; write 2.5"),
        ("", None, "the question is empty; True selects everybody"),
    ],
)
def test_a_fault_is_named_with_its_place(text: str, column: int | None, problem: str) -> None:
    error = refused(text)
    assert (error.problem, error.column) == (problem, column)


def test_the_line_says_what_where_and_what_to_do() -> None:
    error = refused('(district == "x" and\n  distric == "y")')
    assert str(error) == (
        'segment, line 2, column 3: "distric" is not known; did you mean "district"?'
    )


def test_a_slip_in_a_later_line_is_found_there() -> None:
    error = refused('(district == "x" and\n  age = 60)')
    assert (error.line, error.column, error.problem[:10]) == (2, 7, "a single =")


def test_a_fault_in_a_saved_segment_names_the_segment() -> None:
    error = refused('segment("bad")', Vocabulary(segments={"bad": "agge > 3"}))
    assert str(error) == (
        'segment "bad", line 1, column 1: "agge" is not known; did you mean "age"?'
    )


@pytest.mark.parametrize(
    "text",
    [
        '__import__("os").system("true")',
        '__import__("os")',
        "attrs.__class__",
        'attrs.role.__class__ == "x"',
        '().__class__.__bases__[0] == "x"',
        "(lambda: True)()",
        "lambda: True",
        "[x for x in [1]]",
        "{x: 1 for x in [1]} == 1",
        "any(x for x in [1])",
        'f"{district}" == "x"',
        'district == f"{age}"',
        'district == b"x"',
        'district == "x" % age',
        "(x := 5)",
        "age ** age > 1",
        "-age > 1",
        "~tracking",
        "age == -True",
        "age == 5j",
        "age == ...",
        "attrs[0]",
        "stream(*['kurs'])",
        "stream(**{})",
        'stream("kurs").real',
        'stream("kurs")()',
        "district in {'a': 1}",
        "district in [*attrs]",
        "district in [['a']]",
        "await stream('kurs')",
        "yield",
        "import os",
        "age > 1; age < 2",
        "age = 1",
        "(((",
        "age >",
        "age > 1 # and more\n)",
        'district == """x"""',
        'district == r"x"',
        r'district == "\x00"',
        'district == "a\0b"',
        'district == "\ud800"',
        'district == "x\\',
        "60and age",
        "(" * 1_000 + "tracking" + ")" * 1_000,
        "not " * 400 + "tracking",
        "-" * 1_900 + "1 == age",
        "age" + ".a" * 900,
        "lambda:" * 280 + "1",
        "9" * 1_990,
        "0x" + "f" * 1_900 + " == age",
    ],
)
def test_everything_else_of_python_is_refused(text: str) -> None:
    refused(text)
    assert mentions(text) == frozenset()


def test_a_text_has_limits() -> None:
    assert "at most 2000" in refused('district == "' + "x" * 2_000 + '"').problem
    assert "at most 200" in refused('district == "' + "x" * 201 + '"').problem
    assert "at most 200" in refused("age in [" + "1," * 201 + "]").problem
    assert "deeper than 20" in refused("not " * 20 + "tracking").problem
    parse("not " * 19 + "tracking", WORDS)
    parse("age in [" + "1," * 200 + "]", WORDS)


def test_segments_that_ask_for_each_other_are_named_in_their_order() -> None:
    words = Vocabulary(
        segments={"a": 'segment("b")', "b": 'tracking or segment("c")', "c": 'segment("a")'}
    )
    error = refused('segment("a")', words)
    assert error.problem == 'goes in a circle: "a" asks for "b" asks for "c" asks for "a"'
    alone = Vocabulary(segments={"self": 'segment("self")'})
    assert refused('segment("self")', alone).problem == 'goes in a circle: "self" asks for "self"'


def test_a_segment_named_twice_is_no_circle() -> None:
    words = Vocabulary(segments={"a": 'segment("c")', "b": 'segment("c")', "c": "tracking"})
    parse('segment("a") and segment("b") and segment("c")', words)


def test_segments_that_double_at_each_step_are_refused_before_they_are_large() -> None:
    doubled = {f"s{n}": f'segment("s{n - 1}") or segment("s{n - 1}")' for n in range(1, 10)}
    error = refused('segment("s9")', Vocabulary(segments={"s0": "tracking", **doubled}))
    assert "too large" in error.problem


def test_a_chain_of_segments_has_an_end() -> None:
    chained = {f"s{n}": f'segment("s{n - 1}")' for n in range(1, 30)}
    error = refused('segment("s29")', Vocabulary(segments={"s0": "tracking", **chained}))
    assert "over more than 10 steps" in error.problem


def test_names_are_not_checked_where_none_are_given() -> None:
    expression = parse('stream("x") or opened("y") or segment("z")', Vocabulary())
    with pytest.raises(SegmentError, match='"z" is a segment this expression was read without'):
        segments.compile(expression, MONDAY_TEN, BERLIN, "off")


def test_the_moment_of_a_question_has_a_zone() -> None:
    with pytest.raises(ValueError, match="names no zone"):
        segments.compile(parse("True", WORDS), MONDAY_TEN.replace(tzinfo=None), BERLIN, "off")


def test_mentions_are_the_segments_a_text_names_itself() -> None:
    assert mentions('segment("a") and not (segment("b") or age > 3)') == {"a", "b"}
    assert mentions("district == \"segment('a')\"") == frozenset()
    assert mentions("segment(a, 5)") == frozenset()


# -- whatever is asked, both databases answer


@pytest.fixture(scope="module", params=BACKENDS)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    with ground(request.param, tmp_path_factory.mktemp("texts")) as database:
        yield database


@pytest.fixture(scope="module")
def town(database: Database) -> Village:
    """People of many kinds."""
    village = Village(database)
    village.empty()
    for number in range(12):
        village.person(
            f"p{number}@schule.example",
            tracking=number % 2 == 0,
            district=(None, "", "Gorbitz", "x")[number % 4],
            birth_year=(None, 1950, 2000)[number % 3],
            birth_month=number % 12 + 1,
            birth_day=15,
            locale=("de", None)[number % 2],
            erased_at=village.now if number == 11 else None,
            attributes=(
                {},
                {"role": "vhs", "groups": number, "mentor": True},
                {"role": 5, "groups": "x", "since": "2026-01-01", "mentor": "no"},
            )[number % 3],
        )
    return village


def answers(village: Village, text: str) -> dict[int, tuple[bool, bool]]:
    question = segments.compile(parse(text, WORDS), village.now, BERLIN, "consent")
    query = select(SUBSCRIBER.c.id, question.yes, question.unknown, SUBSCRIBER.c.erased_at)
    rows = village.ask(query)
    assert not [row for row in rows if row[1] is None or row[2] is None]
    assert not [row for row in rows if row[3] is not None and (row[1] or row[2])]
    return {row[0]: (bool(row[1]), bool(row[2])) for row in rows if row[3] is None}


PLAIN = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\\"), max_size=20
)
TEXTS = st.one_of(PLAIN, st.sampled_from(["Gorbitz", "x", "", "%", "_", "' OR 1=1 --", ":a", "?"]))
WHOLE = st.one_of(st.integers(-(10**15), 10**15), st.integers(-5, 120))


def written(text: str) -> str:
    quote = "'" if '"' in text else '"'
    return quote + text.replace(quote, "") + quote


ORDER = st.sampled_from(["==", "!=", "<", "<=", ">", ">="])
NUMBERED = st.sampled_from(["age", "joined_days", "inactive_days", "attrs.groups"])
TEXTUAL = st.sampled_from(["district", "first_name", "email", "locale", "attrs.role"])
DAYS = st.sampled_from(["joined", "attrs.since", "birthday"])
COUNTED = st.integers(0, 36_600).map("today - {}".format) | st.just("today")
LEAVES = st.one_of(
    st.builds("{} {} {}".format, NUMBERED, ORDER, WHOLE),
    st.builds("{1} {2} {0} {2} {3}".format, NUMBERED, WHOLE, ORDER, WHOLE),
    st.builds("attrs.groups {} {!r}".format, ORDER, st.floats(-1e15, 1e15)),
    st.builds("{} {} {}".format, TEXTUAL, st.sampled_from(["==", "!="]), TEXTS.map(written)),
    st.builds(
        "{} {} [{}]".format,
        TEXTUAL,
        st.sampled_from(["in", "not in"]),
        st.lists(TEXTS.map(written), min_size=1, max_size=4).map(", ".join),
    ),
    st.builds('attrs.since {} "{}"'.format, ORDER, st.dates().map(lambda day: day.isoformat())),
    st.builds('birthday {} "{:%m-%d}"'.format, ORDER, st.dates()),
    st.builds("{} {} {}".format, st.sampled_from(["joined", "attrs.since"]), ORDER, COUNTED),
    st.builds("{} in days({}, {})".format, DAYS, COUNTED, st.dates().map('"{}"'.format)),
    st.builds("{} not in {}".format, DAYS, st.sampled_from(["this_week", "last_year"])),
    st.builds("{} in [{}, today]".format, DAYS, COUNTED),
    st.sampled_from(
        [
            "True",
            "False",
            "tracking",
            "attrs.mentor",
            'attrs.school == "vhs"',
            'attrs.school != ""',
            'stream("newsletter")',
            'enrolled("kurs")',
            'completed("kurs")',
            'received("kurs/01-start")',
            'opened("kurs/01-start")',
            'clicked("kurs/01-start")',
            'segment("west")',
            'segment("old")',
        ]
    ),
    st.builds(
        'answered("kurs/01-start", {}, {})'.format,
        TEXTS.filter(bool).map(lambda text: written(text) if written(text) != '""' else '"q"'),
        st.sampled_from(['"a"', "'%'"]),
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds("not ({})".format, inner),
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("({}) or ({})".format, inner, inner),
    ),
    max_leaves=6,
)


@given(text=TREES)
@settings(max_examples=60)
def test_any_question_has_an_answer_and_its_opposite_the_opposite(town: Village, text: str) -> None:
    if len(text) > 1_900:
        return
    plain, opposite = answers(town, text), answers(town, f"not ({text})")
    for person, (yes, unknown) in plain.items():
        assert not (yes and unknown)
        assert opposite[person] == (not (yes or unknown), unknown)


@given(text=TREES)
@settings(max_examples=40)
def test_any_question_can_be_written_explained_and_pasted(town: Village, text: str) -> None:
    """As text it is the same question, by parts it has the same answer, and so has its SQL."""
    if len(text) > 1_900:
        return
    expression = parse(text, WORDS)
    assert parse(segments.written(expression.tree), WORDS).tree == expression.tree
    explaining = Explaining(expression, town.now, BERLIN, "consent")
    asked = explaining.statement().add_columns(SUBSCRIBER.c.id)
    rows = [dict(row._mapping) for row in town.ask(asked)]
    told = {row["id"]: explaining.read(row).verdict for row in rows}
    expected = answers(town, text)
    assert {told[person] for person in told.keys() - expected.keys()} == {False}, "the erased"
    assert {person: told[person] for person in expected} == {
        person: True if yes else None if unknown else False
        for person, (yes, unknown) in expected.items()
    }
    question = segments.compile(expression, town.now, BERLIN, "consent")
    assert pasted(town.database, as_text(audiences.counting(question), backend(town.database))) == [
        (sum(yes for yes, _ in expected.values()), sum(unknown for _, unknown in expected.values()))
    ]


def backend(database: Database) -> str:
    return "sqlite" if database.is_sqlite else "postgresql"


def pasted(database: Database, statement: str) -> list[tuple[int, ...]]:
    """What the database's own driver answers to a statement, without SQLAlchemy's help."""

    def verb(connection: Connection) -> list[tuple[int, ...]]:
        assert connection.connection.driver_connection is not None
        cursor = connection.connection.driver_connection.cursor()
        cursor.execute(statement)
        return [tuple(map(int, row)) for row in cursor.fetchall()]

    return database.read(verb)


@pytest.mark.parametrize(
    "text",
    [
        """district == "x' OR 1=1 --" or attrs.role == "100%" """,
        """district == ":a ?" or interested("%(x)s")""",
        "attrs.role == '\"); DROP TABLE x; --'",
    ],
)
def test_a_pasted_statement_holds_its_texts_as_texts(town: Village, text: str) -> None:
    question = segments.compile(parse(text, WORDS), town.now, BERLIN, "consent")
    for statement in (audiences.counting(question), audiences.selecting(question)):
        shown = as_text(statement, backend(town.database))
        assert "\n" in shown
        assert ":param" not in shown
        pasted(town.database, shown)


SCRAPS = (
    'district age attrs . role == != < in not and or ( ) [ ] , " "x" 5 -1 True None lambda : stream'
    ' segment opened __import__ f"{x}" { } * ** if else for is := @ ~ # \\'
).split()


@given(text=st.text(max_size=60) | st.lists(st.sampled_from(SCRAPS), max_size=14).map(" ".join))
@settings(max_examples=400)
def test_any_text_is_either_understood_or_refused(text: str) -> None:
    said = ""
    try:
        segments.compile(parse(text, WORDS), MONDAY_TEN, BERLIN, "consent")
    except SegmentError as error:
        said = str(error)
    assert said.isprintable()


@pytest.mark.parametrize("text", ["'", '"', "%", "_", "%s", ":now", "?", "; DROP TABLE x", "{}"])
def test_a_text_of_a_question_is_a_bound_value(text: str) -> None:
    expression = parse(f"district == {written(text)} or interested({written(text)})", WORDS)
    question = segments.compile(expression, MONDAY_TEN, BERLIN, "consent")
    compiled = select(SUBSCRIBER.c.id).where(question.yes).compile()
    bound = json.dumps(list(compiled.params.values()), default=str)
    assert bound.count(json.dumps(text)) == 2
    if len(text) > 2:
        assert text not in str(compiled).replace(":now_", "")


def test_the_largest_question_is_not_too_large_for_a_database(town: Village) -> None:
    many = ", ".join(str(number) for number in range(200))
    words = Vocabulary(
        segments={f"s{n}": " or ".join(["inactive_days < 3"] * 90) for n in range(3)}
        | {"list": f"age in [{many}] or age in [{many}]"}
    )
    lists = " or ".join(['segment("list")'] * 4)
    ors = " or ".join(f'segment("s{n}")' for n in range(3))
    for text in (lists, ors, "not (" * 17 + ors + ")" * 17):
        question = segments.compile(parse(text, words), town.now, BERLIN, "consent")
        assert len(town.ask(select(SUBSCRIBER.c.id, question.yes, question.unknown))) == 12
    assert "too large" in refused(f"({ors}) and ({ors})", words).problem
    assert "too large" in refused(f"({lists}) and ({lists})", words).problem


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_question_is_of_its_moment(town: Village, hours: int) -> None:
    """The day of `now` is the local one: 24 November begins at 23:00 UTC."""
    moment = MONDAY_TEN.replace(hour=23) + timedelta(hours=hours)
    question = segments.compile(parse("joined_days == 1", WORDS), moment, BERLIN, "off")
    found = town.ask(select(SUBSCRIBER.c.id).where(question.yes))
    assert bool(found) is (hours >= 0)
