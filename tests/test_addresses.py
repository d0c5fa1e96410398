import re
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import FrozenInstanceError
from random import Random

import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from hypothesis import example, given
from hypothesis import strategies as st

from l3mail import addresses
from l3mail.addresses import (
    NAME_LIMIT,
    Address,
    address_key,
    clean_name,
    header_safe,
    parse_address,
    wire_safe,
)
from l3mail.errors import AddressError, HeaderInjectionError, L3mailError, StateError
from tests.fakes.corpora import corpus

PEPPER = bytes(range(64))
OTHER_PEPPER = bytes(range(1, 65))

# Letters whose cases come in plain pairs; ß, ſ, ı and kin have their own table below.
PAIRED = "abcdefghijklmnopqrstuvwxyzäöüéøłđкирилицaωδφ"
ATOMS = st.text(alphabet=PAIRED + "0123456789!#$%&'*+-/=?^_`{|}~", min_size=1, max_size=12)
LOCALS = st.lists(ATOMS, min_size=1, max_size=2).map(".".join)
DOMAINS = st.sampled_from(
    [
        "dresden.de",
        "vhs-dresden.de",
        "müller.de",
        "straße.de",
        "xn--mller-kva.de",
        "例え.jp",
        "a.b.eu",
    ]
)
PLAUSIBLE = st.builds("{}@{}".format, LOCALS, DOMAINS)
HOSTILE = st.text(alphabet=st.sampled_from('aB.@"<>\\ \r\n\t\0[]()=?ä\u202e\u200d\u2028\ud800'))
ANY_TEXT = st.one_of(PLAUSIBLE, st.emails(), HOSTILE, st.text())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "Anna.Muster+kurs@Dresden.DE",
            Address(
                address="Anna.Muster+kurs@dresden.de",
                key_source="anna.muster+kurs@dresden.de",
                local="Anna.Muster+kurs",
                domain="dresden.de",
                needs_smtputf8=False,
                display="Anna.Muster+kurs@dresden.de",
            ),
            id="local part as typed, domain lower-case",
        ),
        pytest.param(
            "info@Müller.de",
            Address(
                address="info@xn--mller-kva.de",
                key_source="info@xn--mller-kva.de",
                local="info",
                domain="xn--mller-kva.de",
                needs_smtputf8=False,
                display="info@müller.de",
            ),
            id="domain as A-label on the wire, as U-label for people",
        ),
        pytest.param(
            "Jo\u0308rg@dresden.de",
            Address(
                address="Jörg@dresden.de",
                key_source="jörg@dresden.de",
                local="Jörg",
                domain="dresden.de",
                needs_smtputf8=True,
                display="Jörg@dresden.de",
            ),
            id="local part in NFC, needs SMTPUTF8",
        ),
        pytest.param(
            " \u00a0anna@dresden.de ",
            Address(
                address="anna@dresden.de",
                key_source="anna@dresden.de",
                local="anna",
                domain="dresden.de",
                needs_smtputf8=False,
                display="anna@dresden.de",
            ),
            id="spaces around it are a phone's, not a person's",
        ),
    ],
)
def test_an_address_has_a_form_to_send_to_know_and_to_show(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("", "must have an @-sign", id="empty"),
        pytest.param("anna", "must have an @-sign", id="no @"),
        pytest.param("anna@", "after the @-sign", id="no domain"),
        pytest.param("anna@@dresden.de", "invalid characters", id="two @"),
        pytest.param("anna@dresden", "should have a period", id="one label"),
        pytest.param("anna@dresden.de.", "cannot end with a period", id="trailing dot"),
        pytest.param("anna..m@dresden.de", "two periods", id="two dots"),
        pytest.param("an na@dresden.de", "SPACE", id="space"),
        pytest.param('"anna m"@dresden.de', "uoting", id="quoted local part"),
        pytest.param('"anna"@dresden.de', "uoting", id="needlessly quoted local part"),
        pytest.param('"a\r\nRCPT TO:<x@y.de>"@b.de', "invalid characters", id="quoted CRLF"),
        pytest.param("anna@[127.0.0.1]", "bracketed IP", id="address literal"),
        pytest.param("anna@[IPv6:::1]", "bracketed IP", id="IPv6 literal"),
        pytest.param("Anna <anna@dresden.de>", "display name", id="display name"),
        pytest.param("<anna@dresden.de>", "display name", id="angle brackets"),
        pytest.param(
            "Jürgen Böse <j.boese@dresden.de>", "only j.boese@dresden.de is", id="out of Outlook"
        ),
        pytest.param("anna@dresden.de\r\n", "invalid characters", id="CRLF after"),
        pytest.param("anna@dresden.de\t", "invalid characters", id="tab after"),
        pytest.param("an\u202ena@dresden.de", "unsafe characters", id="bidi override"),
        pytest.param("an\u200bna@dresden.de", "unsafe characters", id="zero width"),
        pytest.param("an\ud800na@dresden.de", "unsafe characters", id="surrogate"),
        pytest.param("a(b)@dresden.de", "invalid characters", id="comment"),
        pytest.param("a" * 65 + "@dresden.de", "too long", id="local part of 65 octets"),
        pytest.param("ä" * 33 + "@dresden.de", "more than 64 octets", id="66 octets, 33 letters"),
        pytest.param("a@" + "b" * 64 + ".de", "too many", id="label of 64 octets"),
        pytest.param("a@" + "b" * 100_000, "longer than 254", id="endless"),
        pytest.param("ä" * 10 + "@" + "ü." * 30 + "de", "too long when", id="long as A-label"),
        pytest.param("anna@dresden.test", "special-use", id="reserved name"),
    ],
)
def test_what_is_no_bare_address_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(AddressError, match=re.escape(reason)) as caught:
        parse_address(text)

    assert caught.value.text == text
    assert reason in caught.value.reason


def test_local_part_of_64_octets_is_accepted() -> None:
    assert parse_address("ä" * 32 + "@dresden.de").local == "ä" * 32


def test_error_line_says_what_to_do() -> None:
    with pytest.raises(AddressError) as caught:
        parse_address("anna@dresden")

    assert str(caught.value) == (
        '"anna@dresden" is not an address we can mail: the part after the @-sign is not valid. It'
        " should have a period; write it as name@example.org or leave it out"
    )


@given(HOSTILE.map(lambda text: text * 50) | HOSTILE | st.text())
@example("\x1b[31m\r\n" + "x" * 1000)
@example("".join(map(chr, range(0x2000, 0x2070))) + "@x")
def test_error_line_is_one_short_printable_line_whatever_came(text: str) -> None:
    line = _refusal(text)

    assert line.isprintable()
    assert len(line) < 1000


def _refusal(text: str) -> str:
    try:
        parse_address(text)
    except AddressError as error:
        return str(error)
    return ""


def isemail_cases() -> list[tuple[str, str]]:
    pictures = {0x2400 + code: code for code in range(0x22)}
    tree = ET.parse(corpus("isemail", "tests.xml"))
    return [
        ((case.findtext("address") or "").translate(pictures), case.findtext("category") or "")
        for case in tree.getroot().iter("test")
    ]


def _is_accepted(text: str) -> bool:
    try:
        parse_address(text)
    except AddressError:
        return False
    return True


def test_no_invalid_address_of_the_isemail_corpus_is_accepted() -> None:
    cases = isemail_cases()
    invalid = [text for text, category in cases if category == "ISEMAIL_ERR"]

    assert len(cases) == 164
    assert len(invalid) == 66
    assert [text for text in invalid if _is_accepted(text)] == []


def test_every_sendable_address_of_the_isemail_corpus_but_one_is_accepted() -> None:
    categories = {"ISEMAIL_VALID_CATEGORY", "ISEMAIL_DNSWARN"}
    sendable = [text for text, category in isemail_cases() if category in categories]

    assert len(sendable) == 22
    assert [text for text in sendable if not _is_accepted(text)] == ["test@io"]


@given(ANY_TEXT)
@example("POSTMASTER@dresden.de")
@example("\u212aelvin@dresden.de")
def test_parsing_is_idempotent_from_the_wire_and_from_the_display(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return

    assert parse_address(address.address) == address
    assert parse_address(address.display) == address


@given(PLAUSIBLE)
def test_plausible_addresses_are_accepted(text: str) -> None:
    assert parse_address(text).domain.isascii()


@given(ANY_TEXT)
def test_no_accepted_address_can_break_out_of_an_smtp_command(text: str) -> None:
    try:
        address = parse_address(text)
    except AddressError:
        return

    forms = (address.address, address.key_source, address.local, address.domain, address.display)
    for form in forms:
        assert not re.search(r'[\s<>"\\\x00-\x1f\x7f-\x9f\u2028\u2029]', form)
    assert wire_safe(address.address) == address.address
    assert len(address.address.encode()) <= 254


def test_an_address_does_not_change() -> None:
    address = parse_address("anna@dresden.de")

    with pytest.raises(FrozenInstanceError):
        address.local = "x"  # type: ignore[misc]


def _key(text: str, pepper: bytes = PEPPER) -> bytes:
    return address_key(parse_address(text), pepper)


@given(LOCALS, DOMAINS, st.randoms(use_true_random=False))
def test_spellings_that_differ_by_case_have_one_key(
    local: str, domain: str, random: Random
) -> None:
    shouted = "".join(random.choice((c, c.upper())) for c in local)
    shouted_domain = "".join(random.choice((c, c.upper())) if c != "ß" else c for c in domain)

    assert _key(f"{local}@{domain}") == _key(f"{shouted}@{shouted_domain}")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("Jörg@dresden.de", "JO\u0308RG@dresden.de", True, id="composed or not"),
        pytest.param("a@müller.de", "a@xn--mller-kva.de", True, id="U-label or A-label"),
        pytest.param("strasse@dresden.de", "STRAßE@dresden.de", True, id="sharp s folds to ss"),
        pytest.param("\u1f80@x.de", "\u1f88@x.de", True, id="Greek with iota subscript"),
        pytest.param("\u1fb3\u0323@x.de", "\u0391\u0323\u0399@x.de", True, id="fold between NFD"),
        pytest.param("a@straße.de", "a@strasse.de", False, id="domains are two (IDNA 2008)"),
        pytest.param("anna@x.de", "anna+kurs@x.de", False, id="tags are kept"),
        pytest.param("anna.m@x.de", "annam@x.de", False, id="dots are kept"),
        pytest.param("anna@x.de", "anna@y.de", False, id="domains differ"),
        pytest.param("ı@x.de", "i@x.de", False, id="dotless i is a letter of its own"),
    ],
)
def test_two_spellings_are_one_person_or_two(one: str, other: str, same: bool) -> None:
    assert (_key(one) == _key(other)) is same


def test_key_is_pinned_because_it_outlives_every_release() -> None:
    assert (
        _key("Anna@Dresden.de").hex()
        == "6a6d89c6339ce9a93a95cff1bcb40f5d3488b3a38f2c70fd064939910003f635"
    )


@given(PLAUSIBLE)
def test_another_pepper_gives_another_key(text: str) -> None:
    assert len(_key(text)) == 32
    assert _key(text) != _key(text, OTHER_PEPPER)
    assert _key(text) != _key(text, PEPPER[:32])


@pytest.mark.parametrize("length", [0, 31, 65])
def test_pepper_of_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(StateError, match=f"the pepper has {length} bytes, expected 32 to 64"):
        _key("anna@dresden.de", bytes(length))


@pytest.mark.parametrize("length", [32, 64])
def test_pepper_of_a_right_length_is_taken(length: int) -> None:
    assert len(_key("anna@dresden.de", bytes(length))) == 32


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(' "a b"@dresden.de', "holds a space", id="quoted"),
        pytest.param("<anna@dresden.de>", "holds a space", id="angle brackets"),
        pytest.param("a@b.de>\r\nRCPT TO:<x@y.de", "holds a space", id="second command"),
        pytest.param("anna@dresden.de\n", "holds a space", id="line feed"),
        pytest.param("anna@dresden.de\x00", "holds a space", id="NUL"),
        pytest.param("anna@dresden.de ", "holds a space", id="trailing space parse would forgive"),
        pytest.param("anna\u00a0@dresden.de", "holds a space", id="no-break space"),
        pytest.param("an\u200dna@dresden.de", "holds a space", id="zero width"),
        pytest.param("an\\na@dresden.de", "holds a space", id="backslash"),
        pytest.param("", "not of the form", id="empty"),
        pytest.param("a@b@c.de", "not of the form", id="two @"),
        pytest.param("anna@DRESDEN.de", "not of the form", id="domain in capitals"),
        pytest.param("anna@müller.de", "not of the form", id="U-label"),
        pytest.param("anna@dresden", "not of the form", id="one label"),
        pytest.param("anna@[127.0.0.1]", "not of the form", id="address literal"),
        pytest.param("a" * 65 + "@b.de", "more than 64 octets", id="long local part"),
        pytest.param("a@" + "b." * 130 + "de", "more than 254 octets", id="long"),
        pytest.param("jo\u0308rg@dresden.de", "normalised form", id="not NFC"),
        pytest.param("POSTMASTER@dresden.de", "normalised form", id="RFC 2142 mailbox in capitals"),
        pytest.param("a@xn--a.de", "the part after", id="A-label that is none"),
    ],
)
def test_only_a_normalised_address_reaches_the_wire(text: str, reason: str) -> None:
    with pytest.raises(AddressError) as caught:
        wire_safe(text)

    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "text",
    [
        "anna@dresden.de",
        "Anna.O'Neil+kurs@dresden.de",
        "jörg@xn--mller-kva.de",
        "bounce+1.aGVsbG8_-x=@l3.dresden.de",
    ],
)
def test_a_normalised_address_reaches_the_wire_unchanged(text: str) -> None:
    assert wire_safe(text) == text


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        pytest.param("  Anna \t Maria\r\nMuster ", "Anna Maria Muster", id="whitespace"),
        pytest.param("Anna\u2028Maria\u2029M\x85N", "Anna Maria M N", id="Unicode line breaks"),
        pytest.param("An\x00na\x1b\x7f\x9b", "Anna", id="C0 and C1"),
        pytest.param("\u202eAnna\u202c\u2066\u2069\u200e\u200f\u061c", "Anna", id="bidi"),
        pytest.param("A\u200bn\ufeffn\u2060a\u00ad\u180e", "Anna", id="zero width"),
        pytest.param("An\u200cn\u200da", "Anna", id="joiners in Latin"),
        pytest.param("\u200dعلی\u200cرضا\u200c", "علی\u200cرضا", id="ZWNJ in Persian stays"),
        pytest.param("علی\u200c\u200cرضا", "علیرضا", id="two joiners are none"),
        pytest.param("क्\u200dष", "क्\u200dष", id="ZWJ in Devanagari stays"),
        pytest.param("\u3164\u115f\u2800\u034f\U000e0041\ufe0f", "", id="invisible only"),
        pytest.param("Jo\u0308rg", "Jörg", id="NFC"),
        pytest.param("A\ud800nna", "Anna", id="surrogate"),
        pytest.param("Anna\u00a0\u3000M", "Anna M", id="wide spaces"),
        pytest.param("O'Neil-Łukasz, Dr. h. c.", "O'Neil-Łukasz, Dr. h. c.", id="punctuation"),
        pytest.param("x" * 300, "x" * 200, id="too long"),
        pytest.param("x" * 199 + " y", "x" * 199, id="cut at a space"),
        pytest.param("ب\u200c" * 200, ("ب\u200c" * 100).rstrip("\u200c"), id="cut at a joiner"),
        pytest.param("=?utf-8?q?x?=", "=?utf-8?q?x?=", id="not its business: header_safe"),
    ],
)
def test_name_is_tamed_to_one_visible_line(typed: str, name: str) -> None:
    assert clean_name(typed) == name


NAME_TROUBLE = st.text(
    alphabet=st.one_of(
        st.characters(),
        st.sampled_from(
            "aé\u0308 \u200c\u200d\u202e\u2066\u2028\u0628\u0653\u0915\u094d\ufe0f\u00ad"
        ),
    ),
    max_size=250,
)


@given(NAME_TROUBLE)
def test_clean_name_is_idempotent_and_holds_nothing_that_hides(text: str) -> None:
    name = clean_name(text)

    assert clean_name(name) == name
    assert len(name) <= NAME_LIMIT
    assert unicodedata.is_normalized("NFC", name)
    hidden = {c for c in name if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}}
    assert hidden <= {"\u200c", "\u200d"}
    assert header_safe(name.replace("=?", "")) is not None
    name.encode("utf-8")


ORDINARY_NAMES = [
    "Anna-Lena Müller-Lüdenscheidt",
    "Jürgen Weiß",
    "Siobhán O'Connor",
    "Łukasz Żółć",
    "Nguyễn Thị Minh Khai",
    "Αλέξανδρος",
    "Наталья Ёлкина",
    "محمد علی\u200cرضا",
    "דוד בן־גוריון",
    "प्रिया शर्मा",
    "王小明",
    "さくら 田中",
    "김민준",
    "สมชาย",
    "ⵎⵓⵃⴰ",
    "Dr. med. A. = B? (VHS)",
    "Kurs: 100 % digital? Ja!",
]


@pytest.mark.parametrize("name", ORDINARY_NAMES)
def test_ordinary_names_are_kept_and_may_stand_in_a_header(name: str) -> None:
    tidy = unicodedata.normalize("NFC", name)

    assert clean_name(name) == tidy
    assert header_safe(tidy) == tidy


@given(st.text(alphabet=st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_header_takes_any_visible_text_without_an_encoded_word(text: str) -> None:
    value = text.replace("=?", "")

    if "=?" not in value:
        assert header_safe(value) == value


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("=?utf-8?q?x=0D=0ABcc:_evil=40x.de?=", id="CVE-2024-6923"),
        pytest.param("Anna =? Maria", id="start of an encoded word"),
        pytest.param("Anna\r\nBcc: evil@x.de", id="CRLF"),
        pytest.param("Anna\nBcc: evil@x.de", id="LF"),
        pytest.param("Anna\rBcc: evil@x.de", id="CR"),
        pytest.param("Anna\tMaria", id="tab"),
        pytest.param("Anna\x00", id="NUL"),
        pytest.param("Anna\x7f", id="DEL"),
        pytest.param("Anna\x80", id="first C1"),
        pytest.param("Anna\x85Bcc: x", id="NEL"),
        pytest.param("Anna\x9f", id="last C1"),
        pytest.param("Anna\u2028Bcc: x", id="line separator"),
        pytest.param("Anna\u2029Bcc: x", id="paragraph separator"),
        pytest.param("Anna\udc0aBcc: x", id="escaped byte"),
    ],
)
def test_value_that_could_add_a_header_is_refused(value: str) -> None:
    with pytest.raises(HeaderInjectionError) as caught:
        header_safe(value)

    assert caught.value.value == value
    assert caught.value.reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert isinstance(caught.value, L3mailError)


PLAIN_ATOMS = st.text("abyz019!#$%&'*+/=?^_`{|}~-", min_size=1, max_size=40)
PLAIN_LABELS = st.text("abnxyz09-", min_size=1, max_size=64)


@given(
    st.lists(PLAIN_ATOMS, min_size=1, max_size=3).map(".".join),
    st.lists(PLAIN_LABELS, min_size=1, max_size=8).map(".".join),
    st.one_of(
        st.sampled_from(["de", "example", "berlin", "xn--p1ai", *SPECIAL_USE_DOMAIN_NAMES]),
        st.text("abnxyz09-", min_size=1, max_size=64),
    ),
)
def test_what_the_quick_look_lets_pass_the_whole_reading_leaves_as_it_is(
    local: str, name: str, top: str
) -> None:
    text = f"{local}@{name}.{top}"
    if len(text) <= 254 and addresses._PLAIN.fullmatch(text):
        assert addresses._read_whole(text, text) == parse_address(text)


@given(ANY_TEXT)
def test_the_quick_look_lets_nothing_pass_that_a_stranger_makes_up(text: str) -> None:
    if len(text) <= 254 and addresses._PLAIN.fullmatch(text):
        assert addresses._read_whole(text, text) == parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        *(f"anna@schule.{name}" for name in SPECIAL_USE_DOMAIN_NAMES),
        "anna@xn--mller-kva.de",
        "anna@ab--c.de",
        "Anna@dresden.de",
        "jörg@dresden.de",
        "anna@10.0.0.1",
        "a" * 65 + "@dresden.de",
        "anna@dresden.de\n",
        "anna@-a.de",
        "anna@a-.de",
        ".anna@dresden.de",
        "anna..m@dresden.de",
    ],
)
def test_what_is_not_plain_is_read_as_a_whole(text: str) -> None:
    assert addresses._PLAIN.fullmatch(text) is None


def test_most_addresses_are_plain() -> None:
    for text in ("anna.mueller+kurs@schule-17.dresden.de", "o'neil@web.de"):
        assert addresses._PLAIN.fullmatch(text)
