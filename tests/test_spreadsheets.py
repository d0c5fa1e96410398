"""Files of people as offices write them: what can be read, what is refused as a whole."""

import csv
import io
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.errors import EntryError, SpreadsheetError
from l3mail.settings import Attribute
from l3mail.subscribers import dates, exports, spreadsheets, values
from l3mail.subscribers.entries import Reading, Vocabulary, columns, read, rejected

TODAY = date(2026, 11, 23)
ATTRIBUTES = {
    "role": Attribute(type="choice", choices=("vhs", "schule")),
    "size": Attribute(type="number"),
    "since": Attribute(type="date"),
    "host": Attribute(type="bool"),
    "school": Attribute(),
}
VOCABULARY = Vocabulary(ATTRIBUTES, {"newsletter", "kurs"}, TODAY)
NAMES = ("email", "first_name", "district")


def reading(text: str, mapping: Mapping[str, str] | None = None) -> Reading:
    sheet = spreadsheets.read(text.encode(), "people.csv", NAMES)
    return read(sheet, columns(sheet, mapping or {}, VOCABULARY), (), VOCABULARY)


def reasons(text: str) -> list[str]:
    return [rejection.reason for rejection in reading(text).rejections]


@pytest.mark.parametrize(
    "separator", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_encodings_and_separators_are_found_out(separator: str, encoding: str, end: str) -> None:
    rows = (("email", "first_name", "district"), ("ö@x.example", "Jürgen", 'A "B", C; D\tß'))
    text = end.join(
        separator.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows
    )

    sheet = spreadsheets.read(text.encode(encoding), "people.csv", NAMES)

    assert sheet.header == rows[0]
    assert sheet.rows == [spreadsheets.Row(2, rows[1])]
    assert sheet.separator == separator


@pytest.mark.parametrize("mark", ["utf-16-le", "utf-16-be"])
def test_utf_16_is_known_by_its_mark(mark: str) -> None:
    data = "\ufeffemail\nada@x.example\n".encode(mark)

    assert spreadsheets.read(data, "people.csv").header == ("email",)


@pytest.mark.parametrize(
    ("header", "separator"),
    [
        ("email;Name, Vorname;district", ";"),
        ("email,Notiz; Bemerkung; Sonstiges; Anderes,district", ","),
        ("E-Mail;Vorname;Nachname, Titel", ";"),
        ("email", ";"),
        ('"email, dienstlich; privat"\tdistrict', "\t"),
    ],
)
def test_the_header_says_the_separator(header: str, separator: str) -> None:
    assert spreadsheets.read(header.encode(), "people.csv", NAMES).separator == separator


def test_a_first_line_may_announce_the_separator() -> None:
    sheet = spreadsheets.read(b"sep=,\r\nemail,a;b;c;d\r\nada@x.example,x\r\n", "people.csv")

    assert sheet.header == ("email", "a;b;c;d")
    assert [row.line for row in sheet.rows] == [3]


def test_cells_of_several_lines_keep_the_lines_counted() -> None:
    text = 'email,school\nada@x.example,"Schule\nam See"\n\n,,\nbob@x.example,\n'
    sheet = spreadsheets.read(text.encode(), "people.csv")

    assert [(row.line, row.cells[1]) for row in sheet.rows] == [(2, "Schule\nam See"), (6, "")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "holds no header"),
        (b"\n;;\n", "holds no header"),
        (b'email\nada@x.example\n"bob', "people.csv:3: the quotes of this row do not match"),
        (b'email\n"a"b\n', "people.csv:2: the quotes"),
        (b"PK\x03\x04\x14\0", "people.csv: is a workbook of Excel or LibreOffice, no CSV file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "people.csv: is a workbook of an old Excel"),
        (b"%PDF-1.4", "people.csv: is a PDF"),
        (b"\xef\xbb\xbf\r\n <!DOCTYPE html>", "people.csv: is a web page"),
        (b"email\n\x81\n", "people.csv:2: is no text"),
        (b"e\0m\0a\0i\0l\0", "people.csv:1: holds NUL"),
        (b"email\n" + b"x" * 100_001, "people.csv:2: holds a cell of more than 100,000"),
        (b"email\n" + b"x" * 200_000, "people.csv:2: "),
    ],
    ids=[
        "empty",
        "blank",
        "open-quote",
        "loose-quote",
        "xlsx",
        "xls",
        "pdf",
        "html",
        "bytes",
        "utf-16-bare",
        "cell",
        "field",
    ],
)
def test_a_file_that_cannot_be_trusted_is_refused_as_a_whole(data: bytes, said: str) -> None:
    with pytest.raises(SpreadsheetError) as refusal:
        spreadsheets.read(data, "people.csv")

    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "'=", "''@"]
)
def test_no_cell_of_ours_is_a_formula(start: str) -> None:
    cell = f'{start}HYPERLINK("http://evil.example")'
    [line] = spreadsheets.write([[cell, "Ada"]])
    [[written, _]] = csv.reader(io.StringIO(line, newline=""))

    assert written == f"'{cell}"
    assert spreadsheets.unmarked(written) == cell


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_is_marked_comes_back_as_it_was(cell: str) -> None:
    assert spreadsheets.unmarked(spreadsheets.marked(cell)) == cell
    assert not spreadsheets.marked(cell).startswith(("=", "+", "-", "@", "\t", "\r"))


@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for prefix in (b"", b"email,streams,birthday,size\n"):
        try:
            sheet = spreadsheets.read(prefix + data, "people.csv", NAMES)
            found = read(sheet, columns(sheet, {}, VOCABULARY), (), VOCABULARY)
        except SpreadsheetError as refusal:
            told = str(refusal)
        else:
            told = "read"
            assert len(found.entries) + len(found.rejections) == len(sheet.rows)
            for line in spreadsheets.write(rejected(sheet, found.rejections)):
                assert line.endswith("\r\n")
        assert len(told.splitlines()) == 1


cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@given(st.lists(st.lists(cells, min_size=2, max_size=2), max_size=5), st.sampled_from(",;\t"))
def test_any_table_is_read_as_it_was_written(rows: list[list[str]], separator: str) -> None:
    text = "".join(spreadsheets.write([["email", "school"], *rows], separator))
    sheet = spreadsheets.read(text.encode("utf-8-sig"), "people.csv", ("email", "school"))

    assert [list(row.cells) for row in sheet.rows] == [
        row for row in rows if any(spreadsheets.marked(cell).strip() for cell in row)
    ]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("first_name", 'no column email, only "first_name"; say which it is'),
        ("email,frist_name", 'column "frist_name" is not known; did you mean "first_name"?'),
        ("email,Rolle", '(--map "Rolle=NAME" says what it is, --map "Rolle=-" leaves it out)'),
        ("email,Email", 'two columns for email; give one of those called "Email" another name'),
        ("email,E-Mail", 'two columns for email; --map "E-Mail=-" leaves one out'),
        ("ada@x.example,Ada", "people.csv:1: is a row with an address; the first line names"),
        ("email,,district", "column 2 has no name"),
        ("email,=cmd()\x1b[2J", "\\x1b"),
    ],
)
def test_a_header_we_do_not_understand_is_refused(header: str, said: str) -> None:
    with pytest.raises(SpreadsheetError) as refusal:
        reading(header + "\nada@x.example\n")

    assert said in str(refusal.value)


def test_columns_can_be_renamed_and_left_out() -> None:
    found = reading(
        "E-Mail;Vorname;Notiz\nada@x.example;Ada;x\n",
        {"E-Mail": "email", "vorname": "first_name", "Notiz": "-"},
    )

    [entry] = found.entries
    assert entry.request.address.address == "ada@x.example"
    assert entry.request.values == {"first_name": "Ada"}


def test_case_and_spaces_of_our_own_names_are_forgiven() -> None:
    [entry] = reading("EMAIL;First Name\nada@x.example;Ada\n").entries

    assert entry.request.values == {"first_name": "Ada"}


def test_a_whole_row_is_read() -> None:
    found = reading(
        "email;first_name;last_name;salutation;locale;district;birthday;streams;"
        "role;size;since;host;school\n"
        "Ada@Bücher.example;Ada;Groß;Liebe Ada;DE_simple;Gorbitz;17.5.1980;newsletter; kurs;"
    )
    assert len(found.rejections) == 1  # an unquoted separator inside streams
    [entry] = reading(
        "email;first_name;last_name;salutation;locale;district;birthday;streams;"
        "role;size;since;host;school\n"
        'Ada@Bücher.example;Ada;Groß;Liebe Ada;DE_simple;Gorbitz;17.5.1980;"newsletter; kurs";'
        "VHS;3,5;1.9.2026;ja;Am See\n"
    ).entries
    request = entry.request
    assert request.address.address == "Ada@xn--bcher-kva.example"
    assert (request.locale, request.form) == ("de-simple", "import")
    assert request.streams == ("newsletter", "kurs")
    assert request.values == {
        "first_name": "Ada",
        "last_name": "Groß",
        "salutation": "Liebe Ada",
        "district": "Gorbitz",
        "birthday": "1980-05-17",
        "attributes": {
            "role": "vhs",
            "size": 3.5,
            "since": "2026-09-01",
            "host": True,
            "school": "Am See",
        },
    }


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("ada.x.example,,", '"ada.x.example" is not an address we can mail'),
        (",Ada,", "names no address"),
        ("ada@x.example,=?utf-8?q?x?=,", "the start of an encoded word"),
        ("ada@x.example,,30.2.1980", "is no day of the calendar"),
        ("ada@x.example,,17.5.80", "write 1980-05-17"),
        ("ada@x.example,,2027-01-01", "is not within the last 130 years"),
        ("ada@x.example,a,b,c", "has 4 cells, the header names 3"),
        ("a@b@x.example,,", "is not an address we can mail"),
        ('"ada@x.example\nBcc: x@y.example",,', "is not an address we can mail"),
    ],
)
def test_a_row_we_cannot_keep_is_rejected_with_its_reason(row: str, said: str) -> None:
    [reason] = reasons(f"email,first_name,birthday\n{row}\n")

    assert said in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("role", "vsh", 'did you mean "vhs"?'),
        ("size", "many", "is no number"),
        ("size", "1.000.000", "is no number"),
        ("since", "17.5.", "is no date"),
        ("host", "vielleicht", "neither yes nor no"),
        ("school", "x" * 1001, "is longer than 1,000 characters"),
    ],
)
def test_an_attribute_of_another_type_is_refused(name: str, text: str, said: str) -> None:
    with pytest.raises(EntryError, match=said.replace("?", r"\?")):
        values.attribute(name, text, ATTRIBUTES)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("1980-05-17", "1980-05-17"),
        ("17.5.1980", "1980-05-17"),
        (" 17. 05. 1980 ", "1980-05-17"),
        ("17.05.", "--05-17"),
        ("--05-17", "--05-17"),
        ("29.2.", "--02-29"),
    ],
)
def test_birthdays_are_read_in_every_form_people_write(text: str, kept: str) -> None:
    assert values.birthday(text, TODAY) == kept


@pytest.mark.parametrize(
    ("names", "encoding", "read_as"),
    [
        ("Jürgen Groß", "utf-8", "utf-8"),
        ("Jürgen Groß", "utf-8-sig", "utf-8-sig"),
        ("Jürgen Groß", "utf-16", "utf-16"),
        ("Jürgen Groß", "cp1252", "cp1252"),
        ("„Käthe“ Müller – 5 €", "cp1252", "cp1252"),
        ("Miloš Šimek", "cp1252", "cp1252"),
        ("O´Neil", "cp1252", "cp1252"),
        ("Tomáš Dvořák".replace("ř", "r"), "iso8859-15", "iso8859-15"),
        ("Jürgen, 5 €", "iso8859-15", "iso8859-15"),
        ("Jürgen Groß", "mac-roman", "mac-roman"),
        ("Käthe Müller", "mac-roman", "mac-roman"),
        ("Ada Lovelace", "ascii", "utf-8"),
    ],
)
def test_letters_say_how_a_file_is_written(names: str, encoding: str, read_as: str) -> None:
    data = f"email;first_name\nada@x.example;{names}\n".encode(encoding)
    sheet = spreadsheets.read(data, "people.csv", NAMES)
    assert (sheet.encoding, sheet.rows[0].cells[1]) == (read_as, names)


def test_somebody_may_say_how_a_file_is_written() -> None:
    data = "email;first_name\nada@x.example;Zo\xeb\n".encode("mac-roman")
    sheet = spreadsheets.read(data, "people.csv", NAMES, "macroman")
    assert sheet.rows[0].cells[1] == "Zoë"


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ('email;school\na@x.example;="0123"\n', ("a@x.example", "0123")),
        ('email;school\na@x.example;"=""0123"""\n', ("a@x.example", "0123")),
        ("sep=|\nemail|school\na@x.example|b\n", ("a@x.example", "b")),
        ("\u200bemail;\xa0school\xa0\na@x.example;b\n", ("a@x.example", "b")),
        ("email;school;;;\na@x.example;b;;;\n", ("a@x.example", "b")),
        ('email;school\na@x.example;"Am\nSee"\n', ("a@x.example", "Am\nSee")),
    ],
    ids=["kept zero", "kept zero, quoted", "sep=", "unseen in header", "empty columns", "lines"],
)
def test_what_spreadsheets_do_to_a_file_is_understood(text: str, cells: tuple[str, ...]) -> None:
    sheet = spreadsheets.read(text.encode(), "people.csv", NAMES)
    assert (sheet.header, sheet.rows[0].cells) == (("email", "school"), cells)


def test_what_nobody_sees_in_a_cell_is_no_part_of_it() -> None:
    [entry] = reading("email,size,host\n\ufeffada\u200b@x.example\xa0,\xa03,\u200bja\n").entries
    assert entry.request.address.address == "ada@x.example"
    assert entry.request.values == {"attributes": {"size": 3, "host": True}}


@pytest.mark.parametrize(
    ("text", "order", "kept"),
    [
        ("17. Mai 1980", None, "1980-05-17"),
        ("17.Mai 1980", None, "1980-05-17"),
        ("17 May 1980", None, "1980-05-17"),
        ("May 17, 1980", None, "1980-05-17"),
        ("3. März", None, "--03-03"),
        ("1. Jän. 1980", None, "1980-01-01"),
        ("1980-05-17 00:00:00", None, "1980-05-17"),
        ("1980/05/17", None, "1980-05-17"),
        ("17.05.1980 00:00", None, "1980-05-17"),
        ("5/17/1980", None, "1980-05-17"),
        ("17/5/1980", None, "1980-05-17"),
        ("17-05-1980", None, "1980-05-17"),
        ("5/5/1980", None, "1980-05-05"),
        ("5/6/1980", "day", "1980-06-05"),
        ("5/6/1980", "month", "1980-05-06"),
        ("05/06", "month", "--05-06"),
    ],
)
def test_days_are_read_however_people_write_them(
    text: str, order: dates.Order | None, kept: str
) -> None:
    assert values.birthday(text, TODAY, order) == kept


@pytest.mark.parametrize(
    ("column", "order"),
    [
        (["5/6/1980", "13/6/1980"], "day"),
        (["5/6/1980", "6/13/1980"], "month"),
        (["13/6/1980", "6/13/1980"], "both"),
        (["5/6/1980", "1.1.1980", ""], None),
    ],
)
def test_a_column_says_which_number_comes_first(column: list[str], order: str | None) -> None:
    assert dates.order_of(column) == order


def test_a_day_that_can_be_read_in_two_ways_is_rejected_with_what_to_do() -> None:
    [reason] = reasons("email,birthday\na@x.example,5/6/1980\n")
    assert "nothing in this column says which" in reason
    assert "--dates day or --dates month" in reason
    both = reasons(
        "email,birthday\na@x.example,5/6/1980\nb@x.example,13/6/1980\nc@x.example,6/13/1980"
    )
    assert len(both) == 1
    assert "both orders" in both[0]


people = st.fixed_dictionaries(
    {},
    optional={
        "first_name": cells,
        "district": cells,
        "birthday": st.sampled_from(["--02-29", "1980-05-17", "2000-01-01"]),
        "locale": st.sampled_from(["de", "de-simple", "en"]),
        "attributes": st.fixed_dictionaries(
            {},
            optional={
                "school": cells,
                "host": st.booleans(),
                "size": st.one_of(st.integers(-999, 999), st.sampled_from([0.5, -2.25])),
                "since": st.just("2026-09-01"),
                "role": st.sampled_from(["vhs", "schule"]),
            },
        ),
    },
)


@given(people)
def test_whoever_is_exported_is_read_back_as_they_were(person: dict[str, Any]) -> None:
    """As they were kept: names and texts on visible lines, as at their first coming in."""
    try:
        kept = {name: values.name(name, person[name]) for name in ("first_name", "district")
                if name in person}  # fmt: skip
    except EntryError:
        return
    attributes = dict(person.get("attributes", {}))
    if "school" in attributes:
        attributes["school"] = values.plain(attributes["school"])
    row = dict.fromkeys(exports.COLUMNS) | person | kept | {"email": "ada@x.example"}
    row |= {"subscriptions": [{"stream": "kurs", "status": "confirmed"}], "attributes": attributes}
    names = sorted(ATTRIBUTES)
    lines = spreadsheets.write([[*exports.COLUMNS, *names], exports.as_cells(row, names)])

    [entry] = reading("".join(lines)).entries

    said: dict[str, Any] = {name: value for name, value in kept.items() if value}
    if "birthday" in person:
        said["birthday"] = person["birthday"]
    told = {name: value for name, value in attributes.items() if value != ""}
    if told:
        said["attributes"] = told
    assert entry.request.values == said
    assert (entry.request.locale, entry.request.streams) == (person.get("locale"), ("kurs",))


def _attribute(name: str, text: str) -> object:
    return values.attribute(name, text, ATTRIBUTES)


READERS: dict[str, Callable[[str], object]] = {
    "birthday": lambda text: values.birthday(text, TODAY),
    "locale": values.locale,
    "name": lambda text: values.name("first_name", text),
    "stream": lambda text: values.stream(text, {"newsletter"}),
    **{name: partial(_attribute, name) for name in ATTRIBUTES},
}


@pytest.mark.parametrize("reader", READERS)
@given(text=st.text())
def test_any_text_is_a_value_or_an_entry_error(reader: str, text: str) -> None:
    told = "kept"
    try:
        READERS[reader](text)
    except EntryError as refusal:
        told = str(refusal)
    assert len(told.splitlines()) == 1


def test_the_same_address_counts_once_however_it_is_written() -> None:
    found = reading("email\nada@bücher.example\nADA@xn--bcher-kva.example\nada@other.example\n")

    assert [entry.row.line for entry in found.entries] == [2, 4]
    assert [rejection.reason for rejection in found.rejections] == ["the same address as in line 2"]


def test_rejected_rows_come_back_as_they_were_and_can_be_read_again() -> None:
    text = 'email;school;birthday\n=cmd@;"A\nB";--05-17\nada@x.example;;1.13.\n'
    sheet = spreadsheets.read(text.encode(), "people.csv", NAMES)
    found = read(sheet, columns(sheet, {}, VOCABULARY), (), VOCABULARY)
    written = "".join(spreadsheets.write(rejected(sheet, found.rejections), sheet.separator))
    again = spreadsheets.read(written.encode("utf-8-sig"), "people.rejected.csv", NAMES)

    assert again.header == ("email", "school", "birthday", "reason")
    assert [row.cells[:3] for row in again.rows] == [row.cells for row in sheet.rows]
    assert columns(again, {}, VOCABULARY)[3] is None
