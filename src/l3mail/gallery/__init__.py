"""Mails to look at: each on a page of its own, small and wide, in its light and its dark design.

Owns the way from finished mails to pages: files that are opened from a disk and fetch nothing,
or what a server answers with. Must not know where the mails come from: no rows, no workspace, no
clock.
"""

from l3mail.gallery.exhibits import Exhibit, Part
from l3mail.gallery.halls import hang, write
from l3mail.gallery.schemes import SCHEMES, Pictures, Scheme, in_scheme, kept_in
from l3mail.gallery.walls import STYLESHEET, Hung, Step, Walls

__all__ = [
    "SCHEMES",
    "STYLESHEET",
    "Exhibit",
    "Hung",
    "Part",
    "Pictures",
    "Scheme",
    "Step",
    "Walls",
    "hang",
    "in_scheme",
    "kept_in",
    "write",
]
