"""A report's facts put together by hand, for tests of the forms it takes."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from l3mail.consents import Verification
from l3mail.content import read_library, stationery
from l3mail.models import DELIVERY_STATES
from l3mail.needs import Cause, Need
from l3mail.publishing import Standing
from l3mail.reports import Report, spans
from l3mail.reports.hiding import Cell, breakdown
from l3mail.reports.joining import Act, Joining, OfferFigures, Pair
from l3mail.reports.learning import CourseFigures, LessonFigures
from l3mail.reports.mails import Judged, KindOfMail, LinkFigures, Mailing, Mails, Reach
from l3mail.reports.outlook import Coming, Holiday, Outlook
from tests.fakes.library import ROOT
from tests.fakes.village import MONDAY_TEN

BERLIN = ZoneInfo("Europe/Berlin")
NAUGHT = Pair(0, 0)

HIDDEN = Cell(None, "covered")

_LIBRARY = read_library(ROOT, locale="de")
STATIONERY = {locale: stationery(_LIBRARY, locale) for locale in ("de", "en")}


def empty_report(**values: Any) -> Report:
    """A house nobody has joined yet."""
    span = spans.week("2026-W47", BERLIN, MONDAY_TEN)
    return replace(
        Report(
            house="Bildung in Musterstadt",
            locale="de",
            zone=BERLIN,
            now=MONDAY_TEN,
            span=span,
            before=spans.before(span, BERLIN),
            mails=Mails((), (), (), Judged(0, 0, 0)),
            joining=Joining(
                NAUGHT, NAUGHT, NAUGHT, (), breakdown({}, {}), breakdown({}, {}), (), 0
            ),
            courses=(),
            outlook=Outlook(date(2026, 11, 23), date(2026, 11, 29), (), ()),
            needs=(),
            unpublished=(),
            proof=Verification(0, None, b"\x00" * 32),
        ),
        **values,
    )


def full_report(name: str = "Flyer", **values: Any) -> Report:
    """A report that says something in every place; `name` stands wherever people write names."""
    states = dict.fromkeys(DELIVERY_STATES, 1) | {"accepted": 1234}
    lessons = tuple(
        LessonFigures(f"kurs/0{n}", "lesson", 40 - n, Reach(38 - n, 20 - n, 9, 4), 7, 5, 3)
        for n in range(1, 4)
    )
    learners = {"active": 12, "paused": 1, "finished": 5, "cancelled": 2}
    counts = {name: 30, "": 12, "VHS": 6, "Fest": 2}
    return empty_report(
        mails=Mails(
            (KindOfMail("lesson", 1242, states, 900, 880),),
            (
                Mailing(
                    "newsletter/2026-12",
                    "newsletter",
                    400,
                    Reach(398, 190, 101, 33),
                    Cell(60),
                    Cell(25),
                ),
                Mailing("lifecycle/birthday", "lifecycle", 3, Reach(3, 2, 1, 1), HIDDEN, HIDDEN),
            ),
            (LinkFigures("newsletter/2026-12", name, Cell(12), Cell(4)),),
            Judged(12, 3, 1),
        ),
        joining=Joining(
            Pair(40, 31),
            Pair(50, 29),
            Pair(4, 2),
            (OfferFigures("kurs", name, "course", Pair(5, 3), Pair(1, 0), 18),),
            breakdown(counts, {name: 8, "VHS": 9}),
            breakdown(counts, {}),
            (
                Act("answered", "kurs/01", name, Cell(9)),
                Act("interested", "", name, Cell(None, "small")),
            ),
            857,
        ),
        courses=(
            CourseFigures("kurs", name, {"weekday": "mon", "at": "10:00"}, learners, 4, 6, lessons),
        ),
        outlook=Outlook(
            date(2026, 11, 23),
            date(2026, 11, 29),
            (
                Coming(MONDAY_TEN, "kurs/01", "lesson", 214),
                Coming(MONDAY_TEN + timedelta(days=1), "newsletter/2026-12", "newsletter", None),
            ),
            (Holiday(date(2026, 12, 1), name, 214),),
        ),
        needs=(
            Need(Cause.UNCERTAIN, n=2),
            Need(Cause.PAUSED, name, 3, MONDAY_TEN, name),
            Need(Cause.STUCK, name, 2, MONDAY_TEN - timedelta(days=4)),
            Need(Cause.APPROVAL, "lifecycle/birthday", 3, MONDAY_TEN + timedelta(days=1)),
        ),
        unpublished=(Standing(name, "de", "changed"), Standing("kurs/02", "de", "broken")),
        proof=Verification(1800, None, bytes(range(32))),
        titles={"kurs/01": name},
        **values,
    )
