"""Arithmetic of stored moments, in SQL."""

from datetime import datetime
from typing import Any

from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from l3mail.models import UtcDateTime


class Later(FunctionElement[datetime]):
    """A stored moment and so many seconds, alike on both databases to the microsecond."""

    inherit_cache = True
    type = UtcDateTime()


@compiles(Later, "postgresql")
def _postgres_later(element: Later, compiler: SQLCompiler, **kw: Any) -> str:
    moment, seconds = (compiler.process(part, **kw) for part in element.clauses)
    return f"({moment} + make_interval(secs => CAST({seconds} AS DOUBLE PRECISION)))"


@compiles(Later)
def _sqlite_later(element: Later, compiler: SQLCompiler, **kw: Any) -> str:
    moment, seconds = (compiler.process(part, **kw) for part in element.clauses)
    # Its own arithmetic knows milliseconds at most: whole seconds are moved, the rest is kept.
    whole = f"strftime('%Y-%m-%d %H:%M:%S', substr({moment}, 1, 19), {seconds} || ' seconds')"
    return f"({whole} || substr({moment}, 20))"
