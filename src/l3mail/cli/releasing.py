"""Commands of the second person: release or reject an issue that waits for it."""

from typing import TYPE_CHECKING, Annotated

import typer

from l3mail.cli.audience import Sample, lines, people, show
from l3mail.cli.context import DryRun, House, Yes, confirm
from l3mail.cli.naming import slug_of
from l3mail.cli.scheduling import Name, local, sending_of
from l3mail.errors import NewsletterError, quoted

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from l3mail.newsletters import Audience, Campaign


def release(
    context: typer.Context,
    issue: Name,
    *,
    sample: Sample = 0,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Give the second person's yes; shows whom the issue reaches, and asks.

    Where l3mail.toml wants two persons, nothing goes out before. Whoever scheduled an issue can't
    release it, and one login is one person whatever --as says: where two share one, the second
    says yes on the page they were mailed.

    Example: l3mail newsletters release 2026-12
    """
    from l3mail import newsletters

    house: House = context.obj
    slug = slug_of(issue, "newsletter")
    with house.database() as database:
        campaign, audience, some, texts = database.read(
            lambda connection: _looked_at(house, connection, slug, sample)
        )
    typer.echo(f"{slug}: {local(house, campaign.scheduled_at)}, stream {campaign.stream}")
    subjects = [(f"subject ({locale})", subject) for locale, subject, _ in texts]
    show([("scheduled by", campaign.scheduled_by), *subjects])
    show(lines(house, audience, campaign.segment, some))
    if not all(is_current for _, _, is_current in texts):
        typer.echo(
            "note: it was published anew since; what goes out is the text it was scheduled with,"
            " as the link in the mail shows it",
            err=True,
        )
    if dry_run:
        typer.echo("Dry run, nothing is changed.")
        return
    confirm(f"release {slug} to {people(audience.yes)}?", yes=yes)

    def verb(connection: "Connection") -> tuple[None, dict[str, int]]:
        newsletters.release(connection, campaign.id, house.signed, house.clock.now())
        return None, {"campaigns": 1, "people": audience.yes}

    house.change(f"newsletters release {slug}", verb)
    typer.echo(f"Released: {slug}.")


def reject(
    context: typer.Context,
    issue: Name,
    *,
    reason: Annotated[str, typer.Option(help="What is to be mended, for whoever scheduled it.")],
    yes: Yes = False,
) -> None:
    """Refuse the second person's yes: the issue is not sent, and may be scheduled anew.

    Example: l3mail newsletters reject 2026-12 --reason "the date is wrong"
    """
    from l3mail import newsletters

    house: House = context.obj
    slug = slug_of(issue, "newsletter")
    with house.database() as database:
        campaign = database.read(lambda connection: _waiting(connection, slug))
    confirm(f"reject {slug}, scheduled by {campaign.scheduled_by}?", yes=yes)

    def verb(connection: "Connection") -> tuple[None, dict[str, int]]:
        newsletters.reject(connection, campaign.id, house.signed, reason, house.clock.now())
        return None, {"campaigns": 1}

    house.change(f"newsletters reject {slug}", verb)
    typer.echo(f"Rejected: {slug}; it is not sent.")


def _waiting(connection: "Connection", slug: str) -> "Campaign":
    from l3mail import newsletters

    found = newsletters.find(connection, slug)
    if found is None or not found.is_unreleased:
        raise NewsletterError(
            f"{quoted(slug)} waits for no release; `l3mail newsletters list` shows what does"
        )
    return found


def _looked_at(
    house: House, connection: "Connection", slug: str, most: int
) -> "tuple[Campaign, Audience, list[str], list[tuple[str, str, bool]]]":
    """Of the campaign itself: what is published by now may name another stream and say another."""
    from l3mail import newsletters
    from l3mail.wiring import asking_terms

    campaign, now = _waiting(connection, slug), house.clock.now()
    # Refused before anybody reads on.
    newsletters.require_releasable(connection, campaign.id, house.signed, now)
    stream_id = next(
        one.stream_id for one in newsletters.unreleased(connection, now) if one.id == campaign.id
    )
    texts = newsletters.texts(connection, campaign.id)
    at = max(now, campaign.scheduled_at)
    segment, terms = campaign.segment, asking_terms(house.settings)
    question = terms.question(connection, segment, at) if segment else None
    audience = newsletters.audience(
        connection,
        stream_id,
        question,
        now,
        but=campaign.id,
        segment=segment,
        sending=sending_of(house, [locale for locale, _, _ in texts], at),
    )
    some = newsletters.sample(connection, stream_id, question, now, most) if most else []
    return campaign, audience, some, texts
