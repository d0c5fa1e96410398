"""When mail may leave for a real relay: nothing a stranger reads may be a placeholder.

Owns that rule and its lines. Must not know how settings were read.
"""

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from l3mail.errors import quoted
from l3mail.settings.sections import Settings
from l3mail.settings.state import RETIRED

# RFC 2606 § 2 and 3, RFC 6761 § 6: they belong to nobody, so a starter file may use them.
_RESERVED_HOSTS = ("example", "example.com", "example.net", "example.org", "invalid", "test")
_PRIVATE_HOSTS = ("localhost", "local", "internal", "lan", "home.arpa")
_PLACEHOLDER_TEXT = re.compile(r"\bmuster(?:mann|frau|stadt|amt)\b|\btodo\b", re.IGNORECASE)
_STRONG_KEY = 32  # characters; 32 of hex are the 128 bits a token's signature is worth


def sending_problems(settings: Settings) -> list[str]:
    """Say why no mail may go to the relay, one line each; empty if it may, or stays at home.

    A loopback relay takes everything: that is how a workspace is tried out.
    """
    return [] if settings.relay_is_loopback else unready(settings)


def unready(settings: Settings) -> list[str]:
    """What must be filled in before mail may leave for a real relay, one line each."""
    return [
        *_unready_addresses(settings),
        *_unready_impressum(settings),
        *_unready_login(settings),
    ]


def samples_left(settings: Settings) -> Iterator[str]:
    """What of the starter's settings still stands, harmless and yet not ours: a line each."""
    name = settings.workspace.name
    if name == type(settings.workspace)().name or _PLACEHOLDER_TEXT.search(name):
        yield (
            f'"workspace.name" is {quoted(name)}, as mails, pages and reports will call you;'
            ' write name = "…" below [workspace]'
        )


def _unready_addresses(settings: Settings) -> Iterator[str]:
    base_url = settings.web.base_url
    if not _is_public_https(base_url):
        host = urlsplit(base_url).hostname or ""
        placeholder = ", a placeholder" if _is_placeholder_host(host) else ""
        yield (
            f'"web.base_url" is {quoted(base_url)}{placeholder}, and links in mails need a public'
            " https address; set it or L3MAIL_BASE_URL"
        )
    mailboxes = (("from", settings.sender.from_), ("reply_to", settings.sender.reply_to))
    for key, mailbox in mailboxes:
        if mailbox and _is_placeholder_host(mailbox.domain):
            also = " or L3MAIL_FROM" if key == "from" else ""
            yield (
                f'"sender.{key}" is {quoted(mailbox.address)}, a placeholder;'
                f" set it{also} to an address of yours"
            )
    for key in ("to", "approvers", "editors"):
        for address in getattr(settings.alerts, key):
            if _is_placeholder_host(address.rpartition("@")[2]):
                yield (
                    f'"alerts.{key}" names {quoted(address)}, a placeholder;'
                    " name somebody's address or nobody's"
                )


def _unready_impressum(settings: Settings) -> Iterator[str]:
    impressum = settings.impressum
    values = {
        "name": impressum.name,
        "address": impressum.address,
        "email": impressum.email,
        "privacy_url": impressum.privacy_url,
    }
    for key, value in values.items():
        law = "DSGVO Art. 13" if key == "privacy_url" else "DDG § 5"
        if not value.strip():
            yield (
                f'"impressum.{key}" is empty, and every mail must carry it ({law});'
                f' write {key} = "…" below [impressum]'
            )
        elif _is_placeholder(value):
            yield (
                f'"impressum.{key}" is {quoted(value)}, a placeholder, and every mail must carry'
                f" it ({law}); fill it in"
            )


def _unready_login(settings: Settings) -> Iterator[str]:
    """Find a log-in that cannot work or would show its password, and a key one can guess."""
    relay = settings.relay
    if relay.username and settings.smtp_password is None:
        yield '"relay.username" is set without a password; set L3MAIL_SMTP_PASSWORD'
    if settings.smtp_password is not None and not relay.username:
        yield (
            "L3MAIL_SMTP_PASSWORD is set without a user name;"
            ' set "relay.username" or L3MAIL_SMTP_USERNAME'
        )
    if settings.smtp_password is not None and relay.tls == "none":
        yield '"relay.tls" is "none", which shows the password on the way; write tls = "starttls"'
    keys = [key.get_secret_value().removeprefix(RETIRED) for key in settings.secret_keys]
    if any(len(key.strip()) < _STRONG_KEY for key in keys):
        yield (
            f"L3MAIL_SECRET_KEY holds a key of fewer than {_STRONG_KEY} characters, which can be"
            " guessed from any link; make one with `openssl rand -hex 32`"
        )


def _is_public_https(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https" or _is_placeholder_host(host) or _is_below(host, _PRIVATE_HOSTS):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host.strip(".")


def _is_placeholder(value: str) -> bool:
    """Tell a starter file's text: an address or URL that is nobody's, or words for "fill me in"."""
    host = urlsplit(value).hostname if "://" in value else value.rpartition("@")[2]
    return bool(_PLACEHOLDER_TEXT.search(value)) or _is_placeholder_host(host or "")


def _is_placeholder_host(host: str) -> bool:
    return _is_below(host, _RESERVED_HOSTS) or _is_below(host, ("localhost",))


def _is_below(host: str, domains: tuple[str, ...]) -> bool:
    """Whether a host is one of the domains or a name below one."""
    return f".{host.casefold().rstrip('.')}".endswith(tuple(f".{name}" for name in domains))
