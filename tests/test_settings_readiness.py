from pathlib import Path

import pytest

from l3mail.settings import Settings, load_settings, sending_problems

READY = """
[sender]
from = "Bildungsbüro <kurse@dresden.de>"
[impressum]
name = "Landeshauptstadt Dresden"
address = "Dr.-Külz-Ring 19, 01067 Dresden"
email = "bildung@dresden.de"
privacy_url = "https://www.dresden.de/datenschutz"
[relay]
host = "mail.dresden.de"
[web]
base_url = "https://kurse.dresden.de"
"""


def _load(tmp_path: Path, toml: str = "", **environ: str) -> Settings:
    (tmp_path / "l3mail.toml").write_text(toml, encoding="utf-8")
    return load_settings(tmp_path, {f"L3MAIL_{name}": value for name, value in environ.items()})


def test_a_workspace_without_placeholders_may_send(tmp_path: Path) -> None:
    assert sending_problems(_load(tmp_path, READY)) == []


def test_a_real_relay_gets_no_placeholder(tmp_path: Path) -> None:
    assert sending_problems(_load(tmp_path, SMTP_HOST="mail.dresden.de")) == [
        (
            '"web.base_url" is "http://127.0.0.1:8000", and links in mails need a public https'
            " address; set it or L3MAIL_BASE_URL"
        ),
        (
            '"sender.from" is "l3mail@example.org", a placeholder; set it or L3MAIL_FROM to an'
            " address of yours"
        ),
        (
            '"impressum.name" is empty, and every mail must carry it (DDG § 5);'
            ' write name = "…" below [impressum]'
        ),
        (
            '"impressum.address" is empty, and every mail must carry it (DDG § 5);'
            ' write address = "…" below [impressum]'
        ),
        (
            '"impressum.email" is empty, and every mail must carry it (DDG § 5);'
            ' write email = "…" below [impressum]'
        ),
        (
            '"impressum.privacy_url" is empty, and every mail must carry it (DSGVO Art. 13);'
            ' write privacy_url = "…" below [impressum]'
        ),
    ]


def test_an_https_address_out_of_the_book_is_called_a_placeholder(tmp_path: Path) -> None:
    mine = READY.replace("https://kurse.dresden.de", "https://lernen.musterstadt.example")
    [line] = sending_problems(_load(tmp_path, mine))

    assert line.startswith('"web.base_url" is "https://lernen.musterstadt.example", a placeholder,')


@pytest.mark.parametrize("key", ["to", "approvers", "editors"])
def test_staff_are_people_and_no_placeholders(tmp_path: Path, key: str) -> None:
    named = f'{READY}[alerts]\n{key} = ["it@dresden.de", "it@example.org"]\n'
    assert sending_problems(_load(tmp_path, named)) == [
        (
            f'"alerts.{key}" names "it@example.org", a placeholder;'
            " name somebody's address or nobody's"
        )
    ]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        pytest.param("https://kurse", "http://kurse", "web.base_url", id="plain http"),
        *(
            pytest.param("https://kurse.dresden.de", url, "web.base_url", id=url)
            for url in (
                "https://localhost",
                "https://l3.localhost:8443",
                "https://127.0.0.1",
                "https://192.168.1.2",
                "https://[::1]",
                "https://l3",
                "https://l3.example.org",
                "https://example.com",
                "https://l3.test",
                "https://l3.invalid",
                "https://l3.local",
            )
        ),
        pytest.param("kurse@dresden.de", "kurse@example.org", "sender.from", id="sender"),
        pytest.param("kurse@dresden.de", "k@kurse.example.net", "sender.from", id="sender below"),
        pytest.param(
            "[impressum]",
            'reply_to = "x@example.com"\n[impressum]',
            "sender.reply_to",
            id="reply_to",
        ),
        pytest.param("Landeshauptstadt Dresden", "  ", "impressum.name", id="blank name"),
        pytest.param("Landeshauptstadt Dresden", "Musterstadt", "impressum.name", id="no city"),
        pytest.param("Dr.-Külz-Ring 19", "TODO", "impressum.address", id="to do"),
        pytest.param("bildung@dresden.de", "x@example.org", "impressum.email", id="e-mail"),
        pytest.param("bildung@dresden.de", "", "impressum.email", id="no e-mail"),
        pytest.param("www.dresden.de", "www.example.org", "impressum.privacy_url", id="privacy"),
    ],
)
def test_each_placeholder_alone_stops_a_real_relay(
    tmp_path: Path, old: str, new: str, key: str
) -> None:
    assert old in READY
    [line] = sending_problems(_load(tmp_path, READY.replace(old, new)))

    assert line.startswith(f'"{key}" is ')
    assert sending_problems(_load(tmp_path, READY.replace(old, new), SMTP_HOST="::1")) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://kurse.dresden.de", "https://93.184.215.14"),
        ("https://kurse.dresden.de", "https://notexample.org"),
        ("kurse@dresden.de", "kurse@myexample.com"),
        ("Landeshauptstadt Dresden", "Amt für Mustertechnik"),
    ],
)
def test_what_only_resembles_a_placeholder_may_send(tmp_path: Path, old: str, new: str) -> None:
    assert sending_problems(_load(tmp_path, READY.replace(old, new))) == []


@pytest.mark.parametrize(
    ("environ", "lines"),
    [
        pytest.param(
            {"SMTP_USERNAME": "l3"},
            ['"relay.username" is set without a password; set L3MAIL_SMTP_PASSWORD'],
            id="user name alone",
        ),
        pytest.param(
            {"SMTP_PASSWORD": "secret"},
            [
                (
                    'L3MAIL_SMTP_PASSWORD is set without a user name; set "relay.username" or'
                    " L3MAIL_SMTP_USERNAME"
                )
            ],
            id="password alone",
        ),
        pytest.param(
            {"SMTP_USERNAME": "l3", "SMTP_PASSWORD": "secret", "SMTP_TLS": "none"},
            ['"relay.tls" is "none", which shows the password on the way; write tls = "starttls"'],
            id="password in the clear",
        ),
        pytest.param({"SMTP_USERNAME": "l3", "SMTP_PASSWORD": "secret"}, [], id="both, encrypted"),
        pytest.param({"SMTP_TLS": "none"}, [], id="in the clear without a password"),
        pytest.param(
            {"SECRET_KEY": "k" * 32 + ",retired:" + "k" * 31},
            [
                (
                    "L3MAIL_SECRET_KEY holds a key of fewer than 32 characters, which can be"
                    " guessed from any link; make one with `openssl rand -hex 32`"
                )
            ],
            id="short key, though retired",
        ),
        pytest.param({"SECRET_KEY": "k" * 32}, [], id="long key"),
    ],
)
def test_log_in_and_keys_must_be_sound_for_a_real_relay(
    tmp_path: Path, environ: dict[str, str], lines: list[str]
) -> None:
    assert sending_problems(_load(tmp_path, READY, **environ)) == lines
