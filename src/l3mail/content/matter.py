"""The keys above a text: which there are, what each must be, what a trigger needs.

Owns the front matter of every kind of text and its error lines. Knows no folder and no body.
"""

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from email.utils import parseaddr
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
)

from l3mail.addresses import header_safe, parse_address
from l3mail.content.findings import Faults, suggestion
from l3mail.content.mappings import Mapped
from l3mail.durations import parse_duration
from l3mail.errors import HeaderInjectionError, L3mailError, quoted

Kind = Literal["lesson", "evaluation", "welcome", "newsletter", "lifecycle", "notice"]
NAME = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*(?:/[a-z0-9]+(?:-[a-z0-9]+)*)?")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")

_NEEDS: dict[str, tuple[str, ...]] = {
    "birthday": (),
    "yearly": ("on",),
    "joined": ("after",),
    "anniversary": (),
    "clicked": ("of",),
    "interested": ("of",),
    "answered": ("of",),
    "finished": ("of",),
    "inactive": ("after",),
}
_MAKES_NO_SENSE: dict[str, tuple[str, ...]] = {
    "birthday": ("on", "after", "of"),
    "yearly": ("after", "of"),
    "joined": ("on",),
    "anniversary": ("on", "after"),
    "clicked": ("on",),
    "interested": ("on",),
    "answered": ("on",),
    "finished": ("on",),
    "inactive": ("on", "of"),
}


def check_duration(text: str) -> str:
    """A span of time as written, if `parse_duration` reads it; raises ValueError."""
    parse_duration(text)
    return text


def check_mailbox(text: str) -> str:
    """A sender in one spelling; raises ValueError."""
    name, address = parseaddr(text)
    try:
        known = parse_address(address)
        header_safe(name)
    except L3mailError as error:
        raise ValueError('no sender; write it like "Name <name@example.org>"') from error
    if not known.local.isascii():
        raise ValueError("no address every relay takes; use a-z before the @")
    return f'"{name}" <{known.address}>' if name else known.address


def check_header(text: str) -> str:
    """A text that may become a mail header; raises ValueError."""
    try:
        return header_safe(text)
    except HeaderInjectionError as error:
        raise ValueError(
            f"a text no mail header may hold: it holds {error.reason}; write it without"
        ) from error


@dataclass(frozen=True, slots=True)
class Correction:
    """What was put right in a text after it had been sent: the day, and plain words."""

    on: date
    text: str


_CORRECTION = 'write each as {on: 2026-12-03, text: "…"}, behind a dash of its own'


def _corrections(said: object) -> tuple[Correction, ...]:
    parts = [_correction(one) for one in said] if isinstance(said, list) else []
    found = tuple(part for part in parts if part is not None)
    if not found or len(found) < len(parts):
        raise ValueError(f"no list of days and texts; {_CORRECTION}")
    return found


def _correction(said: object) -> Correction | None:
    if not isinstance(said, dict):
        return None
    # YAML 1.1 reads the key `on` as true.
    keys = {"on" if key is True else key: value for key, value in said.items()}
    day, text = keys.pop("on", None), keys.pop("text", None)
    if isinstance(day, str) and _DAY.fullmatch(day):
        day = date.fromisoformat(day)
    is_day = isinstance(day, date) and not isinstance(day, datetime)
    if keys or not is_day or not isinstance(text, str) or not text.strip():
        return None
    return Correction(day, " ".join(text.split()))


def _month_and_day(text: str) -> str:
    try:
        datetime.strptime(f"2000-{text}", "%Y-%m-%d")  # noqa: DTZ007 - a day has no zone
    except ValueError as error:
        raise ValueError('no day of the year; write it like "09-08" (month-day)') from error
    return text


def _matching(pattern: str, otherwise: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(otherwise)
        return text

    return AfterValidator(check)


_Line = Annotated[str, _matching(r"[^\r\n]*", "more than one line; write it in one")]
_Header = Annotated[_Line, AfterValidator(check_header)]
_Name = Annotated[str, _matching(NAME.pattern, "no name; use a-z, 0-9 and -")]
_Of = Annotated[str, _matching(SLUG.pattern, 'no slug and no name; write it like "kurs/02-video"')]
_Time = Annotated[
    str, _matching(r"([01]\d|2[0-3]):[0-5]\d", 'no time of day; write it like "09:00"')
]
_Duration = Annotated[str, AfterValidator(check_duration)]
_Mailbox = Annotated[str, AfterValidator(check_mailbox)]


class Matter(BaseModel):
    """Front matter of every text; an unknown key is a fault, a type is taken at its word."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    subject: _Header = Field("", description="text in quotes")
    preheader: _Header = Field("", description="text in quotes")
    layout: _Name = Field("", description='the name of a file in templates/layouts, "mail"')
    stream: _Name | None = Field(None, description="the slug of a stream")
    from_: _Mailbox | None = Field(
        None, alias="from", description='a sender, "Name <name@example.org>"'
    )
    reply_to: _Mailbox | None = Field(None, description='a sender, "Name <name@example.org>"')
    draft: bool = Field(False, description="true or false")
    tested_by: _Line = Field("", description="who has tested an easy text, in quotes")
    corrections: Annotated[tuple[Correction, ...], PlainValidator(_corrections)] = Field(
        (), description="a list"
    )

    @property
    def rule(self) -> dict[str, Any]:
        """What a trigger needs to know, as JSON; empty for texts that no trigger sends."""
        return {}


class AudienceMatter(Matter):
    """Front matter of a text that need not go to all of its stream."""

    segment: _Line | None = Field(None, description="a segment's name or expression, in quotes")


class IssueMatter(AudienceMatter):
    """Front matter of a newsletter's issue: also whether everybody may read it afterwards."""

    archive: bool | None = Field(None, description="true or false")


class LifecycleMatter(AudienceMatter):
    """Front matter of a triggered mailing: also when it goes out."""

    trigger: (
        Literal[
            "birthday",
            "yearly",
            "joined",
            "anniversary",
            "clicked",
            "interested",
            "answered",
            "finished",
            "inactive",
        ]
        | None
    ) = Field(None, description="one of " + ", ".join(_NEEDS))
    on: Annotated[str, AfterValidator(_month_and_day)] | None = Field(
        None, description='a day in quotes, "09-08"'
    )
    after: _Duration | None = Field(None, description='a span of time, "2d"')
    at: _Time | None = Field(None, description='a time in quotes, "09:00"')
    of: _Of | None = Field(None, description='a slug or a name, "kurs/02-video"')
    once: Literal["ever", "yearly"] | None = Field(None, description="ever or yearly")
    valid_for: _Duration | None = Field(None, description='a span of time, "2d"')
    approval: Literal["auto", "required"] = Field("auto", description="auto or required")

    @property
    def rule(self) -> dict[str, Any]:
        """The trigger and everything said about it; times and spans as written."""
        names = ("trigger", "on", "after", "at", "of", "segment", "once", "valid_for", "approval")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


def model_for(kind: Kind) -> type[Matter]:
    """The front matter a kind of text may have."""
    if kind == "lifecycle":
        return LifecycleMatter
    return IssueMatter if kind == "newsletter" else Matter


def read_matter(kind: Kind, mapped: Mapped, faults: Faults) -> Matter:
    """Validate front matter; with faults, which are noted at their lines, a neutral one."""
    model = model_for(kind)
    keys = {field.alias or name: field for name, field in model.model_fields.items()}
    try:
        matter = model.model_validate(mapped.values)
    except ValidationError as error:
        for fault in error.errors():
            key = str(fault["loc"][0])
            line = mapped.line(key)
            if fault["type"] == "extra_forbidden":
                hint = suggestion(key, keys)
                faults.error(line, f"{quoted(key)} is not a key here; {hint}", key)
            elif fault["type"] == "value_error":
                reason = fault.get("ctx", {}).get("error", fault["msg"])
                shown = _shown(fault["input"])
                faults.error(line, f'"{key}" is {shown}, {reason}', mapped.column(key))
            else:
                expected = keys[key].description
                message = f'"{key}" is {_shown(fault["input"])}, expected {expected}'
                faults.error(line, message, mapped.column(key))
        faulty = {fault["loc"][0] for fault in error.errors()}
        sound = {key: mapped.values.get(key) for key in {"subject", "draft"} - faulty}
        return _salvaged(model, {key: value for key, value in sound.items() if value is not None})
    if isinstance(matter, LifecycleMatter):
        _check_trigger(matter, mapped, faults)
    return matter


def _salvaged(model: type[Matter], sound: dict[str, Any]) -> Matter:
    try:
        return model.model_validate(sound)
    except ValidationError:
        return model.model_validate({})


def _check_trigger(matter: LifecycleMatter, mapped: Mapped, faults: Faults) -> None:
    trigger = matter.trigger
    if trigger is None:
        known = ", ".join(_NEEDS)
        faults.error(1, f'"trigger" is missing, nothing would send this; write one of {known}')
        return
    for key in _NEEDS[trigger]:
        if key not in mapped.values:
            line = mapped.line("trigger")
            example = {"on": '"09-08"', "after": '"2d"', "of": '"kurs/02-video"'}[key]
            message = f'trigger {trigger} needs "{key}"; write {key}: {example}'
            faults.error(line, message, mapped.column("trigger"))
    if matter.valid_for is not None and not parse_duration(matter.valid_for):
        faults.error(
            mapped.line("valid_for"),
            f'"valid_for" is {quoted(matter.valid_for)}, so it would be too late at once;'
            ' write a span such as "1d"',
            mapped.column("valid_for"),
        )
    if trigger == "inactive" and matter.after and parse_duration(matter.after) < timedelta(days=1):
        faults.error(
            mapped.line("after"),
            f'"after" is {quoted(matter.after)}, and silence is counted in days; write "90d"',
            mapped.column("after"),
        )
    for key in _MAKES_NO_SENSE[trigger]:
        if key in mapped.values:
            faults.error(
                mapped.line(key), f'"{key}" says nothing to trigger {trigger}; delete the line', key
            )


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    if isinstance(value, bool):
        return str(value).lower()
    return quoted(value) if isinstance(value, str) else quoted(str(value)[:100])[1:-1]
