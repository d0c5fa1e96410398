"""The demo: the house in time-lapse, with a mail server of its own and nothing to set up.

Everything but the people and their mail server is the real thing: the starter workspace, the
pages over HTTP, planning, outbox, sender. The clock is a virtual one, so ten weeks take seconds.
The pages are handed in, because they are a door of the house, and the demo stands below the doors.
"""

from l3mail.demo.evidence import Claim, Summary
from l3mail.demo.people import LEAVES
from l3mail.demo.timelapse import Moment, play

__all__ = ["LEAVES", "Claim", "Moment", "Summary", "play"]
