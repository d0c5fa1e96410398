"""Mails to look at: each on a page of its own, small and wide, in its light and its dark design.

Owns the way from finished mails to files that are opened from a disk and fetch nothing. Must not
know where the mails come from: no rows, no workspace, no clock.
"""

from l3mail.gallery.designs import Design, in_design
from l3mail.gallery.exhibits import Exhibit, Part
from l3mail.gallery.halls import hang, write

__all__ = ["Design", "Exhibit", "Part", "hang", "in_design", "write"]
