"""From a spreadsheet's rows to what is asked for each address, or to the reason why not.

Owns what the columns mean. Pure: must not know the database; whether a person may be joined is
`imports`' question.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from l3mail.addresses import parse_address
from l3mail.errors import AddressError, EntryError, SpreadsheetError, printable, quoted
from l3mail.settings import Attribute
from l3mail.subscribers import values
from l3mail.subscribers.spreadsheets import Row, Sheet
from l3mail.subscribers.terms import Request

COLUMNS = ("email", *values.NAMES, "locale", "birthday", "streams")
PASSED_OVER = ("reason", "status", "tracking", "created_at")
"""Columns of our own exports and of rejected rows; reading them back would change nothing.

Consent to tracking can't be imported: it is each person's own.
"""
IGNORE = "-"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a row may speak of: declared attributes, streams there are; and what day it is."""

    attributes: Mapping[str, Attribute]
    streams: Collection[str]
    today: date


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that can be read: where it stands and what it asks for."""

    row: Row
    request: Request


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is not taken, and why; `reason` speaks to whoever mends the file."""

    row: Row
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A whole file: what can be asked of the database, and what can't."""

    entries: list[Entry] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


def columns(sheet: Sheet, mapping: Mapping[str, str], vocabulary: Vocabulary) -> list[str | None]:
    """What each column of the sheet fills; None is passed over.

    `mapping` names columns of the file and what they are here, `-` to pass one over. A column of
    another name is an attribute, text where l3mail.toml declares none. Raises SpreadsheetError for
    a name that looks like a known one misspelt, one that is there twice, or no `email`.
    """
    known = {*COLUMNS, *vocabulary.attributes}
    renamed = {source.casefold(): target for source, target in mapping.items()}
    targets: list[str | None] = []
    for number, title in enumerate(sheet.header, 1):
        target = renamed.get(title.casefold()) or _own_name(title, known)
        if target not in known and target not in {IGNORE, *PASSED_OVER}:
            target = values.free_attribute(target, known) or target
        if target == IGNORE or (target not in known and target in PASSED_OVER):
            targets.append(None)
        elif target not in known and not values.free_attribute(target, known):
            raise SpreadsheetError(_unknown(sheet.name, number, title, known))
        elif target in targets:
            raise SpreadsheetError(
                f"{sheet.name}: has two columns for {target};"
                f' --map "{printable(title, 60)}=-" leaves one out'
            )
        else:
            targets.append(target)
    if "email" not in targets:
        titles = ", ".join(quoted(title) for title in sheet.header[:8])
        raise SpreadsheetError(
            f"{sheet.name}: has no column email, only {titles};"
            ' say which it is, such as --map "E-Mail=email"'
        )
    return targets


def read(
    sheet: Sheet,
    targets: Sequence[str | None],
    streams: Sequence[str],
    vocabulary: Vocabulary,
) -> Reading:
    """Every row as an entry or a rejection; of rows with one address the first counts.

    `streams` are joined besides those a row names.
    """
    reading = Reading()
    first_lines: dict[str, int] = {}
    for row in sheet.rows:
        try:
            request = _request(row, sheet, targets, streams, vocabulary)
        except (AddressError, EntryError) as error:
            reading.rejections.append(Rejection(row, _without_advice(error)))
            continue
        line = first_lines.setdefault(request.address.key_source, row.line)
        if line == row.line:
            reading.entries.append(Entry(row, request))
        else:
            reading.rejections.append(Rejection(row, f"the same address as in line {line}"))
    return reading


def rejected(sheet: Sheet, rejections: Sequence[Rejection]) -> Iterator[Sequence[str]]:
    """The rejected rows as they came, in their order, with a column that says why."""
    keep = [n for n, title in enumerate(sheet.header) if title.casefold() != "reason"]
    yield [*(sheet.header[n] for n in keep), "reason"]
    for rejection in sorted(rejections, key=lambda rejection: rejection.row.line):
        yield [*(rejection.row.cells[n] for n in keep), rejection.reason]


def _own_name(title: str, known: Collection[str]) -> str:
    """A column may be called `Email` or `First name`: only case and spaces are forgiven."""
    plain = "_".join(title.casefold().split())
    return plain if plain in known or plain in PASSED_OVER else title


def _unknown(name: str, number: int, title: str, known: Collection[str]) -> str:
    if not title:
        return f'{name}: column {number} has no name; give it one, or leave it out with --map "=-"'
    shown = printable(title, 60)
    return (
        f"{name}: column {quoted(title)} is not known; {values.near(title, known, 'column')}"
        f' (--map "{shown}=NAME" says what it is, --map "{shown}=-" leaves it out)'
    )


def _request(
    row: Row,
    sheet: Sheet,
    targets: Sequence[str | None],
    streams: Sequence[str],
    vocabulary: Vocabulary,
) -> Request:
    if len(row.cells) > len(sheet.header):
        raise EntryError(f"has {len(row.cells)} cells, the header names {len(sheet.header)}")
    cells = {
        target: text
        for target, text in zip(targets, row.cells, strict=True)
        if target and text.strip()
    }
    if "email" not in cells:
        raise EntryError("names no address")
    address = parse_address(cells["email"])
    said: dict[str, Any] = {}
    attributes: dict[str, Any] = {}
    named = list(streams)
    tag = None
    for target, text in cells.items():
        if target in values.NAMES:
            said[target] = values.name(target, text)
        elif target == "birthday":
            said[target] = values.birthday(text, vocabulary.today)
        elif target == "locale":
            tag = values.locale(text)
        elif target == "streams":
            named += [values.stream(s, vocabulary.streams) for s in text.split(";") if s.strip()]
        elif target != "email":
            attributes[target] = values.attribute(target, text, vocabulary.attributes)
    if attributes:
        said["attributes"] = attributes
    return Request(
        address=address,
        streams=tuple(dict.fromkeys(named)),
        values={key: value for key, value in said.items() if value != ""},
        locale=tag,
        source="import",
        form="import",
    )


def _without_advice(error: Exception) -> str:
    """A cell of the rejected file needs the reason; what to do about it stands beside the rest."""
    return str(error).removesuffix("; write it as name@example.org or leave it out")
