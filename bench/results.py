"""What a run came to: for people at a terminal, and as a file that says on which machine."""

import os
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from bench.crowd import ROOT
from bench.figures import Figure, Size
from l3mail.clocks import SystemClock

RESULTS = ROOT / "bench" / "RESULTS.md"
ABOUT = (
    "Written by `make bench`; every ratio compares two things measured in the same minutes on the"
    " same machine. Read the ratios: absolute figures are this machine's, of that day."
)
BEYOND = (
    "Every figure that is not at its moonshot, and what profiles say of where the rest goes: CPU"
    " time of one process on the same machine, so again the shares count and not the microseconds."
)
LIBRARIES = (
    "aiosmtplib",
    "fastapi",
    "itsdangerous",
    "jinja2",
    "psycopg",
    "pydantic",
    "sqlalchemy",
    "starlette",
    "typer",
    "uvicorn",
)
WORKS = "works"
"""What a quick run shows, and all it shows."""
_STYLES = {
    "moonshot": "bold green",
    "met": "green",
    "missed": "red",
    "failed": "bold red",
    "not measured": "yellow",
    "reported": "",
    WORKS: "",
}


def amount(value: float | None, unit: str = "") -> str:
    """A number as short as it can be without saying less: 0.043, 1.52, 23.4, 1,240."""
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1000:
        digits = 0
    elif abs(value) < 0.1:
        digits = 3
    else:
        digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:,.{digits}f} {unit}".rstrip()


def limit(figure: Figure, value: float | None) -> str:
    """What is to be reached: "≥ 0.5"."""
    if value is None:
        return ""
    return f"{'≤' if figure.goal.less_is_better else '≥'} {value:g}"


def cells(figure: Figure, size: Size) -> tuple[str, str, str, str, str]:
    """Name, goal, moonshot, measured, verdict; a goal is judged by the full measurement only."""
    goal = figure.goal
    judged = size is Size.FULL or figure.measured is None
    reach = (limit(figure, goal.goal), limit(figure, goal.moonshot))
    return (
        goal.name,
        *reach,
        amount(figure.measured, goal.unit),
        figure.verdict if judged else WORKS,
    )


def table(figures: Sequence[Figure], size: Size) -> Table:
    """All figures for a terminal; what was set against what stands below each name."""
    laid_out = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    laid_out.add_column("figure", ratio=1)
    for heading in ("goal", "moonshot", "measured"):
        laid_out.add_column(heading, justify="right", no_wrap=True)
    laid_out.add_column("verdict", no_wrap=True)
    before = ""
    for figure in figures:
        name, goal, moonshot, measured, verdict = cells(figure, size)
        # What several figures lack is told once.
        told = figure.detail != before and figure.detail
        about = Text.assemble(name, (f"\n{told}", "dim") if told else "")
        before = figure.detail
        judged = Text(verdict, _STYLES[verdict])
        laid_out.add_row(about, goal, moonshot, measured, judged)
    return laid_out


def as_markdown(figures: Sequence[Figure], size: Size, facts: Mapping[str, str]) -> str:
    """The same as a file, with the machine it was measured on."""
    lines = [
        "# What l3mail costs, measured",
        "",
        ABOUT,
        "",
        *(f"- {name}: {value}" for name, value in facts.items()),
        "",
        "| figure | goal | moonshot | measured | verdict | how |",
        "|---|---:|---:|---:|---|---|",
    ]
    for figure in figures:
        row = [*cells(figure, size), figure.detail]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    short = [told for figure in figures if (told := _shortfall(figure, size))]
    if short:
        lines += ["", "## What stands in the way", "", BEYOND, "", *short]
    return "\n".join([*lines, ""])


def _shortfall(figure: Figure, size: Size) -> str | None:
    """How far a figure is from what it has not reached, and why; None where nothing is left."""
    if size is not Size.FULL or not figure.missing:
        return None
    far = ", ".join(f"{share:.0%} of the {name}" for name, share in figure.missing.items())
    return f"- **{figure.goal.name}**: {far}. {figure.goal.in_the_way}".rstrip()


def facts(size: str) -> dict[str, str]:
    """Of which commit, when and where; no name of the machine or of its owner."""
    return {
        "date": f"{SystemClock().now():%Y-%m-%d %H:%M} UTC",
        "commit": commit(),
        "run": size,
        "processor": f"{_processor()}, {_cores()} cores for us",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "memory": _memory(),
        "system": f"{_system()}, {platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libraries": ", ".join(
            [f"SQLite {sqlite3.sqlite_version}", *filter(None, map(_library, LIBRARIES))]
        ),
    }


def commit() -> str:
    """The commit that was measured, and whether files had been changed since."""
    if shutil.which("git") is None:
        return "unknown: git is not here"
    head = _git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "unknown: no checkout"
    changed = [line for line in _git("status", "--porcelain").splitlines() if line]
    return f"{head}, {len(changed)} files changed since" if changed else head


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *words],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    if known.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", known.read_text("utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> str:
    try:
        octets = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return "unknown"
    return f"{octets / 2**30:.0f} GiB"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform(terse=True)


def _library(name: str) -> str | None:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return None
