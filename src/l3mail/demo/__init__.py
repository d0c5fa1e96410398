"""The demo: a course in time-lapse, with a mail server of its own and nothing to set up.

Everything but the people and their mail server is the real thing: database, calendar,
planning, outbox, sender. The clock is a virtual one, so ten weeks take seconds.
"""

from l3mail.demo.timelapse import Moment, Summary, play

__all__ = ["Moment", "Summary", "play"]
