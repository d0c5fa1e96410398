"""What acts are called, and how each was proved, in one language: German or else English.

Owns words.toml beside it.
"""

import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from l3mail import locales
from l3mail.errors import printable

LONGEST: Final = 1_000
"""Characters of what people wrote."""

_FILE = Path(__file__).with_name("words.toml")
_FALLBACK = "en"


@cache
def _languages() -> Mapping[str, Any]:
    return tomllib.loads(_FILE.read_text(encoding="utf-8"))


class Telling:
    """Words for a workspace of this locale, by the clocks of `zone`."""

    def __init__(self, locale: str, zone: ZoneInfo) -> None:
        """Speak the locale's language if there are words for it."""
        self.language = locales.choose((locale,), _languages().keys(), _FALLBACK)
        self._tag = locale if locale.partition("-")[0] == self.language else self.language
        self._zone = zone
        self._tables = _languages()[self.language]

    def say(self, name: str, /, **gaps: object) -> str:
        """The words called `table.key`, gaps filled with foreign text that is tamed."""
        table, _, key = name.partition(".")
        tamed = {gap: printable(str(value), LONGEST) for gap, value in gaps.items()}
        return str(self._tables[table][key]).format(**tamed)

    def all_of(self, name: str) -> list[str]:
        """The sentences of a list."""
        table, _, key = name.partition(".")
        return list(self._tables[table][key])

    def moment(self, at: str) -> str:
        """An instant in ISO form as people write it, to the second."""
        local = datetime.fromisoformat(at).astimezone(self._zone)
        day = locales.long_date(local.date(), self._tag)
        return self.say("page.moment", day=day, time=f"{local:%H:%M:%S}")

    def day(self, at: str) -> str:
        """The local day of an instant, or a day, in ISO form."""
        local = datetime.fromisoformat(at)
        if local.tzinfo is not None:
            local = local.astimezone(self._zone)
        return locales.long_date(local.date(), self._tag)

    def act(self, act: str) -> str:
        """What an act is called; its own name where there are no words for it."""
        return str(self._tables["acts"].get(act, act.replace("_", " ")))

    def state(self, status: str) -> str:
        """What a membership's state is called."""
        return str(self._tables["states"].get(status, status))

    def wording(self, wording: Mapping[str, Any]) -> str:
        """What a text somebody may agree to is called: its number, for what, in which language."""
        name = self._tables["names"].get(wording["name"], wording["name"])
        return self.say("page.text_title", id=wording["id"], name=name, locale=wording["locale"])

    def how(self, act: Mapping[str, Any]) -> str:
        """How an act came about and what shows it: form, mail, who says so."""
        return "; ".join(self._hows(act["act"], act["content"]))

    def _hows(self, act: str, content: Mapping[str, Any]) -> Iterator[str]:
        if act == "mailed":
            yield self._mailed(content)
        elif act in {"confirmed", "address_changed"}:
            yield self._by_mail(content)
        elif act == "withdrawn":
            yield self._known("ways", content.get("how"))
        elif act == "refused":
            yield self.say("how.refused")
        elif content.get("form"):
            yield self._known("forms", content["form"])
            if act == "tracking_granted" and content.get("mails"):
                yield self._by_mail(content)
        if content.get("note"):
            yield self.say("how.vouched", by=content.get("by") or "?", note=content["note"])
        elif content.get("by") and act != "mailed":
            yield self._by(content["by"])
        if content.get("source") and content["source"] != content.get("form"):
            yield self.say("how.source", source=content["source"])
        if act == "requested" and content.get("tracking"):
            yield self.say("how.tracking")
        if content.get("proof_until"):
            yield self.say("how.kept", day=self.day(content["proof_until"]))

    def _mailed(self, content: Mapping[str, Any]) -> str:
        if content.get("sha256"):
            code = (content.get("reply") or {}).get("code") or "?"
            return self.say("how.mailed", delivery=content["delivery"], code=code)
        return self.say("how.found", delivery=content["delivery"], by=content.get("by") or "?")

    def _by_mail(self, content: Mapping[str, Any]) -> str:
        mails = [str(mail["delivery"]) for mail in content.get("mails") or ()]
        return self.say("how.link", deliveries=", ".join(mails)) if mails else self.say("how.asked")

    def _by(self, by: str) -> str:
        if by == "person":
            return self.say("how.person")
        return self.say("how.by", by=by)

    def _known(self, table: str, word: object) -> str:
        return str(self._tables[table].get(word, printable(str(word), LONGEST)))
