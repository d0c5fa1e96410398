"""Wrong usage in words: one line where a program reads it, a box for people in a terminal.

Owns the wording of what typer and pydantic say in English of their own. Must not know commands.
"""

import os
import re
import sys
from typing import NoReturn

import typer
from typer.exceptions import TyperException

_INPUT = (
    (r"Input should be a valid integer.*", "this is no whole number"),
    (r"Input should be a valid number.*", "this is no number"),
    (r"Input should be greater than or equal to (.*)", r"this is less than \1"),
    (r"Input should be less than or equal to (.*)", r"this is more than \1"),
    (r"Input should be ", "this should be "),
    (r"^Value error, ", ""),
)
_LINE = (
    (r"^Invalid value for '([^']*)': ", r"\1: "),
    (r"^Invalid value: ", ""),
    (
        r"^No such command (.*?)\.(?: Did you mean (.*)\?)?$",
        r"no such command \1; did you mean \2?",
    ),
    (r"^No such option: (\S+)(?: \(Possible options: (.*)\))?$", r"no option \1; did you mean \2?"),
    (r"^No such option: (\S+?)\.? Did you mean (.*?)\??$", r"no option \1; did you mean \2?"),
    (r"^Got unexpected extra arguments?(?:\(s\))? \((.*)\)$", r"too much is said: \1"),
    (r"; did you mean \?$", ""),
)


def refuse(error: TyperException) -> NoReturn:
    """Say what is wrong with a command line, and exit 2 (or as the error wants)."""
    code = getattr(error, "exit_code", 2)
    if type(error).__name__ == "NoArgsIsHelpError":  # the help it asks for is printed already
        sys.exit(code)
    message = getattr(error, "message", None)
    if isinstance(message, str):
        error.message = _replaced(message, _INPUT)
    if _is_for_people():
        from typer.rich_utils import rich_format_error

        rich_format_error(error)  # type: ignore[arg-type]
    else:
        typer.echo(f"l3mail: {_line(error)}", err=True)
    sys.exit(code)


def _is_for_people() -> bool:
    return sys.stderr.isatty() and sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _line(error: TyperException) -> str:
    told = error.format_message() if hasattr(error, "format_message") else str(error)
    plain = " ".join(told.split())
    line = _replaced(plain, _LINE).rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None or "did you mean" in line or type(error) is typer.BadParameter:
        return line
    line = line[:1].lower() + line[1:]
    return f"{line}; `{context.command_path} --help` shows how"


def _replaced(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for pattern, words in pairs:
        text = re.sub(pattern, words, text, flags=re.DOTALL)
    return text
