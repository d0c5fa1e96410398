"""Opening connections to the relay: TCP, TLS, EHLO and login, by aiosmtplib.

Once the session is open our own dialogue takes the transport over. TLS that is asked for and
can't be had is a relay that is down, never a reason to speak in plain (RFC 8314 section 5).
"""

import asyncio
import os
import ssl
from dataclasses import dataclass
from typing import Literal, cast

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPResponseException,
    SMTPTimeoutError,
)

from l3mail.errors import RelayDownError
from l3mail.sending.dialogue import Wire


class _Opening(SMTP):
    """A session that is cut when it is given up: there is nothing to say goodbye for."""

    def close(self) -> None:
        """Leave no socket; a TLS transport that is only closed waits for the other side."""
        transport = cast("asyncio.Transport | None", self.transport)
        super().close()
        if transport is not None:
            transport.abort()


@dataclass(frozen=True, slots=True)
class Relay:
    """Where mail is handed over and how to be let in; `name` is what we say in EHLO.

    `opening_seconds` covers everything up to the login. `tls_context` replaces the system's
    trust (tests).
    """

    host: str
    port: int
    tls: Literal["none", "starttls", "tls"]
    name: str
    username: str | None = None
    password: str | None = None
    opening_seconds: float = 300
    tls_context: ssl.SSLContext | None = None

    async def open(self) -> Wire:
        """A session after EHLO and login; raises RelayDownError with the relay's own words."""
        session = _Opening(
            hostname=self.host,
            port=self.port,
            local_hostname=self.name,
            username=self.username or None,
            password=self.password or None,
            use_tls=self.tls == "tls",
            start_tls=self.tls == "starttls",
            tls_context=self.tls_context,
            timeout=self.opening_seconds,
        )
        opened = False
        try:
            async with asyncio.timeout(self.opening_seconds):
                greeting = await session.connect()
                if session.is_ehlo_or_helo_needed:
                    await session.ehlo()
            opened = True
        except (SMTPException, OSError, ssl.SSLError, TimeoutError) as fault:
            raise RelayDownError(
                f"{self.host}:{self.port} {_words(fault)}", _stage(fault)
            ) from fault
        finally:
            if not opened:
                # Also for who cancels us: a sender that stops waits for no relay.
                session.close()
        transport = cast("asyncio.Transport", session.transport)
        return Wire(transport, session.esmtp_extensions, _line(greeting.message))


def _stage(fault: Exception) -> Literal["connection", "greeting", "tls", "login"]:
    """How far a session came: what has to be mended differs."""
    if isinstance(fault, SMTPAuthenticationError):
        return "login"
    if isinstance(fault, ssl.SSLError) or isinstance(fault.__cause__, ssl.SSLError):
        return "tls"
    if "TLS" in str(fault):  # aiosmtplib has no class of its own for a relay that offers none
        return "tls"
    return "greeting" if isinstance(fault, SMTPResponseException) else "connection"


def _words(fault: Exception) -> str:
    if isinstance(fault, SMTPAuthenticationError):
        return f"refused the login: {fault.code} {_line(fault.message)}"
    if isinstance(fault, SMTPResponseException):
        return f"answered {fault.code} {_line(fault.message)}"
    cause = fault.__cause__ if isinstance(fault, SMTPConnectError) else fault
    silent = isinstance(fault, TimeoutError | SMTPTimeoutError)
    if silent or (isinstance(cause, OSError) and not isinstance(cause, ssl.SSLError)):
        words = "no answer in time" if silent else _system_words(cause)
        return (
            f"takes no connection ({words}); check host and port under [relay] in l3mail.toml,"
            " and whether the relay is up"
        )
    return f"can't be used: {_line(str(fault)) or type(fault).__name__}"


def _system_words(fault: object) -> str:
    """The system's own words for a fault; Python's and aiosmtplib's repeat the address."""
    number = getattr(fault, "errno", None)
    words = os.strerror(number) if number and number > 0 else getattr(fault, "strerror", None)
    return _line(words or type(fault).__name__).lower()


def _line(text: str) -> str:
    return " ".join(text.split())[:200]
