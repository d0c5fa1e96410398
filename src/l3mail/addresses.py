"""E-mail addresses and names of people: what is one, when two are the same, what is safe to send.

Owns the one reading of an address (`parse_address`), the key that stands for a person
(`address_key`), the last check before SMTP (`wire_safe`), and the taming of names and header
values. Must not know subscribers, settings, files or the database: the pepper is passed in.
"""

import hashlib
import re
import unicodedata
from dataclasses import dataclass

from email_validator import validate_email

from l3mail.errors import AddressError, HeaderInjectionError, StateError, printable

NAME_LIMIT = 200  # characters; no real name is longer, and a header line stays within bounds

# Longer texts are refused unread, so that a megabyte of "@" costs nothing. 254 octets is the
# limit for the address itself (RFC 5321 § 4.5.3.1.3, less the angle brackets).
_ADDRESS_OCTETS = 254
_LOCAL_OCTETS = 64  # RFC 5321 § 4.5.3.1.1; email-validator counts characters, RFC 6531 means octets

_KEY_PERSON = b"l3mail-address"

# RFC 5322 § 3.2.3 dot-atom, opened by RFC 6531 § 3.3, and lower-case LDH labels (RFC 1123 § 2.1).
# Written again here, apart from email-validator, so that its next release cannot open the wire.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\u00a1-\U0010ffff-]+"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_WIRE = re.compile(rf"(?P<local>{_ATOM}(?:\.{_ATOM})*)@{_LABEL}(?:\.{_LABEL})+")

# What nobody needs to read again: all lower-case ASCII (the mailboxes of RFC 2142 have one
# spelling), no label that may be punycode (hyphens in third and fourth place), no domain of
# special use (RFC 6761). Narrower than the whole reading on purpose; a test holds it to that.
_PLAIN_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_PLAIN_LABEL = r"(?!..--)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN = re.compile(
    rf"(?=[^@]{{1,64}}@){_PLAIN_ATOM}(?:\.{_PLAIN_ATOM})*@(?:{_PLAIN_LABEL}\.)+"
    r"(?!(?:alt|arpa|internal|invalid|local|localhost|onion|test)\Z)[a-z]{2,63}"
)

_WITH_NAME = re.compile(r"[^<>]*<([^<>\s]+@[^<>\s]+)>")

_HEADER_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SURROGATES = re.compile("[\ud800-\udfff]")

# Invisible though Unicode does not file them under Cf: grapheme joiner, Hangul fillers, Khmer
# inherent vowels, Mongolian and general variation selectors, the blank Braille cell, nonshapes.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\ufdd0-\ufdef\ufffe\uffff\U000e0100-\U000e01ef]"
)
# Scripts whose spelling needs ZWNJ and ZWJ between letters (Persian, the Indic scripts, Khmer,
# Mongolian), after the contextual rules of RFC 5892 appendix A.1 and A.2.
_JOINING = "[\u0620-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u18af]"
_STRAY_JOINER = re.compile(rf"(?<!{_JOINING})[\u200c\u200d]|[\u200c\u200d](?!{_JOINING})")
_JOINERS = "\u200c\u200d"


@dataclass(frozen=True, slots=True)
class Address:
    """One address in the four forms the house needs: to send, to know, to count, to show.

    `address` is what goes on the wire: local part as typed (NFC), domain as lower-case A-label.
    `key_source` is what `address_key` hashes: the local part case-folded as well. `display` has
    the domain as people write it. `needs_smtputf8` means the relay must offer RFC 6531.
    """

    address: str
    key_source: str
    local: str
    domain: str
    needs_smtputf8: bool
    display: str


def parse_address(text: str) -> Address:
    """Read one bare address, or raise `AddressError` with the text and the reason.

    Spaces around it are forgiven (phones and spreadsheets add them); nothing else is: no display
    name, quoted local part, comment, address literal, control character or single-label domain.
    No DNS question is asked. Parsing `address` or `display` again gives the same value.
    """
    typed = text.strip(" \u00a0")
    if len(typed) > _ADDRESS_OCTETS:
        raise AddressError(text, f"it is longer than {_ADDRESS_OCTETS} characters")
    if _PLAIN.fullmatch(typed):
        # Most of a list are, and reading one as a whole takes a hundred times as long.
        local, _, domain = typed.partition("@")
        return Address(typed, typed, local, domain, needs_smtputf8=False, display=typed)
    return _read_whole(text, typed)


def _read_whole(text: str, typed: str) -> Address:
    try:
        valid = validate_email(
            typed,
            allow_smtputf8=True,
            allow_empty_local=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            strict=True,
            check_deliverability=False,
            test_environment=False,
            globally_deliverable=True,
        )
    except ValueError as error:  # its own kind, or idna's
        raise AddressError(text, _in_brackets(typed) or _reason(error)) from error
    local, domain = valid.local_part, valid.ascii_domain
    address = f"{local}@{domain}"
    unsafe = _unsafe_on_the_wire(address)
    if unsafe:
        raise AddressError(text, unsafe)
    return Address(
        address=address,
        key_source=f"{_folded(local)}@{domain}",
        local=local,
        domain=domain,
        needs_smtputf8=not local.isascii(),
        display=f"{local}@{valid.domain}",
    )


def address_key(address: Address, pepper: bytes) -> bytes:
    """Hash an address with the workspace's pepper to the 32 bytes that stand for it for ever.

    256 bits because the key must stay unique for every address ever suppressed and cannot be
    changed later, and twice the 128-bit strength survives a birthday search by somebody who
    holds both table and pepper; 16 bytes saved a row would buy nothing. `person` keeps it apart
    from any other use of the same pepper (RFC 7693 § 2.5). Needs 32 to 64 bytes of pepper.
    """
    if not 32 <= len(pepper) <= hashlib.blake2b.MAX_KEY_SIZE:
        raise StateError(
            f"the pepper has {len(pepper)} bytes, expected 32 to 64;"
            " restore state/pepper from your backup"
        )
    source = address.key_source.encode("utf-8")
    return hashlib.blake2b(source, key=pepper, digest_size=32, person=_KEY_PERSON).digest()


def wire_safe(address_text: str) -> str:
    """Return the text if it is exactly a normalised address, else raise `AddressError`.

    The last look before MAIL FROM and RCPT TO, whatever the database said: first
    by a grammar of our own, then by reading it again (25 µs) unless it is of the plain form
    that reading is known to leave as it is (1 µs).
    """
    if len(address_text) <= _ADDRESS_OCTETS and _PLAIN.fullmatch(address_text):
        return address_text
    unsafe = _unsafe_on_the_wire(address_text)
    if unsafe:
        raise AddressError(address_text, unsafe)
    if parse_address(address_text).address != address_text:
        raise AddressError(address_text, "it is not in its normalised form")
    return address_text


def clean_name(text: str) -> str:
    """Tame a name a stranger typed: one visible line of at most 200 characters, in NFC.

    Controls, bidi marks, embeddings, overrides and isolates, zero-width and other invisible
    characters go; line breaks, tabs and every kind of space become one space. ZWNJ and ZWJ stay
    only between two letters of a script that is misspelt without them (Persian, Indic, Khmer,
    Mongolian). May return "". Idempotent. It does not make a header safe: `header_safe` does.
    """
    spaced = " ".join(text.split())
    if spaced.isascii() and spaced.isprintable():
        return spaced[:NAME_LIMIT].rstrip()
    visible = "".join(c for c in spaced if c in _JOINERS or not _is_control(c))
    visible = _STRAY_JOINER.sub("", _INVISIBLE.sub("", visible))
    name = " ".join(unicodedata.normalize("NFC", visible).split())
    return name[:NAME_LIMIT].rstrip(" " + _JOINERS)


def header_safe(value: str) -> str:
    """Return a value that may become a mail header, else raise `HeaderInjectionError`.

    Refused: the start of an encoded word, which some Pythons decode into a second header
    (CVE-2024-6923), every C0 and C1 control, U+2028 and U+2029, and surrogates,
    which `email` writes out as raw bytes. Guards before folding: a folded value is refused too.
    """
    if "=?" in value:
        raise HeaderInjectionError(value, 'the start of an encoded word, "=?"')
    if value.isascii() and value.isprintable():
        return value
    if _HEADER_CONTROLS.search(value):
        raise HeaderInjectionError(value, "a line break or another control character")
    if _SURROGATES.search(value):
        raise HeaderInjectionError(value, "half a character (a surrogate)")
    return value


def _folded(local: str) -> str:
    """Fold case so that canonically equal spellings meet (Unicode D145: fold between NFD)."""
    decomposed = unicodedata.normalize("NFD", local)
    return unicodedata.normalize("NFC", decomposed.casefold())


def _unsafe_on_the_wire(address: str) -> str:
    """Say why an address must not reach SMTP, or return "" if it may."""
    if any(c.isspace() or c in '<>"\\' or not c.isprintable() for c in address):
        return "it holds a space, quote, angle bracket, backslash or control character"
    match = _WIRE.fullmatch(address)
    if match is None:
        return "it is not of the form local-part@domain"
    if len(match["local"].encode("utf-8")) > _LOCAL_OCTETS:
        return f"the part before the @-sign has more than {_LOCAL_OCTETS} octets"
    if len(address.encode("utf-8")) > _ADDRESS_OCTETS:
        return f"it has more than {_ADDRESS_OCTETS} octets"
    return ""


def _in_brackets(typed: str) -> str:
    """What to say of `Ada <ada@schule.example>`, as mail programs copy an address; else nothing."""
    found = _WITH_NAME.fullmatch(typed)
    if not found:
        return ""
    return f"display name and angle brackets are no part of it, only {printable(found[1], 160)} is"


def _reason(error: ValueError) -> str:
    """Bring the validator's sentence into an error line; it can quote hostile characters."""
    words = printable(str(error), 160).rstrip(". ")
    return words[:1].lower() + words[1:]


def _is_control(character: str) -> bool:
    """Tell controls (Cc), invisible formatting (Cf: bidi, zero-width, tags) and surrogates."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs"}
