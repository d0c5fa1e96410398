"""Leaving: everything a house knows, in open formats, for whoever comes after.

`leave` writes a folder that explains itself; `foresee` says what would be in it. Owns what goes
along and what stays behind. Must not know terminals; changes no row.
"""

from l3mail.leaving.going import Luggage, foresee, leave

__all__ = ["Luggage", "foresee", "leave"]
