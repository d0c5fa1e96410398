"""Files of people as offices write them: what can be read, what is refused as a whole."""

import csv
import io
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l3mail.errors import EntryError, SpreadsheetError
from l3mail.settings import Attribute
from l3mail.subscribers import spreadsheets, values
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


@pytest.mark.parametrize("separator", [",", ";", "\t"], ids=["comma", "semicolon", "tab"])
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
        (b"email\n\x81\n", "people.csv:2: is no text"),
        (b"e\0m\0a\0i\0l\0", "people.csv:1: holds NUL"),
        (b"email\n" + b"x" * 100_001, "people.csv:2: holds a cell of more than 100,000"),
        (b"email\n" + b"x" * 200_000, "people.csv:2: "),
    ],
    ids=["empty", "blank", "open-quote", "loose-quote", "bytes", "utf-16-bare", "cell", "field"],
)
def test_a_file_that_cannot_be_trusted_is_refused_as_a_whole(data: bytes, said: str) -> None:
    with pytest.raises(SpreadsheetError) as refusal:
        spreadsheets.read(data, "people.csv")

    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "'=", "''@"])
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
        ("email,Email", "two columns for email"),
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
