"""Where people sign up from, on both databases."""

from datetime import timedelta

import pytest

from l3mail import sources
from l3mail.errors import SourceError
from l3mail.sources import Raised, Source
from tests.fakes.village import Village


def test_a_source_is_written_down_changed_and_ended(village: Village) -> None:
    now, hour = village.now, timedelta(hours=1)
    village.do(sources.register, "fest", now, "ada")
    assert village.do(sources.named, "FEST", now) == ("fest", None)
    village.do(sources.register, "fest", now + hour, "bob", ends_at=now + 9 * hour, per_hour=7)
    village.do(sources.register, "fest", now + hour, "bob", title="Fest am Fluss")
    village.do(sources.register, "fest", now + hour, "carl")
    assert village.do(sources.find, "fest") == Source(
        "fest", "Fest am Fluss", 7, now + 9 * hour, now, "ada"
    )
    assert village.do(sources.named, "Fest", now) == ("fest", Raised("fest", 7))
    assert village.do(sources.named, "Fest", now + 9 * hour) == ("fest", None)
    village.do(sources.end, "fest", now + hour)
    assert village.do(sources.named, "fest", now + hour) == ("fest", None)
    village.do(sources.end, "fest", now + 2 * hour)
    assert village.do(sources.find, "fest").ends_at == now + hour, "once is enough"
    for named in ("Fest 2", "fest\u200b", ""):
        assert village.do(sources.named, named, now) == (named, None)
    with pytest.raises(SourceError, match='"fset" is no source; did you mean "fest"'):
        village.do(sources.end, "fset", now)


def test_sources_are_told_with_what_came_of_them(village: Village) -> None:
    village.do(sources.register, "leer", village.now, "ada")
    person = village.person("ada@schule.example")
    village.signup(person, source="flut")
    village.signup(person, source="flut")
    village.signup(person)
    found = village.do(sources.listing)
    assert [(one.name, one.is_known, one.requested, one.confirmed) for one in found] == [
        ("leer", True, 0, 0),
        ("flut", False, 2, 0),
    ]
    with pytest.raises(SourceError, match="never written down"):
        village.do(sources.end, "flut", village.now)
