"""The C reference: postfix's smtp-source against its smtp-sink, unpacked and never installed.

Found on the PATH, or below L3MAIL_POSTFIX, or unpacked from Debian's package into a folder of its
own. No mail server is started: the sink throws away what it gets.
"""

import atexit
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.figures import MissingError

PACKAGES = ("postfix", "libdb5.3", "libicu72")
HOW_TO_GET_IT = (
    "unpack Debian's packages " + ", ".join(PACKAGES) + " with `dpkg-deb -x` into one folder (no"
    " need to install a mail server) and name it in L3MAIL_POSTFIX"
)
SESSIONS = 20
LONGEST_COUNT = 200


@dataclass(frozen=True)
class Postfix:
    """Where the two programs lie, and the libraries they want."""

    source: str
    sink: str
    libraries: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LD_LIBRARY_PATH": self.libraries}


@cache
def postfix() -> Postfix:
    """Find or unpack the programs; raises MissingError."""
    found = shutil.which("smtp-source"), shutil.which("smtp-sink")
    if all(found):
        return Postfix(str(found[0]), str(found[1]))
    kept = os.environ.get("L3MAIL_POSTFIX")
    root = Path(kept) if kept else _unpacked()
    source, sink = root / "usr/sbin/smtp-source", root / "usr/sbin/smtp-sink"
    if not (source.exists() and sink.exists()):
        raise MissingError(f"smtp-source and smtp-sink are not here: {HOW_TO_GET_IT}")
    libraries = [root / "usr/lib/postfix", *root.glob("usr/lib/*-linux-gnu*")]
    return Postfix(str(source), str(sink), ":".join(map(str, libraries)))


def _unpacked() -> Path:
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingError(f"smtp-source and smtp-sink are not here: {HOW_TO_GET_IT}")
    folder = Path(tempfile.mkdtemp(prefix="l3mail-postfix-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # apt fetches as a user of its own
    for package in PACKAGES:
        subprocess.run(
            ["apt-get", "download", package], cwd=folder, capture_output=True, check=False
        )
    root = folder / "root"
    for archive in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", archive, root], check=False)
    return root


@dataclass(frozen=True)
class Sink:
    """A sink that counts what it takes."""

    port: int
    _log: Path

    def taken(self) -> int:
        """How many mails it has taken so far, by its own account."""
        with self._log.open("rb") as log:
            # A line for every mail: only the last one matters.
            log.seek(max(0, self._log.stat().st_size - LONGEST_COUNT))
            counts = re.findall(rb"mesg=(\d+)\r", log.read())
        return int(counts[-1]) if counts else 0


@contextlib.contextmanager
def sink() -> Iterator[int]:
    """A sink that takes everything, at a free port of this machine."""
    with counting_sink() as taking:
        yield taking.port


@contextlib.contextmanager
def counting_sink() -> Iterator[Sink]:
    """The same, with its count of mails."""
    programs = postfix()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [programs.sink, *_as_somebody(), "-c", f"127.0.0.1:{port}", "1000"]
    with tempfile.NamedTemporaryFile(prefix="l3mail-sink-") as log:
        process = subprocess.Popen(
            command, env=programs.environment, stdout=log, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for(port, process)
            yield Sink(port, Path(log.name))
        finally:
            process.terminate()
            process.wait()


def _as_somebody() -> list[str]:
    # The sink refuses to run as root.
    return ["-u", "nobody"] if os.geteuid() == 0 else []


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(200):
        if process.poll() is not None:
            raise MissingError("smtp-sink does not run here")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise MissingError("smtp-sink does not listen")


def smtp_source(port: int, mails: int, octets: int) -> float:
    """Seconds that smtp-source takes for so many mails of so many octets on kept sessions."""
    programs = postfix()
    command = [programs.source, "-d", "-s", str(SESSIONS), "-m", str(mails), "-l", str(octets)]
    command += ["-f", "kurs@stadt.example", "-t", "person@schule.example", f"127.0.0.1:{port}"]
    began = time.perf_counter()
    subprocess.run(command, env=programs.environment, check=True, capture_output=True)
    return time.perf_counter() - began
