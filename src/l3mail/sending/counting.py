"""What is counted at the moment a mail is sent: days done, of its learner and of everybody.

Counts for a batch at once, and only where its texts say what is counted.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from sqlalchemy import Connection

from l3mail import courses
from l3mail.outbox import Started
from l3mail.publishing import Published


class Counting:
    """What one sender has counted."""

    def __init__(self) -> None:
        """Nothing is counted before a text says it."""
        self._together = courses.Together()

    def told(
        self,
        connection: Connection,
        started: list[Started],
        texts: Mapping[int, Published],
        now: datetime,
    ) -> list[Started]:
        """These deliveries, in order; of its course each knows what its text says."""
        says = {
            number: frozenset(texts[number].compiled.get("counted", ()))
            for number in {delivery.message_id for delivery in started}
        }
        counting = [one for one in started if one.course and says[one.message_id]]
        if not counting:
            return started
        own = [one.enrollment_id for one in counting if says[one.message_id] - {"together"}]
        done = courses.days_done(connection, [number for number in own if number is not None])
        all_ = {one.course["slug"] for one in counting if "together" in says[one.message_id]}
        together = {slug: self._together.of(connection, slug, now) for slug in all_}
        told = {one.id: replace(one, course=_course(one, done, together)) for one in counting}
        return [told.get(delivery.id, delivery) for delivery in started]


def _course(
    delivery: Started, done: Mapping[int, courses.DaysDone], together: Mapping[str, int]
) -> dict[str, object]:
    course = dict(delivery.course)
    if delivery.enrollment_id is not None and delivery.enrollment_id in done:
        course |= done[delivery.enrollment_id]._asdict()
    if course["slug"] in together:
        course["together"] = together[course["slug"]]
    return course
