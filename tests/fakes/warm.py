"""Commands as processes of their own that need not import everything anew.

Importing costs a command most of its time. Here one process, started at the first command, has
imported all of l3mail and forks itself for each: what runs has a pid, files, environment and end of
its own, as if it had been started from nothing. What a command imports is tested elsewhere, and so
is what happens to those that run on, get signals or die.
"""

import atexit
import functools
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]


def run(
    arguments: Sequence[str], environment: Mapping[str, str], seconds: float
) -> "subprocess.CompletedProcess[str]":
    """What `l3mail` with these arguments says and how it ends; it has to, in so many seconds."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        order = {
            "arguments": list(arguments),
            "environment": dict(environment),
            "out": str(out),
            "err": str(err),
        }
        code = _office().run(order, seconds)
        return subprocess.CompletedProcess(list(arguments), code, *map(Path.read_text, (out, err)))


class _Office:
    """The process that forks; one command at a time, whoever asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.warm"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        atexit.register(self._close)

    def run(self, order: Mapping[str, Any], seconds: float) -> int:
        """Its exit code, as `subprocess` has it; TimeoutExpired for what had to be killed."""
        expired = threading.Event()

        def give_up() -> None:
            expired.set()
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            pid = int(self._answer())
            timer = threading.Timer(seconds, give_up)
            timer.start()
            code = int(self._answer())
            timer.cancel()
        if expired.is_set():
            raise subprocess.TimeoutExpired(order["arguments"], seconds)
        return code

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the process that forks for commands is gone")
        return line

    def _close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@functools.cache
def _office() -> _Office:
    return _Office()


def _import_all() -> None:
    import l3mail

    for module in pkgutil.walk_packages(l3mail.__path__, "l3mail."):
        if not module.name.endswith(("__main__", "migrations.env")):  # which are commands
            importlib.import_module(module.name)


def _become(order: Mapping[str, Any]) -> None:
    """Be the process of a command: its environment, its files, nobody's input."""
    os.environ.clear()
    os.environ.update(order["environment"])
    for path, stream, number in ((order["out"], "stdout", 1), (order["err"], "stderr", 2)):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
        setattr(sys, stream, open(number, "w", encoding="utf-8", closefd=False))  # noqa: SIM115
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.argv = ["l3mail", *order["arguments"]]


def _serve(orders: IO[str], answers: IO[str]) -> Mapping[str, Any] | None:
    """Fork for each order and say how it ended; a child returns with its order."""
    for line in orders:
        order: Mapping[str, Any] = json.loads(line)
        pid = os.fork()
        if not pid:
            return order
        print(pid, file=answers, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    return None


if __name__ == "__main__":
    from l3mail.cli import main

    _import_all()
    if (ordered := _serve(sys.stdin, sys.stdout)) is not None:
        _become(ordered)
        main()
