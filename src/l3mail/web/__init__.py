"""The subscribers' door: pages and `/api`, over HTTP.

Owns what a browser sees and sends. All that is decided about people is decided below, by verbs
that pages call in threads; must not know the command line or the clock's ticks.
"""

from l3mail.web.app import create_app

__all__ = ["create_app"]
