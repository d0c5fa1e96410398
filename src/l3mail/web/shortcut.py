"""The short way of pixels and links: from the bytes of a request to those of its answer.

After a newsletter most requests are these two, and most of what they cost is a server's care for
requests that may be anything. What is taken here can be read in one way only: one whole head,
nothing behind it, a body neither announced nor sent, no byte that some other program might
take for the end of a line. Everything else goes the long way, where the same `Tracks` answers.
"""

import re
from collections.abc import Callable, Sequence
from http import HTTPStatus

from l3mail.web.gate import completed
from l3mail.web.tracks import Answer

LONGEST_HEAD = 4 * 1024
"""Less than the gate lets in, whatever stands in it."""

_HEAD = re.compile(
    rb"GET (?P<target>/[!\"$&-~]*) HTTP/1\.(?P<minor>[01])\r\n"
    rb"(?P<fields>(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)*)\r\n"
)
_OF_BODIES = frozenset(
    {b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"te", b"trailer"}
)

AtOnce = Callable[[str, Sequence[tuple[bytes, bytes]]], Answer | None]


class Shortcut:
    """Answers what `at_once` knows the answer of; `prefix` is the path of BASE_URL.

    `begins` is how the requests begin that are worth a look.
    """

    def __init__(self, at_once: AtOnce, prefix: str = "") -> None:
        """Know no answer yet."""
        self._at_once = at_once
        self._prefix = prefix.encode()
        paths = ["/o/", "/c/"]
        paths += [prefix + path for path in paths if prefix]
        self.begins = tuple(f"GET {path}".encode() for path in paths)

    def take(self, data: bytes, more: bytes) -> tuple[bytes, bool] | None:
        """The answer to a request, and whether the connection goes on; None: ask the long way.

        `more` are header lines of the server's own.
        """
        found = _HEAD.fullmatch(data) if len(data) <= LONGEST_HEAD else None
        if found is None:
            return None
        goes_on, hosts, headers = found["minor"] == b"1", 0, []
        for line in found["fields"].split(b"\r\n")[:-1]:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip(b" \t")
            if name in _OF_BODIES:
                return None
            if name == b"host":
                hosts += 1
            elif name == b"connection":
                wish = value.lower()
                if wish not in {b"close", b"keep-alive"}:
                    return None
                goes_on = goes_on and wish == b"keep-alive"
            headers.append((name, value))
        if hosts > 1 or (hosts == 0 and found["minor"] == b"1"):
            return None
        path = found["target"].partition(b"?")[0]
        if self._prefix and path.startswith(self._prefix + b"/"):
            path = path[len(self._prefix) :]
        if not path.startswith((b"/o/", b"/c/")):
            # The path of BASE_URL may begin as ours do.
            return None
        answer = self._at_once(path.decode("ascii"), headers)
        if answer is None:
            return None
        first, rest = answer.written or _write(answer)
        return first + more + (rest if goes_on else b"Connection: close\r\n" + rest), goes_on


def _write(answer: Answer) -> tuple[bytes, bytes]:
    """An answer as bytes, before and behind the server's own header lines."""
    lines = [name + b": " + value + b"\r\n" for name, value in completed(answer.headers)]
    first = b"HTTP/1.1 %d %s\r\n" % (answer.status, HTTPStatus(answer.status).phrase.encode())
    answer.written = first, b"".join(lines) + b"\r\n" + answer.body
    return answer.written
