"""One sender as a process of its own, so that its memory and its time are its alone.

    python -m bench.sender WORKSPACE [--plan]

Does what `l3mail worker --once` does, with `--plan` what `l3mail run --once` does. It says "ready"
once everything is loaded, waits for a line on its standard input, and ends with one line of JSON.
"""

import argparse
import asyncio
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

from sqlalchemy import func, select

from bench.crowd import ROOT, surroundings
from l3mail import rounds
from l3mail.clocks import SystemClock
from l3mail.models import DELIVERY
from l3mail.settings import load_settings
from l3mail.wiring import make_agenda, make_sender, only_sender, open_database


@dataclass(frozen=True, slots=True)
class Sent:
    """What one sender came to.

    `began` and `ended` are moments of one clock that all processes of this machine share;
    `accepted` counts rows of the database, whoever sent them.
    """

    began: float
    ended: float
    accepted: int
    planned: int
    planning_seconds: float
    peak_bytes: int
    peak_bytes_when_planned: int

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def send(
    workspace: Path,
    *options: str,
    senders: int = 1,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> list[Sent]:
    """Let so many senders empty the workspace's outbox at once; they begin together."""
    command = [sys.executable, "-m", "bench.sender", str(workspace), *options]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    cwd=ROOT,
                    env=surroundings(environment),
                )
            )
            for _ in range(senders)
        ]
        stack.callback(_end, processes)
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError(f"a sender ended with {process.wait()} before it began")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [_result(process) for process in processes]


def _result(process: "subprocess.Popen[str]") -> Sent:
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a sender ended with {process.returncode}")
    return Sent(**json.loads(said))


def require_all(mails: int, *, accepted: int, taken: int) -> None:
    """Refuse a figure that is not earned: every row accepted, and every mail with the receiver.

    So many taken of so many rows that are all accepted also means that none came twice.
    """
    if (accepted, taken) != (mails, mails):
        raise RuntimeError(f"of {mails:,} mails {accepted:,} are accepted, {taken:,} were taken")


def _end(processes: "Sequence[subprocess.Popen[str]]") -> None:
    for process in processes:
        if process.poll() is None:
            process.kill()


def peak_bytes() -> int:
    """The most memory this process ever had.

    Linux hands `ru_maxrss` on to whoever is started, so a small child of a big parent looks big;
    the high-water mark of its own address space does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _wait_for_the_others() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def main() -> None:
    """The command line of the module's docstring."""
    parser = argparse.ArgumentParser(prog="python -m bench.sender")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--plan", action="store_true", help="plan first, in the same process")
    options = parser.parse_args()
    settings = load_settings(options.workspace, os.environ)
    clock = SystemClock()
    with open_database(settings) as database, only_sender(database):
        agenda = make_agenda(settings)
        sender = make_sender(settings, database, clock)

        _wait_for_the_others()
        arrived = time.perf_counter()
        planned = rounds.run(database, clock, agenda).planned if options.plan else 0
        peak_when_planned = peak_bytes()
        began = time.perf_counter()
        asyncio.run(sender.run(once=True))
        ended = time.perf_counter()
        accepted = database.read(
            lambda connection: connection.execute(
                select(func.count()).where(DELIVERY.c.state == "accepted")
            ).scalar_one()
        )
    sent = Sent(
        began=began,
        ended=ended,
        accepted=accepted,
        planned=planned,
        planning_seconds=began - arrived,
        # The kernel sums up its count per processor loosely: read later it may say a little less.
        peak_bytes=max(peak_bytes(), peak_when_planned),
        peak_bytes_when_planned=peak_when_planned,
    )
    print(json.dumps(asdict(sent)))


if __name__ == "__main__":
    main()
