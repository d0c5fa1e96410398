"""From a spreadsheet's rows to what is asked for each address, or to the reason why not.

Owns what the columns mean. Pure: must not know the database; whether a person may be joined is
`imports`' question.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from l3mail.addresses import clean_name, parse_address
from l3mail.errors import AddressError, EntryError, SpreadsheetError, printable, quoted
from l3mail.settings import Attribute
from l3mail.subscribers import dates, tools, values
from l3mail.subscribers.spreadsheets import Row, Sheet, visible
from l3mail.subscribers.terms import Request
from l3mail.subscribers.tools import Tool

COLUMNS = ("email", *values.NAMES, "locale", "birthday", "streams")
PASSED_OVER = ("reason", "status", "tracking", "created_at")
"""Columns of our own exports and of rejected rows; reading them back would change nothing.

Consent to tracking can't be imported: it is each person's own.
"""
IN_GERMAN: Mapping[str, str] = {
    "e-mail": "email",
    "e-mail-adresse": "email",
    "vorname": "first_name",
    "nachname": "last_name",
    "familienname": "last_name",
    "anrede": "salutation",
    "sprache": "locale",
    "stadtteil": "district",
    "geburtstag": "birthday",
    "geburtsdatum": "birthday",
}
"""What an office calls our columns, in small letters."""
IGNORE = "-"
_TITLES = frozenset("frau fr herr herrn hr divers mr mrs ms miss".split())
OF_TOOLS = (tools.FULL_NAME, tools.LISTS, tools.ATTRIBUTES)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a row may speak of: declared attributes, streams there are; and what day it is."""

    attributes: Mapping[str, Attribute]
    streams: Collection[str]
    today: date


@dataclass(frozen=True, slots=True)
class Manner:
    """How a file is to be read, as far as its rows can't say.

    `tool` is whose export it is, and `states` whether its word on who has left counts. `lists`
    are streams by the names (small letters) of its lists, groups or tags. `order` says which
    number comes first in 5/6/1980 where the column does not.
    """

    tool: Tool | None = None
    states: bool = True
    lists: Mapping[str, str] = field(default_factory=dict)
    order: dates.Order | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that can be read: where it stands and what it asks for.

    `state`, `proof` and `left_on` are another tool's word: whether somebody has left, when they
    opted in, and the day they left.
    """

    row: Row
    request: Request
    state: str = tools.ACTIVE
    proof: str = ""
    left_on: date | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that is not taken, and why; `reason` speaks to whoever mends the file."""

    row: Row
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A whole file: what can be asked of the database, and what can't.

    `orders` says of columns with days such as 5/6/1980 how they were read, `unnamed` how often
    lists were met that nobody named a stream for, `titles` salutations that are only a title.
    """

    entries: list[Entry] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    orders: dict[str, dates.Order] = field(default_factory=dict)
    titles: Counter[str] = field(default_factory=Counter)
    unnamed: Counter[str] = field(default_factory=Counter)


def columns(
    sheet: Sheet,
    mapping: Mapping[str, str],
    vocabulary: Vocabulary,
    manner: Manner = Manner(),
) -> list[str | None]:
    """What each column of the sheet fills; None is passed over.

    `mapping` names columns of the file and what they are here, `-` to pass one over; it outranks
    what is known of a tool's columns, and so does an attribute that is declared under a column's
    name. A column of another name is an attribute, text where l3mail.toml declares none. Raises
    SpreadsheetError for names that look like known ones misspelt, all at once, one that is there
    twice, or no `email`.
    """
    known = {*COLUMNS, *vocabulary.attributes}
    of_tool = tools.meaning(manner.tool, sheet.header) if manner.tool else {}
    renamed = {
        title: target
        for title, target in of_tool.items()
        if title not in vocabulary.attributes or target not in COLUMNS
    }
    renamed |= {source.casefold(): target for source, target in mapping.items()}
    targets: list[str | None] = []
    unknown: list[str] = []
    for title in sheet.header:
        target = renamed.get(title.casefold()) or _own_name(title, known)
        if target in OF_TOOLS:
            targets.append(target)
            continue
        if target not in known and target not in {IGNORE, *PASSED_OVER}:
            target = values.free_attribute(target, known) or target
        if target == IGNORE or (target not in known and target in PASSED_OVER):
            targets.append(None)
        elif target not in known and not values.free_attribute(target, known):
            unknown.append(title)
        elif target in targets:
            raise SpreadsheetError(
                f"{sheet.name}: has two columns for {target}; {_apart(sheet, title)}"
            )
        else:
            targets.append(target)
    if unknown:
        if "email" not in targets and any("@" in title for title in unknown):
            raise SpreadsheetError(
                f"{sheet.name}:1: is a row with an address; the first line names the columns,"
                " such as email;first_name;last_name"
            )
        raise SpreadsheetError(_unknown(sheet, unknown, known))
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
    manner: Manner = Manner(),
) -> Reading:
    """Every row as an entry or a rejection; of rows with one address the first counts.

    Unless another says that this person must not be mailed: then that one. `streams` are joined
    besides those a row names.
    """
    reading = Reading()
    reader = _Reader(sheet, targets, tuple(streams), vocabulary, manner, reading)
    reader.find_orders()
    by_address: dict[str, Entry] = {}
    for row in sheet.rows:
        try:
            entry = reader.entry(row)
        except (AddressError, EntryError) as error:
            reading.rejections.append(Rejection(row, _without_advice(error)))
            continue
        key = entry.request.address.key_source
        first = by_address.setdefault(key, entry)
        if first is entry:
            continue
        counts, doubled = sorted((first, entry), key=_weight)
        by_address[key] = counts
        reason = f"the same address as in line {counts.row.line}"
        reading.rejections.append(Rejection(doubled.row, reason))
    reading.entries.extend(by_address.values())
    return reading


def _weight(entry: Entry) -> int:
    states = tools.OUT
    return states.index(entry.state) if entry.state in states else len(states)


def rejected(sheet: Sheet, rejections: Sequence[Rejection]) -> Iterator[Sequence[str]]:
    """The rejected rows as they came, in their order, with a column that says why."""
    keep = [n for n, title in enumerate(sheet.header) if title.casefold() != "reason"]
    yield [*(sheet.header[n] for n in keep), "reason"]
    for rejection in sorted(rejections, key=lambda rejection: rejection.row.line):
        yield [*(rejection.row.cells[n] for n in keep), rejection.reason]


def _own_name(title: str, known: Collection[str]) -> str:
    """A column may be called `Email`, `First name` or `Vorname`; what is declared comes first."""
    plain = "_".join(title.casefold().split())
    if plain in known or plain in PASSED_OVER:
        return plain
    return IN_GERMAN.get(plain, title)


def _apart(sheet: Sheet, title: str) -> str:
    """What to do where two columns are one: a title that is there twice names both of them."""
    titles = [other.casefold() for other in sheet.header]
    if titles.count(title.casefold()) > 1:
        return f"give one of those called {quoted(title)} another name in the file"
    return f'--map "{printable(title, 60)}=-" leaves one out'


def _unknown(sheet: Sheet, titles: Sequence[str], known: Collection[str]) -> str:
    if "" in titles:
        number = sheet.header.index("") + 1
        return (
            f"{sheet.name}: column {number} has no name; give it one, or leave it out with"
            ' --map "=-"'
        )
    if len(titles) == 1:
        shown = printable(titles[0], 60)
        return (
            f"{sheet.name}: column {quoted(titles[0])} is not known;"
            f" {values.near(titles[0], known, 'column')}"
            f' (--map "{shown}=NAME" says what it is, --map "{shown}=-" leaves it out)'
        )
    nearest = {title: values.nearest(title, known) for title in titles}
    named = ", ".join(
        f"{quoted(title)} ({near}?)" if near else quoted(title) for title, near in nearest.items()
    )
    pairs = ",".join(f"{printable(title, 60)}={near or IGNORE}" for title, near in nearest.items())
    return (
        f"{sheet.name}: columns {named} are not known; - leaves one out, copy what is right:"
        f' --map "{pairs}"'
    )


@dataclass(slots=True)
class _Reader:
    """Reads the rows of one file; what it finds out on the way goes into `reading`."""

    sheet: Sheet
    targets: Sequence[str | None]
    streams: tuple[str, ...]
    vocabulary: Vocabulary
    manner: Manner
    reading: Reading
    titles: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.titles = [title.casefold() for title in self.sheet.header]

    def find_orders(self) -> None:
        """Read in each column of days which number comes first."""
        for number, target in enumerate(self.targets):
            declared = self.vocabulary.attributes.get(target or "")
            if target == "birthday" or (declared and declared.type == "date"):
                cells = (row.cells[number] for row in self.sheet.rows if len(row.cells) > number)
                order = dates.order_of(cells) or self.manner.order or self._usual()
                if order and target:
                    self.reading.orders[target] = order

    def _usual(self) -> dates.Order | None:
        return "month" if self.manner.tool and self.manner.tool.month_first else None

    def entry(self, row: Row) -> Entry:
        """What a row asks for. Raises AddressError and EntryError."""
        if len(row.cells) > len(self.titles):
            raise EntryError(f"has {len(row.cells)} cells, the header names {len(self.titles)}")
        tool = self.manner.tool
        if tool is None:
            return Entry(row, self._request(row))
        told = {title: visible(cell) for title, cell in zip(self.titles, row.cells, strict=True)}
        state = tools.ACTIVE
        if self.manner.states:
            state = tools.state(tool, told, self.sheet.name)
        if state == tools.UNCONFIRMED:
            raise EntryError(f"never confirmed at {tool.title}: nobody may be mailed unasked")
        day = tools.left_on(tool, told, self.vocabulary.today)
        return Entry(row, self._request(row), state, tools.proof(tool, told), day)

    def _request(self, row: Row) -> Request:
        cells: dict[str, str] = {}
        named = list(self.streams)
        extra: dict[str, str] = {}
        for target, text in zip(self.targets, row.cells, strict=True):
            if not target or not (seen := visible(text)).strip():
                continue
            if target == tools.LISTS:
                named += self._named(seen)
            elif target == tools.FULL_NAME:
                first, _, last = seen.strip().rpartition(" ")
                extra |= {"first_name": first, "last_name": last} if first else {"first_name": last}
            elif target == tools.ATTRIBUTES:
                extra |= self._unpacked(seen)
            else:
                cells[target] = seen
        if "email" not in cells:
            raise EntryError("names no address")
        return self._asked(extra | cells, named)

    def _asked(self, cells: Mapping[str, str], named: list[str]) -> Request:
        address = parse_address(cells["email"])
        said: dict[str, Any] = {}
        attributes: dict[str, Any] = {}
        tag = None
        orders = self.reading.orders
        for target, text in cells.items():
            if target in values.NAMES:
                said[target] = values.name(target, text)
                if target == "salutation" and text.strip(" .").casefold() in _TITLES:
                    self.reading.titles[clean_name(text)] += 1
            elif target == "birthday":
                order = orders.get(target)
                said[target] = values.birthday(text, self.vocabulary.today, order)
            elif target == "locale":
                tag = values.locale(text)
            elif target == "streams":
                known = self.vocabulary.streams
                named += [values.stream(s, known) for s in text.split(";") if s.strip()]
            elif target != "email":
                declared = self.vocabulary.attributes
                attributes[target] = values.attribute(target, text, declared, orders.get(target))
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

    def _named(self, text: str) -> list[str]:
        """The streams that lists, groups or tags were said to be."""
        found = []
        for name in tools.lists(text):
            stream = self.manner.lists.get(name.casefold())
            if stream:
                found.append(stream)
            else:
                self.reading.unnamed[clean_name(name)] += 1
        return found

    def _unpacked(self, text: str) -> dict[str, str]:
        """Attributes from one cell of JSON; what is no single value is left out."""
        try:
            told = json.loads(text)
        except (ValueError, RecursionError):
            raise EntryError(f"attributes {quoted(text)} are no JSON") from None
        if not isinstance(told, dict):
            return {}
        known = self.vocabulary.attributes
        found: dict[str, str] = {}
        for title, value in told.items():
            name = title if title in known else values.free_attribute(title, [*COLUMNS, *known])
            if name and isinstance(value, str | int | float) and str(value).strip():
                plain = ("ja" if value else "nein") if isinstance(value, bool) else str(value)
                found[name] = plain
        return found


def _without_advice(error: Exception) -> str:
    """A cell of the rejected file needs the reason; what to do about it stands beside the rest."""
    return str(error).removesuffix("; write it as name@example.org or leave it out")
