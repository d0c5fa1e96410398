"""From `l3mail.toml` and the environment to `Settings`, or to one line for every fault.

Owns the search for the workspace, the order of precedence, the line numbers and the words of the
error lines. Must not know what a key means: `sections` says what is expected.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from l3mail import owners
from l3mail.errors import SettingsError, WorkspaceError, quoted
from l3mail.settings.sections import FORM_FIELDS, Sections, Settings

FILE = "l3mail.toml"

# Where each variable lands; L3MAIL_SMTP_PASSWORD and L3MAIL_SECRET_KEY have no key on purpose.
ENVIRONMENT: Mapping[str, tuple[str, str]] = {
    "L3MAIL_DATABASE_URL": ("database", "url"),
    "L3MAIL_SMTP_HOST": ("relay", "host"),
    "L3MAIL_SMTP_PORT": ("relay", "port"),
    "L3MAIL_SMTP_USERNAME": ("relay", "username"),
    "L3MAIL_SMTP_TLS": ("relay", "tls"),
    "L3MAIL_BASE_URL": ("web", "base_url"),
    "L3MAIL_FROM": ("sender", "from"),
    "L3MAIL_TIMEZONE": ("workspace", "timezone"),
    "L3MAIL_LOG_FORMAT": ("log", "format"),
}
_VARIABLES = {path: variable for variable, path in ENVIRONMENT.items()}

# What people call a secret, and the variable it belongs into.
_SECRET_NAMES = {
    **dict.fromkeys(("password", "smtp_password", "passwort"), "L3MAIL_SMTP_PASSWORD"),
    **dict.fromkeys(("secret_key", "secret_keys", "secret"), "L3MAIL_SECRET_KEY"),
}
_URL_WITH_PASSWORD = re.compile(r"://[^/@:]*:.*@|[?&]password=", re.IGNORECASE | re.DOTALL)
_CREDENTIALS = re.compile(
    r":[^\s<>][^<>]*@", re.DOTALL
)  # user:password@host, in whatever key it landed
_TOML_FAULT = re.compile(
    r"(?P<fault>.*?)(?: \(at (?:line (?P<line>\d+), column \d+|end of document)\))?", re.DOTALL
)

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_FIELD_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")

_Path = tuple[str, ...]
_NOWHERE = 2**31  # sorts after every line: faults of the environment come last


def find_workspace(start: Path, explicit: Path | None, environ: Mapping[str, str]) -> Path:
    """Return the absolute folder that holds `l3mail.toml`, or raise `WorkspaceError`.

    `explicit` (`--workspace`) wins over L3MAIL_WORKSPACE; both must name the folder itself, and
    are taken from `start` if relative. Else it is looked for in `start` and above, as git does.
    """
    named: str | Path | None = explicit or environ.get("L3MAIL_WORKSPACE")
    if named is not None and named != "":
        folder = start.joinpath(Path(named).expanduser()).resolve()
        try:
            (folder / FILE).stat()
        except PermissionError as error:
            raise WorkspaceError(
                f"{error.filename}: {error.strerror}{owners.mend(folder / FILE)}"
            ) from error
        except OSError:
            pass  # told below
        if not _is_workspace(folder):
            by = "--workspace" if explicit else "L3MAIL_WORKSPACE"
            raise WorkspaceError(
                f"{by} names {folder}, which holds no {FILE};"
                f" correct it or run `l3mail init {folder}`"
            )
        return folder
    here = start.resolve()
    for folder in (here, *here.parents):
        if _is_workspace(folder):
            return folder
    raise WorkspaceError(f"no {FILE} here or above; run `l3mail init DIR` or pass --workspace")


def load_settings(workspace: Path, environ: Mapping[str, str]) -> Settings:
    """Read the workspace's configuration; raises `SettingsError` with a line for every fault.

    A variable of the environment wins over the file; an empty one counts as unset. No error and
    no repr shows a secret, which is why the cause of a `SettingsError` is cut off.
    """
    text = _read(workspace / FILE)
    data = _parsed(text)
    problems: list[tuple[int, str]] = list(_passwords_in_urls(data, text))
    problems += _unasked_fields(data, text)
    given = _given(environ)
    overlaid = _overlaid(data, given)
    keys = [key.strip() for key in given.get("L3MAIL_SECRET_KEY", "").split(",")]
    problems += [
        (_NOWHERE, f"{variable} is not a variable of ours; did you mean {near}?")
        for variable, near in _misspelt(given)
    ]
    if "L3MAIL_SECRET_KEY" in given and "" in keys:
        line = "L3MAIL_SECRET_KEY holds an empty key; write keys with one comma between them"
        problems.append((_NOWHERE, line))
    try:
        sections = Sections.model_validate(overlaid)
    except ValidationError as error:
        lines = _lines(text)
        problems += [_problem(fault, lines, given) for fault in error.errors()]
        sections = Sections()
    if problems:
        raise SettingsError([line for _, line in sorted(problems)])
    password = given.get("L3MAIL_SMTP_PASSWORD")
    return Settings.model_validate(
        {
            **dict(sections),
            "folder": workspace.resolve(),
            "smtp_password": SecretStr(password) if password else None,
            "secret_keys": tuple(SecretStr(key) for key in keys if key),
        }
    )


def load_whereabouts(workspace: Path, environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """As much of the configuration as says where the rows are, and the faults of the rest.

    For the emergency brake, which no slip of the pen in another section may stop. Raises
    `SettingsError` where that very place can't be read.
    """
    try:
        return load_settings(workspace, environ), []
    except SettingsError as error:
        faults = error.problems
    if url := environ.get("L3MAIL_DATABASE_URL", "").strip():
        table: Any = {"url": url}
    elif "L3MAIL_DATABASE_URL" in dict(_misspelt(_given(environ))).values():
        raise SettingsError([*faults, _NO_PLACE])
    else:
        table = _database_table(workspace / FILE, faults)
    try:
        sections = Sections.model_validate({"database": table})
    except ValidationError:
        raise SettingsError([*faults, _NO_PLACE]) from None
    return Settings.model_validate({**dict(sections), "folder": workspace.resolve()}), faults


_NO_PLACE = f"so nobody knows where the database is: correct [database] in {FILE} first"
_PLACE = re.compile(r"(?<!http)(?<!https)://", re.IGNORECASE)
"""What is in every address of a database, and in a web address after another word."""


def _database_table(path: Path, faults: list[str]) -> Any:
    """What a faulty file says of the database: {}, the usual place, only if it surely says none.

    An address that stands where nobody looks was meant: who takes the usual place then may have
    another database there.
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise SettingsError([*faults, _NO_PLACE]) from None
    text = content.decode("utf-8-sig", "replace")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        silent = not any(map(_may_say_where, text.splitlines()))
    else:
        table = _frozen(data.get("database", {}))
        if table != {} and not _LOST.search(str(table)):
            return table
        silent = table == {} and data.keys() <= _fields(Sections).keys() and not _says_where(data)
    if silent and not _LOST.search(text):
        return {}
    raise SettingsError([*faults, _NO_PLACE])


_LOST = re.compile("[\0\N{REPLACEMENT CHARACTER}]")
"""What is left of letters that are no UTF-8, and between those of UTF-16."""


def _may_say_where(line: str) -> bool:
    if line.lstrip().startswith("#"):
        return False
    return "database" in line.partition("#")[0] or _PLACE.search(line) is not None


def _says_where(value: Any) -> bool:
    if isinstance(value, dict):
        value = [*value.values()]
    if isinstance(value, list):
        return any(map(_says_where, value))
    return isinstance(value, str) and _PLACE.search(value) is not None


def written_in(workspace: Path) -> tuple[str, dict[tuple[str, ...], int]]:
    """What `l3mail.toml` says as it was typed, and the line of each of its keys; it is sound."""
    text = _read(workspace / FILE)
    return text, _lines(text)


def _given(environ: Mapping[str, str]) -> dict[str, str]:
    return {variable: value for variable, value in environ.items() if value.strip()}


def _misspelt(given: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Find variables that look like ours and are not: a typo would be ignored in silence.

    Each with the one that was meant.
    """
    known = [*ENVIRONMENT, "L3MAIL_SMTP_PASSWORD", "L3MAIL_SECRET_KEY", "L3MAIL_WORKSPACE"]
    for variable in sorted(given):
        if variable.startswith("L3MAIL_") and variable not in known:
            near = difflib.get_close_matches(variable, known, n=1, cutoff=0.85)
            if near:
                yield variable, near[0]


def _is_workspace(folder: Path) -> bool:
    try:
        return (folder / FILE).is_file()
    except OSError:  # under sudo the current folder may be another user's
        return False


def _read(path: Path) -> str:
    try:
        # The mark before the text is Windows' Notepad's, not the operator's fault.
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise WorkspaceError(
            f"no {FILE} in {path.parent}; run `l3mail init DIR` or pass --workspace"
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        fault = f"{FILE}:{line}: this line is not UTF-8 text; save the file as UTF-8"
        raise SettingsError([fault]) from error
    except OSError as error:
        fault = f"{path} cannot be read: {error.strerror}{owners.mend(path)}"
        raise SettingsError([fault]) from error


def _parsed(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _TOML_FAULT.fullmatch(str(error))
        fault = match["fault"] if match else str(error)
        written = text.rstrip().split("\n")
        number = int((match and match["line"]) or len(written))
        line = written[min(number, len(written)) - 1].strip()
        raise SettingsError([f"{FILE}:{number}: {_mended(line, fault)}"]) from error


def _mended(line: str, fault: str) -> str:
    """Say in an operator's words what is wrong with a line that is no TOML, and how to write it."""
    key, equals, value = (part.strip() for part in line.partition("="))
    twice = re.search(r"Cannot declare \((.*?),?\) twice", fault)
    if twice:
        table = ".".join(re.findall(r"'(.*?)'", twice[1]))
        return f"[{table}] stands here again; put its lines below the first [{table}]"
    if "overwrite" in fault:
        return f"{quoted(key)} stands here again; keep one of the two lines"
    if re.search("[\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019]", value):
        return f'the quotes are typographic ones; write {key} = "…" with straight quotes'
    if line.startswith("["):
        return f"{quoted(line)} is no table; write it as [relay], with both brackets"
    if equals and re.fullmatch(r"[A-Za-z0-9_.-]+", key):
        # Not shown: it may be a password that somebody wrote here.
        return (
            f"the value of {quoted(key)} cannot be read; write a text in straight quotes,"
            f' {key} = "…", a number in digits, {key} = 10, a switch as true or false'
        )
    return f'{fault}; write tables as [relay] and texts as host = "localhost"'


def _passwords_in_urls(data: dict[str, Any], text: str) -> Iterator[tuple[int, str]]:
    """Find a password in the file's database address, even where the environment wins over it."""
    section = data.get("database")
    url = section.get("url") if isinstance(section, dict) else None
    if isinstance(url, str) and _URL_WITH_PASSWORD.search(url):
        number, place = _place(("database", "url"), _lines(text))
        line = (
            f'{place}: "database.url" holds a password, which must not stand in this file;'
            " delete the line and set L3MAIL_DATABASE_URL in the environment"
        )
        yield number, line


def _unasked_fields(data: dict[str, Any], text: str) -> Iterator[tuple[int, str]]:
    """Find names in `signup.fields` that no form can ask for: neither its own nor declared."""
    signup, attributes = data.get("signup"), data.get("attributes", {})
    names = signup.get("fields") if isinstance(signup, dict) else None
    if not isinstance(names, list) or not isinstance(attributes, dict):
        return  # told where types are
    known = [*FORM_FIELDS, *attributes]
    for name in names:
        if name in known or not isinstance(name, str) or not _FIELD_NAME.fullmatch(name):
            continue
        number, place = _place(("signup", "fields"), _lines(text))
        near = difflib.get_close_matches(name, known, n=1)
        mend = f"known are {', '.join(known)}; declare it as [attributes.{name}] or take it out"
        if near:
            mend = f"did you mean {quoted(near[0])}?"
        yield number, f'{place}: "signup.fields" names {quoted(name)}, which no form asks; {mend}'


def _overlaid(data: dict[str, Any], given: Mapping[str, str]) -> dict[str, Any]:
    """Lay the environment over the file's tables, in types that strict models take."""
    tables: dict[str, Any] = {name: _frozen(value) for name, value in data.items()}
    for variable, (section, key) in ENVIRONMENT.items():
        table = tables.setdefault(section, {}) if variable in given else None
        if isinstance(table, dict):  # what is no table is a fault of the file, told elsewhere
            value = given[variable].strip()
            number = key == "port" and re.fullmatch(r"[0-9]{1,9}", value)
            table[key] = int(value) if number else value
    return tables


def _frozen(value: Any) -> Any:
    """Turn TOML's lists into tuples, which frozen models hold."""
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value


def _problem(
    error: ErrorDetails, lines: Mapping[_Path, int], given: Mapping[str, str]
) -> tuple[int, str]:
    """Word one fault: where, which key, what was found, what is expected, how to mend it."""
    path = tuple(str(part) for part in error["loc"] if isinstance(part, str) and part != "[key]")
    number, place = _place(path, lines)
    subject = f"{place}: {quoted('.'.join(path))}"
    variable = _VARIABLES.get((path[0], path[-1])) if len(path) == 2 else None
    if variable in given:
        number, subject = _NOWHERE, str(variable)
    kind = error["type"]
    if kind == "extra_forbidden":
        return number, f"{subject} {_unknown(path)}"
    field = _field(path)
    mend = f"write {_example(path, field)}"
    if variable in given and field:
        mend = f"set {variable}={_plain(field)}"
    if kind == "missing":
        return number, f"{subject} is missing; {mend}"
    found = "not shown here" if path == ("database", "url") else _shown(error["input"])
    if kind == "value_error":
        reason = str(error.get("ctx", {}).get("error", error["msg"]))
        whole_table = isinstance(error["input"], dict)
        return number, f"{subject} {reason}" if whole_table else f"{subject} is {found}, {reason}"
    if "[key]" in error["loc"]:
        expected, mend = "a name of a-z, 0-9 and -", "rename it"
    else:
        expected = (field and field.description) or "a table"
    return number, f"{subject} is {found}, expected {expected}; {mend}"


def _unknown(path: _Path) -> str:
    """Say that a key is not one, and name the nearest; a secret is sent to the environment."""
    *parents, key = path
    known = sorted(_fields(_model(tuple(parents))))
    near = difflib.get_close_matches(key.lower(), [*known, *_SECRET_NAMES], n=1)
    if near and near[0] in _SECRET_NAMES:
        variable = _SECRET_NAMES[near[0]]
        if parents == ["database"]:
            variable = "L3MAIL_DATABASE_URL"
        return f"must not stand in this file; delete the line and set {variable} in the environment"
    if near:
        return f'is not a key here; did you mean "{near[0]}"?'
    return f"is not a key here; known are {', '.join(known)}"


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The keys of a section as the file spells them (`from`, not `from_`)."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _field(path: _Path) -> FieldInfo | None:
    """The declaration of the key at `path`; None for a table, whose name is free."""
    return _fields(_model(path[:-1])).get(path[-1]) if path else None


def _model(path: _Path) -> type[BaseModel]:
    """The section that holds the keys below `path`."""
    model: Any = Sections
    for part in path:
        if get_origin(model) is Mapping:  # [streams.<slug>]: the slug is any name
            model = get_args(model)[1]
        else:
            model = _fields(model)[part].annotation
    return model if isinstance(model, type) and issubclass(model, BaseModel) else _Empty


class _Empty(BaseModel):
    """Stands for a table without keys of its own, such as `[streams]`."""


def _example(path: _Path, field: FieldInfo | None) -> str:
    """Write a key as it could stand in the file, or the head of its table."""
    if field is None or not field.examples:
        names = (name if _BARE_KEY.fullmatch(name) else json.dumps(name) for name in path)
        return f"[{'.'.join(names)}]"
    return f"{path[-1]} = {json.dumps(field.examples[0], ensure_ascii=False)}"


def _plain(field: FieldInfo) -> str:
    """Write an example as a shell would take it."""
    example = str((field.examples or [""])[0])
    return f"'{example}'" if re.search(r"[^\w./:@-]", example) else example


def _shown(value: Any) -> str:
    """Show a found value in the file's spelling, hostile or endless as it may be, but no secret."""
    if isinstance(value, str):
        return "not shown here" if _CREDENTIALS.search(value) else quoted(value)
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, tuple):
        return "a list"
    return quoted(str(value).lower() if isinstance(value, bool) else str(value))[1:-1]


def _place(path: _Path, lines: Mapping[_Path, int]) -> tuple[int, str]:
    """The line of a key or, where it has none of its own, of the nearest table around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]], f"{FILE}:{lines[path[:length]]}"
    return 0, FILE


def _lines(text: str) -> dict[_Path, int]:
    """Find the line of every key and table head of a sound TOML text.

    tomllib keeps no positions, so it is asked again for each statement: one that does not parse
    alone goes on in the next line. Only a file with faults pays for it.
    """
    found: dict[_Path, int] = {}
    rows = text.split("\n")
    table: _Path = ()
    start = 0
    while start < len(rows):
        end = start + 1
        while (statement := _statement(rows[start:end])) is None and end < len(rows):
            end += 1
        paths = list(_paths(statement or {}))
        if rows[start].lstrip().startswith("["):
            table = paths[-1]
        else:
            paths = [(*table, *path) for path in paths]
        for path in paths:
            found.setdefault(path, start + 1)
        start = end
    return found


def _statement(rows: list[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads("\n".join(rows))
    except tomllib.TOMLDecodeError:
        return None


def _paths(table: Mapping[str, Any], above: _Path = ()) -> Iterator[_Path]:
    """Every path in a parsed statement, outermost first."""
    for key, value in table.items():
        path = (*above, key)
        yield path
        if isinstance(value, dict):
            yield from _paths(value, path)
