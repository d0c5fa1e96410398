"""The house rules that no linter states: sizes, names, docstrings, what is committed."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "l3mail"
MODULES = sorted(PACKAGE.rglob("*.py"))
# Drafted by Alembic, one statement after another, and frozen once released: no size rule.
REVISIONS = PACKAGE / "migrations" / "versions"

LONGEST_FUNCTION = 60
LONGEST_MODULE = 500
EMPTY_NAMES = {"base", "common", "helper", "helpers", "manager", "managers", "util", "utils"}

# Put together here, so that this file does not name what it looks for.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("deb", "debian", "org"),
        ("registry", "npmjs", "org"),
    )
]
WORKPLACE = re.compile(r"(?<![\w.~-])/(?:work|opt/pypi|opt/wheels)/")

PURE_CORE = ("planning", "segments", "rendering", "content")
# import-linter sees a package outside as one piece; these are the parts the core must not touch.
CONNECTIONS = (
    "aiosmtplib",
    "psycopg",
    "sqlalchemy.Connection",
    "sqlalchemy.Engine",
    "sqlalchemy.create_engine",
    "sqlalchemy.engine",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.orm",
    "sqlite3",
    "sqlmodel.Session",
    "sqlmodel.create_engine",
    "ssl",
)


def _within_house(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def _imported_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def _committed_files() -> list[Path]:
    """List what is committed or would be by `git add .`; skips where git cannot tell."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("needs git and a checkout: only there is known what is committed")
    listing = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    if listing.returncode != 0:
        pytest.skip(f"git cannot list this checkout: {listing.stderr.strip()}")
    names = [name for name in listing.stdout.split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def _text_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return
    if "\0" not in text:
        yield from enumerate(text.splitlines(), start=1)


@pytest.mark.parametrize("path", MODULES, ids=_within_house)
def test_module_says_what_it_owns(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))

    assert docstring, "the first sentence is missing: what it owns; then what it must not know"


@pytest.mark.parametrize("path", MODULES, ids=_within_house)
def test_module_and_its_functions_are_short(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    length = len(source.splitlines())
    functions = [
        (node.name, (node.end_lineno or node.lineno) - node.lineno + 1)
        for node in _functions(ast.parse(source))
    ]

    if REVISIONS not in path.parents:
        assert length <= LONGEST_MODULE
        assert not [(name, n) for name, n in functions if n > LONGEST_FUNCTION]


@pytest.mark.parametrize("name", PURE_CORE)
def test_pure_core_touches_no_session_and_no_connection(name: str) -> None:
    found = [
        f"{_within_house(path)}:{line}: {imported}"
        for path in MODULES
        if path.relative_to(PACKAGE).parts[0] in (name, f"{name}.py")
        for line, imported in _imported_names(ast.parse(path.read_text(encoding="utf-8")))
        if any(f"{imported}.".startswith(f"{part}.") for part in CONNECTIONS)
    ]

    assert not found


def test_modules_have_names_that_say_something() -> None:
    places = [path for folder in ("src", "tests", "bench") for path in (ROOT / folder).rglob("*")]
    named = [path for path in places if path.suffix == ".py" or path.is_dir()]

    assert not [path for path in named if EMPTY_NAMES & set(path.stem.lower().split("_"))]


def test_committed_files_name_no_registry_and_no_path_of_a_workplace() -> None:
    found = [
        f"{_within_house(path)}:{number}: {line.strip()[:100]}"
        for path in _committed_files()
        for number, line in _text_lines(path)
        if WORKPLACE.search(line) or any(host in line for host in REGISTRIES)
    ]

    assert not found


def test_the_readme_tells_developers_of_every_part() -> None:
    _, _, told = (ROOT / "README.md").read_text(encoding="utf-8").partition("## For developers")
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    parts = {part for part in parts if not part.startswith("_")}
    assert not {part for part in parts if f"`{part}`" not in told}
