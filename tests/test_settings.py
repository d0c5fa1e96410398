import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from l3mail.errors import L3mailError, SettingsError, StateError, WorkspaceError
from l3mail.settings import (
    ENVIRONMENT,
    Mailbox,
    Settings,
    find_workspace,
    load_settings,
    sending_problems,
)


def _load(tmp_path: Path, toml: str = "", **environ: str) -> Settings:
    (tmp_path / "l3mail.toml").write_text(toml, encoding="utf-8")
    return load_settings(tmp_path, {f"L3MAIL_{name}": value for name, value in environ.items()})


# The file


def test_an_empty_file_is_a_workspace_that_mails_only_at_home(tmp_path: Path) -> None:
    settings = _load(tmp_path)

    assert settings.folder == tmp_path.resolve()
    assert settings.state_dir == tmp_path.resolve() / "state"
    assert settings.database_url == f"sqlite:///{tmp_path.resolve()}/state/l3mail.sqlite3"
    assert settings.zone.key == "Europe/Berlin"
    assert settings.zone is settings.zone
    assert settings.workspace.locale == "de"
    assert settings.web.base_url == "http://127.0.0.1:8000"
    assert settings.web.trusted_proxies == ()
    assert settings.signup.model_dump() == {
        "fields": ("first_name",),
        "min_seconds": 3,
        "per_network": 60,
        "per_source": 1000,
        "overall": 600,
        "referral": True,
    }
    assert settings.tracking.mode == "off"
    assert settings.log.format == "text"
    assert settings.relay_is_loopback
    assert (settings.relay.host, settings.relay.port, settings.relay.tls) == (
        "127.0.0.1",
        25,
        "none",
    )
    assert (settings.relay.connections, settings.relay.messages_per_connection) == (10, 100)
    assert settings.smtp_password is None
    assert sending_problems(settings) == []


def test_time_outs_are_those_of_rfc_5321(tmp_path: Path) -> None:
    assert _load(tmp_path).relay.timeouts.model_dump() == {
        "greeting": 300,
        "mail": 300,
        "rcpt": 300,
        "data": 120,
        "body": 180,
        "dot": 600,
    }


def test_uncertain_mail_is_resent_where_silence_harms_and_held_where_a_second_one_does(
    tmp_path: Path,
) -> None:
    policies = _load(tmp_path, '[uncertain]\nreport = "hold"').uncertain

    assert policies.model_dump() == {
        "confirmation": "resend",
        "welcome": "resend",
        "lesson": "resend",
        "evaluation": "resend",
        "newsletter": "hold",
        "lifecycle": "hold",
        "report": "hold",
        "notice": "resend",
    }


def test_every_section_is_read(tmp_path: Path) -> None:
    settings = _load(
        tmp_path,
        """
        workspace = { name = "Bildung", locale = "de-simple", timezone = "Europe/Lisbon" }
        [sender]
        from = '"Müller, Kurse" <Kurse@Müller.de>'
        reply_to = "antwort@dresden.de"
        [impressum]
        name = "Stadt"
        phone = "+49 351 1"
        email = ""
        privacy_url = "https://dresden.de/privat/"
        [relay]
        host = "mail.dresden.de"
        connections = 50
        connection_age = 90
        per_second = 20
        per_hour = 5000
        domains = { "Müller.de" = { at_once = 2 }, "*" = { at_once = 5, per_minute = 60 } }
        timeouts = { mail = 0.5 }
        [web]
        host = "0.0.0.0"
        port = 8080
        base_url = "https://dresden.de/l3/"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        [signup]
        fields = ["first_name", "rolle"]
        per_network = 5
        [streams.newsletter]
        title = "Bildung im Stadtteil"
        [streams.geburtstage]
        title = "Geburtstage"
        kind = "lifecycle"
        [attributes]
        rolle = { type = "choice", choices = ["schule", "vhs"], title = "Rolle" }
        alter.type = "number"
        [alerts]
        to = ["IT@Dresden.de"]
        approvers = ["leitung@dresden.de"]
        heartbeat_url = "https://hc.dresden.de/ping/1"
        [tracking]
        mode = "consent"
        [log]
        format = "json"
        """,
    )

    assert settings.workspace.name == "Bildung"
    assert settings.zone.key == "Europe/Lisbon"
    assert settings.sender.from_ == Mailbox(name="Müller, Kurse", address="Kurse@xn--mller-kva.de")
    assert settings.sender_domain == "xn--mller-kva.de"
    assert settings.sender.reply_to == Mailbox(address="antwort@dresden.de")
    assert settings.impressum.email == ""
    assert settings.impressum.privacy_url == "https://dresden.de/privat"
    assert settings.relay.connections == 50
    assert (settings.relay.per_second, settings.relay.per_hour) == (20, 5000)
    assert settings.relay.connection_age == 90
    assert settings.relay.domains["xn--mller-kva.de"].at_once == 2
    assert settings.relay.domains["*"].model_dump() == {"at_once": 5, "per_minute": 60}
    assert settings.relay.timeouts.mail == 0.5
    assert settings.relay.timeouts.dot == 600
    assert settings.web.base_url == "https://dresden.de/l3"
    assert settings.web.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert settings.signup.fields == ("first_name", "rolle")
    assert settings.signup.per_network == 5
    assert settings.streams["newsletter"].kind == "newsletter"
    assert settings.streams["geburtstage"].kind == "lifecycle"
    assert settings.attributes["rolle"].choices == ("schule", "vhs")
    assert settings.attributes["alter"].type == "number"
    assert settings.alerts.to == ("IT@dresden.de",)
    assert settings.alerts.approvers == ("leitung@dresden.de",)
    assert settings.alerts.heartbeat_url.get_secret_value() == "https://hc.dresden.de/ping/1"
    assert settings.tracking.mode == "consent"
    assert settings.log.format == "json"


@pytest.mark.parametrize(
    ("relay", "port", "tls"),
    [
        pytest.param('host = "localhost"', 25, "none", id="at home"),
        pytest.param('host = "mail.dresden.de"', 587, "starttls", id="a real relay is encrypted"),
        pytest.param('host = "mail.dresden.de"\nport = 465', 465, "tls", id="465 speaks TLS"),
        pytest.param('host = "mail.dresden.de"\ntls = "tls"', 465, "tls", id="tls names the port"),
        pytest.param('host = "mail.dresden.de"\ntls = "none"', 25, "none", id="plain if asked for"),
        pytest.param('host = "mail.dresden.de"\nport = 25', 25, "starttls", id="25 with STARTTLS"),
        pytest.param('host = "127.0.0.1"\nport = 2525', 2525, "none", id="a port at home"),
    ],
)
def test_port_and_encryption_follow_the_relay(
    tmp_path: Path, relay: str, port: int, tls: str
) -> None:
    settings = _load(tmp_path, f"[relay]\n{relay}")

    assert (settings.relay.port, settings.relay.tls) == (port, tls)


@pytest.mark.parametrize(
    ("host", "at_home"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("128.0.0.1", False),
        ("10.0.0.1", False),
        ("0.0.0.0", False),
        ("localhost.dresden.de", False),
        ("mail.dresden.de", False),
    ],
)
def test_relay_is_at_home_only_on_this_machine(tmp_path: Path, host: str, at_home: bool) -> None:
    assert _load(tmp_path, SMTP_HOST=host).relay_is_loopback is at_home


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h/db", "postgresql+psycopg://u:p@h/db"),
        ("postgres:///db?host=/run/pg", "postgresql+psycopg:///db?host=/run/pg"),
        ("postgresql+psycopg://h/db", "postgresql+psycopg://h/db"),
        ("sqlite:////srv/l3.db", "sqlite:////srv/l3.db"),
        ("sqlite+pysqlite:///data/l3.db", "sqlite:///{folder}/data/l3.db"),
    ],
)
def test_database_url_is_absolute_and_names_its_driver(
    tmp_path: Path, url: str, expected: str
) -> None:
    settings = _load(tmp_path, DATABASE_URL=url)

    assert settings.database_url == expected.format(folder=tmp_path.resolve())


def test_the_report_goes_to_its_readers_else_to_the_person_on_duty(tmp_path: Path) -> None:
    duty = '[alerts]\nto = ["it@dresden.de"]\n'
    (tmp_path / "l3mail.toml").write_text(duty, encoding="utf-8")
    assert load_settings(tmp_path, {}).readers == {"it@dresden.de"}
    own = duty + '[reports]\nto = ["amt@dresden.de"]\nat = "07:30"\n'
    (tmp_path / "l3mail.toml").write_text(own, encoding="utf-8")
    settings = load_settings(tmp_path, {})
    assert settings.readers == {"amt@dresden.de"}
    assert settings.staff == {"amt@dresden.de", "it@dresden.de"}
    assert settings.reports.at == "07:30"


def test_settings_and_sections_do_not_change(tmp_path: Path) -> None:
    settings = _load(tmp_path)

    with pytest.raises(ValidationError, match="frozen"):
        settings.folder = Path("/")
    with pytest.raises(ValidationError, match="frozen"):
        settings.relay.port = 1


def test_file_with_a_byte_order_mark_and_windows_line_ends_is_read(tmp_path: Path) -> None:
    (tmp_path / "l3mail.toml").write_bytes(b'\xef\xbb\xbf[relay]\r\nhost = "localhost"\r\n')

    assert load_settings(tmp_path, {}).relay.host == "localhost"


# The environment


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("DATABASE_URL", "sqlite:////srv/b.db", lambda s: s.database_url),
        ("SMTP_HOST", "b.dresden.de", lambda s: s.relay.host),
        ("SMTP_PORT", "2525", lambda s: str(s.relay.port)),
        ("SMTP_USERNAME", "4711", lambda s: s.relay.username),
        ("SMTP_TLS", "tls", lambda s: s.relay.tls),
        ("BASE_URL", "https://b.dresden.de", lambda s: s.web.base_url),
        ("FROM", "b@dresden.de", lambda s: s.sender.from_.address),
        ("TIMEZONE", "Europe/Lisbon", lambda s: s.workspace.timezone),
        ("LOG_FORMAT", "json", lambda s: s.log.format),
    ],
)
def test_environment_wins_over_the_file(tmp_path: Path, name: str, value: str, found: Any) -> None:
    toml = """
        [database]
        url = "sqlite:////srv/a.db"
        [relay]
        host = "a.dresden.de"
        port = 26
        username = "a"
        tls = "none"
        [web]
        base_url = "https://a.dresden.de"
        [sender]
        from = "a@dresden.de"
        [workspace]
        timezone = "Europe/Paris"
        [log]
        format = "text"
        """

    assert found(_load(tmp_path, toml)) != value
    assert found(_load(tmp_path, toml, **{name: value})) == value
    assert found(_load(tmp_path, "", **{name: value})) == value
    assert found(_load(tmp_path, toml, **{name: ""})) == found(_load(tmp_path, toml))


def test_environment_mends_a_value_of_the_file(tmp_path: Path) -> None:
    assert _load(tmp_path, "[relay]\nport = 0", SMTP_PORT="25").relay.port == 25


def test_every_variable_lands_on_a_key_that_exists(tmp_path: Path) -> None:
    settings = _load(tmp_path)

    for section, key in ENVIRONMENT.values():
        assert hasattr(getattr(settings, section), "from_" if key == "from" else key)


# The workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path.resolve() / "ws"
    (folder / "lessons" / "kurs").mkdir(parents=True)
    (folder / "l3mail.toml").touch()
    return folder


def test_workspace_is_found_here_and_above(workspace: Path) -> None:
    assert find_workspace(workspace, None, {}) == workspace
    assert find_workspace(workspace / "lessons" / "kurs", None, {}) == workspace


def test_nearest_workspace_wins(workspace: Path) -> None:
    inner = workspace / "lessons"
    (inner / "l3mail.toml").touch()

    assert find_workspace(inner / "kurs", None, {}) == inner


def test_option_wins_over_variable_wins_over_search(workspace: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "l3mail.toml").touch()
    environ = {"L3MAIL_WORKSPACE": str(tmp_path / "b")}

    assert find_workspace(workspace, tmp_path / "a", environ) == tmp_path.resolve() / "a"
    assert find_workspace(workspace, None, environ) == tmp_path.resolve() / "b"
    assert find_workspace(workspace, None, {"L3MAIL_WORKSPACE": ""}) == workspace


def test_relative_workspace_counts_from_where_the_command_was_typed(workspace: Path) -> None:
    assert find_workspace(workspace.parent, Path("ws"), {}) == workspace
    assert find_workspace(workspace.parent, None, {"L3MAIL_WORKSPACE": "ws"}) == workspace


def test_no_workspace_anywhere_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as caught:
        find_workspace(tmp_path, None, {})

    assert str(caught.value) == (
        "no l3mail.toml here or above; run `l3mail init DIR` or pass --workspace"
    )


@pytest.mark.parametrize("by", ["--workspace", "L3MAIL_WORKSPACE"])
def test_named_folder_that_is_no_workspace_is_not_searched_above(workspace: Path, by: str) -> None:
    named = workspace / "lessons"
    explicit, environ = (named, {}) if by == "--workspace" else (None, {by: str(named)})

    with pytest.raises(WorkspaceError) as caught:
        find_workspace(workspace, explicit, environ)

    assert str(caught.value) == (
        f"{by} names {named}, which holds no l3mail.toml; correct it or run `l3mail init {named}`"
    )


def test_folder_that_cannot_even_be_looked_at_is_no_workspace(workspace: Path) -> None:
    with pytest.raises(WorkspaceError, match="which holds no"):
        find_workspace(workspace, Path("x" * 300), {})


def test_folder_without_a_file_has_no_settings(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no l3mail\.toml in .*l3mail init"):
        load_settings(tmp_path, {})


def test_every_error_is_of_the_one_tree() -> None:
    assert all(issubclass(e, L3mailError) for e in (SettingsError, StateError, WorkspaceError))


def test_importing_settings_loads_nothing_heavy() -> None:
    program = "import sys, l3mail.settings, l3mail.addresses; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    heavy = {"sqlalchemy", "sqlmodel", "fastapi", "babel", "jinja2", "dns", "rich", "asyncio"}
    assert heavy & set(done.stdout.split()) == set()
