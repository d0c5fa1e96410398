"""CSV files as offices write them: their encoding, their separator, cells that are formulas.

Owns how bytes become rows and rows become a file that a spreadsheet may open. Must not know what
a column means, nor settings or the database.
"""

import codecs
import csv
import io
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from l3mail.errors import SpreadsheetError

_SEPARATORS = ";,\t|"
_CELL_LIMIT = 100_000  # characters; what is longer is a quote that was never closed
_MOST_SAID = 20_000
# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV injection").
# Apostrophes before such a sign count, so that one which was there already is not lost.
# Some take the wide signs of East Asian keyboards for the same.
_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")

_KEPT_TEXT = re.compile(r'="([^"]*)"')
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"), None) | {
    0xA0: " ",
    0x202F: " ",
    0x2007: " ",
}
ENCODINGS = ("utf-8", "utf-16", "windows-1252", "iso-8859-15", "macroman")
_CODECS = {"windows-1252": "cp1252", "iso-8859-15": "iso8859-15", "macroman": "mac-roman"}
# Bytes by which one-byte encodings of German texts differ: ü of a Mac is Ÿ for Windows, which
# nobody's name has, and none of its letters stand where those of Windows do.
_MAC_LETTERS = frozenset(b"\x80\x85\x86\x8a\x9a\x9f\xa7")
_MAC_UE = 0x9F
_WINDOWS_LETTERS = frozenset(range(0xC0, 0x100)) - frozenset(b"\xd0\xd1\xd2\xd3\xd4\xd5")
_LATIN_9 = re.compile(rb"\xa4|[A-Za-z\xc0-\xff][\xa6\xa8\xb8\xbd]")


_NO_TABLES = (
    (b"PK\x03\x04", "a workbook of Excel or LibreOffice"),
    (b"\xd0\xcf\x11\xe0", "a workbook of an old Excel"),
    (b"%PDF-", "a PDF"),
    (b"<!doctype", "a web page"),
    (b"<html", "a web page"),
)
"""How files begin, in small letters, that somebody takes for a CSV file, and what they are."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row with the number of the line it begins on, its cells as many as the header's."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file read: what it is called, its header, its rows, and how it was written."""

    name: str
    header: tuple[str, ...]
    rows: list[Row]
    separator: str
    encoding: str


def read(data: bytes, name: str, known: Collection[str] = (), encoding: str | None = None) -> Sheet:
    """Read a CSV file; `name` stands in error lines, `known` column names help find the separator.

    UTF-8 and UTF-16 with their marks, else `encoding` (one of `ENCODINGS`), else UTF-8, else the
    one-byte encoding that its letters speak for. Separators are comma, semicolon, tab and |, or
    what a first line `sep=;` says. Rows without any text are left out, cells that end a row early
    are empty. Raises SpreadsheetError, with the line, where the file as a whole can't be trusted:
    then no row of it is worth taking.
    """
    _refuse_others(data, name)
    text, encoding = _decoded(data, name, encoding)
    text, skipped, separator = _announced(text)
    separator = separator or _voted(text, known)
    lines = _split(text, separator, name, skipped)
    header: tuple[str, ...] = ()
    rows: list[Row] = []
    said: dict[str, str] = {}
    for line, cells in lines:
        if not header:
            header = tuple(visible(unmarked(cell)).strip() for cell in cells)
            while header and not header[-1]:
                header = header[:-1]
            continue
        fitted = _fitted(cells, len(header))
        # What is said of many, a district or a school, is kept once.
        if len(said) < _MOST_SAID:
            fitted = tuple(said.setdefault(cell, cell) for cell in fitted)
        else:
            fitted = tuple(said.get(cell, cell) for cell in fitted)
        rows.append(Row(line, fitted))
    if not header:
        raise SpreadsheetError(f"{name}: holds no header; its first line names the columns")
    return Sheet(name, header, rows, separator, encoding)


def _refuse_others(data: bytes, name: str) -> None:
    start = data[:64].removeprefix(codecs.BOM_UTF8).lstrip()
    for begins, what in _NO_TABLES:
        if start.lower().startswith(begins.lower()):
            raise SpreadsheetError(
                f'{name}: is {what}, no CSV file; save the table as "CSV UTF-8" and take that file'
            )


def _fitted(cells: Sequence[str], width: int) -> tuple[str, ...]:
    plain = [_spelt(cell) for cell in cells]
    while len(plain) > width and not plain[-1].strip():
        plain.pop()
    return (*plain, *[""] * (width - len(plain)))


def write(rows: Iterable[Iterable[str]], separator: str = ",") -> Iterator[str]:
    """The lines of a CSV file, none of whose cells is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\r\n")
    for row in rows:
        writer.writerow([marked(cell) for cell in row])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()


def marked(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: an apostrophe goes before its first sign."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unmarked(cell: str) -> str:
    """Take back what `marked` put there, so that an export can be read in again."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def visible(text: str) -> str:
    """A text without what nobody sees: hard spaces are spaces, zero-width characters go."""
    return text if text.isascii() else text.translate(_UNSEEN)


def _spelt(cell: str) -> str:
    """A cell's text; a spreadsheet writes ="0123" to keep the zero."""
    kept = _KEPT_TEXT.fullmatch(cell)
    return kept[1] if kept else unmarked(cell)


def _decoded(data: bytes, name: str, encoding: str | None) -> tuple[str, str]:
    for mark, marked_as in ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32")):
        if data.startswith(mark):
            return _sound(data, marked_as, name)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _sound(data, "utf-16", name)
    if encoding is not None:
        return _sound(data, _CODECS.get(encoding, encoding), name)
    try:
        return _without_nul(data.decode("utf-8"), name), "utf-8"
    except UnicodeDecodeError:
        return _sound(data, _one_byte(data), name)


def _one_byte(data: bytes) -> str:
    """Which one-byte encoding a file's letters speak for; Windows-1252 where none does."""
    seen = frozenset(data)
    if _MAC_UE in seen and len(seen & _MAC_LETTERS) > 1 and not seen & _WINDOWS_LETTERS:
        return "mac-roman"
    # Windows-1252 has letters and quotes where Latin-9 has controls.
    if not any(0x80 <= byte < 0xA0 for byte in seen) and _LATIN_9.search(data):
        return "iso8859-15"
    return "cp1252"


def _sound(data: bytes, encoding: str, name: str) -> tuple[str, str]:
    try:
        return _without_nul(data.decode(encoding), name), encoding
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise SpreadsheetError(
            f"{name}:{line}: is no text in UTF-8, UTF-16 or Windows-1252;"
            ' save it as "CSV UTF-8" and try again'
        ) from error


def _without_nul(text: str, name: str) -> str:
    where = text.find("\0")
    if where >= 0:
        line = text.count("\n", 0, where) + 1
        raise SpreadsheetError(
            f'{name}:{line}: holds NUL characters; save it as "CSV UTF-8" and try again'
        )
    return text


def _announced(text: str) -> tuple[str, int, str]:
    """Spreadsheets may write `sep=;` before the header."""
    first, _, rest = text.partition("\n")
    word = first.rstrip("\r").strip('"')
    if word[:4].casefold() == "sep=" and word[4:] in tuple(_SEPARATORS):
        return rest, 1, word[4:]
    return text, 0, ""


def _voted(text: str, known: Collection[str]) -> str:
    """The separator that makes the most known names of the header, else the most cells."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    names = {name.casefold() for name in known}

    def votes(separator: str) -> tuple[int, int]:
        try:
            cells = next(csv.reader([header], delimiter=separator), [])
        except csv.Error:
            return (0, 0)
        return sum(cell.strip().casefold() in names for cell in cells), len(cells)

    return max(_SEPARATORS, key=votes)


def _split(
    text: str, separator: str, name: str, skipped: int
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Rows with the line they begin on; those without any text are left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    line = skipped + 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise SpreadsheetError(
                f"{name}:{line}: the quotes of this row do not match ({error});"
                ' write a quote inside a quoted cell twice: ""'
            ) from error
        if cells is None:
            return
        if any(len(cell) > _CELL_LIMIT for cell in cells):
            raise SpreadsheetError(
                f"{name}:{line}: holds a cell of more than {_CELL_LIMIT:,} characters;"
                " is a quote not closed?"
            )
        if any(cell.strip() for cell in cells):
            yield line, tuple(cells)
        line = skipped + reader.line_num + 1
