"""Texts made ready for many mails: what stays is encoded once, values are set between.

Every piece of a pressed text ends with a line break of its encoding, hard or soft, and so begins a
line: pieces may follow one another in any order, and conditions and loops stay what they were. That
holds as long as a text only says what it makes. One that keeps it (`set`, a macro, a filter over a
block) would keep the encoding, so only syntax known to say is pressed; all else goes the plain way,
and so does whatever fails here, which finds the words for it.
"""

import binascii
import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from itertools import islice
from typing import Any

from jinja2 import Template, nodes
from jinja2.compiler import CodeGenerator
from markupsafe import escape

from l3mail.rendering import plain
from l3mail.rendering.heads import Head, block
from l3mail.rendering.sandbox import LONGEST_PART, Sandbox, run, sandbox, scope_of
from l3mail.syntax import NODES

TEXTS_KEPT = 64
"""Pressed texts held in memory."""

_SOFT = b"=\r\n"
_LINE = 76
"""Characters of an encoded line (RFC 2045 section 6.7 (5))."""

_SHORT = 256
# A batch of values is encoded before anybody counts: none of them may be long.
_BATCH, _LONG = 64, 20_000
_DOTS = re.compile(r"^\.+", re.MULTILINE)
# binascii encodes a space before a line end without asking whether it still has room.
_OVERLONG = re.compile(r"^(.{74,75})(=20|=09)$", re.MULTILINE)


class _UnpressedError(Exception):
    """A mail that goes the plain way."""


def compose(compiled: Mapping[str, Any], values: Mapping[str, Any], head: Head) -> bytes:
    """The whole mail with CRLF line ends: text part first, HTML part if there is one.

    Raises RenderingError, with the part that failed, for a template that fails on these
    values or a value that may not become a header.
    """
    return press(compiled).mail(values, head)


def press(compiled: Mapping[str, Any]) -> "Pressed":
    """Make a text ready, once for all its mails; never fails, its mails do."""
    return _press(compiled.get("subject"), compiled.get("text"), compiled.get("html"))


class Pressed:
    """A text ready for mails."""

    __slots__ = ("_html", "_sources", "_subject", "_text")

    def __init__(self, subject: str | None, text: str | None, html: str | None) -> None:
        parts = {"subject": subject, "text": text, "html": html}
        self._sources = {part: source for part, source in parts.items() if source is not None}
        self._subject = _template(subject, sandbox(html=False))
        self._text = _template(text, _press_of(html=False))
        self._html = _template(html, _press_of(html=True)) if html else None

    @property
    def is_pressed(self) -> bool:
        """Whether its mails go the fast way, where nothing in their values forbids it."""
        has_html = self._html is not None or not self._sources.get("html")
        return self._subject is not None and self._text is not None and has_html

    def mail(self, values: Mapping[str, Any], head: Head) -> bytes:
        """One mail; raises RenderingError as `compose` does."""
        try:
            return self._pressed(values, head)
        except (_UnpressedError, *plain.FAULTS):
            return plain.write(self._sources, values, head)

    def _pressed(self, values: Mapping[str, Any], head: Head) -> bytes:
        if self._subject is None or self._text is None or not self.is_pressed:
            raise _UnpressedError
        above = block(head, "".join(_pieces(self._subject, values)))
        if not above.isascii():
            raise _UnpressedError
        text = _body(self._text, values)
        if self._html is None:
            return b"".join(((above + _ALONE).encode(), *text))
        between = plain.boundary_of(head.message_id)
        return b"".join(
            (
                (above + _PARTED.format(between)).encode(),
                *text,
                _NEXT.format(between).encode(),
                *_body(self._html, values),
                _LAST.format(between).encode(),
            )
        )


_HEADS = 'Content-Type: text/{}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n'
_ALONE = _HEADS.format("plain") + "MIME-Version: 1.0\r\n\r\n"
_PARTED = (
    'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="{0}"\r\n\r\n'
    "--{0}\r\n" + _HEADS.format("plain") + "\r\n"
)
_NEXT = "\r\n--{0}\r\n" + _HEADS.format("html") + "\r\n"
_LAST = "\r\n--{0}--\r\n"


def encode(text: str) -> bytes:
    """Text as quoted-printable that any other such piece may precede or follow.

    No line has more than 76 characters, ends with a blank or begins with a dot.
    """
    if len(text) < 2 * _LINE - 1 and text.isascii() and text.isprintable() and "=" not in text:
        first, rest = text[: _LINE - 1], text[_LINE - 1 :]
        if not first.startswith(".") and not rest.startswith("."):
            # Almost every value: a name, or a link.
            return (f"{first}=\r\n{rest}=\r\n" if rest else first and f"{first}=\r\n").encode()
    if len(text) > LONGEST_PART or text.endswith("\r"):
        # Who can tell what is too long, or whether the next piece begins with a line feed?
        raise _UnpressedError
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    coded = binascii.b2a_qp(lines.encode("utf-8", "replace"), istext=True).decode("ascii")
    if " \n" in lines or "\t\n" in lines:
        coded = _OVERLONG.sub("\\1=\n\\2", coded)
    if coded.startswith(".") or "\n." in coded:
        coded = _DOTS.sub(lambda dots: "=2E=\n" * len(dots[0]), coded)
    if not coded.endswith("\n"):
        if len(coded) - coded.rfind("\n") > _LINE:
            cut = -3 if coded[-3] == "=" else -1
            coded = f"{coded[:cut]}=\n{coded[cut:]}"
        coded += "=\n"
    return coded.replace("\n", "\r\n").encode("ascii")


# A name is said ten times in a mail, and each link in both parts.
_encode_again = lru_cache(maxsize=256)(encode)


def _encode_once(text: str) -> bytes:
    if len(text) > _LONG:
        raise _UnpressedError
    return encode(text)


@lru_cache(maxsize=256)
def _escape_again(text: str) -> bytes:
    return _encode_again(str(escape(text)))


class _Generator(CodeGenerator):
    """Writes templates that say everything encoded: literal text now, values when they are said."""

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        return repr(encode("".join(group)))

    def _output_child_pre(self, *_: object) -> None:
        self.write("environment.say(")

    def _output_child_post(self, *_: object) -> None:
        self.write(")")


class _Press(Sandbox):
    """The sandbox of a part that is pressed."""

    code_generator_class = _Generator

    def __init__(self, *, html: bool) -> None:
        super().__init__(html=html)
        self.say = _say_escaped if html else _say


def _say(value: object) -> bytes:
    """A value as it stands in the encoded text."""
    text = value if type(value) is str else str(value)
    return _encode_again(text) if len(text) < _SHORT else _encode_once(text)


def _say_escaped(value: object) -> bytes:
    """The same in HTML."""
    # Remembered for plain words only: escaped and plain, `Markup` and `str` are equal.
    if type(value) is str and len(value) < _SHORT:
        return _escape_again(value)
    return _say(str(escape(value)))


@cache
def _press_of(*, html: bool) -> _Press:
    return _Press(html=html)


def _template(source: str | None, own: Sandbox) -> Template | None:
    """What runs a part; None where it cannot be pressed."""
    if source is None:
        return None
    try:
        tree = own.read(source)
        return own.build(tree) if _only_says(tree) else None
    except (_UnpressedError, *plain.FAULTS):
        return None


def _only_says(tree: nodes.Template) -> bool:
    found = [tree, *tree.find_all(nodes.Node)]
    return all(
        type(node) in NODES and not (isinstance(node, nodes.For) and node.recursive)
        for node in found
    )


def _body(template: Template, values: Mapping[str, Any]) -> list[bytes]:
    """The pieces of a part, which ends with a line end whether it says one or not."""
    pieces: list[bytes] = _pieces(template, values)
    last = next((piece for piece in reversed(pieces) if piece), _SOFT)
    if last.endswith(_SOFT):
        pieces.append(b"\r\n")
    return pieces


def _pieces(template: Template, values: Mapping[str, Any]) -> list[Any]:
    """What a template says, bytes where it is pressed, and stop one that does not end."""
    chunks = iter(run(template, scope_of(values)))
    pieces: list[Any] = []
    length = 0
    while batch := list(islice(chunks, _BATCH)):
        # Encoding never makes text shorter: what is within the limit here is within it plain.
        length += sum(map(len, batch))
        if length > LONGEST_PART:
            raise _UnpressedError
        pieces += batch
    return pieces


@lru_cache(maxsize=TEXTS_KEPT)
def _press(subject: str | None, text: str | None, html: str | None) -> Pressed:
    # By the texts themselves: a message that changes is another text.
    return Pressed(subject, text, html)
