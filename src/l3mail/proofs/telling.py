"""What acts are called, and how each was proved, in one language: German or else English.

Owns words.toml beside it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from l3mail import locales
from l3mail.errors import printable
from l3mail.phrases import Phrases

LONGEST: Final = 1_000
"""Characters of what people wrote."""


class Telling(Phrases):
    """Words for a workspace of this locale, by the clocks of `zone`."""

    FILES = (Path(__file__).with_name("words.toml"),)

    def __init__(self, locale: str, zone: ZoneInfo) -> None:
        """Speak the locale's language if there are words for it."""
        super().__init__(locale)
        self._zone = zone

    def say(self, name: str, /, **gaps: object) -> str:
        """The words called `table.key`, gaps filled with foreign text that is tamed."""
        tamed = {gap: printable(str(value), LONGEST) for gap, value in gaps.items()}
        return str(self.phrase(name)).format(**tamed)

    def all_of(self, name: str) -> list[str]:
        """The sentences of a list."""
        return list(self.phrase(name))

    def moment(self, at: str) -> str:
        """An instant in ISO form as people write it, to the second."""
        local = datetime.fromisoformat(at).astimezone(self._zone)
        day = locales.long_date(local.date(), self.tag)
        return self.say("page.moment", day=day, time=f"{local:%H:%M:%S}")

    def day(self, at: str) -> str:
        """The local day of an instant, or a day, in ISO form."""
        local = datetime.fromisoformat(at)
        if local.tzinfo is not None:
            local = local.astimezone(self._zone)
        return locales.long_date(local.date(), self.tag)

    def act(self, act: str) -> str:
        """What an act is called; its own name where there are no words for it."""
        return str(self.table("acts").get(act, act.replace("_", " ")))

    def state(self, status: str) -> str:
        """What a membership's state is called."""
        return str(self.table("states").get(status, status))

    def wording(self, wording: Mapping[str, Any]) -> str:
        """What a text somebody may agree to is called: its number, for what, in which language."""
        name = self.table("names").get(wording["name"], wording["name"])
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
        said = str(word)
        return str(self.table(table).get(said, printable(said, LONGEST)))
