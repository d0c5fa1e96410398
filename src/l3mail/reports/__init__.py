"""Reports to the staff: what happened, what needs a person, what comes next.

The figures are read by subject (`mails`, `joining`, `learning`, `outlook`), gathered in `weekly`,
told in a language by `telling` and `sections`, and take form in `pages`, `texts` and `views`.
`mondays` mails them. Nothing here changes a row but the mail that is queued.
"""

from l3mail.reports.documents import Document
from l3mail.reports.mondays import SLUG, Mondays, Write, letter, occurrence, placeholder
from l3mail.reports.pages import to_mail, to_page
from l3mail.reports.spans import Span, days, last_week, week, week_of
from l3mail.reports.subjects import (
    CourseReport,
    IssueReport,
    look_at_course,
    look_at_issue,
    tell_course,
    tell_issue,
)
from l3mail.reports.telling import needs_of, tell
from l3mail.reports.texts import to_text
from l3mail.reports.views import to_json
from l3mail.reports.weekly import Report, Terms, look

__all__ = [
    "SLUG",
    "CourseReport",
    "Document",
    "IssueReport",
    "Mondays",
    "Report",
    "Span",
    "Terms",
    "Write",
    "days",
    "last_week",
    "letter",
    "look",
    "look_at_course",
    "look_at_issue",
    "needs_of",
    "occurrence",
    "placeholder",
    "tell",
    "tell_course",
    "tell_issue",
    "to_json",
    "to_mail",
    "to_page",
    "to_text",
    "week",
    "week_of",
]
