"""What a server needs to keep l3mail running: units for systemd, blocks for a reverse proxy.

Owns their text, made of a workspace's settings. Pure: writes no file, starts nothing, and must
not know the command line.
"""

import ipaddress
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from l3mail.sending import Pace
from l3mail.settings import Settings

LAST_ANSWERS_SECONDS = 10
"""How long pages that were asked for before the signal may take."""
SECRETS = Path("/etc/l3mail.env")
SLOW_HEAD_SECONDS = 10
SLOW_BODY_SECONDS = 30
"""A little more than the pages themselves allow would only hold connections."""

_LOWEST_FREE_PORT = 1024
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=+@,")


@dataclass(frozen=True, slots=True)
class Post:
    """Where l3mail is to run: the words that start it, the user it runs as, which may be nobody's.

    `program` begins with an absolute path, which systemd wants; `user` is None where nobody but
    root owns the workspace's state.
    """

    settings: Settings
    program: Sequence[str]
    user: str | None
    group: str | None


def service_unit(post: Post) -> str:
    """`l3mail.service`: pages, planning and sending in one process."""
    lines = [
        "# /etc/systemd/system/l3mail.service",
        *_steps("l3mail.service", "systemctl enable --now l3mail"),
        "# See how it is: systemctl status l3mail; journalctl -u l3mail;",
        f"#   {_as_user(post)}l3mail status",
        *_of_user(post),
        "[Unit]",
        f"Description=l3mail: {_one_line(post.settings.workspace.name)}",
        *_after(post.settings),
        "",
        "[Service]",
        f"ExecStart={_command(post, 'run')}",
        *_life(post),
        *_hardening(post, listens=True),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def worker_unit(post: Post) -> str:
    """`l3mail-worker@.service`: one more sender, as many as you like on PostgreSQL."""
    if post.settings.database_file:
        fits = [
            "# NOT FOR THIS WORKSPACE YET: it keeps its rows in SQLite, where one process sends.",
            "# With L3MAIL_DATABASE_URL=postgresql://... in the secrets it is what you need.",
        ]
    else:
        fits = [
            "# `l3mail run` sends too; these send besides it. On another machine they need the",
            "# same workspace folder, the same secrets, and state/pepper and state/secret.key.",
        ]
    lines = [
        "# /etc/systemd/system/l3mail-worker@.service",
        *fits,
        *_steps("l3mail-worker@.service", "systemctl enable --now l3mail-worker@1 l3mail-worker@2"),
        *_of_user(post),
        "[Unit]",
        f"Description=l3mail sender %i: {_one_line(post.settings.workspace.name)}",
        *_after(post.settings),
        "",
        "[Service]",
        f"ExecStart={_command(post, 'worker')}",
        *_life(post),
        *_hardening(post, listens=False),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def _steps(name: str, start: str) -> list[str]:
    return [
        f"# 1. Save this as /etc/systemd/system/{name}.",
        f"# 2. Put the secrets into {SECRETS}, one NAME=value a line, then",
        f"#    chown root: {SECRETS}; chmod 600 {SECRETS}. Such as:",
        "#      L3MAIL_SMTP_PASSWORD=secret",
        f"# 3. systemctl daemon-reload; {start}",
    ]


def _as_user(post: Post) -> str:
    return f"sudo -u {post.user} " if post.user else ""


def _of_user(post: Post) -> Iterator[str]:
    if post.user is None:
        folder, state = post.settings.folder, post.settings.state_dir
        yield "# state/ belongs to root, and mail needs no root. Make a user of its own first:"
        yield f"#    useradd --system --home-dir {folder} l3mail; chown -R l3mail: {state}"
    yield ""


def _after(settings: Settings) -> list[str]:
    local = urlsplit(settings.database_url).hostname in {None, "localhost", "127.0.0.1", "::1"}
    postgres = settings.database_file is None and local
    return [
        "Wants=network-online.target",
        "After=network-online.target" + (" postgresql.service" if postgres else ""),
    ]


def _life(post: Post) -> list[str]:
    longest = round(Pace().grace) + LAST_ANSWERS_SECONDS + 5
    return [
        f"WorkingDirectory={_escaped(str(post.settings.folder))}",
        f"User={post.user or 'l3mail'}",
        f"Group={post.group or 'l3mail'}",
        "# Passwords and keys; the - lets it start without the file.",
        f"EnvironmentFile=-{SECRETS}",
        "Restart=on-failure",
        "RestartSec=10",
        f"# Asked to stop, mails under way may take {Pace().grace:.0f} s to end; killed before,",
        "# they would be uncertain.",
        f"TimeoutStopSec={longest}",
        "KillMode=mixed",
    ]


def _hardening(post: Post, *, listens: bool) -> list[str]:
    settings = post.settings
    read = (settings.folder, Path(post.program[0]).resolve())
    home = any(path.is_relative_to(base) for path in read for base in ("/home", "/root"))
    low = listens and settings.web.port < _LOWEST_FREE_PORT
    port = ["# A port below 1024, without root."] if low else []
    return [
        "",
        "# It reads its texts, writes state/, speaks to the network, and does nothing else.",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        f"ReadWritePaths={' '.join(map(_word, _written(settings)))}",
        f"ProtectHome={'read-only' if home else 'yes'}",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "SystemCallArchitectures=native",
        *port,
        f"CapabilityBoundingSet={'CAP_NET_BIND_SERVICE' if low else ''}",
        *(["AmbientCapabilities=CAP_NET_BIND_SERVICE"] if low else []),
    ]


def _written(settings: Settings) -> list[str]:
    """The folders the service writes to: state/, and the database's where it lies elsewhere."""
    folders = [settings.state_dir]
    if settings.database_file:
        folder = Path(os.path.normpath(settings.database_file)).parent
        if not folder.is_relative_to(settings.state_dir):
            folders.append(folder)
    return [str(folder) for folder in folders]


def _command(post: Post, verb: str) -> str:
    words = [*post.program, "--workspace", str(post.settings.folder), verb]
    return " ".join(_word(word.replace("$", "$$")) for word in words)


def _word(text: str) -> str:
    """One word of a systemd line (systemd.syntax(7), Quoting)."""
    if text and set(text) <= _PLAIN:
        return text
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _escaped(quoted) + '"'


def _escaped(text: str) -> str:
    """A % begins a specifier there (systemd.unit(5))."""
    return text.replace("%", "%%")


def _one_line(text: str) -> str:
    return _escaped(" ".join(text.split()))


def proxy_blocks(settings: Settings) -> str:
    """A block each for nginx and Caddy that passes BASE_URL on to the pages."""
    return nginx_block(settings) + "\n" + caddy_block(settings)


def _trust(settings: Settings) -> list[str]:
    """What l3mail must be told of the proxy, if it does not know yet."""
    if settings.web.trusted_proxies:
        networks = ", ".join(settings.web.trusted_proxies)
        return [f"# l3mail believes {networks} who a visitor is: the proxy must be among them."]
    return [
        "# And tell l3mail whose word on a visitor's address counts, in l3mail.toml:",
        "#   [web]",
        '#   trusted_proxies = ["127.0.0.1/32", "::1/128"]',
    ]


def _doubts(settings: Settings) -> Iterator[str]:
    address = urlsplit(settings.web.base_url)
    if address.scheme != "https":
        yield f"# web.base_url is {settings.web.base_url}: set it to the public https address"
        yield "# first, then run this again."


def _public(settings: Settings) -> tuple[str, int, str]:
    """Host, port and path people reach; before there is an https address, as if there were."""
    address = urlsplit(settings.web.base_url)
    port = address.port if address.scheme == "https" else None
    return address.hostname or "localhost", port or 443, address.path


def nginx_block(settings: Settings) -> str:
    """One server block; a path under `base_url` becomes a location."""
    host, port, path = _public(settings)
    lines = [
        "# nginx: save this as /etc/nginx/conf.d/l3mail.conf, correct the certificate's paths,",
        "# then: nginx -t && systemctl reload nginx",
        *_doubts(settings),
        *_trust(settings),
        "# Paths hold people's own links, so no log may show them: neither access nor error log.",
        "log_format l3mail '$time_iso8601 $request_method $status $body_bytes_sent $request_time';",
        "server {",
        f"    listen {port} ssl;",
        f"    listen [::]:{port} ssl;",
        f"    server_name {host};",
        f"    ssl_certificate     /etc/ssl/certs/{host}.pem;",
        f"    ssl_certificate_key /etc/ssl/private/{host}.key;",
        "    access_log /var/log/nginx/l3mail.log l3mail;",
        "    error_log  /var/log/nginx/l3mail.error.log crit;",
        "    client_max_body_size 64k;",
        f"    client_header_timeout {SLOW_HEAD_SECONDS}s;",
        f"    client_body_timeout {SLOW_BODY_SECONDS}s;",
        f"    location = {path}/metrics {{ return 404; }}",
        f"    location {path}/ {{",
        f"        proxy_pass http://{_upstream(settings)};",
        "        proxy_set_header Host $host;",
        "        # Set, not added to: what a visitor says of themselves does not count.",
        "        proxy_set_header X-Forwarded-For $remote_addr;",
        "        proxy_set_header X-Forwarded-Proto $scheme;",
        "    }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def caddy_block(settings: Settings) -> str:
    """One site; Caddy fetches its certificate by itself, and sets X-Forwarded-For."""
    host, port, path = _public(settings)
    lines = [
        "# Caddy: save this as /etc/caddy/Caddyfile, then: systemctl reload caddy",
        *_doubts(settings),
        *_trust(settings),
        "# Paths hold people's own links: no `log` in the site, and none of its errors in Caddy's.",
        "{",
        "    log default {",
        "        exclude http.log",
        "    }",
        "    servers {",
        "        timeouts {",
        f"            read_header {SLOW_HEAD_SECONDS}s",
        f"            read_body {SLOW_BODY_SECONDS}s",
        "        }",
        "    }",
        "}",
        f"{host}{'' if port == 443 else f':{port}'} {{",
        "    request_body {",
        "        max_size 64KB",
        "    }",
        f"    respond {path}/metrics 404",
        f"    reverse_proxy {path + '/* ' if path else ''}{_upstream(settings)}",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _upstream(settings: Settings) -> str:
    """Where the proxy reaches the pages: a machine's every address is its own, too."""
    try:
        host = ipaddress.ip_address(settings.web.host)
    except ValueError:
        return f"{settings.web.host}:{settings.web.port}"
    if host.is_unspecified:
        host = ipaddress.ip_address("127.0.0.1" if host.version == 4 else "::1")
    shown = f"[{host}]" if host.version == 6 else str(host)
    return f"{shown}:{settings.web.port}"


def scrape_block(settings: Settings, token: str) -> str:
    """A job for Prometheus on another machine; on this one it needs no token."""
    host, port, path = _public(settings)
    lines = [
        "# Prometheus: below scrape_configs in prometheus.yml. Keep the token as you keep",
        "# passwords; it ends with the key that signs links. On this machine do without, and ask",
        f"# http://{_upstream(settings)}/metrics. The proxy's block above answers 404 to /metrics:",
        "# take that line away first.",
        "- job_name: l3mail",
        "  scheme: https",
        f"  metrics_path: {path}/metrics",
        "  authorization:",
        f"    credentials: {token}",
        "  static_configs:",
        f'    - targets: ["{host}:{port}"]',
    ]
    return "\n".join(lines) + "\n"
