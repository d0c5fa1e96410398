"""Units and proxy blocks: what `l3mail service` prints can be used as it stands."""

import configparser
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from l3mail.cli import app
from l3mail.clocks import SystemClock
from l3mail.settings import FILE, load_settings, make_state
from l3mail.tokens import Purpose
from l3mail.upkeep.units import Post, caddy_block, nginx_block, service_unit, worker_unit
from l3mail.wiring import load_tokens

PUBLIC = '[web]\nbase_url = "https://kurse.stadt.example/lernen"\nport = 8123\n'
POSTGRES = {"L3MAIL_DATABASE_URL": "postgresql://l3mail@db.stadt.example/l3mail"}


def post(folder: Path, text: str = "", environ: dict[str, str] | None = None) -> Post:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_text(text, encoding="utf-8")
    settings = load_settings(folder, environ or {})
    return Post(settings, (sys.executable, "-m", "l3mail"), "daemon", "daemon")


def parsed(unit: str) -> configparser.ConfigParser:
    """A unit in INI form; systemd's keys keep their case, and its % are no interpolation."""
    parser = configparser.ConfigParser(interpolation=None, strict=True, delimiters="=")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit)
    return parser


@pytest.mark.parametrize("make", [service_unit, worker_unit])
@pytest.mark.parametrize("name", ["kurse", "meine kurse 100%"])
def test_a_unit_is_one_that_systemd_takes(
    make: Callable[[Post], str], name: str, tmp_path: Path
) -> None:
    unit = make(post(tmp_path / name, '[workspace]\nname = "100 % Bildung"\n'))
    assert parsed(unit).sections() == ["Unit", "Service", "Install"]
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here: the unit was parsed, not verified")
    file = tmp_path / ("l3mail.service" if make is service_unit else "l3mail-worker@1.service")
    file.write_text(unit)
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    about_us = [line for line in told.stderr.splitlines() if "l3mail" in line]
    assert about_us == []


def test_the_service_starts_this_program_for_this_workspace(tmp_path: Path) -> None:
    unit = parsed(service_unit(post(tmp_path / "meine kurse")))["Service"]
    folder = tmp_path / "meine kurse"
    assert unit["ExecStart"] == f'{sys.executable} -m l3mail --workspace "{folder}" run'
    assert unit["WorkingDirectory"] == str(folder)
    assert unit["ReadWritePaths"] == f'"{folder / "state"}"'
    assert (unit["User"], unit["Restart"]) == ("daemon", "on-failure")
    assert int(unit["TimeoutStopSec"]) > 30
    assert unit["EnvironmentFile"] == "-/etc/l3mail.env"
    for option in ("NoNewPrivileges", "PrivateTmp"):
        assert unit[option] == "yes"
    assert unit["ProtectSystem"] == "strict"


def test_a_database_beside_the_state_may_be_written_too(tmp_path: Path) -> None:
    given = post(tmp_path / "w", environ={"L3MAIL_DATABASE_URL": "sqlite:////srv/l3mail/rows.db"})
    assert parsed(service_unit(given))["Service"]["ReadWritePaths"].split() == [
        str(tmp_path / "w" / "state"),
        "/srv/l3mail",
    ]


def test_a_port_below_1024_needs_no_root(tmp_path: Path) -> None:
    high = service_unit(post(tmp_path, "[web]\nport = 8000\n"))
    low = service_unit(post(tmp_path, "[web]\nport = 443\n"))
    assert "AmbientCapabilities" not in high
    assert "AmbientCapabilities=CAP_NET_BIND_SERVICE" in low
    assert "AmbientCapabilities" not in worker_unit(post(tmp_path, "[web]\nport = 443\n"))


def test_the_worker_says_whether_it_fits_this_database(tmp_path: Path) -> None:
    assert "NOT FOR THIS WORKSPACE" in worker_unit(post(tmp_path))
    fitting = worker_unit(post(tmp_path, environ=POSTGRES))
    assert "NOT FOR" not in fitting
    assert parsed(fitting)["Service"]["ExecStart"].endswith(" worker")


def test_no_password_is_printed(tmp_path: Path) -> None:
    secret = {
        "L3MAIL_SMTP_PASSWORD": "geheim-smtp",
        "L3MAIL_DATABASE_URL": "postgresql://l3mail:geheim-db@localhost/l3mail",
    }
    given = post(tmp_path, PUBLIC, secret)
    printed = service_unit(given) + worker_unit(given) + nginx_block(given.settings)
    assert "geheim" not in printed + caddy_block(given.settings)
    assert "After=network-online.target postgresql.service" in printed


def test_proxies_pass_the_path_on_and_log_none(tmp_path: Path) -> None:
    nginx = nginx_block(post(tmp_path, PUBLIC).settings)
    assert nginx.count("{") == nginx.count("}")
    assert "server_name kurse.stadt.example;" in nginx
    assert "location /lernen/ {" in nginx
    assert "proxy_pass http://127.0.0.1:8123;" in nginx
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in nginx
    (log_format,) = re.findall(r"log_format l3mail '(.*)';", nginx)
    for shows_links in ("$request ", "$request_uri", "$uri", "$http_referer", "$remote_addr"):
        assert shows_links not in log_format + " "
    assert "access_log /var/log/nginx/l3mail.log l3mail;" in nginx
    assert re.search(r"error_log .* crit;", nginx)
    caddy = caddy_block(post(tmp_path, PUBLIC).settings)
    assert caddy.count("{") == caddy.count("}")
    assert "\nkurse.stadt.example {" in caddy
    assert "reverse_proxy /lernen/* 127.0.0.1:8123" in caddy
    assert "exclude http.log" in caddy
    for block in (nginx, caddy):
        assert "/lernen/metrics" in block
        assert "base_url" not in block


@pytest.mark.parametrize(
    ("host", "upstream"),
    [
        ("0.0.0.0", "127.0.0.1:8000"),  # what listens everywhere is asked here
        ("::", "[::1]:8000"),
        ("192.0.2.7", "192.0.2.7:8000"),
        ("pages.stadt.example", "pages.stadt.example:8000"),
    ],
)
def test_the_proxy_asks_where_the_pages_listen(host: str, upstream: str, tmp_path: Path) -> None:
    block = nginx_block(post(tmp_path, f'[web]\nhost = "{host}"\n').settings)
    assert f"proxy_pass http://{upstream};" in block


def test_what_is_missing_before_a_proxy_makes_sense_is_said(tmp_path: Path) -> None:
    plain = nginx_block(post(tmp_path).settings)
    assert "first, then run this again" in plain
    assert "listen 443 ssl;" in plain
    assert 'trusted_proxies = ["127.0.0.1/32", "::1/128"]' in plain
    trusting = PUBLIC + 'trusted_proxies = ["10.0.0.0/8"]\n'
    told = nginx_block(post(tmp_path, trusting).settings)
    assert "trusted_proxies" not in told
    assert "10.0.0.0/8" in told


def test_the_command_prints_all_or_the_parts_asked_for(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(PUBLIC)

    def printed(*words: str) -> str:
        result = CliRunner().invoke(app, ["--workspace", str(tmp_path), "service", *words])
        assert result.exit_code == 0, result.output
        return result.stdout

    every = printed()
    assert all(part in every for part in ("[Service]", "server {", "sender %i", "max_size"))
    assert printed("--unit") in every
    assert parsed(printed("--unit"))["Service"]["ExecStart"].startswith("/")
    assert "ExecStart" not in printed("--proxy")
    assert parsed(printed("--worker"))["Service"]["ExecStart"].endswith(" worker")
    assert not (tmp_path / "state").exists()


def test_the_token_for_numbers_is_printed_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(PUBLIC)
    make_state(tmp_path / "state")
    runner = CliRunner()
    every = runner.invoke(app, ["--workspace", str(tmp_path), "service"]).stdout
    job = runner.invoke(app, ["--workspace", str(tmp_path), "service", "--metrics"]).stdout
    (token,) = re.findall(r"credentials: (\S+)", job)
    tokens = load_tokens(load_settings(tmp_path, {}))
    tokens.read(Purpose.METRICS, token, SystemClock().now())
    assert token not in every
    assert 'targets: ["kurse.stadt.example:443"]' in job
    assert "metrics_path: /lernen/metrics" in job
    assert isinstance(yaml.safe_load(job), list)
