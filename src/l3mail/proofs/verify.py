"""Check the proof of consent in this folder, with nothing but Python (3.8 or newer).

Prüft den Nachweis in diesem Ordner; dazu genügt Python.

    python3 verify.py [LINK ...]

LINK is a link of the chain that was noted earlier, as weekly reports print it. Exit 0 if all fits.
How it is computed stands in LIESMICH-README.txt. This file is handed out as it is: it imports
nothing of the program that made the proof.
"""

from __future__ import annotations  # runs on Python 3.8 too

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PERSON = b"l3mail-consent"
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError)


def joined(first: bytes, second: bytes) -> bytes:
    """BLAKE2b of the first one's length (4 bytes), the first and the second: 32 bytes."""
    whole = len(first).to_bytes(4, "big") + first + second
    return hashlib.blake2b(whole, digest_size=32, person=PERSON).digest()


def digest_of(act: dict[str, Any]) -> str:
    """The hash of an act's salt and words."""
    words = [act["act"], act["subscriber"], act["at"], act["content"]]
    said = json.dumps(words, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return joined(bytes.fromhex(act["salt"]), said.encode("utf-8")).hex()


def sha256_of(data: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(data).hexdigest()


class Check:
    """One look at one folder; `faults` says what does not fit."""

    def __init__(self, folder: Path) -> None:
        """Nothing is read yet."""
        self.folder = folder
        self.faults: list[str] = []
        self.remarks: list[str] = []

    def run(self, noted: list[str]) -> None:
        """Look at everything, and for the links that were noted."""
        try:
            proof = json.loads((self.folder / "proof.json").read_bytes().decode("utf-8"))
            self.look_at_acts(proof)
            self.walk(proof, [link.strip().lower() for link in noted])
            self.look_at_wordings(proof)
            self.look_at_mails(proof)
            self.look_at_files(proof)
        except UNREADABLE as error:
            self.faults.append(
                f"a file is missing or damaged | Datei fehlt oder ist defekt: {error!r}"
            )

    def look_at_acts(self, proof: dict[str, Any]) -> None:
        """Each act's words against its digest."""
        for act in proof["acts"]:
            if digest_of(act) != act["digest"]:
                self.faults.append(
                    f"act {act['seq']} was changed | Vorgang {act['seq']} wurde verändert"
                )
        for seq in proof["chain"].get("emptied", ()):
            self.faults.append(
                f"act {seq} was emptied, and nobody erased the person"
                f" | Vorgang {seq} wurde geleert, ohne dass die Person gelöscht ist"
            )
        numbers = [act["seq"] for act in proof["acts"]]
        # Of two with one number the chain would be asked for one alone.
        for seq in {one for one in numbers if numbers.count(one) > 1}:
            self.faults.append(f"act {seq} is there twice | Vorgang {seq} steht doppelt da")

    def walk(self, proof: dict[str, Any], noted: list[str]) -> None:
        """Each act's place in the chain, and where the chain stood at links noted earlier."""
        chain, missing = proof["chain"], {act["seq"]: act for act in proof["acts"]}
        link = bytes.fromhex(chain["link_before"])
        stood = {link.hex(): 0}
        last = 0
        for seq, digest in self.rows():
            # Numbers are in no digest: only their order keeps what was added from going before.
            if seq <= last:
                self.faults.append(f"act {seq} comes after {last} | Vorgang {seq} nach {last}")
            last = seq
            link = joined(link, bytes.fromhex(digest))
            act = missing.pop(seq, None)
            if act is not None and (act["digest"], act["link"]) != (digest, link.hex()):
                self.faults.append(
                    f"act {seq} has no place in the chain | Vorgang {seq} passt nicht"
                )
            if link.hex() in noted or link.hex() == chain["newest_link"]:
                stood[link.hex()] = seq
        for seq in missing:
            self.faults.append(f"act {seq} is not in the chain | Vorgang {seq} fehlt in der Kette")
        if link.hex() != chain["newest_link"]:
            self.faults.append(
                "the chain does not end at its newest link | Die Kette endet anders als angegeben"
            )
        for one in noted:
            if one in stood:
                self.remarks.append(f"stood at {one} after act {stood[one]} | stand nach Vorgang")
                later = [str(act["seq"]) for act in proof["acts"] if act["seq"] > stood[one]]
                if later:
                    self.remarks.append(
                        "it says nothing of acts | er sagt nichts über Vorgänge: "
                        + ", ".join(later)
                    )
            else:
                self.faults.append(f"the chain never stood at {one} | Die Kette stand nie dort")

    def rows(self) -> Iterator[tuple[int, str]]:
        """Number and digest of every act from the first one here to the newest."""
        with (self.folder / "chain.csv").open(encoding="ascii") as file:
            if file.readline().strip() != "seq,digest":
                raise ValueError("chain.csv")
            for line in file:
                seq, digest = line.rstrip("\n").split(",")
                yield int(seq), digest

    def look_at_wordings(self, proof: dict[str, Any]) -> None:
        """Each wording's text against its hash, and that acts name these and no others."""
        texts = {}
        for one in proof["wordings"]:
            if sha256_of(one["text"].encode("utf-8")) != one["hash"]:
                self.faults.append(
                    f"wording {one['id']} was changed | Wortlaut {one['id']} verändert"
                )
            texts[one["id"]] = [one["name"], one["locale"], one["hash"]]
        for act in proof["acts"]:
            for one in act["content"].get("wordings") or ():
                if texts.get(one["id"]) != [one["name"], one["locale"], one["hash"]]:
                    self.faults.append(
                        f"act {act['seq']} names another wording | Vorgang {act['seq']}:"
                        f" Wortlaut {one['id']} ist ein anderer"
                    )

    def look_at_mails(self, proof: dict[str, Any]) -> None:
        """The mails that are said to be what was handed over, against their acts."""
        noted = {
            act["content"]["delivery"]: act["content"].get("sha256")
            for act in proof["acts"]
            if act["act"] == "mailed"
        }
        for mail in proof["mails"]:
            if mail["file"] is None:
                continue
            found = sha256_of((self.folder / mail["file"]).read_bytes())
            same = found == noted.get(mail["delivery"])
            if same != bool(mail["identical"]) or found != mail["sha256"]:
                self.faults.append(f"{mail['file']} was changed | wurde verändert")
            elif same:
                self.remarks.append(f"{mail['file']}: as handed over | wie übergeben")
            else:
                self.remarks.append(f"{mail['file']}: NOT as handed over | NICHT wie übergeben")

    def look_at_files(self, proof: dict[str, Any]) -> None:
        """The readable files: they are what was packed."""
        for name, noted in proof["files"].items():
            if sha256_of((self.folder / name).read_bytes()) != noted:
                self.faults.append(f"{name} was changed | wurde verändert")


def main() -> int:
    """Print what was found; 0 if all fits."""
    check = Check(Path(__file__).resolve().parent)
    check.run(sys.argv[1:])
    for line in (*check.remarks, *(f"FAULT | FEHLER: {fault}" for fault in check.faults)):
        sys.stdout.write(line + "\n")
    verdict = "NOT SOUND | NICHT IN ORDNUNG" if check.faults else "SOUND | IN ORDNUNG"
    sys.stdout.write(verdict + "\n")
    return 1 if check.faults else 0


if __name__ == "__main__":
    sys.exit(main())
