"""Courses: their structure, who is on which step, and the deliveries that follow.

`structures` says what a course is, `enrollments` who takes it, `lessons` plans what is due. All
of it knows the time only as `now`, and nothing of text or SMTP.
"""

from l3mail.courses.completing import complete, reconsider
from l3mail.courses.diaries import DaysDone, Diary, Together, days_done, diary
from l3mail.courses.enrollments import (
    ANYBODY_TO_WAKE,
    RUNNING,
    Beginning,
    Due,
    begin,
    cancel,
    cancel_all,
    enroll,
    next_due,
    pause,
    reanchor,
    resume,
    running,
    wake,
)
from l3mail.courses.expectations import LessonDate, dates, timetable
from l3mail.courses.lessons import (
    ANY_LESSON_DUE,
    ANYBODY_OVERDUE,
    ANYBODY_UNDER_WAY,
    BATCH,
    ENDED,
    Planned,
    Stuck,
    advance,
    plan,
    stuck,
)
from l3mail.courses.overviews import (
    Overview,
    Place,
    Step,
    funnel,
    objection_to,
    overview,
    overviews,
    whereabouts,
)
from l3mail.courses.resending import RESENT, resend
from l3mail.courses.structures import Outline, asked, define, structure_of, title_of

__all__ = [
    "ANYBODY_OVERDUE",
    "ANYBODY_TO_WAKE",
    "ANYBODY_UNDER_WAY",
    "ANY_LESSON_DUE",
    "BATCH",
    "ENDED",
    "RESENT",
    "RUNNING",
    "Beginning",
    "DaysDone",
    "Diary",
    "Due",
    "LessonDate",
    "Outline",
    "Overview",
    "Place",
    "Planned",
    "Step",
    "Stuck",
    "Together",
    "advance",
    "asked",
    "begin",
    "cancel",
    "cancel_all",
    "complete",
    "dates",
    "days_done",
    "define",
    "diary",
    "enroll",
    "funnel",
    "next_due",
    "objection_to",
    "overview",
    "overviews",
    "pause",
    "plan",
    "reanchor",
    "reconsider",
    "resend",
    "resume",
    "running",
    "structure_of",
    "stuck",
    "timetable",
    "title_of",
    "wake",
    "whereabouts",
]
