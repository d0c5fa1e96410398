"""`[sending]`: what spares people, and what is asked before a newsletter goes out."""

from datetime import time
from typing import Annotated

from pydantic import AfterValidator

from l3mail.settings.keys import Section, key

_HOURS = r"^(([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d)?$"


def _some_hours(text: str) -> str:
    begins, _, ends = text.partition("-")
    if text and begins == ends:
        raise ValueError('a whole day; write "20:00-08:00", or halt what is not to go out')
    return text


class FrequencyCap(Section):
    """`[sending.frequency_cap]`: how many newsletters and lifecycle mailings a person gets at most.

    `mails` within any `days`, 0 is no cap. One that had to wait for `patience_days` is not sent.
    """

    mails: int = key(0, "a whole number from 0", 3, ge=0, le=1000)
    # Retention keeps what is counted: mails of two months at least.
    days: int = key(7, "a whole number from 1 to 31", ge=1, le=31)
    patience_days: int = key(7, "a whole number from 1", ge=1, le=366)


class SendingSection(Section):
    """`[sending]`: quiet hours and cap for bulk mail, and how its sending is released.

    An audience that grew to more than `growth` times the last one wants a second look; 0 is never.
    With `two_persons` a campaign waits for somebody else's yes, for `release_days` after it is due.
    """

    quiet_hours: Annotated[str, AfterValidator(_some_hours)] = key(
        "", "hours of the day", "20:00-08:00", pattern=_HOURS
    )
    frequency_cap: FrequencyCap = FrequencyCap()
    growth: float = key(3, "a number from 0", ge=0, allow_inf_nan=False)
    two_persons: bool = key(False, "true or false", True)
    release_days: int = key(2, "a whole number from 1", ge=1, le=60)

    @property
    def quiet(self) -> tuple[time, time] | None:
        """When the quiet hours begin and end, by the clocks of the workspace; None without any."""
        if not self.quiet_hours:
            return None
        begins, _, ends = self.quiet_hours.partition("-")
        return time.fromisoformat(begins), time.fromisoformat(ends)
