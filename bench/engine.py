"""The whole engine against C that does nothing but SMTP, and against an afternoon's work.

One sender process with its crash safety on (an intent row before every mail, SQLite in WAL with
synchronous=FULL) sends the test issue on twenty connections; everybody agreed to be measured, so
each link is personal. In every round the same sink takes as many mails of as many octets from
smtp-source, and fewer from the naive baseline, which is slow.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

from bench import naive, reference
from bench.crowd import ROOT, crowd, keep, plan, surroundings
from bench.figures import Figure, Goal, Scale, Size, in_turns, middle, ratio
from bench.sender import require_all, send
from l3mail.wiring import rendered

IN_THE_WAY = (
    "Of a mail's CPU time writing it takes 35 % (links with their signatures, headers, both parts),"
    " its row 28 % (claim, intent, outcome; half of that is SQL), the kernel's copy to the socket,"
    " which C has too, 17 %, the dialogue and the event loop 20 %. All but the kernel's and"
    " SQLite's share waits for one interpreter lock, beside a sink that takes most of a core."
)
AGAINST_SOURCE = Goal("whole engine / smtp-source", 0.5, 1.0, in_the_way=IN_THE_WAY)
AGAINST_LISTMONK = Goal(
    "whole engine / listmonk (recorded: 0.49 of smtp-source)",
    1.2,
    2.0,
    in_the_way="The same; twice listmonk would be nearly all that smtp-source does.",
)
AGAINST_NAIVE = Goal("whole engine / naive baseline", 20, 40, in_the_way="The same.")

LISTMONK = 0.49
"""What listmonk 6.2 reached of smtp-source at its best setting, 30 KB mails, recorded in 2026."""

FIRST_PERSON = ("Änne", "Beispiel1")
_OURS = re.compile(
    r"http://127\.0\.0\.1:8000/(c|o|unsubscribe|preferences|view|interest)/[\w.=~-]+?"
    r"(/\d+|\.gif)?(?=[\s\"'<>)]|$)"
)


SCALES = {Size.FULL: Scale(10_000, 5), Size.QUICK: Scale(500, 2)}
NAIVE_PART = 20
"""The baseline is slow: it sends one in so many of what the others send."""


def figures(size: Size) -> Iterator[Figure]:
    """The engine's rate against three others."""
    scale = SCALES[size]
    few = scale.mails // NAIVE_PART
    with reference.counting_sink() as sink, tempfile.TemporaryDirectory() as folder:
        stock = Path(folder)
        with crowd(scale.mails, port=sink.port, connections=20, tracked=True) as people:
            plan(people)
            mail = rendered(people.settings, people.database, 1)
            keep(people, stock / "engine")
        lay_out_naive(mail, stock / "naive", few)
        rates = in_turns(
            scale.rounds,
            engine=lambda: engine_rate(stock / "engine", sink, scale.mails),
            source=lambda: scale.mails / reference.smtp_source(sink.port, scale.mails, len(mail)),
            naive=lambda: naive_rate(stock / "naive", sink, few),
        )
    yield from compared(rates, len(mail))


def compared(rates: dict[str, list[float]], octets: int) -> Iterator[Figure]:
    """Ratios of each round, and of them the middle one."""
    of_source = ratio(rates, "engine", "source")
    per_second = {name: f"{middle(several):,.0f}/s" for name, several in rates.items()}
    ours = f"{per_second['engine']} mails of {octets / 1000:.0f} KB"
    yield Figure(
        AGAINST_SOURCE, of_source, f"{ours}; smtp-source {per_second['source']}, both to smtp-sink"
    )
    yield Figure(
        AGAINST_LISTMONK,
        of_source / LISTMONK,
        f"{of_source:.3f} of smtp-source; listmonk 6.2 was measured once, on another day",
    )
    of_naive = ratio(rates, "engine", "naive")
    yield Figure(AGAINST_NAIVE, of_naive, f"{ours}; naive baseline {per_second['naive']}")


def engine_rate(stock: Path, sink: reference.Sink, mails: int) -> float:
    """Mails a second of one sender process on a fresh copy of the queue."""
    before = sink.taken()
    with tempfile.TemporaryDirectory(prefix="l3mail-bench-") as folder:
        workspace = Path(shutil.copytree(stock, Path(folder) / "workspace"))
        [sent] = send(workspace)
    require_all(mails, accepted=sent.accepted, taken=sink.taken() - before)
    return mails / sent.seconds


def lay_out_naive(sample: bytes, folder: Path, mails: int) -> None:
    """Give the baseline the text of the first person's mail, and the same people."""
    folder.mkdir()
    mail = message_from_bytes(sample, policy=default)
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    (folder / naive.SUBJECT).write_text(_template(str(mail["Subject"])), encoding="utf-8")
    (folder / naive.TEXT).write_text(_template(text.get_content()), encoding="utf-8")
    (folder / naive.HTML).write_text(_template(html.get_content()), encoding="utf-8")
    with naive.open_session(folder) as session:
        session.add_all(
            naive.Recipient(
                id=n,
                email=f"person-{n}@schule-{n % 97}.example",
                first_name="Änne" if n % 2 else "Max",
                last_name=f"Beispiel{n}",
            )
            for n in range(1, mails + 1)
        )
        session.commit()


def _template(part: str) -> str:
    """A person's mail as the template it could have come from: their name, their links."""
    links = iter(range(1_000))

    def link(found: re.Match[str]) -> str:
        token = f"{{{{ token('{found[1]}', {next(links)}) }}}}"
        return f"{naive.BASE_URL}/{found[1]}/{token}{found[2] or ''}"

    first_name, last_name = FIRST_PERSON
    return (
        _OURS.sub(link, part)
        .replace(first_name, "{{ first_name }}")
        .replace(last_name, "{{ last_name }}")
    )


def naive_rate(stock: Path, sink: reference.Sink, mails: int) -> float:
    """Mails a second of the baseline, a process of its own too."""
    before = sink.taken()
    with tempfile.TemporaryDirectory(prefix="l3mail-bench-") as folder:
        place = Path(shutil.copytree(stock, Path(folder) / "naive"))
        command = [sys.executable, "-m", "bench.naive", str(place), str(sink.port)]
        said = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=surroundings()
        ).stdout
    result = json.loads(said)
    require_all(mails, accepted=result["sent"], taken=sink.taken() - before)
    return float(mails / result["seconds"])
