"""What is known of many addresses, looked up and added to in few statements.

Owns how a request's values become columns of a subscriber. Fills only what is empty: what a
person said of themselves stays. Must not know why somebody asks.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, func, null, select, update

from l3mail.database import upsert
from l3mail.models import SIGNUP, STREAM, SUBSCRIBER, SUBSCRIPTION, SUPPRESSION
from l3mail.subscribers import profiles
from l3mail.subscribers.terms import Request

_TEXTS = (*profiles.NAMES, "locale")


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody to make sure of; a known person by id, with the values to fill in.

    `bare` keeps the address and nothing else. `over` lets the values take the place of others.
    """

    request: Request
    key: bytes
    person: int | None
    fills: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False
    over: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """A value of a known person that a request says otherwise; `before` is None where none is."""

    name: str
    before: Any
    after: Any


@dataclass(slots=True)
class Known:
    """What the database says of one address."""

    person: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    restricted: bool = False
    states: dict[str, tuple[str, datetime | None]] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    suppressed: tuple[str, datetime] | None = None

    def state(self, stream: str) -> str | None:
        """The state of a membership, if there is one."""
        return self.states[stream][0] if stream in self.states else None


def look_up(
    connection: Connection, keys: Collection[bytes], now: datetime, *, lock: bool = False
) -> dict[bytes, Known]:
    """By key, what is known; of strangers too, that nothing is. Four statements.

    `lock` holds the people until the transaction ends, so that nobody leaves meanwhile.
    """
    known = {key: Known() for key in keys}
    by_id: dict[int, Known] = {}
    people = (
        select(SUBSCRIBER)
        .where(SUBSCRIBER.c.address_key.in_(keys), SUBSCRIBER.c.erased_at.is_(None))
        .order_by(SUBSCRIBER.c.id)
    )
    for row in connection.execute(
        people.with_for_update(key_share=True) if lock else people
    ).mappings():
        one = known[row["address_key"]]
        one.person, one.values = row["id"], dict(row)
        one.restricted = row["restricted_at"] is not None
        by_id[row["id"]] = one
    barred = select(
        SUPPRESSION.c.address_key, SUPPRESSION.c.reason, SUPPRESSION.c.suppressed_at
    ).where(SUPPRESSION.c.address_key.in_(keys))
    for key, reason, at in connection.execute(barred):
        known[key].suppressed = (reason, at)
    memberships = (
        select(
            SUBSCRIPTION.c.subscriber_id,
            STREAM.c.slug,
            SUBSCRIPTION.c.state,
            SUBSCRIPTION.c.unsubscribed_at,
        )
        .join(STREAM, STREAM.c.id == SUBSCRIPTION.c.stream_id)
        .where(SUBSCRIPTION.c.subscriber_id.in_(by_id))
    )
    for person, slug, state, at in connection.execute(memberships):
        by_id[person].states[slug] = (state, at)
    requests = select(SIGNUP.c.address_key, SIGNUP.c.streams).where(
        SIGNUP.c.address_key.in_(keys),
        SIGNUP.c.confirmed_at.is_(None),
        SIGNUP.c.refused_at.is_(None),
        SIGNUP.c.expires_at > now,
    )
    for key, streams in connection.execute(requests):
        known[key].asked.update(streams)
    return known


def _columns(request: Request) -> dict[str, Any]:
    """A request's values as columns of a subscriber."""
    columns: dict[str, Any] = {name: request.values.get(name) for name in _TEXTS}
    columns["locale"] = request.locale
    columns |= dict.fromkeys(profiles.BIRTH)
    if birthday := request.values.get("birthday"):
        columns |= dict(zip(profiles.BIRTH, profiles.parse_birthday(birthday), strict=True))
    return columns | {"attributes": dict(request.values.get("attributes", {}))}


def fills(request: Request, present: Mapping[str, Any], *, over: bool = False) -> dict[str, Any]:
    """Those values of which nothing is known yet: what a person said stays.

    `over` takes all that differ; nothing said is never a value.
    """
    new = _columns(request)
    fills = {
        name: new[name]
        for name in _TEXTS
        if new[name] and (not present[name] or (over and present[name] != new[name]))
    }
    known = present["birth_month"] is not None
    if new["birth_month"] and (not known or (over and _differ(new, present, profiles.BIRTH))):
        fills |= {name: new[name] for name in profiles.BIRTH}
    here = present["attributes"]
    if over and {**here, **new["attributes"]} != here:
        fills["attributes"] = {**here, **new["attributes"]}
    elif new["attributes"].keys() - here.keys():
        fills["attributes"] = new["attributes"] | here
    return fills


def differences(request: Request, present: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Field by field, what a request says otherwise than is known, or of what nothing is."""
    new = _columns(request)
    found = [
        Difference(name, present[name] or None, new[name])
        for name in _TEXTS
        if new[name] and present[name] != new[name]
    ]
    if new["birth_month"] and _differ(new, present, profiles.BIRTH):
        found.append(
            Difference(
                "birthday", profiles.written_birthday(present), profiles.written_birthday(new)
            )
        )
    found += [
        Difference(name, present["attributes"].get(name), value)
        for name, value in new["attributes"].items()
        if name not in present["attributes"] or present["attributes"][name] != value
    ]
    return tuple(found)


def _differ(new: Mapping[str, Any], present: Mapping[str, Any], names: Collection[str]) -> bool:
    return any(new[name] != present[name] for name in names)


def make_known(
    connection: Connection, newcomers: Sequence[Newcomer], now: datetime
) -> dict[bytes, int]:
    """Make sure of a subscriber for each and fill in what is empty; their ids by key."""
    new = [
        {"address": one.request.address.address, "address_key": one.key, "created_at": now}
        | ({"attributes": {}} if one.bare else _columns(one.request))
        for one in newcomers
        if one.person is None
    ]
    if new:
        statement = upsert(connection, SUBSCRIBER)
        # A sign-up that ran out leaves the key behind; of whom it is known nothing else.
        again = {name: statement.excluded[name] for name in new[0] if name != "address_key"}
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[SUBSCRIBER.c.address_key],
                set_={**again, "erased_at": null()},
                where=SUBSCRIBER.c.erased_at.is_not(None),
            ),
            new,
        )
    _fill(connection, newcomers)
    keys = [one.key for one in newcomers]
    found = select(SUBSCRIBER.c.address_key, SUBSCRIBER.c.id).where(
        SUBSCRIBER.c.address_key.in_(keys)
    )
    return {row.address_key: row.id for row in connection.execute(found)}


def _fill(connection: Connection, newcomers: Sequence[Newcomer]) -> None:
    for over, statement in ((False, _FILL), (True, _OVERWRITE)):
        rows = [
            {"person": one.person}
            | {f"new_{name}": one.fills.get(name) for name in (*_TEXTS, *profiles.BIRTH)}
            for one in newcomers
            if one.fills and one.over == over
        ]
        if rows:
            connection.execute(statement, rows)
    attributes = [
        {"person": one.person, "new_attributes": one.fills["attributes"]}
        for one in newcomers
        if "attributes" in one.fills
    ]
    if attributes:
        connection.execute(_FILL_ATTRIBUTES, attributes)


_OF_PERSON = update(SUBSCRIBER).where(SUBSCRIBER.c.id == bindparam("person"))
# Asked of the row itself: the person may have answered since it was read.
_FILL = _OF_PERSON.values(
    {name: func.coalesce(SUBSCRIBER.c[name], bindparam(f"new_{name}")) for name in _TEXTS}
    | {
        name: case(
            (SUBSCRIBER.c.birth_month.is_(None), bindparam(f"new_{name}")), else_=SUBSCRIBER.c[name]
        )
        for name in profiles.BIRTH
    }
)
_NEW_MONTH = bindparam("new_birth_month", type_=SUBSCRIBER.c.birth_month.type)
_OVERWRITE = _OF_PERSON.values(
    {name: func.coalesce(bindparam(f"new_{name}"), SUBSCRIBER.c[name]) for name in _TEXTS}
    | {
        name: case(
            (_NEW_MONTH.is_not(None), bindparam(f"new_{name}", type_=SUBSCRIBER.c[name].type)),
            else_=SUBSCRIBER.c[name],
        )
        for name in profiles.BIRTH
    }
)
_FILL_ATTRIBUTES = _OF_PERSON.values(
    attributes=bindparam("new_attributes", type_=SUBSCRIBER.c.attributes.type)
)
