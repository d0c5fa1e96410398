"""What is pressed says the same as the standard library's mail, whatever text and values are."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.policy import SMTP, compat32, default
from email.utils import parseaddr
from functools import cache
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from markupsafe import Markup, escape

from l3mail.content import Text, compile_all
from l3mail.errors import RenderingError
from l3mail.rendering import Head, Pressed, compose, placeholders, plain, pressing
from l3mail.settings import load_settings
from l3mail.wiring import read_content
from tests.fakes.library import ROOT, values

HEAD = Head(
    message_id="17.0123@stadt.example",
    date=datetime(2026, 11, 23, 9, 0, tzinfo=UTC),
    sender='"Bildung für Ältere, in Musterstadt" <kurs@stadt.example>',
    to="ada@schule.example",
    reply_to="antwort@stadt.example",
    list_id="kurs.stadt.example",
    list_name="Kurs",
    unsubscribe_url="https://kurse.stadt.example/unsubscribe/token",
    help_url="https://kurse.stadt.example/preferences/token",
)
HOSTILE = [
    "\r",
    "x\r",
    "\r\n",
    "\n.\n",
    "a\rb",
    "=\r\n",
    "=0D=0A=\n",
    "=?utf-8?q?x=0D=0ABcc:_evil=40x.de?=",
    "{{ 7 * 7 }}{% raw %}",
    ".",
    "..\n...",
    "." * 80,
    "From ada\nFrom bert",
    "--=_0123",
    " ",
    "\t",
    "ends in a blank ",
    "y" * 74 + " \n" + "z" * 75 + "\t\nx",
    "x" * 75,
    "x" * 76,
    "x" * 75 + "ü",
    "x" * 75 + ".y",
    "x" * 151,
    "x" * 70 + "ü",
    "ü" + "x" * 70,
    "=" * 80,
    "ein sehr langes Wort " * 20,
    "w" * 2000,
    "😀" * 40,
    "a\u2028b\x85c\x0bd\x1ce",
    "nul\x00",
    "half \ud800",
    "<b onclick='x'>&amp;\"</b>",
    "\u202egnirts",
]
SHORT = st.text(alphabet="a.= \t\n\r-ü😀<&'\"\u2028\x00\ud800{}%#", max_size=12)
WORDS = st.one_of(st.sampled_from(HOSTILE), SHORT, st.text(max_size=200))
ANYTHING = st.one_of(WORDS, WORDS.map(Markup), st.none(), st.integers(), st.floats(), st.booleans())


# -- texts


def put(opening: str, inside: str, closing: str) -> st.SearchStrategy[str]:
    """A placeholder or tag, with every kind of whitespace control."""
    control = st.sampled_from(["", "-", "+"])
    return st.builds(
        lambda left, right: f"{opening}{left} {inside} {right.replace('+', '')}{closing}",
        control if opening == "{%" else st.sampled_from(["", "-"]),
        control,
    )


LITERALS = st.one_of(
    st.text(alphabet="ab.= \t\n\r-äß€😀<&>'\"\u2028}%#", max_size=30),
    st.sampled_from(["{% raw %}{{ a }} {% if %} {# b #}\n.{% endraw %}", "{# {{ nothing }} #}"]),
    st.sampled_from(
        ["x" * 76, "ü" * 30, ".\n.\n..", " \n\t\n", "-- \n", "y" * 75 + " \n", "ä\r\n."]
    ),
)
EXPRESSIONS = st.one_of(
    st.sampled_from("name attrs.x attrs.none hrefs[1] trail number streams one missing".split()),
    st.sampled_from(["'fest = ü'", "'a\\rb'", "'\\r'", "'\\n'", "1 + 2 * 3", "'a' ~ 1", "''"]),
    st.sampled_from(["name ~ number", "name if number else one", "name == one", "streams[0]"]),
    st.builds(
        "{}|{}".format,
        st.sampled_from("name attrs.x one number".split()),
        st.sampled_from(
            "upper lower title trim capitalize default('Sie') first last length round".split()
        ),
    ),
    st.sampled_from(["streams|join(', ')", "streams|join('<br>')|upper", "(name ~ one)|trim"]),
)
TESTS = st.sampled_from(
    ["name", "not name", "number > 1", "name == one", "attrs.x", "streams", "one is string"]
)
LOOPS = st.sampled_from(
    [
        ("s", "streams", "s loop.index loop.length loop.first".split()),
        ("s", "streams if s", ["s", "loop.last"]),
        ("n", "range(3)", ["n", "loop.revindex"]),
        ("n", "[1, 'zwei\\r', '']", ["n"]),
        ("c", "one", ["c", "c|upper"]),
        ("a, b", "[(1, name), (name, 2)]", ["a", "b"]),
    ]
)


@st.composite
def texts(draw: st.DrawFn, depth: int = 0) -> str:
    """A text of all that may stand in one."""
    kinds = ["literal", "value", "literal", "value"] + ["if", "for"] * (depth < 2)
    said = []
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=5)):
        if kind == "literal":
            said.append(draw(LITERALS))
        elif kind == "value":
            said.append(draw(EXPRESSIONS.flatmap(lambda inside: put("{{", inside, "}}"))))
        elif kind == "if":
            said += draw(branches(depth))
        else:
            target, source, own = draw(LOOPS)
            said += [
                draw(put("{%", f"for {target} in {source}", "%}")),
                draw(texts(depth + 1)),
                draw(put("{{", draw(st.sampled_from(own)), "}}")),
                *draw(st.sampled_from([[], ["{% else %}", "nichts."]])),
                draw(put("{%", "endfor", "%}")),
            ]
    return "".join(said)


@st.composite
def branches(draw: st.DrawFn, depth: int) -> list[str]:
    more = draw(st.sampled_from([[], ["elif"], ["else"], ["elif", "else"]]))
    said = [draw(put("{%", f"if {draw(TESTS)}", "%}")), draw(texts(depth + 1))]
    for tag in more:
        said += [
            draw(put("{%", f"elif {draw(TESTS)}" if tag == "elif" else "else", "%}")),
            draw(texts(depth + 1)),
        ]
    return [*said, draw(put("{%", "endif", "%}"))]


NAMED = st.fixed_dictionaries(
    {
        "name": WORDS,
        "one": ANYTHING,
        "number": st.integers(0, 3),
        "attrs": st.fixed_dictionaries({"x": ANYTHING, "none": st.just("")}),
        "trail": WORDS,
        "hrefs": st.fixed_dictionaries({1: WORDS}),
        "streams": st.lists(ANYTHING, max_size=3),
    }
)


# -- mails


def parts_of(mail: bytes) -> list[object]:
    """All that a mail says, as the standard library reads it."""
    message = message_from_bytes(mail, policy=default)
    found: list[object] = []
    for part in message.walk():
        found += [(name, str(value)) for name, value in part.items()]
        if not part.is_multipart():
            found.append(part.get_content())
    return found


def bodies(mail: bytes) -> list[str]:
    """The text, and the HTML where there is one, with line ends as in files."""
    return [said.replace("\r\n", "\n") for said in parts_of(mail) if isinstance(said, str)]


def check_lines(mail: bytes) -> None:
    """What every relay may rely on (RFC 5321 section 4.5.3.1.6, RFC 2045 section 6.7)."""
    assert mail.isascii()
    assert mail.endswith(b"\r\n")
    assert mail.count(b"\r\n") == mail.count(b"\n") == mail.count(b"\r")
    head, _, body = mail.partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) <= 998
    lines = body.split(b"\r\n")
    assert max(map(len, lines)) <= 76
    assert not any(line.startswith(b".") or line.endswith((b" ", b"\t")) for line in lines)


def both(compiled: Mapping[str, str], filled: Mapping[str, Any]) -> bytes | None:
    """The pressed mail, once it is seen to say what the plain one says; None if both fail."""
    try:
        plainly = plain.write(compiled, filled, HEAD)
    except RenderingError as fault:
        with pytest.raises(RenderingError, match=f"^{re.escape(str(fault))}$"):
            compose(compiled, filled, HEAD)
        return None
    mail = compose(compiled, filled, HEAD)
    assert parts_of(mail) == parts_of(plainly)
    assert mail.partition(b"\r\n\r\n")[0] == plainly.partition(b"\r\n\r\n")[0]
    return mail


def is_pressed(compiled: Mapping[str, str], filled: Mapping[str, Any], mail: bytes) -> bool:
    """Whether a mail went the fast way; the plain one lets lines begin with a dot."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain, "write", lambda *_: b"")
        return compose(compiled, filled, HEAD) == mail


@cache
def shipped() -> list[Text]:
    return compile_all(read_content(load_settings(ROOT, {})))


def told(text: Text) -> Mapping[str, Any]:
    assert text.compiled is not None
    return text.compiled


PEOPLE: list[dict[str, Any]] = [
    {},
    {"first_name": "Änne", "last_name": "Groß", "district": "Löbtau", "locale": "de"},
    {"salutation": "<b>Liebe</b> & = Ada\r\n.\r\n", "attributes": {"role": "=\r\n."}},
    {"first_name": "." * 76, "last_name": "\ud800\x00\u2028"},
]


@pytest.mark.parametrize("person", PEOPLE, ids=["nobody", "somebody", "lines", "dots"])
def test_every_shipped_text_is_pressed_and_says_the_same(person: dict[str, Any]) -> None:
    assert len({(text.source.kind, text.source.locale) for text in shipped()}) > 8
    for text in shipped():
        compiled = {**told(text), "subject": "Betreff {{ house.name }}"}
        filled = values(person, hrefs=text.hrefs, pixel="https://x.example/o/t.gif")
        filled["streams"] = ["Brief & Siegel", "Kurs = gut."]
        mail = both(compiled, filled)
        assert mail is not None
        assert is_pressed(compiled, filled, mail), text.source.slug
        check_lines(mail)


def test_every_shipped_subject_says_the_same() -> None:
    for text in shipped():
        filled = values(PEOPLE[1], hrefs=text.hrefs)
        mail = both(told(text), filled)
        assert mail is not None
        assert is_pressed(told(text), filled, mail)


@settings(max_examples=150, deadline=None)
@given(text=texts(), html=texts(), subject=texts(2), filled=NAMED)
def test_whatever_a_text_and_its_values_are_both_ways_say_the_same(
    text: str, html: str, subject: str, filled: dict[str, Any]
) -> None:
    compiled = {"subject": subject, "text": text, "html": html}
    mail = both(compiled, filled)
    if mail is None:
        compiled["subject"] = "Betreff"
        mail = both(compiled, filled)
    if mail is None:
        return
    if is_pressed(compiled, filled, mail):
        check_lines(mail)
    else:
        assert "\\r" in repr(filled) + text + html, "only a carriage return goes another way"


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_a_hostile_value_comes_out_as_it_went_in(hostile: str) -> None:
    compiled = {
        "subject": "x",
        "text": "a{{ v }}b\n{{ v }}\n.{{ v }}.{{ v }}{{ v }}",
        "html": "<p>{{ v }}</p>{{ v }}{% for n in range(2) %}\n{{ v }}{% endfor %}\n",
    }
    mail = both(compiled, {"v": hostile})
    assert mail is not None
    shown = hostile.encode("utf-8", "replace").decode()
    whole = f"a{shown}b\n{shown}\n.{shown}.{shown}{shown}"
    marked = escape(shown)
    page = f"<p>{marked}</p>{marked}\n{marked}\n{marked}\n"
    assert bodies(mail) == [in_lines(whole), in_lines(page)]
    if not hostile.endswith("\r"):
        check_lines(mail)


def in_lines(text: str) -> str:
    """Every kind of line end as one, and one at the end: what a mail can carry."""
    one = text.replace("\r\n", "\n").replace("\r", "\n")
    return one if one.endswith("\n") else f"{one}\n"


@pytest.mark.parametrize("hostile", [word for word in HOSTILE if "\r" not in word], ids=ascii)
def test_a_hostile_value_changes_nothing_but_its_places(hostile: str) -> None:
    canary = "kanarienvogel"
    for text in shipped():
        compiled = {**told(text), "subject": "x"}
        tame, wild = (
            bodies(compose(compiled, values({"salutation": word}, hrefs=text.hrefs), HEAD))
            for word in (canary, hostile)
        )
        shown = hostile.encode("utf-8", "replace").decode()
        assert wild == [tame[0].replace(canary, shown), tame[1].replace(canary, escape(shown))]


# -- what is not pressed

UNPRESSED = {
    "set": ("{% set x = 'ä=' %}{{ x }}", "ä=\n"),
    "set over a block": ("{% set x %}ü {{ name }}{% endset %}{{ x|length }}", "5\n"),
    "macro": ("{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(name)|length }}", "5\n"),
    "caller": (
        "{% macro m() %}{{ caller()|upper }}{% endmacro %}{% call m() %}ä{% endcall %}",
        "Ä\n",
    ),
    "filter over a block": ("{% filter upper %}ä = {{ name }}{% endfilter %}", "Ä = ADA\n"),
    "with": ("{% with x = name %}{{ x }}.{% endwith %}", "Ada.\n"),
    "autoescape": ("{% autoescape true %}{{ '<' }}{% endautoescape %}", "&lt;\n"),
    "block": ("{% block a %}a{{ name }}{% endblock %}", "aAda\n"),
    "a slice": ("{{ name[:2] }}", "Ad\n"),
    "a dictionary": ("{{ {'a': name}['a'] }}", "Ada\n"),
    "a power": ("{{ 2 ** 2 }}", None),
    "inheritance": ("{% extends 'a' %}", None),
    "including": ("{% include 'a' %}", None),
    "importing": ("{% import 'a' as b %}", None),
    "a loop that calls itself": ("{% for a in [1] recursive %}{{ loop([a]) }}{% endfor %}", None),
    "a macro that calls itself": ("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", None),
    "broken": ("{% if %}", None),
    "deep": ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", None),
    "do": ("{% do 1 %}", None),
}


@pytest.mark.parametrize(("text", "says"), UNPRESSED.values(), ids=UNPRESSED.keys())
def test_what_may_keep_what_it_says_goes_the_plain_way(text: str, says: str | None) -> None:
    compiled = {"subject": "x", "text": text}
    assert not Pressed("x", text, None).is_pressed
    if says is None:
        with pytest.raises(RenderingError) as caught:
            compose(compiled, {"name": "Ada"}, HEAD)
        assert caught.value.part == "text"
    else:
        assert bodies(compose(compiled, {"name": "Ada"}, HEAD)) == [says]


@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_one_part_that_is_not_pressed_takes_the_whole_mail_along(part: str) -> None:
    compiled = {"subject": "Größe", "text": "a {{ name }}", "html": "<p>{{ name }}"}
    compiled[part] += "{% set x = 'ö' %}{{ x }}"
    assert not Pressed(compiled["subject"], compiled["text"], compiled["html"]).is_pressed
    assert both(compiled, {"name": "Ada"}) is not None


def test_a_text_of_many_umlauts_is_as_long_as_its_letters() -> None:
    compiled = {"subject": "x", "text": "{% for a in range(1000) %}" + "ü" * 999 + "{% endfor %}"}
    mail = both(compiled, {})
    assert mail is not None
    assert bodies(mail) == ["ü" * 999_000 + "\n"]
    longer = compiled | {"text": compiled["text"] + "x" * 1001}
    assert both(longer, {}) is None


@pytest.mark.parametrize("repeated", ["x" * 999_999, "ä" * 166_666], ids=["ASCII", "umlauts"])
def test_a_value_may_fill_a_part_and_not_more(repeated: str) -> None:
    compiled = {"subject": "x", "text": "{{ name }}"}
    assert both(compiled, {"name": repeated}) is not None
    assert both(compiled, {"name": "xx" + "x" * 999_999}) is None


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{% if name %}{% endif %}",
        "{% if name|title|lower|title == 'x' %}{% endif %}",
        "{% if name ~ name ~ name == 'x' %}{% endif %}",
    ],
)
def test_a_loop_that_says_nothing_is_stopped_all_the_same(body: str) -> None:
    text = "{% for a in range(1000) %}{% for b in range(1000) %}" + body + "{% endfor %}" * 2
    with pytest.raises(RenderingError, match="more than 1,000,000 steps"):
        compose({"subject": "x", "text": text}, {"name": "y" * 5000}, HEAD)


@pytest.mark.parametrize(
    "text",
    [
        "{{ 1|round(3000000, 'ceil') }}",
        "{{ 1|round(-3000000) }}",
        "{% for a in [n * n] %}{% for b in [a * a * a] %}{{ b > 1 }}{% endfor %}{% endfor %}",
        "{% set n = 99 %}" + "{% set n = n * n %}" * 15 + "{{ n > 1 }}",
        "{% set a = [n] %}" + "{% set a = a + a %}" * 21 + "{{ a|length }}",
        "{% set a = 'x' %}" + "{% set a = a ~ a %}" * 21 + "{{ a|length }}",
    ],
)
def test_a_little_text_makes_no_long_number_and_no_long_list(text: str) -> None:
    with pytest.raises(RenderingError, match="OverflowError"):
        compose({"subject": "x", "text": text}, {"n": 9_999_999_999}, HEAD)


def test_macros_that_call_macros_are_stopped() -> None:
    doubled = "".join(
        f"{{% macro m{n + 1}() %}}{{{{ m{n}() }}}}{{{{ m{n}() }}}}{{% endmacro %}}"
        for n in range(12)
    )
    text = "{% macro m0() %}{% endmacro %}" + doubled + "{{ m12() }}"
    with pytest.raises(RenderingError, match="more than 1,000,000 steps"):
        compose({"subject": "x", "text": text}, {}, HEAD)


@pytest.mark.parametrize(
    ("inside", "name"),
    [
        ("{% if name|title %}{% endif %}", "y" * 90_000),
        ("{% if name ~ name %}{% endif %}", "y" * 500_000),
        ("{% if name == 'x' %}{% endif %}", "y" * 900_000),
    ],
)
def test_a_long_value_makes_each_step_of_a_loop_longer(inside: str, name: str) -> None:
    text = "{% for a in range(1000) %}{% for b in range(9) %}" + inside + "{% endfor %}" * 2
    compose({"subject": "x", "text": text}, {"name": "Ada"}, HEAD)
    with pytest.raises(RenderingError, match="more than 1,000,000 steps"):
        compose({"subject": "x", "text": text}, {"name": name}, HEAD)


@pytest.mark.parametrize("call", ["'x'.center(2000000000)", "name.upper()", "streams.append(1)"])
def test_a_text_calls_no_methods(call: str) -> None:
    with pytest.raises(RenderingError, match="SecurityError"):
        compose({"subject": "x", "text": f"{{{{ {call} }}}}"}, {"name": "a", "streams": []}, HEAD)


@pytest.mark.parametrize("part", ["items", "copy", "values"])
def test_an_attribute_may_be_called_as_a_method_is(part: str) -> None:
    compiled = {"subject": "x", "text": f"<{{{{ attrs.{part} }}}}>"}
    for attributes, says in (({part: "zwei"}, "<zwei>\n"), ({}, "<>\n")):
        mail = both(compiled, placeholders({"attributes": attributes}))
        assert mail is not None
        assert bodies(mail) == [says]


def test_a_text_is_pressed_once() -> None:
    compiled = {"subject": "a", "text": "b {{ name }}"}
    assert pressing.press(compiled) is pressing.press(dict(compiled))
    assert pressing.press(compiled | {"text": "c"}) is not pressing.press(compiled)


# -- headers


def by_the_library(head: Head, subject: str) -> list[tuple[str, str]]:
    """The same headers made by `email`, read again."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = head.sender
    mail["To"] = head.to
    if head.reply_to:
        mail["Reply-To"] = head.reply_to
    mail["Subject"] = subject
    mail["Date"] = head.date
    mail["Message-ID"] = f"<{head.message_id}>"
    if head.list_id:
        mail["List-Id"] = f"{head.list_name or ''} <{head.list_id}>".strip()
    if head.unsubscribe_url:
        mail["List-Unsubscribe"] = f"<{head.unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if head.help_url:
        mail["List-Help"] = f"<{head.help_url}>"
    mail["Auto-Submitted"] = "auto-generated"
    whole = mail.as_bytes(policy=SMTP.clone(max_line_length=998))
    return [(name, str(value)) for name, value in message_from_bytes(whole, policy=default).items()]


def headers_of(mail: bytes) -> list[tuple[str, str]]:
    ours = message_from_bytes(mail, policy=default).items()
    mime = {"MIME-Version", "Content-Type", "Content-Transfer-Encoding"}
    return [(name, str(value)) for name, value in ours if name not in mime]


BARE = Head(HEAD.message_id, HEAD.date, "kurs@stadt.example", HEAD.to)


@pytest.mark.parametrize(
    "head",
    [
        HEAD,
        BARE,
        replace(HEAD, sender="Bildung <kurs@stadt.example>", list_name=None),
        replace(HEAD, sender='"Amt, Bildung" <kurs@stadt.example>', reply_to=None),
        replace(HEAD, list_name="Größe und Länge " * 8, unsubscribe_url=None),
        replace(HEAD, help_url=None),
    ],
    ids=["all", "least", "plain name", "comma", "long list", "no help"],
)
@pytest.mark.parametrize("text", [{"text": "a"}, {"text": "a", "html": "b"}], ids=["one", "two"])
def test_headers_are_those_of_the_standard_library(head: Head, text: dict[str, str]) -> None:
    for subject in ("Kurz", "Neues für Änne", "lang " * 40 + "Ende", "日本語 😀"):
        mail = compose(text | {"subject": subject}, {}, head)
        assert headers_of(mail) == by_the_library(head, subject)


VISIBLE = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=260
) | st.sampled_from(
    ["ü" * 250, "😀" * 249, "a" * 54 + "ü", "ein \u00a0 Wort", "Ä" + " " * 90 + "Ö"]
)


@settings(deadline=None)
@given(VISIBLE)
@example("=" * 250 + "ü")
def test_a_subject_of_any_letters_is_read_as_it_was_written(subject: str) -> None:
    assume("=?" not in subject)
    mail = compose({"subject": "{{ s }}", "text": "a"}, {"s": subject}, HEAD)
    expected = subject[:250].strip()
    assert message_from_bytes(mail, policy=default)["Subject"] == expected
    lines = mail.partition(b"\r\nDate:")[0].partition(b"Subject:")[2].decode().split("\r\n")
    words = [word for line in lines for word in re.findall(r"=\?\S*\?=", line)]
    assert all(len(word) <= 75 for word in words)
    if not expected.isascii():
        assert len("Subject:") + len(lines[0]) <= 76
        assert max(map(len, lines)) <= 76
        # Each word has whole letters: read alone and put together they are the subject.
        alone = [message_from_bytes(f"S: {word}".encode(), policy=default)["S"] for word in words]
        assert "".join(alone) == expected


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), max_size=80))
@example("Ämter " * 20 + "!")
def test_a_sender_of_any_name_is_one_sender(name: str) -> None:
    assume("=?" not in name)
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    mail = compose(
        {"subject": "x", "text": "a"}, {}, replace(HEAD, sender=f'"{quoted}" <kurs@stadt.example>')
    )
    (sender,) = message_from_bytes(mail, policy=default)["From"].addresses
    assert sender.addr_spec == "kurs@stadt.example"
    # The newer parser leaves a space between two encoded words (RFC 2047 section 6.2 does not).
    raw = message_from_bytes(mail, policy=compat32)["From"]
    shown, address = parseaddr(str(make_header(decode_header(raw))) if "=?" in raw else raw)
    if name.isascii():
        assert (shown, address) == (name, sender.addr_spec)
    else:
        assert str(make_header(decode_header(raw.rpartition("<")[0].strip()))) == name
    assert all(len(line) <= 76 for line in raw.splitlines()) or name.isascii()


FIELDS = ["to", "reply_to", "list_id", "list_name", "unsubscribe_url", "help_url", "message_id"]
BROKEN = ["a\r\nBcc: evil@x.example", "a\nb", "a\r", "\u2028", "\x00", "=?utf-8?q?x?=", "\ud800"]


@pytest.mark.parametrize("broken", BROKEN, ids=ascii)
@pytest.mark.parametrize("field", FIELDS)
def test_nothing_becomes_a_header_of_its_own(field: str, broken: str) -> None:
    fields: dict[str, Any] = {field: broken}
    head = replace(HEAD, **fields)
    for text in ("a", "{% set x = 1 %}a"):
        with pytest.raises(RenderingError):
            compose({"subject": "x", "text": text}, {}, head)


@pytest.mark.parametrize("sender", ["", "Amt", "Amt <>", "a b@c d"])
def test_a_sender_that_is_none_stops_the_mail(sender: str) -> None:
    with pytest.raises(RenderingError):
        compose({"subject": "x", "text": "a"}, {}, replace(HEAD, sender=sender))


def test_lines_are_counted_though_the_guard_slept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l3mail.rendering.heads.header_safe", lambda value: value)
    for to in ("ada@schule.example\r\nBcc: evil@x.example", "ada@schule.example\n", "a\rb"):
        with pytest.raises(RenderingError, match="a header of its own"):
            compose({"subject": "x", "text": "a"}, {}, replace(HEAD, to=to))
    with pytest.raises(RenderingError, match="998"):
        compose({"subject": "x", "text": "a"}, {}, replace(HEAD, to="x" * 1000))


@pytest.mark.parametrize("html", [None, "<p>ü"], ids=["text", "both"])
def test_an_address_that_needs_smtputf8_goes_the_plain_way(html: str | None) -> None:
    compiled = {"subject": "Größe", "text": "ü"} | ({"html": html} if html else {})
    mail = compose(compiled, {}, replace(HEAD, to="jürgen@schule.example"))
    assert "To: jürgen@schule.example\r\n".encode() in mail
    assert message_from_bytes(mail, policy=default)["Subject"] == "Größe"
    assert bodies(mail)[0] == "ü\n"
