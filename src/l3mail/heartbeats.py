"""Heartbeats: somebody outside is told that the house lives, and notices when it is silent.

One plain GET of an address the settings name, with nothing in it. Whatever becomes of it breaks
nothing. Knows neither rows nor mails.
"""

import logging
import threading
import urllib.request
from collections.abc import Callable

from l3mail.clocks import Clock

log = logging.getLogger("l3mail.heartbeats")

EVERY_SECONDS = 60
TIMEOUT_SECONDS = 10
_MOST_READ = 1024


class Heart:
    """Beats at most once a minute, each time in a thread of its own, and only while all is well.

    `is_well` is asked in that thread: it may take its time.
    """

    def __init__(self, url: str, clock: Clock, is_well: Callable[[], bool] = lambda: True) -> None:
        """An empty `url` makes a heart that never beats."""
        self._url = url
        self._clock = clock
        self._is_well = is_well
        self._last: float | None = None
        self._beating: threading.Thread | None = None
        self._heard = True

    def beat(self) -> threading.Thread | None:
        """Begin a beat if it is time for one; return at once."""
        now = self._clock.monotonic()
        is_early = self._last is not None and now - self._last < EVERY_SECONDS
        is_busy = self._beating is not None and self._beating.is_alive()
        if not self._url or is_early or is_busy:
            return None
        self._last = now
        # A daemon: whoever stops the house does not wait for a server that does not answer.
        beating = threading.Thread(target=self._tell, name="l3mail-heartbeat", daemon=True)
        try:
            beating.start()
        except RuntimeError as fault:  # no more threads
            log.warning("a heartbeat could not begin: %s", fault)
            return None
        self._beating = beating
        return beating

    def _tell(self) -> None:
        try:
            if not self._is_well():
                return
            _ping(self._url)
        except Exception as fault:  # noqa: BLE001 - whatever it is, the house goes on
            if self._heard:
                # No address: it is a secret of a kind, and the fault's words may repeat it.
                log.warning("alerts.heartbeat_url was not reached: %s", type(fault).__name__)
            self._heard = False
            return
        if not self._heard:
            log.info("alerts.heartbeat_url is reached again")
        self._heard = True


def _ping(url: str) -> None:
    # Neither files nor redirects: only these can be opened, and only where the settings point.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    request = urllib.request.Request(url, headers={"User-Agent": "l3mail"})  # noqa: S310 - http(s) only: no other handler is there
    with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
        answer.read(_MOST_READ)
