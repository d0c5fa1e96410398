"""The making of a house that ended half-way: it is finished, and nobody is told of a loss."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from l3mail import migrations
from l3mail.cli import main
from l3mail.settings import state
from l3mail.wiring import contents

Say = Callable[..., str]


@pytest.fixture
def say(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Say:
    """The real command line in a folder of its own; all it says."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["l3mail", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert ended.value.code == code, captured.out + captured.err
        return str(captured.out + captured.err)

    return run


def stopped(patch: pytest.MonkeyPatch, where: Any, name: str, turn: int, *, done: bool) -> None:
    """The program is ended at so many a call: before it, or after it."""
    whole, left = getattr(where, name), [turn]

    def call(*parts: Any, **named: Any) -> Any:
        left[0] -= 1
        if left[0]:
            return whole(*parts, **named)
        if done:
            whole(*parts, **named)
        raise KeyboardInterrupt

    patch.setattr(where, name, call)


MOMENTS = {
    "before the first file": (shutil, "copyfile", 1, False),
    "among the files": (shutil, "copyfile", 9, True),
    "after the pepper": (state, "_write_once", 2, False),
    "after the key": (state, "_write_once", 2, True),
    "before the tables": (migrations, "upgrade", 1, False),
    "after the tables": (migrations, "upgrade", 1, True),
    "before the texts": (contents, "publish_content", 1, False),
    "before the texts are kept": (contents, "publish_content", 1, True),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_init_that_was_interrupted_is_finished_by_the_next(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    where, name, turn, done = MOMENTS[moment]
    with monkeypatch.context() as patch:
        stopped(patch, where, name, turn, done=done)
        say("init", "kurse", code=130)
    assert "digital-kommunizieren" in say("init", "kurse")
    assert "No sound text differs" in say("--workspace", "kurse", "content", "diff")


def test_half_a_file_of_an_interrupted_init_is_made_whole(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stopped(patch, shutil, "copyfile", 9, done=True)
        say("init", "kurse", code=130)
    settings = tmp_path / "kurse" / "l3mail.toml"
    whole = settings.read_bytes()
    settings.write_bytes(whole[:100])
    say("init", "kurse")
    assert settings.read_bytes() == whole


@pytest.mark.parametrize("own", ["l3mail.toml", "lessons/meine.md", "media/bild.png"])
def test_what_is_not_the_starter_s_is_never_taken_for_an_interrupted_init(
    tmp_path: Path, say: Say, own: str
) -> None:
    mine = tmp_path / "kurse" / own
    mine.parent.mkdir(parents=True)
    mine.write_text("# mine")
    assert "is there already and is left as it is" in say("init", "kurse", code=1)
    assert [path for path in (tmp_path / "kurse").rglob("*") if path.is_file()] == [mine]


def test_an_init_that_was_done_is_not_done_again(tmp_path: Path, say: Say) -> None:
    say("init", "kurse")
    assert "is there already and is left as it is" in say("init", "kurse", code=1)


@pytest.mark.parametrize("moment", ["after the pepper", "after the key", "before the tables"])
def test_a_first_upgrade_that_was_interrupted_is_no_loss(
    tmp_path: Path, say: Say, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    (tmp_path / "l3mail.toml").write_text("", encoding="utf-8")
    where, name, turn, done = MOMENTS[moment]
    with monkeypatch.context() as patch:
        stopped(patch, where, name, turn, done=done)
        say("db", "upgrade", code=130)
    before = sorted((tmp_path / "state").iterdir())
    assert "there is no database yet; run `l3mail db upgrade`" in say("status", code=1)
    assert sorted((tmp_path / "state").iterdir()) == before
    assert "No text is published yet: `l3mail content publish`" in say("db", "upgrade")
    say("status")


def test_whoever_begins_again_empty_is_told_that_no_text_is_published(
    tmp_path: Path, say: Say
) -> None:
    say("init", "kurse")
    state_dir = tmp_path / "kurse" / "state"
    (state_dir / "l3mail.sqlite3").unlink()
    (state_dir / "high-water").write_text("{}", encoding="ascii")
    assert "there was a database here" in say("--workspace", "kurse", "db", "upgrade", code=1)
    said = say("--workspace", "kurse", "db", "upgrade", "--start-empty")
    assert "No text is published yet: `l3mail content publish`" in said
