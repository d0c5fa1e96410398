import os
import subprocess
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from l3mail.errors import StateError
from l3mail.settings import (
    Settings,
    load_pepper,
    load_retired_keys,
    load_secret_keys,
    load_settings,
    make_state,
)

CANARY = "hunter2-Canary"


def _load(tmp_path: Path, toml: str = "", **environ: str) -> Settings:
    (tmp_path / "l3mail.toml").write_text(toml, encoding="utf-8")
    return load_settings(tmp_path, {f"L3MAIL_{name}": value for name, value in environ.items()})


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_state_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    state = tmp_path / "ws" / "state"
    old = os.umask(0)
    try:
        make_state(state)
    finally:
        os.umask(old)

    assert _mode(state) == 0o700
    assert {path.name: _mode(path) for path in state.iterdir()} == {
        "pepper": 0o600,
        "secret.key": 0o600,
    }
    assert len(load_pepper(state)) == 64
    assert len((state / "secret.key").read_text().strip()) == 64


def test_making_state_again_changes_nothing(tmp_path: Path) -> None:
    make_state(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    make_state(tmp_path)

    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_two_workspaces_have_different_secrets(tmp_path: Path) -> None:
    make_state(tmp_path / "a")
    make_state(tmp_path / "b")

    assert load_pepper(tmp_path / "a") != load_pepper(tmp_path / "b")
    key = "secret.key"
    assert (tmp_path / "a" / key).read_bytes() != (tmp_path / "b" / key).read_bytes()


@pytest.mark.parametrize(
    ("before", "after"),
    [(0o755, 0o750), (0o701, 0o700), (0o750, 0o750), (0o700, 0o700)],
    ids=oct,
)
def test_open_state_folder_is_closed_to_strangers_but_not_to_the_group(
    tmp_path: Path, before: int, after: int
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(before)
    make_state(state)

    assert _mode(state) == after


def test_many_who_make_state_at_once_read_the_same(tmp_path: Path) -> None:
    together = 8
    barrier = threading.Barrier(together)

    def make_and_read(state: Path) -> tuple[bytes, bytes]:
        barrier.wait()
        make_state(state)
        return load_pepper(state), (state / "secret.key").read_bytes()

    with ThreadPoolExecutor(together) as pool:
        for turn in range(40):
            state = tmp_path / str(turn)
            found = set(pool.map(make_and_read, [state] * together))
            assert len(found) == 1
            assert {path.name for path in state.iterdir()} == {"pepper", "secret.key"}


def test_processes_that_make_state_at_once_read_the_same(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, l3mail.settings as s\n"
        "state = pathlib.Path(sys.argv[1]); print('ready', flush=True); input()\n"
        "s.make_state(state); print(s.load_pepper(state).hex())"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "state")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=30)[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert set(outputs) == {load_pepper(tmp_path / "state").hex() + "\n"}


@pytest.mark.parametrize("name", ["pepper", "secret.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620])
def test_secret_others_can_read_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    make_state(tmp_path)
    path = tmp_path / name
    path.chmod(mode)

    with pytest.raises(StateError) as caught:
        make_state(tmp_path)

    assert str(caught.value) == (
        f"{path} is open to others (mode {mode:04o}); run `chmod 600 {path}`"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("\n", "is empty", id="blank"),
        pytest.param("ab" * 31, "has 31 bytes, expected 32 to 64", id="short"),
        pytest.param("ab" * 65, "has 65 bytes, expected 32 to 64", id="long"),
        pytest.param(CANARY * 9, "is damaged, not hex", id="not hex"),
        pytest.param("ü" * 64, "is damaged, not hex", id="not ASCII"),
    ],
)
def test_damaged_pepper_is_refused_and_never_replaced(
    tmp_path: Path, content: str, reason: str
) -> None:
    path = tmp_path / "pepper"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)

    for attempt in (load_pepper, make_state):
        with pytest.raises(StateError) as caught:
            attempt(tmp_path)
        assert str(caught.value).startswith(f"{path} {reason}")
        assert "restore it from your backup" in str(caught.value)
        assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert path.read_text(encoding="utf-8") == content


def test_pepper_of_32_bytes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "pepper"
    path.write_text("0f" * 32 + "\n")
    path.chmod(0o600)

    assert load_pepper(tmp_path) == b"\x0f" * 32


def test_missing_pepper_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"pepper is missing; restore it from your backup"):
        load_pepper(tmp_path)


def test_key_lost_beside_a_database_is_not_made_anew(tmp_path: Path) -> None:
    make_state(tmp_path)
    (tmp_path / "l3mail.sqlite3").touch()
    (tmp_path / "secret.key").unlink()
    with pytest.raises(StateError, match=r"holds a database but no secret\.key"):
        make_state(tmp_path)
    assert not (tmp_path / "secret.key").exists()


def test_pepper_lost_beside_a_database_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / "l3mail.sqlite3").touch()

    with pytest.raises(StateError, match="holds a database but no pepper"):
        make_state(tmp_path)

    assert not (tmp_path / "pepper").exists()


def test_state_where_nothing_can_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    with pytest.raises(StateError, match=r"state cannot be written: File exists$"):
        make_state(tmp_path / "state")


def test_signing_keys_come_from_the_environment_else_from_the_file(tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    file = tmp_path / "state" / "secret.key"
    own = file.read_text().strip()

    assert load_secret_keys(_load(tmp_path)) == (SecretStr(own),)
    file.write_text(f"{'n' * 32}\n{own}\n")
    assert load_secret_keys(_load(tmp_path)) == (SecretStr("n" * 32), SecretStr(own))
    given = load_secret_keys(_load(tmp_path, SECRET_KEY="new , old"))
    assert given == (SecretStr("new"), SecretStr("old"))


def test_environment_key_needs_no_file(tmp_path: Path) -> None:
    assert load_secret_keys(_load(tmp_path, SECRET_KEY="k")) == (SecretStr("k"),)
    with pytest.raises(StateError, match=r"secret\.key is missing"):
        load_secret_keys(_load(tmp_path))


def test_short_key_in_the_file_is_refused_without_showing_it(tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    (tmp_path / "state" / "secret.key").write_text(f"{'n' * 32}\n{CANARY}\n")

    with pytest.raises(StateError) as caught:
        load_secret_keys(_load(tmp_path))

    assert f"holds a key of {len(CANARY)} characters, expected 32 or more" in str(caught.value)
    assert CANARY not in str(caught.value)


def test_retired_keys_sign_nothing_and_are_kept_apart(tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    file = tmp_path / "state" / "secret.key"
    file.write_text(f"{'n' * 32}\nretired:{'o' * 32}\n\nretired: {'p' * 32}\n")

    settings = _load(tmp_path)
    assert load_secret_keys(settings) == (SecretStr("n" * 32),)
    assert load_retired_keys(settings) == (SecretStr("o" * 32), SecretStr("p" * 32))
    given = _load(tmp_path, SECRET_KEY="new, retired:old")
    assert load_secret_keys(given) == (SecretStr("new"),)
    assert load_retired_keys(given) == (SecretStr("old"),)


def test_a_key_retired_in_the_file_still_must_not_be_short(tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    (tmp_path / "state" / "secret.key").write_text(f"{'n' * 32}\nretired:{'o' * 30}\n")

    with pytest.raises(StateError, match="holds a key of 30 characters"):
        load_retired_keys(_load(tmp_path))


def test_retired_keys_alone_are_refused(tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    (tmp_path / "state" / "secret.key").write_text(f"retired:{'o' * 32}\n")

    with pytest.raises(StateError, match=r"secret\.key holds no key but retired ones"):
        load_secret_keys(_load(tmp_path))
    with pytest.raises(StateError, match="L3MAIL_SECRET_KEY holds no key but retired ones"):
        load_secret_keys(_load(tmp_path, SECRET_KEY="retired:old"))
