"""Exports of other tools: what their columns are called, and what they say of a person's state.

Owns the tables and the reading of them. Pure: must not know the database, or what is then done
with somebody. States and opt-in times are the other tool's word; addresses of computers that come
along with them are never kept.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from l3mail.addresses import clean_name
from l3mail.subscribers import dates

ACTIVE = "active"
UNCONFIRMED = "unconfirmed"
OUT = ("complained", "blocked", "bounced", "unsubscribed")
"""States of people who must not be mailed, the strongest first."""

FULL_NAME = "@name"
LISTS = "@lists"
ATTRIBUTES = "@attributes"
"""What a column may be besides those of ours: both names in one, names of lists or tags, JSON."""

PASSED_OVER = "-"

_NO = frozenset({"", "0", "no", "nein", "false", "falsch", "n", "n/a", "-", "null", "none", "non"})
_ZERO = frozenset("0:.-/t ")
"""Of these is a moment that never was: 0000-00-00 00:00:00."""
_BETWEEN = re.compile(r"[\"']\s*,\s*[\"']|\s*[,;|]\s*")


@dataclass(frozen=True, slots=True)
class Mark:
    """A column and what its text means: by its words, or `said` for any that says yes."""

    column: str
    state: str
    words: tuple[str, ...] = ()
    unless: bool = False
    """Means the state where the column is there and says no."""


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool's export: columns (small letters) and what they are here, and the marks of states.

    The first mark that fits decides; where none does, `files` by how the file's name begins.
    `proofs` are columns that tell when and how somebody opted in, `departures` when they left.
    `month_first` is how it writes dates that can be read in two ways.
    """

    title: str
    columns: Mapping[str, str]
    marks: tuple[Mark, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    proofs: tuple[str, ...] = ()
    departures: tuple[str, ...] = ()
    month_first: bool = False


def _nothing(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, PASSED_OVER)


_NAMES = {
    "email": "email",
    "e-mail": "email",
    "email address": "email",
    "e-mail address": "email",
    "e-mail-adresse": "email",
    "first name": "first_name",
    "firstname": "first_name",
    "vorname": "first_name",
    "last name": "last_name",
    "lastname": "last_name",
    "surname": "last_name",
    "nachname": "last_name",
    "birthday": "birthday",
    "geburtstag": "birthday",
    "date of birth": "birthday",
    "salutation": "salutation",
    "anrede": "salutation",
    "stadtteil": "district",
    "language": "locale",
    "sprache": "locale",
    "tags": LISTS,
    "groups": LISTS,
    "gruppen": LISTS,
    "lists": LISTS,
    "listen": LISTS,
}
_STATUS = (
    Mark("status", "complained", ("junk", "spam", "complained", "complaint", "abuse")),
    Mark("status", "blocked", ("blocklisted", "blacklisted", "blocked")),
    Mark("status", "bounced", ("bounced", "cleaned", "hard bounced", "hardbounce")),
    Mark("status", "unsubscribed", ("unsubscribed", "inactive", "disabled", "archived")),
    Mark(
        "status",
        UNCONFIRMED,
        ("unconfirmed", "pending", "non-subscribed", "nonsubscribed", "transactional"),
    ),
)
_SAID_ACTIVE = Mark("status", ACTIVE, ("active", "subscribed", "confirmed"))

MAILCHIMP = Tool(
    "Mailchimp",
    {
        **_NAMES,
        **_nothing(
            "member_rating",
            "optin_time",
            "optin_ip",
            "confirm_time",
            "confirm_ip",
            "latitude",
            "longitude",
            "gmtoff",
            "dstoff",
            "timezone",
            "cc",
            "region",
            "last_changed",
            "leid",
            "euid",
            "notes",
            "address",
            "phone number",
            "status",
            "unsub_time",
            "unsub_campaign_title",
            "unsub_campaign_id",
            "unsub_reason",
            "unsub_reason_other",
            "clean_time",
            "clean_campaign_title",
            "clean_campaign_id",
        ),
    },
    marks=(
        Mark("unsub_reason", "complained", ("spam", "abuse", "abuse complaint")),
        Mark("clean_time", "bounced"),
        Mark("unsub_time", "unsubscribed"),
        *_STATUS,
    ),
    files={
        "unsubscribed": "unsubscribed",
        "cleaned": "bounced",
        "nonsubscribed": UNCONFIRMED,
        "non-subscribed": UNCONFIRMED,
    },
    proofs=("optin_time", "confirm_time"),
    departures=("unsub_time",),
    month_first=True,
)
BREVO = Tool(
    "Brevo",
    {
        **_NAMES,
        "prenom": "first_name",
        "nom": "last_name",
        **_nothing(
            "contact id",
            "contact_id",
            "id",
            "ext_id",
            "sms",
            "whatsapp",
            "landline_number",
            "contact_timezone",
            "linkedin",
            "email_blacklisted",
            "email blacklisted",
            "blacklisted",
            "sms_blacklisted",
            "sms blacklisted",
            "email_marketing",
            "sms_marketing",
            "double_opt-in",
            "opt_in",
            "added_time",
            "modified_time",
            "_listids",
            "status",
        ),
    },
    marks=(
        Mark("email_blacklisted", "unsubscribed"),
        Mark("email blacklisted", "unsubscribed"),
        Mark("blacklisted", "unsubscribed"),
        Mark("email_marketing", "unsubscribed", ("unsubscribed", "blocklisted", "blacklisted")),
        *_STATUS,
    ),
    proofs=("added_time", "double_opt-in", "opt_in"),
)
CLEVERREACH = Tool(
    "CleverReach",
    {
        **_NAMES,
        "name": FULL_NAME,
        **_nothing(
            "id",
            "activated",
            "registered",
            "deactivated",
            "active",
            "aktiv",
            "bounced",
            "imported",
            "source",
            "quelle",
            "last_ip",
            "last_location",
            "last_client",
            "last_changed",
            "stars",
            "points",
            "gender",
            "title",
            "orders",
            "status",
        ),
    },
    marks=(
        Mark("bounced", "bounced"),
        Mark("deactivated", "unsubscribed"),
        *_STATUS,
        Mark("activated", UNCONFIRMED, unless=True),
        Mark("active", "unsubscribed", unless=True),
        Mark("aktiv", "unsubscribed", unless=True),
    ),
    proofs=("registered", "activated", "source", "quelle"),
    departures=("deactivated",),
)
MAILERLITE = Tool(
    "MailerLite",
    {
        **_NAMES,
        "subscriber": "email",
        "name": FULL_NAME,
        **_nothing(
            "id",
            "status",
            "type",
            "source",
            "sent",
            "opens",
            "clicks",
            "opened",
            "clicked",
            "open rate",
            "click rate",
            "location",
            "signup date",
            "signup ip",
            "subscribed",
            "subscribed at",
            "subscribe date",
            "unsubscribed",
            "unsubscribed at",
            "created at",
            "updated at",
            "date",
            "optin date",
            "opt-in date",
            "opted in at",
            "optin ip",
            "opt-in ip",
            "ip",
            "ip address",
            "timezone",
        ),
    },
    marks=(
        *_STATUS,
        *(Mark("type", mark.state, mark.words) for mark in _STATUS),
        # Who came back keeps the day on which they had left.
        _SAID_ACTIVE,
        Mark("unsubscribed", "unsubscribed"),
        Mark("unsubscribed at", "unsubscribed"),
    ),
    proofs=(
        "signup date",
        "subscribed",
        "subscribed at",
        "subscribe date",
        "optin date",
        "opt-in date",
        "opted in at",
        "source",
    ),
    departures=("unsubscribed", "unsubscribed at"),
)
LISTMONK = Tool(
    "listmonk",
    {
        **_NAMES,
        "name": FULL_NAME,
        "attributes": ATTRIBUTES,
        "attribs": ATTRIBUTES,
        **_nothing(
            "uuid", "id", "status", "subscription_status", "created_at", "updated_at", "optin_at"
        ),
    },
    marks=(
        *_STATUS,
        *(Mark("subscription_status", mark.state, mark.words) for mark in _STATUS),
    ),
    proofs=("created_at", "optin_at"),
)

TOOLS: Mapping[str, Tool] = {
    "mailchimp": MAILCHIMP,
    "brevo": BREVO,
    "cleverreach": CLEVERREACH,
    "mailerlite": MAILERLITE,
    "listmonk": LISTMONK,
}


def meaning(tool: Tool, titles: Sequence[str]) -> dict[str, str]:
    """What the tool's columns among `titles` are here, by their titles in small letters.

    Where a file has a column for the last name, one called `name` is the first.
    """
    folded = [title.casefold() for title in titles]
    known = {title: tool.columns[title] for title in folded if title in tool.columns}
    if FULL_NAME in known.values() and "last_name" in known.values():
        first = "first_name" if "first_name" not in known.values() else PASSED_OVER
        known = {title: first if to == FULL_NAME else to for title, to in known.items()}
    return known


def state(tool: Tool, cells: Mapping[str, str], file: str) -> str:
    """What the tool says of a person: `active`, `unconfirmed` or one of `OUT`.

    `cells` are the row's, by titles in small letters; `file` is what the file is called.
    """
    for mark in tool.marks:
        if mark.column in cells and _fits(mark, cells[mark.column]):
            return mark.state
    name = file.casefold()
    return next((state for start, state in tool.files.items() if name.startswith(start)), ACTIVE)


def proof(tool: Tool, cells: Mapping[str, str]) -> str:
    """When and how somebody opted in, as the tool says it; nothing where it says nothing."""
    told = [
        f"{column} {clean_name(cells[column])}"
        for column in tool.proofs
        if column in cells and says_yes(cells[column])
    ]
    return f"{tool.title}: {', '.join(told)}" if told else ""


def left_on(tool: Tool, cells: Mapping[str, str], today: date) -> date | None:
    """The day on which somebody left there, as the tool says it; None where it tells no day."""
    for column in tool.departures:
        try:
            found = dates.read(cells.get(column, ""))
            if found and found[0]:
                return min(date(found[0], found[1], found[2]), today)
        except ValueError:
            continue
    return None


def lists(text: str) -> list[str]:
    """The names of lists, groups or tags in one cell, however they are put side by side."""
    names = (name.strip().strip("\"'").strip() for name in _BETWEEN.split(text.strip()))
    return [name for name in names if name]


def says_yes(text: str) -> bool:
    """Whether a cell says anything but no, never or nothing."""
    word = text.strip().casefold()
    return word not in _NO and not _ZERO.issuperset(word)


def _fits(mark: Mark, text: str) -> bool:
    if mark.words:
        said = text.strip().casefold()
        return said in mark.words or any(said.startswith(f"{word}:") for word in mark.words)
    return says_yes(text) is not mark.unless
