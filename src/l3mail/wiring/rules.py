"""What the settings of a workspace mean to the parts that plan, ask and sign."""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from l3mail import streams
from l3mail.audiences import Terms as AskingTerms
from l3mail.planning import Cap, QuietHours, Restraint
from l3mail.retention import Terms as RetentionTerms
from l3mail.segments import Attribute
from l3mail.settings import Settings, load_pepper, load_retired_keys, load_secret_keys
from l3mail.subscribers import Rules
from l3mail.tokens import Tokens
from l3mail.triggers import Terms as TriggerTerms


def asking_terms(settings: Settings) -> AskingTerms:
    """What segments mean in this workspace."""
    return AskingTerms(
        zone=settings.zone,
        tracking_mode=settings.tracking.mode,
        locale=settings.workspace.locale,
        attributes={n: Attribute(a.type, a.choices) for n, a in settings.attributes.items()},
        streams=tuple(settings.streams),
    )


def trigger_terms(settings: Settings, now: datetime) -> TriggerTerms:
    """What triggers depend on in this workspace, at a moment."""
    question = asking_terms(settings).question
    return TriggerTerms(now, settings.zone, question, settings.workspace.locale)


def restraint_of(settings: Settings) -> Restraint:
    """What people are spared in this workspace."""
    quiet, cap = settings.sending.quiet, settings.sending.frequency_cap
    return Restraint(
        QuietHours(*quiet, settings.zone) if quiet else None,
        Cap(cap.mails, cap.days, timedelta(days=cap.patience_days)) if cap.mails else None,
    )


def make_rules(settings: Settings) -> Rules:
    """What the verbs about people need to know of this workspace."""
    return Rules(
        load_pepper(settings.state_dir),
        settings.zone,
        settings.workspace.locale,
        signup_lifetime=timedelta(days=settings.retention.unconfirmed_days),
        proof_months=settings.retention.proof_months,
        keeps_proof=settings.privacy.proof_on_erasure == "keep",
    )


def retention_terms(settings: Settings) -> RetentionTerms:
    """How long what is kept in this workspace."""
    kept = settings.retention
    return RetentionTerms(settings.zone, kept.events_months, kept.deliveries_months)


def staff_of(settings: Settings) -> frozenset[str]:
    """Who may be mailed as staff: those listed, and by test mails all of the sender's domain."""
    return settings.staff | {f"@{settings.sender_domain}"}


def load_tokens(settings: Settings) -> Tokens:
    """What signs and reads the workspace's links."""
    current, retired = load_secret_keys(settings), load_retired_keys(settings)
    return Tokens(
        [key.get_secret_value() for key in current], [key.get_secret_value() for key in retired]
    )


def declare_streams(connection: Connection, settings: Settings, now: datetime) -> None:
    """Offer the streams that l3mail.toml names, and no other beside the courses."""
    for slug, stream in settings.streams.items():
        streams.declare(connection, slug, stream.kind, stream.title, now)
    streams.retire(connection, ("newsletter", "lifecycle"), settings.streams.keys(), now)
