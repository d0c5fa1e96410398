"""The guides that `l3mail help` prints: they name all there is, and their examples are sound."""

import re
import textwrap
from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from l3mail.cli import app
from l3mail.content.components import COMPONENTS
from l3mail.content.curricula import KEYS
from l3mail.content.matter import LifecycleMatter
from l3mail.content.placeholders import NAMES
from l3mail.segments import Attribute, AttributeType, Vocabulary, parse
from l3mail.segments.days import BETWEEN, WORDS
from l3mail.segments.language import BUILT_IN, FUNCTIONS
from l3mail.subscribers.tools import TOOLS
from tests.fakes.library import Shelf

GUIDE = (files("l3mail.cli") / "guides" / "content.md").read_text(encoding="utf-8")
SEGMENTS = (files("l3mail.cli") / "guides" / "segments.md").read_text(encoding="utf-8")
# Of notices and layouts only: whoever writes a lesson has no use for them.
ELSEWHERE = {"base_url", "impressum", "streams"}


def test_the_guide_is_printed_as_it_is_where_nobody_looks() -> None:
    result = CliRunner().invoke(app, ["help", "content"])
    assert (result.exit_code, result.output) == (0, GUIDE)


def test_without_a_topic_all_are_named() -> None:
    result = CliRunner().invoke(app, ["help"])
    assert result.output.splitlines() == [
        "l3mail help content  Texts: what you write, and what becomes of it",
        "l3mail help moving  Moving: from another tool to l3mail, and away from it",
        "l3mail help segments  Segments: who is meant",
    ]


def test_a_topic_that_is_none_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["help", "contents"])
    assert result.exit_code == 2
    assert 'did you mean "content"?' in " ".join(result.output.split())


@pytest.mark.parametrize("name", COMPONENTS)
def test_every_block_is_told_with_its_keys(name: str) -> None:
    (line,) = re.findall(rf"^- `::: {name}\b(?:.|\n  )*", GUIDE, re.MULTILINE)
    for key in (*COMPONENTS[name].keys, *COMPONENTS[name].variants):
        assert f"`{key}`" in line or f" {key}`" in line, key


def test_every_key_and_placeholder_is_told() -> None:
    matter = {field.alias or name for name, field in LifecycleMatter.model_fields.items()}
    for word in matter | set(KEYS) | (NAMES - ELSEWHERE):
        assert re.search(rf"[`.\s({{]{word}\b", GUIDE), word


@pytest.mark.parametrize("guide", [GUIDE, SEGMENTS], ids=["content", "segments"])
def test_no_line_is_wider_than_a_page(guide: str) -> None:
    assert max(map(len, guide.splitlines())) <= 105


def test_every_word_of_the_language_of_segments_is_told() -> None:
    for word in (*BUILT_IN, *FUNCTIONS, *WORDS, BETWEEN):
        assert re.search(rf"\b{word}\b", SEGMENTS), word


def test_every_example_of_a_question_is_one() -> None:
    kinds: dict[str, AttributeType] = {"role": "text", "mentor": "bool", "since": "date"}
    words = Vocabulary(
        attributes={name: Attribute(kind) for name, kind in kinds.items()},
        segments={"west": "True"},
    )
    examples = [line.strip() for line in SEGMENTS.splitlines() if line.startswith("    ")]
    typed = [one for one in examples if one.startswith("l3mail ")]
    asked = [asks for one in typed for asks in re.findall("'(.*)'", one)]
    asked += [one for one in examples if one not in typed]
    flowing = " ".join(SEGMENTS.split())
    asked += re.findall(r"`((?:birthday|district|not age|age) [^`]*)`", flowing)
    assert len(asked) > 30
    for question in asked:
        parse(question, words)


def test_moving_names_every_tool_and_only_options_that_there_are() -> None:
    guide = (files("l3mail.cli") / "guides" / "moving.md").read_text(encoding="utf-8")
    assert all(tool.title in guide for tool in TOOLS.values())
    lines = [line for line in guide.splitlines() if not line.startswith("|")]
    assert max(map(len, lines)) <= 110
    helps = " ".join(
        CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "300"}).output
        for words in (["subscribers", "import"], ["subscribers", "list"], ["leave"], ["web"])
    )
    assert set(re.findall(r"--[a-z][a-z-]*", guide)) <= set(re.findall(r"--[a-z][a-z-]*", helps))


def test_every_example_is_sound(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.image("media/fenster.jpg")
    examples = [
        textwrap.dedent(one) for one in re.findall(r"(?:^    .*\n|^\n)+", GUIDE, re.MULTILINE)
    ]
    examples = [one.strip() for one in examples if one.strip()]
    assert len(examples) >= 4
    papers = [example for example in examples if example.startswith("---\ntitle:")]
    assert papers
    shelf.put("media/arbeitsblatt-1.md", papers[0])
    for example in examples:
        if example in papers:
            continue
        if example.startswith("---"):
            shelf.course()
            shelf.put("lessons/kurs/01-start.md", example)
        else:
            shelf.lesson(example)
        assert shelf.findings == []
