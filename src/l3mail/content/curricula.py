"""course.yaml: a course's rhythm, rules and order of lessons.

Owns the keys of course.yaml. What a lesson says, and who is enrolled, is not known here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from l3mail.calendars import as_mapping, parse_cadence, parse_closed
from l3mail.content.findings import Faults, suggestion
from l3mail.content.mappings import Mapped
from l3mail.content.matter import check_duration, check_header, check_mailbox
from l3mail.durations import parse_duration
from l3mail.errors import TimeRuleError, quoted

_LONGEST_GRACE_DAYS = 366


@dataclass(frozen=True, slots=True)
class Curriculum:
    """A course as its folder describes it, ready to become a `courses.Outline`.

    `lessons` are (slug, kind) in order; `rules` hold `skip_holidays`, `closed` (texts), `start`
    (ISO date), `grace` (seconds) and `complete_after` (days) where they are set. `welcome` is the
    slug of the first mail or None. `asks` are attributes.
    """

    slug: str
    title: str
    cadence: Mapping[str, Any]
    lessons: tuple[tuple[str, str], ...]
    rules: Mapping[str, Any] = field(default_factory=dict)
    welcome: str | None = None
    sender: str | None = None
    reply_to: str | None = None
    asks: tuple[str, ...] = ()

    @property
    def days(self) -> int:
        """How many days its lessons take, if nothing is ever late."""
        lessons = sum(kind == "lesson" for _, kind in self.lessons)
        return lessons * parse_cadence(dict(self.cadence)).days


class _CourseFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    title: Annotated[str, AfterValidator(check_header)] = Field(
        description="text in quotes", min_length=1
    )
    cadence: Any = Field(description='{weekday: mon, at: "10:00"}')
    start: Any = Field("rolling", description="rolling or a day such as 2027-05-03")
    grace: Annotated[str, AfterValidator(check_duration)] | None = Field(
        None, description='a span of time, "48h"'
    )
    skip_holidays: Any = Field(None, description='a calendar in quotes, "DE-SN"')
    closed: Any = Field(None, description="a list such as [2026-12-21..2027-01-03]")
    from_: Annotated[str, AfterValidator(check_mailbox)] | None = Field(
        None, alias="from", description='a sender, "Name <name@example.org>"'
    )
    reply_to: Annotated[str, AfterValidator(check_mailbox)] | None = Field(
        None, description='a sender, "Name <name@example.org>"'
    )
    lessons: list[str | int] | None = Field(None, description="a list such as [01-start, 02-video]")
    evaluation: str | bool | None = Field(None, description="the name of a file, or false")
    asks: list[str] = Field([], description="a list such as [ziel], of attributes in l3mail.toml")
    complete_after: Annotated[int, Field(ge=1)] | None = Field(
        None, description="a whole number of days from 1 on, 20"
    )


KEYS: Final = {field.alias or name: field for name, field in _CourseFile.model_fields.items()}
"""What course.yaml may say."""


def read_curriculum(
    slug: str,
    mapped: Mapped,
    names: Collection[str],
    faults: Faults,
    *,
    attributes: Collection[str] = (),
) -> Curriculum | None:
    """Validate a course's mapping against the names of its texts (`01-start`, `evaluation`).

    `attributes` are those declared. None, with every fault noted at its line, if something is
    wrong.
    """
    try:
        read = _CourseFile.model_validate(mapped.values)
    except ValidationError as error:
        for fault in error.errors():
            key = str(fault["loc"][0])
            line = mapped.line(key)
            if fault["type"] == "extra_forbidden":
                faults.error(line, f"{quoted(key)} is not a key here; {suggestion(key, KEYS)}", key)
            elif fault["type"] == "missing":
                faults.error(1, f'"{key}" is missing; write {key}: {KEYS[key].description}')
            elif fault["type"] == "value_error":
                message = f'"{key}" is {fault.get("ctx", {}).get("error", "wrong")}'
                faults.error(line, message, mapped.column(key))
            else:
                message = f'"{key}" should be {KEYS[key].description}'
                faults.error(line, message, mapped.column(key))
        return None
    cadence, rules = _time_rules(read, mapped, faults)
    lessons = _order(slug, read, mapped, names, faults)
    _check_asked(read, mapped, attributes, faults)
    if faults.broken:
        return None
    welcome = f"{slug}/welcome" if "welcome" in names else None
    senders = (read.from_, read.reply_to)
    curriculum = Curriculum(
        slug, read.title, cadence, lessons, rules, welcome, *senders, tuple(read.asks)
    )
    if (read.complete_after or 0) > curriculum.days:
        faults.error(
            mapped.line("complete_after"),
            f'"complete_after" is {read.complete_after}, and the lessons take {curriculum.days}'
            " days; write less",
        )
        return None
    return curriculum


def _check_asked(
    read: _CourseFile, mapped: Mapped, attributes: Collection[str], faults: Faults
) -> None:
    line = mapped.line("asks")
    for name in read.asks:
        if name not in attributes:
            hint = f"write [attributes.{name}] into l3mail.toml"
            if attributes:
                hint = suggestion(name, attributes)
            faults.error(line, f"{quoted(name)} is no attribute here; {hint}")
    if len(set(read.asks)) < len(read.asks):
        faults.error(line, '"asks" names an attribute twice; keep one')


def _time_rules(
    read: _CourseFile, mapped: Mapped, faults: Faults
) -> tuple[dict[str, Any], dict[str, Any]]:
    rules: dict[str, Any] = {}
    cadence: dict[str, Any] = {}
    try:
        cadence = dict(as_mapping(parse_cadence(read.cadence)))
    except TimeRuleError as error:
        faults.error(mapped.line("cadence"), str(error), mapped.column("cadence"))
    try:
        closed = parse_closed(read.skip_holidays, read.closed)
        if closed.holidays is not None:
            rules["skip_holidays"] = closed.holidays
        if closed.ranges:
            rules["closed"] = [str(days) for days in closed.ranges]
    except TimeRuleError as error:
        faults.error(mapped.line(error.key), str(error), mapped.column(error.key))
    if read.start != "rolling":
        try:
            day = read.start if type(read.start) is date else date.fromisoformat(str(read.start))
            rules["start"] = day.isoformat()
        except ValueError:
            shown = quoted(str(read.start)[:100])
            faults.error(
                mapped.line("start"),
                f'"start" is {shown}, expected rolling or a day such as 2027-05-03',
                mapped.column("start"),
            )
    if read.grace is not None:
        grace = parse_duration(read.grace)
        if grace.days > _LONGEST_GRACE_DAYS:
            message = '"grace" is more than a year; write less'
            faults.error(mapped.line("grace"), message, mapped.column("grace"))
        rules["grace"] = int(grace.total_seconds())
    if read.complete_after is not None:
        rules["complete_after"] = read.complete_after
    return cadence, rules


def _order(
    slug: str, read: _CourseFile, mapped: Mapped, names: Collection[str], faults: Faults
) -> tuple[tuple[str, str], ...]:
    numbered = sorted(name for name in names if name[:1].isdigit())
    chosen = numbered
    if read.lessons is not None:
        found = [_lesson(slug, str(entry), numbered) for entry in read.lessons]
        for number, (entry, name) in enumerate(zip(read.lessons, found, strict=True)):
            line, column = mapped.item("lessons", number)
            if name is None:
                faults.error(
                    line,
                    f"{quoted(str(entry))} is no lesson of this course;"
                    f" {suggestion(str(entry), numbered)}",
                    column,
                )
            elif name in found[:number]:
                faults.error(line, "a lesson is listed twice; keep one", column)
        chosen = [name for name in found if name is not None]
    if not chosen and not faults.broken:
        faults.error(mapped.line("lessons"), "has no lessons; write one as 01-name.md")
    lessons = [(f"{slug}/{name}", "lesson") for name in chosen]
    evaluation = read.evaluation
    wanted = "evaluation" if evaluation in (None, True) else evaluation
    if wanted is not False:
        name = str(wanted).removesuffix(".md").removeprefix(f"{slug}/")
        if name in names:
            lessons.append((f"{slug}/{name}", "evaluation"))
        elif evaluation is not None:
            faults.error(
                mapped.line("evaluation"),
                f"{quoted(name)} is no text of this course; {suggestion(name, names)}",
                mapped.column("evaluation"),
            )
    return tuple(lessons)


def _lesson(slug: str, entry: str, numbered: Collection[str]) -> str | None:
    """The lesson an entry means: its name, file, slug, or number alone."""
    name = entry.removesuffix(".md").removeprefix(f"{slug}/")
    if name in numbered:
        return name
    if name.isascii() and name.isdigit():
        return next((known for known in numbered if int(known.split("-")[0]) == int(name)), None)
    return None
