"""What lies in `state/restoring` is believed only as far as a restore can have laid it there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.disaster import Disaster, on_a_sunday


@pytest.fixture
def desk(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disaster]:
    with on_a_sunday("sqlite", tmp_path, capsys, monkeypatch) as disaster:
        yield disaster


@pytest.fixture
def folder(desk: Disaster) -> Path:
    """The folder of a restore, as if one had been interrupted before it did anything."""
    folder = desk.state / "restoring"
    folder.mkdir()
    return folder


def test_a_link_in_its_place_leads_nowhere(desk: Disaster) -> None:
    documents = desk.folder / "documents"
    documents.mkdir()
    (documents / "pepper").write_text("mine", encoding="ascii")
    (desk.state / "restoring").symlink_to(documents)
    desk.run("status", code=1)
    assert "restoring" in desk.error
    assert (documents / "pepper").read_text(encoding="ascii") == "mine"


def test_what_is_ours_is_cleared_with_its_drafts(desk: Disaster, folder: Path) -> None:
    for name in ("pepper", "secret.key", f".plan.json.{'0a' * 8}", f".pepper.{'0b' * 8}"):
        (folder / name).write_text("x", encoding="ascii")
    desk.run("status")
    assert not folder.exists()


@pytest.mark.parametrize("name", ["thesis.txt", "pepper/", ".pepper.x", "pepper@"])
def test_what_is_not_ours_is_told_and_left(desk: Disaster, folder: Path, name: str) -> None:
    stranger = folder / name.rstrip("/@")
    if name.endswith("/"):
        stranger.mkdir()
    elif name.endswith("@"):
        stranger.symlink_to(desk.state / "pepper")
    else:
        stranger.write_text("x", encoding="ascii")
    desk.run("status", code=1)
    assert str(stranger) in desk.error
    assert len(desk.error.splitlines()) == 1
    assert stranger.exists()
