"""Courses: their structure, who is on which step, and the deliveries that follow.

`structures` says what a course is, `enrollments` who takes it, `lessons` plans what is due. All
of it knows the time only as `now`, and nothing of text or SMTP.
"""

from l3mail.courses.enrollments import (
    RUNNING,
    LessonDate,
    cancel,
    dates,
    enroll,
    pause,
    reanchor,
    resume,
    running,
    wake,
)
from l3mail.courses.lessons import BATCH, ENDED, Planned, advance, plan
from l3mail.courses.structures import Outline, define

__all__ = [
    "BATCH",
    "ENDED",
    "RUNNING",
    "LessonDate",
    "Outline",
    "Planned",
    "advance",
    "cancel",
    "dates",
    "define",
    "enroll",
    "pause",
    "plan",
    "reanchor",
    "resume",
    "running",
    "wake",
]
