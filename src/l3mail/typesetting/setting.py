"""One paper, set by Typst in a folder that holds nothing but what goes into it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import typst

from l3mail.errors import PaperError, printable

PIECES: Final = Path(__file__).with_name("pieces.typ").read_text(encoding="utf-8")
"""How values become what a template lays out, as Typst."""

FONTS: Final = ("Libertinus Serif", "DejaVu Sans Mono")
_MAIN: Final = """
#import "/pieces.typ": body
#import "/{template}": paper
#let sheet = json(bytes(sys.inputs.sheet))
#set document(title: sheet.title, author: sheet.house, date: none)
#set text(lang: sheet.lang, font: {fonts})
#show: paper.with(sheet)
#body(sheet)
"""
_TRYING: Final = """
#set document(title: "-", date: none)
#set text(font: {fonts})
#sys.inputs.text
"""
_FOREIGN: Final = re.compile(r'"@\w')
_PLACE: Final = re.compile(r"^ *(?:┌─|-->) (\S.*):(\d+):\d+$", re.MULTILINE)
_UNSHOWN: Final = re.compile(r'the text `"(.+?)"` could not be displayed')
_ESCAPED: Final = re.compile(r"\\u\{([0-9a-f]+)\}|\\(.)")
_PLAIN: Final = re.compile(r"[\n -~\u00a0-\u017e–—‘’‚“”„…€]*")
"""What surely can be printed."""


@dataclass(frozen=True, slots=True)
class Paper:
    """What goes into one paper.

    `template` is the path of `source` below the workspace; it has a function `paper(sheet, body)`.
    `values` are the sheet as JSON: `title`, `lang` (ISO 639) and `house`, the `pieces` that
    `pieces.typ` knows, and whatever the template asks for. Pictures are named by their paths.
    """

    template: str
    source: str
    values: Mapping[str, Any]
    pictures: Mapping[str, bytes] = field(default_factory=dict)


def typeset(paper: Paper) -> bytes:
    """PDF/UA-1, without a date; raises PaperError."""
    return _set(paper, "pdf")


def picture(paper: Paper) -> bytes:
    """The first page as a PNG, to be looked at; raises PaperError."""
    return _set(paper, "png")


def _set(paper: Paper, form: Literal["pdf", "png"]) -> bytes:
    if foreign := _FOREIGN.search(paper.source):
        line = paper.source.count("\n", 0, foreign.start()) + 1
        raise PaperError(
            paper.template, line, "packages would be fetched from elsewhere; write it out here"
        )
    main = _MAIN.format(template=paper.template, fonts=_array(FONTS))
    texts = {"main.typ": main, "pieces.typ": PIECES, paper.template: paper.source}
    with TemporaryDirectory(prefix="l3mail-") as room:
        for name, data in [*_encoded(texts), *paper.pictures.items()]:
            file = Path(room, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        try:
            made: Any = typst.compile(
                str(Path(room, "main.typ")),
                root=room,
                font_paths=_fonts(),
                format=form,
                sys_inputs={"sheet": json.dumps(paper.values)},
                pdf_standards=["ua-1"] if form == "pdf" else [],
                timestamp=0,
            )
        except typst.TypstError as error:
            raise _fault(paper, error) from error
        except RuntimeError as error:  # nothing of the text: a file that cannot be read, say
            raise PaperError(paper.template, 1, printable(str(error), 200)) from error
    return bytes(made[0] if isinstance(made, list) else made)


def _encoded(texts: Mapping[str, str]) -> list[tuple[str, bytes]]:
    return [(name, text.encode()) for name, text in texts.items()]


@cache
def _fonts() -> typst.Fonts:
    """Typst's own: a paper looks the same wherever it is made."""
    return typst.Fonts(include_system_fonts=False)


def _array(names: tuple[str, ...]) -> str:
    return "(" + ", ".join(f'"{name}"' for name in names) + ")"


def _fault(paper: Paper, error: typst.TypstError) -> PaperError:
    """Where in the template Typst stopped; line 1 where it was in what it was given."""
    unshown = _unshown(error.diagnostic)
    if unshown:
        return PaperError(paper.template, 1, f"no font has {' '.join(unshown)}; write it otherwise")
    seen = _PLACE.findall(error.diagnostic)
    places = [int(line) for path, line in seen if path.endswith(paper.template)]
    hint = f" ({error.hints[0]})" if error.hints else ""
    problem = re.sub(r" \(searched at .*\)", "", error.message)
    if problem == "unresolved import" and not places:
        problem = "has no function paper(sheet, body); write one"
    return PaperError(paper.template, places[0] if places else 1, printable(problem + hint, 300))


def _unshown(diagnostic: str) -> tuple[str, ...]:
    found = (_ESCAPED.sub(_unescaped, text) for text in _UNSHOWN.findall(diagnostic))
    return tuple(dict.fromkeys(found))


def _unescaped(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16)) if escape[1] else str(escape[2])


def printed(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values without the signs that no font here has, however deep their texts lie."""
    texts = list(_texts(values))
    whole = "\n".join(texts)
    # Asked once of all that is written, and of each only where that told nothing.
    signs = unprintable(whole)
    if signs == (whole,):
        signs = tuple(dict.fromkeys(sign for text in texts for sign in unprintable(text)))
    return {name: _without(value, signs) for name, value in values.items()}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _without(value: Any, signs: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        for sign in signs:
            value = value.replace(sign, "")
        return value
    if isinstance(value, Mapping):
        return {name: _without(inner, signs) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, signs) for inner in value]
    return value


def unprintable(text: str) -> tuple[str, ...]:
    """The signs of a text that no font here has: emoji, and scripts such as Chinese or Thai.

    Keeps nothing: it is asked of people's names, too.
    """
    if _PLAIN.fullmatch(text):
        return ()
    try:
        typst.compile(
            _TRYING.format(fonts=_array(FONTS)).encode(),
            font_paths=_fonts(),
            sys_inputs={"text": text},
            pdf_standards=["ua-1"],
            timestamp=0,
        )
    except typst.TypstError as error:
        return _unshown(error.diagnostic) or (text,)
    return ()
