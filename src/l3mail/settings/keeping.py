"""The tables of l3mail.toml that say how long what is kept of people."""

from typing import Literal

from l3mail.settings.keys import Section, choice, key


class Retention(Section):
    """`[retention]`: how long what is kept; a sign-up nobody confirmed in days, all else in months.

    Proof of consent is kept to the end of the year in which its months have passed.
    """

    unconfirmed_days: int = key(7, "a whole number from 1 to 30", ge=1, le=30)
    events_months: int = key(14, "a whole number from 1 to 1200", ge=1, le=1200)
    deliveries_months: int = key(36, "a whole number from 2 to 1200", ge=2, le=1200)
    proof_months: int = key(36, "a whole number from 0 to 1200", ge=0, le=1200)


class Privacy(Section):
    """`[privacy]`: what becomes of the proof of consent where a person is erased.

    It is kept restricted until its date (DSGVO Art. 17(3)(e)), or erased with the person.
    """

    proof_on_erasure: Literal["keep", "erase"] = choice("keep", "keep", "erase")
