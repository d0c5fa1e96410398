"""The ZIP that is handed out: a page and a paper to read, the evidence, a program to check it.

What it holds of the chain are numbers and hashes, of other people nothing. Knows no workspace.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from sqlalchemy import Connection

from l3mail.consents import Verification
from l3mail.proofs import evidence
from l3mail.proofs.pages import to_page, view
from l3mail.proofs.papers import to_paper
from l3mail.proofs.telling import Telling
from l3mail.proofs.terms import House, Proof

SCHEMA: Final = 1
README: Final = "LIESMICH-README.txt"
_HERE = Path(__file__).parent
_MODE: Final = 0o600 << 16


def placed(connection: Connection, found: Mapping[str, Any], whole: Verification) -> dict[str, Any]:
    """Where in the chain a person's acts stand, and how the chain stands: JSON values."""
    first = found["acts"][0]["seq"]
    theirs = {act["subscriber"] for act in found["acts"]}
    newest_seq, newest_link = evidence.newest(connection)
    return {
        "acts": whole.acts,
        "verified": whole.broken_at is None,
        "broken_at": whole.broken_at,
        "emptied": [seq for seq, person in whole.emptied if person in theirs],
        "first_seq": first,
        "link_before": evidence.link_before(connection, first),
        "newest_seq": newest_seq,
        "newest_link": newest_link,
    }


def pack(
    file: IO[bytes], connection: Connection, proof: Proof, words: Telling, house: House
) -> None:
    """Write the ZIP; the chain goes into it in batches, whatever its length."""
    seen = view(proof, words, house)
    files = {
        "proof.html": to_page(seen, words).encode(),
        README: (_HERE / README).read_bytes(),
    }
    paper = to_paper(seen, words)
    if paper is not None:
        files["proof.pdf"] = paper
    with zipfile.ZipFile(file, "w") as packed:
        for name, data in files.items():
            _add(packed, proof, name, data)
        for mail in proof.mails:
            if mail.content is not None and mail.file is not None:
                _add(packed, proof, mail.file, mail.content)
        said = to_json(proof, house.name, {name: _sha256(data) for name, data in files.items()})
        _add(packed, proof, "proof.json", said)
        _add(packed, proof, "verify.py", (_HERE / "verify.py").read_bytes())
        rows = evidence.stretch(connection, proof.chain["first_seq"], proof.chain["newest_seq"])
        with packed.open(_member(proof, "chain.csv"), "w", force_zip64=True) as chain:
            chain.write(b"seq,digest\n")
            for seq, digest in rows:
                chain.write(b"%d,%s\n" % (seq, digest.encode()))


def to_json(proof: Proof, house: str, files: Mapping[str, str]) -> bytes:
    """The evidence as programs read it; `files` are hashes of what is there to be read."""
    said = {
        "schema": SCHEMA,
        "email": proof.email,
        "house": house,
        "made_at": proof.made_at.isoformat(),
        **proof.found,
        "mails": [
            {
                "delivery": mail.delivery,
                "file": mail.file,
                "sha256": None if mail.content is None else _sha256(mail.content),
                "identical": mail.identical,
            }
            for mail in proof.mails
        ],
        "chain": dict(proof.chain),
        "files": dict(files),
    }
    return json.dumps(said, ensure_ascii=False, indent=2).encode() + b"\n"


def _add(packed: zipfile.ZipFile, proof: Proof, name: str, data: bytes) -> None:
    packed.writestr(_member(proof, name), data)


def _member(proof: Proof, name: str) -> zipfile.ZipInfo:
    made = proof.made_at.timetuple()[:6]
    member = zipfile.ZipInfo(name, date_time=(made[0], made[1], made[2], made[3], made[4], made[5]))
    member.compress_type = zipfile.ZIP_DEFLATED
    member.external_attr = _MODE
    return member


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
