"""Texts on the screen while they are written: a local server that shows each as its mail.

Owns what is compiled anew when a file is saved, the pages, and the door to them. Must not write:
neither files nor rows, and no mail goes out from here.
"""

from l3mail.previewing.benches import Bench
from l3mail.previewing.doors import create_app
from l3mail.previewing.guests import Guests
from l3mail.previewing.serving import serve
from l3mail.previewing.watching import Bell, Watch

__all__ = ["Bell", "Bench", "Guests", "Watch", "create_app", "serve"]
