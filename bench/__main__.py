"""Measure, say what came of it, and after a full run write it down.

    python -m bench [NAME ...] [--quick] [--list] [--results FILE]

Exit 0 when everything was measured that could be, missed goals or not; 1 when a part failed, 2 for
wrong usage, 130 after Ctrl-C, which still shows what was measured by then.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench import parts, results
from bench.figures import Figure, Size


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = _options(argv)
    told = Console(highlight=False)
    progress = Console(stderr=True, highlight=False)
    size = Size.QUICK if options.quick else Size.FULL
    try:
        wanted = parts.chosen(options.names)
    except KeyError as unknown:
        known = ", ".join(part.name for part in parts.PARTS)
        progress.print(f"bench: {unknown.args[0]!r} is nothing to measure; known are {known}")
        return 2
    if options.list:
        for part in wanted:
            told.print(f"{part.name:<12} about {part.minutes:g} min")
        return 0
    whole = size is Size.FULL and not options.names
    facts = results.facts(f"{size}, {'all parts' if whole else ' '.join(p.name for p in wanted)}")
    figures, interrupted = measure(wanted, size, progress)
    told.print(results.table(figures, size))
    failed = any(figure.failed for figure in figures)
    complete = whole and not failed and not interrupted
    path = options.results or (results.RESULTS if complete else None)
    if path is not None:
        path.write_text(results.as_markdown(figures, size, facts), encoding="utf-8")
        told.print(f"Written to {path}", soft_wrap=True)
    elif whole:
        told.print("Nothing is written down: the run is not complete.")
    if size is Size.QUICK:
        told.print("A quick run shows that it works; goals are judged by the full one.")
    return 130 if interrupted else int(failed)


def measure(
    wanted: Sequence[parts.Part], size: Size, progress: Console
) -> tuple[list[Figure], bool]:
    """All figures of these parts, one after the other, and whether somebody stopped it."""
    figures: list[Figure] = []
    total = parts.minutes(tuple(wanted), size)
    progress.print(f"{count(len(wanted), 'part')}, {how_long(total)} on a machine of its own")
    try:
        for number, part in enumerate(wanted, start=1):
            began = time.monotonic()
            about = "" if size is Size.QUICK else f", about {part.minutes:g} min"
            progress.print(f"\\[{number}/{len(wanted)}] {part.name}{about}")
            with progress.status("measuring"):
                for figure in parts.run(part.name, size, progress.out):
                    figures.append(figure)
                    name, *_, measured, verdict = results.cells(figure, size)
                    progress.print(f"      {name}: {measured}, {verdict}", markup=False)
            progress.print(f"      in {time.monotonic() - began:.0f} s")
    except KeyboardInterrupt:
        progress.print("stopped; what was measured by now:")
        return figures, True
    return figures, False


def count(number: int, what: str) -> str:
    """`1 part`, `2 parts`."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def how_long(minutes: float) -> str:
    """About how many minutes, in words that are never none."""
    whole = round(minutes)
    return f"about {count(whole, 'minute')}" if whole else "less than a minute"


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these parts; see --list")
    parser.add_argument("--quick", action="store_true", help="small: does it work at all?")
    parser.add_argument("--list", action="store_true", help="say which parts there are, and end")
    parser.add_argument(
        "--results", metavar="FILE", type=Path, help="write the figures there, whole run or not"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
