"""Every key of `l3mail.toml`: its default, what it must be, and how its error line shows it.

Owns the sections and the frozen `Settings` made of them. Must not know files, the environment or
where a fault stands: `reading` does.
"""

import difflib
import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from email_validator import validate_email
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    model_validator,
)

from l3mail.errors import printable
from l3mail.settings.keeping import Privacy, Retention
from l3mail.settings.keys import Section, choice, key, seconds, text_key
from l3mail.settings.pacing import SendingSection
from l3mail.settings.programs import MAIL_PROGRAMS, MailProgram

DATABASE_FILE = "l3mail.sqlite3"

FORM_FIELDS = ("first_name", "last_name", "salutation", "birthday", "district")
"""What a sign-up form may ask besides the address, the streams and declared attributes."""

# What segments and sign-up forms already call by these names.
_TAKEN_NAMES = frozenset(
    "email first_name last_name salutation locale district birthday age stream streams tracking"
    " source joined_days inactive_days attrs".split()
)
_DATABASES = re.compile(r"sqlite(?:\+pysqlite)?:///.+|postgres(?:ql)?(?:\+psycopg)?://.*")
_IN_MEMORY = re.compile(r"sqlite[^:]*://(?:/?(?:\?.*)?|.*(?::memory:|mode=memory).*)")
# In the one spelling that rows have (locales.canonical): de-simple, de-AT, sr-Latn.
_TAG = r"^[a-z]{2,3}(-([A-Z]{2}|[A-Z][a-z]{3}|\d[a-z0-9]{3}|[a-z0-9]{3}|[a-z0-9]{5,8}))*$"
_MAILBOX = re.compile(r'(?:"?(?P<name>[^"<>]*?)"?\s*<(?P<in>[^\s<>]+)>|(?P<bare>[^\s<>"]+))')


def _mail_address(text: str) -> str:
    """Normalise one address of ours; its local part must be ASCII so that any relay takes it."""
    try:
        valid = validate_email(text, strict=True, check_deliverability=False, allow_smtputf8=False)
    except ValueError as error:
        reason = printable(str(error), 160).rstrip(". ")
        raise ValueError(
            f'not an address we can mail: {reason}; write "name@example.org"'
        ) from error
    return f"{valid.local_part}@{valid.ascii_domain}"


def _mailbox(value: Any) -> Any:
    """Read "Name <a@b>" or "a@b"; nothing else may become a `Mailbox`, so no table does."""
    if isinstance(value, Mailbox):
        return value
    match = _MAILBOX.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not value.strip().isprintable() or "=?" in value:
        raise ValueError('expected a sender; write "Name <name@example.org>"')
    name = (match["name"] or "").strip()
    return Mailbox(name=name, address=_mail_address(match["in"] or match["bare"]))


def _header(text: str) -> str:
    """Refuse what would be refused as a header when the first mail is to go out."""
    controls = {"Cc", "Cs", "Zl", "Zp"}
    if "=?" in text or any(unicodedata.category(character) in controls for character in text):
        raise ValueError('a text no mail header may hold; write it in one line and without "=?"')
    return text


def _zone_name(name: str) -> str:
    try:
        ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:  # hostile keys raise any of them
        german = name.upper() in {"MEZ", "MESZ", "BERLIN"}
        near = [] if german else difflib.get_close_matches(name, available_timezones(), n=1)
        near = near or ["Europe/Berlin"]
        raise ValueError(f'not a time zone; did you mean "{near[0]}"?') from error
    return name


def _web_address(text: str) -> str:
    """Check an absolute http(s) address in ASCII without credentials, query or fragment."""
    fault = ValueError('expected a web address; write "https://kurse.example.org"')
    try:
        parts = urlsplit(text)
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError as error:
        raise fault from error
    if not sound or not text.isascii() or re.search(r"[\s@?#]", text):
        raise fault
    return text.rstrip("/")


def _host(text: str) -> str:
    name, colon, port = text.partition(":")
    if colon and port.isdigit():
        raise ValueError(f'host and port in one; write host = "{name}" and port = {port}')
    return text


def _database_url(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if _IN_MEMORY.fullmatch(text):
        raise ValueError('in memory, where mail would be lost; write "sqlite:///file"')
    if not _DATABASES.fullmatch(text):
        raise ValueError('no database we know; write "postgresql://host/name" or "sqlite:///file"')
    return url


def _secret_address(address: SecretStr) -> SecretStr:
    text = address.get_secret_value()
    return SecretStr(text and _web_address(text))


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError('no address or network; write one such as "10.0.0.0/8"') from error


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.casefold() == "localhost"


class Mailbox(Section):
    """A name and an address of ours, local part ASCII and domain an A-label."""

    name: str = ""
    address: str

    @property
    def domain(self) -> str:
        """The part after the @-sign, lower-case ASCII."""
        return self.address.rpartition("@")[2]

    @property
    def text(self) -> str:
        """As a header says it."""
        return f'"{self.name}" <{self.address}>' if self.name else self.address


_MailboxText = Annotated[Mailbox, BeforeValidator(_mailbox)]
_AddressText = Annotated[str, AfterValidator(_mail_address)]
_WebAddress = Annotated[str, AfterValidator(_web_address)]
# Empty is the same as left out: what `init` writes is to be filled in.
_AddressOrNone = Annotated[str, AfterValidator(lambda text: text and _mail_address(text))]
_WebAddressOrNone = Annotated[str, AfterValidator(lambda text: text and _web_address(text))]
_SecretAddress = Annotated[SecretStr, AfterValidator(_secret_address)]
_Policy = Literal["resend", "hold"]
_SENDER = '"Name <name@example.org>"'


class Workspace(Section):
    """`[workspace]`: what the house is called and by whose clock it lives."""

    name: str = key("l3mail", "text", "Bildung in Musterstadt")
    locale: str = key("de", "a language tag", pattern=_TAG)
    timezone: Annotated[str, AfterValidator(_zone_name)] = key("Europe/Berlin", "a time zone")


class Sender(Section):
    """`[sender]`: from whom mail comes; the default is a placeholder no real relay gets."""

    from_: _MailboxText = key(
        Mailbox(name="l3mail", address="l3mail@example.org"), _SENDER, _SENDER[1:-1], alias="from"
    )
    reply_to: _MailboxText | None = key(None, _SENDER, _SENDER[1:-1])


class Impressum(Section):
    """`[impressum]`: the provider every mail and page must name (DDG § 5, DSGVO Art. 13)."""

    name: str = text_key("Landeshauptstadt Musterstadt")
    address: str = text_key("Rathausplatz 1, 12345 Musterstadt")
    email: _AddressOrNone = key("", "an e-mail address", "bildung@example.org")
    phone: str = text_key("+49 351 0000")
    privacy_url: _WebAddressOrNone = key("", "a web address", "https://example.org/privacy")


class Timeouts(Section):
    """`[relay.timeouts]`: seconds to wait at each stage (RFC 5321 § 4.5.3.2)."""

    greeting: float = seconds(300)
    mail: float = seconds(300)
    rcpt: float = seconds(300)
    data: float = seconds(120)
    body: float = seconds(180)
    dot: float = seconds(600)


class DomainLimit(Section):
    """`[relay.domains."gmx.de"]`: what the mailboxes of one domain get at most; 0 is no limit."""

    at_once: int = key(0, "a whole number from 0", 2, ge=0)
    per_minute: int = key(0, "a whole number from 0", 60, ge=0)


def _recipients_domain(name: str) -> str:
    """A domain as A-label, or "*" for each domain that isn't named."""
    if name == "*":
        return name
    try:
        return _mail_address(f"x@{name}").rpartition("@")[2]
    except ValueError as error:
        raise ValueError('no domain of recipients; write "gmx.de", or "*" for others') from error


class Relay(Section):
    """`[relay]`: the mail server we hand mail to; its password comes from the environment.

    `tls` defaults to tls on port 465 (RFC 8314 § 3.3), else to none for a loopback host, else to
    starttls; `port` to 25, 587 or 465 by `tls`. Rates and the limits of domains are one process's,
    0 is none; several workers on PostgreSQL count apart.
    """

    host: Annotated[str, AfterValidator(_host)] = key(
        "127.0.0.1", "a host name", "mail.example.org", pattern=r"^[A-Za-z0-9.:_-]+$"
    )
    port: int = key(25, "a whole number from 1 to 65535", 587, ge=1, le=65535)
    tls: Literal["none", "starttls", "tls"] = choice("none", "none", "starttls", "tls")
    username: str = text_key("l3mail")
    connections: int = key(10, "a whole number from 1 to 50", ge=1, le=50)
    messages_per_connection: int = key(100, "a whole number from 1", ge=1)
    connection_age: float = key(0, "a number of seconds from 0", 300, ge=0, allow_inf_nan=False)
    per_second: int = key(0, "a whole number from 0", 20, ge=0)
    per_hour: int = key(0, "a whole number from 0", 5000, ge=0)
    domains: Mapping[Annotated[str, AfterValidator(_recipients_domain)], DomainLimit] = {}
    timeouts: Timeouts = Timeouts()

    @model_validator(mode="before")
    @classmethod
    def _fill_by_host(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        local = _is_loopback(str(data.get("host", "127.0.0.1")))
        usual = "tls" if data.get("port") == 465 else "none" if local else "starttls"
        tls = data.get("tls", usual)
        ports = {"none": 25, "starttls": 587, "tls": 465}
        return {"port": ports.get(str(tls), 25), **data, "tls": tls}


class DatabaseSection(Section):
    """`[database]`: where rows live; read it by `Settings.database_url`, which fills it in."""

    url: Annotated[SecretStr, AfterValidator(_database_url)] | None = key(
        None, "text", "postgresql://localhost/l3mail"
    )


class Web(Section):
    """`[web]`: the address people see, the one we listen at, and whose word on it counts."""

    base_url: _WebAddress = key("http://127.0.0.1:8000", "a web address")
    host: str = key("127.0.0.1", "an address to listen at")
    port: int = key(8000, "a whole number from 1 to 65535", ge=1, le=65535)
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = key(
        (), "a list of networks", ["127.0.0.1/32"]
    )


class Signup(Section):
    """`[signup]`: what the form asks besides the address, and when it asks for one step more.

    `fields` are shown in their order; a declared attribute is named as it is. `per_network`,
    `per_source` (an event's, while it lasts) and `overall` count sign-ups an hour. `referral` puts
    a link to the form under every mail of a stream.
    """

    fields: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,59}$")], ...] = key(
        ("first_name",), "a list of field names", ["first_name", "district"]
    )
    min_seconds: float = key(3.0, "a number of seconds from 0", ge=0, le=60)
    per_network: int = key(60, "a whole number from 1", ge=1)
    per_source: int = key(1000, "a whole number from 1", ge=1)
    overall: int = key(600, "a whole number from 1", ge=1)
    referral: bool = key(True, "true or false")


class Uncertain(Section):
    """`[uncertain]`: what becomes of a mail of each kind whose fate is unknown."""

    confirmation: _Policy = choice("resend", "resend", "hold")
    welcome: _Policy = choice("resend", "resend", "hold")
    lesson: _Policy = choice("resend", "resend", "hold")
    evaluation: _Policy = choice("resend", "resend", "hold")
    newsletter: _Policy = choice("hold", "resend", "hold")
    lifecycle: _Policy = choice("hold", "resend", "hold")
    report: _Policy = choice("resend", "resend", "hold")
    notice: _Policy = choice("resend", "resend", "hold")


class Stream(Section):
    """`[streams.<slug>]`: something one can join besides the courses, which declare themselves."""

    title: Annotated[str, AfterValidator(_header)] = Field(
        description="text", examples=["Bildung im Stadtteil"], min_length=1
    )
    kind: Literal["newsletter", "lifecycle"] = choice("newsletter", "newsletter", "lifecycle")
    archive: bool = key(True, "true or false")


class Attribute(Section):
    """`[attributes.<name>]`: one more fact about a subscriber, `attrs.<name>` in segments."""

    type: Literal["text", "number", "date", "bool", "choice"] = choice(
        "text", "text", "number", "date", "bool", "choice"
    )
    choices: tuple[str, ...] = key((), "a list of texts", ["schule", "vhs"])
    title: str = text_key("Einrichtung")

    @model_validator(mode="after")
    def _choices_belong_to_choice(self) -> Self:
        if bool(self.choices) != (self.type == "choice"):
            raise ValueError('needs choices = ["a", "b"] with type = "choice", and only with it')
        return self


class Alerts(Section):
    """`[alerts]`: the person on duty, who may approve or get test mails, who is told we live."""

    to: tuple[_AddressText, ...] = key((), "a list of addresses", ["it@example.org"])
    approvers: tuple[_AddressText, ...] = key((), "a list of addresses", ["it@example.org"])
    editors: tuple[_AddressText, ...] = key((), "a list of addresses", ["text@example.org"])
    # Whoever knows it can say in our name that all is well.
    heartbeat_url: _SecretAddress = key(
        SecretStr(""), "a web address", "https://hc.example.org/ping"
    )


class Reports(Section):
    """`[reports]`: who gets the weekly report, and when on Monday; without `to`, `alerts.to`."""

    to: tuple[_AddressText, ...] = key((), "a list of addresses", ["bildung@example.org"])
    at: str = key("08:00", "a time of day", pattern=r"^([01]\d|2[0-3]):[0-5]\d$")


class Tracking(Section):
    """`[tracking]`: off, counted per campaign only, or per person who consented (TDDDG § 25)."""

    mode: Literal["off", "aggregate", "consent"] = choice("off", "off", "aggregate", "consent")


def _colour(example: str) -> Any:
    return key("", "a colour", example, pattern=r"^(#[0-9a-fA-F]{6})?$")


class Palette(Section):
    """`[design.light]` and `[design.dark]`: colours of mails; without a line a layout's own."""

    page: str = _colour("#f2f5f3")
    card: str = _colour("#ffffff")
    tint: str = _colour("#eef5f3")
    ink: str = _colour("#1f2b2a")
    soft: str = _colour("#51615f")
    line: str = _colour("#d5dedb")
    accent: str = _colour("#0b5f5a")
    on_accent: str = _colour("#ffffff")

    @property
    def chosen(self) -> dict[str, str]:
        """The colours that have a line."""
        return {name: colour for name, colour in self if colour}


class DesignSection(Section):
    """`[design]`: how mails look; logos lie in media/."""

    claim: str = text_key("Lernen, wo du lebst")
    font: str = key("", "fonts", "Verdana, Arial, sans-serif", pattern=r"^[\w ,'-]*$")
    logo: str = text_key("media/logo.png")
    logo_dark: str = text_key("media/logo-dunkel.png")
    light: Palette = Palette()
    dark: Palette = Palette()


class Check(Section):
    """`[check]`: the mail programs whose readers `l3mail check` looks after."""

    clients: tuple[MailProgram, ...] = key(MAIL_PROGRAMS, "a list of mail programs", ["gmail"])


class Log(Section):
    """`[log]`: how lines are written."""

    format: Literal["text", "json"] = choice("text", "text", "json")


_Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]


def _attribute_name(name: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,59}", name) or name in _TAKEN_NAMES:
        raise ValueError("no free name for an attribute; take another of a-z, 0-9 and _")
    return name


class Sections(Section):
    """`l3mail.toml` as a whole; an empty file is a valid one."""

    workspace: Workspace = Workspace()
    sender: Sender = Sender()
    impressum: Impressum = Impressum()
    relay: Relay = Relay()
    database: DatabaseSection = DatabaseSection()
    web: Web = Web()
    signup: Signup = Signup()
    uncertain: Uncertain = Uncertain()
    sending: SendingSection = SendingSection()
    streams: Mapping[_Slug, Stream] = {}
    attributes: Mapping[Annotated[str, AfterValidator(_attribute_name)], Attribute] = {}
    alerts: Alerts = Alerts()
    reports: Reports = Reports()
    tracking: Tracking = Tracking()
    retention: Retention = Retention()
    privacy: Privacy = Privacy()
    log: Log = Log()
    design: DesignSection = DesignSection()
    check: Check = Check()


class Settings(Sections):
    """All a process needs to know of its workspace; secrets show as stars."""

    folder: Path
    smtp_password: SecretStr | None = None
    secret_keys: tuple[SecretStr, ...] = ()  # from the environment, newest first

    @property
    def state_dir(self) -> Path:
        """The folder of database, pepper and key, outside version control."""
        return self.folder / "state"

    @property
    def database_file(self) -> Path | None:
        """Where a SQLite database lies; None for one on a server.

        A relative path counts from the workspace, not from where the command was typed.
        """
        if self.database.url is None:
            return self.state_dir / DATABASE_FILE
        scheme, _, rest = self.database.url.get_secret_value().partition("://")
        return self.folder / rest[1:] if scheme.startswith("sqlite") else None

    @property
    def database_url(self) -> str:
        """SQLAlchemy's address of the database, with its driver; may hold a password."""
        if self.database_file is not None or self.database.url is None:
            return f"sqlite:///{self.database_file}"
        return f"postgresql+psycopg://{self.database.url.get_secret_value().partition('://')[2]}"

    @property
    def zone(self) -> ZoneInfo:
        """The workspace's time zone; ZoneInfo itself keeps one instance for each name."""
        return ZoneInfo(self.workspace.timezone)

    @property
    def sender_domain(self) -> str:
        """The A-label domain of `sender.from`, which Message-IDs end in."""
        return self.sender.from_.domain

    @property
    def approvers(self) -> tuple[str, ...]:
        """Who is asked to approve: those named, else the person on duty."""
        return self.alerts.approvers or self.alerts.to

    @property
    def staff(self) -> frozenset[str]:
        """The addresses that may get reports, alarms, questions of approval and test mails."""
        return frozenset({*self.alerts.to, *self.alerts.editors, *self.approvers, *self.readers})

    @property
    def readers(self) -> frozenset[str]:
        """The addresses the weekly report goes to."""
        return frozenset(self.reports.to or self.alerts.to)

    @property
    def relay_is_loopback(self) -> bool:
        """Whether mail stays on this machine: localhost, 127.0.0.0/8 or ::1."""
        return _is_loopback(self.relay.host)

    @property
    def pages_are_loopback(self) -> bool:
        """Whether nobody but this machine can open our pages."""
        return _is_loopback(urlsplit(self.web.base_url).hostname or "")
