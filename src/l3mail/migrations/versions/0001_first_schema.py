"""First schema."""

import sqlalchemy as sa
from alembic import op

from l3mail.models.columns import Id, Json, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "actions",
        sa.Column("id", Id(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("command", sa.String(), nullable=False),
        sa.Column("counts", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("actions_pkey")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "aged_delivery",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("tracked", sa.Boolean(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "kind = 'confirmation' OR kind = 'welcome' OR kind = 'lesson' OR kind = 'evaluation' OR kind = 'newsletter' OR kind = 'lifecycle' OR kind = 'report' OR kind = 'notice'",
            name=op.f("aged_delivery_kind_known"),
        ),
        sa.CheckConstraint(
            "state = 'held' OR state = 'queued' OR state = 'sending' OR state = 'accepted' OR state = 'deferred' OR state = 'failed' OR state = 'uncertain' OR state = 'cancelled' OR state = 'lapsed'",
            name=op.f("aged_delivery_state_known"),
        ),
        sa.PrimaryKeyConstraint(
            "day", "kind", "slug", "state", "tracked", name=op.f("aged_delivery_pkey")
        ),
    )
    op.create_table(
        "aged_event",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "kind = 'opened' OR kind = 'clicked' OR kind = 'answered' OR kind = 'interested' OR kind = 'done' OR kind = 'bounced' OR kind = 'complained' OR kind = 'replied' OR kind = 'confirmed' OR kind = 'unsubscribed'",
            name=op.f("aged_event_kind_known"),
        ),
        sa.PrimaryKeyConstraint(
            "day", "kind", "slug", "name", "verdict", name=op.f("aged_event_pkey")
        ),
    )
    op.create_table(
        "aging",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("reached", Id(), server_default=sa.text("0"), nullable=False),
        sa.Column("finished_on", sa.Date(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("aging_pkey")),
    )
    op.create_table(
        "halt",
        sa.Column("id", Id(), nullable=False),
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("halted_at", UtcDateTime(), nullable=False),
        sa.Column("halted_by", sa.String(), nullable=False),
        sa.CheckConstraint(
            "scope = 'everything' OR scope = 'kind' OR scope = 'message'",
            name=op.f("halt_scope_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("halt_pkey")),
        sa.UniqueConstraint("scope", "subject", name=op.f("halt_scope_subject_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "message",
        sa.Column("id", Id(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("compiled", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=False),
        sa.Column("published_by", sa.String(), nullable=False),
        sa.Column("generated", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("superseded_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("message_pkey")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.create_index(
            "message_current",
            ["slug", "locale"],
            unique=True,
            sqlite_where=sa.text("superseded_at IS NULL"),
            postgresql_where=sa.text("superseded_at IS NULL"),
        )
        batch_op.create_index("message_hash", ["hash"], unique=False)

    op.create_table(
        "segment",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("expression", sa.String(), nullable=False),
        sa.Column("saved_at", UtcDateTime(), nullable=False),
        sa.Column("last_count", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("segment_pkey")),
        sa.UniqueConstraint("name", name=op.f("segment_name_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "source",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("per_hour", sa.Integer(), nullable=True),
        sa.Column("ends_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("source_pkey")),
    )
    op.create_table(
        "stream",
        sa.Column("id", Id(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("retired_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "kind = 'newsletter' OR kind = 'lifecycle' OR kind = 'course'",
            name=op.f("stream_kind_known"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("stream_pkey")),
        sa.UniqueConstraint("slug", name=op.f("stream_slug_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "subscriber",
        sa.Column("id", Id(), nullable=False),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("address_key", sa.LargeBinary(), nullable=True),
        sa.Column("first_name", sa.String(), nullable=True),
        sa.Column("last_name", sa.String(), nullable=True),
        sa.Column("salutation", sa.String(), nullable=True),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("district", sa.String(), nullable=True),
        sa.Column("birth_year", sa.Integer(), nullable=True),
        sa.Column("birth_month", sa.Integer(), nullable=True),
        sa.Column("birth_day", sa.Integer(), nullable=True),
        sa.Column("attributes", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("tracking", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("restricted_at", UtcDateTime(), nullable=True),
        sa.Column("erased_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("subscriber_pkey")),
        sa.UniqueConstraint("address_key", name=op.f("subscriber_address_key_key")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("subscriber", schema=None) as batch_op:
        batch_op.create_index("subscriber_birthday", ["birth_month", "birth_day"], unique=False)

    op.create_table(
        "suppression",
        sa.Column("address_key", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=True),
        sa.Column("suppressed_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "reason = 'complaint' OR reason = 'never' OR reason = 'hard_bounce' OR reason = 'operator'",
            name=op.f("suppression_reason_known"),
        ),
        sa.PrimaryKeyConstraint("address_key", name=op.f("suppression_pkey")),
    )
    op.create_table(
        "wording",
        sa.Column("id", Id(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("wording_pkey")),
        sa.UniqueConstraint("name", "locale", "hash", name=op.f("wording_name_locale_hash_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "workspace",
        sa.Column("id", Id(), nullable=False),
        sa.Column("uuid", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("chain_start", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("workspace_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("workspace_pkey")),
    )
    op.create_table(
        "campaign",
        sa.Column("id", Id(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("stream_id", Id(), nullable=False),
        sa.Column("segment", sa.String(), nullable=True),
        sa.Column("scheduled_at", UtcDateTime(), nullable=False),
        sa.Column("scheduled_by", sa.String(), nullable=False),
        sa.Column("reached", Id(), server_default=sa.text("0"), nullable=False),
        sa.Column("planned_at", UtcDateTime(), nullable=True),
        sa.Column("paused_at", UtcDateTime(), nullable=True),
        sa.Column("paused_reason", sa.String(), nullable=True),
        sa.Column("cancelled_at", UtcDateTime(), nullable=True),
        sa.Column("cancelled_reason", sa.String(), nullable=True),
        sa.Column("expected", sa.Integer(), nullable=True),
        sa.Column("segment_mark", sa.String(), nullable=True),
        sa.Column("lapses_at", UtcDateTime(), nullable=True),
        sa.Column("released_at", UtcDateTime(), nullable=True),
        sa.Column("released_by", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["stream_id"], ["stream.id"], name=op.f("campaign_stream_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("campaign_pkey")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("campaign", schema=None) as batch_op:
        batch_op.create_index(
            "campaign_scheduled",
            ["scheduled_at"],
            unique=False,
            sqlite_where=sa.text("planned_at IS NULL"),
            postgresql_where=sa.text("planned_at IS NULL"),
        )

    op.create_table(
        "consent",
        sa.Column("seq", Id(), nullable=False),
        sa.Column("subscriber_id", Id(), nullable=True),
        sa.Column("act", sa.String(), nullable=True),
        sa.Column("content", Json(), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("link", sa.LargeBinary(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "act = 'requested' OR act = 'mailed' OR act = 'confirmed' OR act = 'attested' OR act = 'withdrawn' OR act = 'refused' OR act = 'tracking_granted' OR act = 'tracking_withdrawn' OR act = 'address_changed'",
            name=op.f("consent_act_known"),
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("consent_subscriber_id_fkey")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("consent_pkey")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("consent_subscriber_id"), ["subscriber_id"], unique=False)

    op.create_table(
        "counter",
        sa.Column("message_id", Id(), nullable=False),
        sa.Column("link_id", Id(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind = 'opened' OR kind = 'clicked'", name=op.f("counter_kind_known")),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("counter_message_id_fkey")
        ),
        sa.PrimaryKeyConstraint("message_id", "link_id", "kind", "day", name=op.f("counter_pkey")),
    )
    op.create_table(
        "course",
        sa.Column("id", Id(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("stream_id", Id(), nullable=False),
        sa.Column("current_structure_id", Id(), nullable=True),
        sa.Column("asks", Json(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["stream_id"], ["stream.id"], name=op.f("course_stream_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("course_pkey")),
        sa.UniqueConstraint("slug", name=op.f("course_slug_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "link",
        sa.Column("id", Id(), nullable=False),
        sa.Column("message_id", Id(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("link_message_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("link_pkey")),
        sa.UniqueConstraint("message_id", "number", name=op.f("link_message_id_number_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "link_request",
        sa.Column("id", Id(), nullable=False),
        sa.Column("subscriber_id", Id(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("request_values", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("used_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("link_request_subscriber_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("link_request_pkey")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("link_request", schema=None) as batch_op:
        batch_op.create_index("link_request_expiring", ["purpose", "expires_at"], unique=False)
        batch_op.create_index(
            batch_op.f("link_request_subscriber_id"), ["subscriber_id"], unique=False
        )

    op.create_table(
        "signup",
        sa.Column("id", Id(), nullable=False),
        sa.Column("subscriber_id", Id(), nullable=True),
        sa.Column("address_key", sa.LargeBinary(), nullable=False),
        sa.Column("streams", Json(), nullable=False),
        sa.Column("signup_values", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("wording_id", Id(), nullable=True),
        sa.Column("locale", sa.String(), nullable=True),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.Column("refused_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("signup_subscriber_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["wording_id"], ["wording.id"], name=op.f("signup_wording_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("signup_pkey")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("signup", schema=None) as batch_op:
        batch_op.create_index(
            "signup_expiring",
            ["expires_at"],
            unique=False,
            sqlite_where=sa.text("confirmed_at IS NULL"),
            postgresql_where=sa.text("confirmed_at IS NULL"),
        )
        batch_op.create_index(
            "signup_open",
            ["address_key"],
            unique=False,
            sqlite_where=sa.text("confirmed_at IS NULL AND refused_at IS NULL"),
            postgresql_where=sa.text("confirmed_at IS NULL AND refused_at IS NULL"),
        )
        batch_op.create_index(batch_op.f("signup_subscriber_id"), ["subscriber_id"], unique=False)

    op.create_table(
        "subscription",
        sa.Column("id", Id(), nullable=False),
        sa.Column("subscriber_id", Id(), nullable=False),
        sa.Column("stream_id", Id(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("source", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("confirmed_at", UtcDateTime(), nullable=True),
        sa.Column("unsubscribed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "state = 'unconfirmed' OR state = 'confirmed' OR state = 'unsubscribed'",
            name=op.f("subscription_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["stream_id"], ["stream.id"], name=op.f("subscription_stream_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("subscription_subscriber_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("subscription_pkey")),
        sa.UniqueConstraint(
            "subscriber_id", "stream_id", name=op.f("subscription_subscriber_id_stream_id_key")
        ),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.create_index(
            "subscription_confirmed",
            ["stream_id", "subscriber_id"],
            unique=False,
            sqlite_where=sa.text("state = 'confirmed'"),
            postgresql_where=sa.text("state = 'confirmed'"),
        )
        batch_op.create_index(
            "subscription_confirmed_at",
            ["stream_id", "confirmed_at"],
            unique=False,
            sqlite_where=sa.text("state = 'confirmed'"),
            postgresql_where=sa.text("state = 'confirmed'"),
        )

    op.create_table(
        "trigger",
        sa.Column("id", Id(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("stream_id", Id(), nullable=False),
        sa.Column("rule", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("active_since", UtcDateTime(), nullable=True),
        sa.Column("retired_at", UtcDateTime(), nullable=True),
        sa.Column("planned_until", UtcDateTime(), nullable=True),
        sa.Column("looking_for", UtcDateTime(), nullable=True),
        sa.Column("looked_to_at", UtcDateTime(), nullable=True),
        sa.Column("looked_to", Id(), nullable=True),
        sa.ForeignKeyConstraint(["stream_id"], ["stream.id"], name=op.f("trigger_stream_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("trigger_pkey")),
        sa.UniqueConstraint("slug", name=op.f("trigger_slug_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "approval",
        sa.Column("id", Id(), nullable=False),
        sa.Column("trigger_id", Id(), nullable=False),
        sa.Column("occasion", sa.String(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("lapses_at", UtcDateTime(), nullable=True),
        sa.Column("decision", sa.String(), nullable=True),
        sa.Column("decided_at", UtcDateTime(), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.CheckConstraint(
            "decision = 'approved' OR decision = 'rejected' OR decision = 'lapsed'",
            name=op.f("approval_decision_known"),
        ),
        sa.ForeignKeyConstraint(
            ["trigger_id"], ["trigger.id"], name=op.f("approval_trigger_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("approval_pkey")),
        sa.UniqueConstraint(
            "trigger_id", "occasion", name=op.f("approval_trigger_id_occasion_key")
        ),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "campaign_message",
        sa.Column("campaign_id", Id(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("message_id", Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("campaign_message_campaign_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("campaign_message_message_id_fkey")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "locale", name=op.f("campaign_message_pkey")),
    )
    with op.batch_alter_table("campaign_message", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("campaign_message_message_id"), ["message_id"], unique=False
        )

    op.create_table(
        "structure",
        sa.Column("id", Id(), nullable=False),
        sa.Column("course_id", Id(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("cadence", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("rules", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["course_id"], ["course.id"], name=op.f("structure_course_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("structure_pkey")),
        sa.UniqueConstraint("course_id", "hash", name=op.f("structure_course_id_hash_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "approval_message",
        sa.Column("approval_id", Id(), nullable=False),
        sa.Column("locale", sa.String(), nullable=False),
        sa.Column("message_id", Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approval.id"], name=op.f("approval_message_approval_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("approval_message_message_id_fkey")
        ),
        sa.PrimaryKeyConstraint("approval_id", "locale", name=op.f("approval_message_pkey")),
    )
    with op.batch_alter_table("approval_message", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("approval_message_message_id"), ["message_id"], unique=False
        )

    op.create_table(
        "enrollment",
        sa.Column("id", Id(), nullable=False),
        sa.Column("subscriber_id", Id(), nullable=False),
        sa.Column("course_id", Id(), nullable=False),
        sa.Column("structure_id", Id(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("anchor_on", sa.Date(), nullable=False),
        sa.Column("next_position", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("next_due_at", UtcDateTime(), nullable=True),
        sa.Column("last_lesson_on", sa.Date(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=False),
        sa.Column("paused_until", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("completed_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint(
            "state = 'active' OR state = 'paused' OR state = 'finished' OR state = 'cancelled'",
            name=op.f("enrollment_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["course_id"], ["course.id"], name=op.f("enrollment_course_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["structure_id"], ["structure.id"], name=op.f("enrollment_structure_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("enrollment_subscriber_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("enrollment_pkey")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("enrollment", schema=None) as batch_op:
        batch_op.create_index(
            "enrollment_due",
            ["next_due_at", "structure_id"],
            unique=False,
            sqlite_where=sa.text("state = 'active'"),
            postgresql_where=sa.text("state = 'active'"),
        )
        batch_op.create_index(
            "enrollment_finished",
            ["course_id", "ended_at"],
            unique=False,
            sqlite_where=sa.text("state = 'finished'"),
            postgresql_where=sa.text("state = 'finished'"),
        )
        batch_op.create_index(
            "enrollment_paused",
            ["paused_until"],
            unique=False,
            sqlite_where=sa.text("state = 'paused'"),
            postgresql_where=sa.text("state = 'paused'"),
        )
        batch_op.create_index(
            "enrollment_running",
            ["subscriber_id", "course_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('active', 'paused')"),
            postgresql_where=sa.text("state IN ('active', 'paused')"),
        )
        batch_op.create_index(
            batch_op.f("enrollment_subscriber_id"), ["subscriber_id"], unique=False
        )

    op.create_table(
        "lesson",
        sa.Column("structure_id", Id(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind = 'lesson' OR kind = 'evaluation'", name=op.f("lesson_kind_known")
        ),
        sa.ForeignKeyConstraint(
            ["structure_id"], ["structure.id"], name=op.f("lesson_structure_id_fkey")
        ),
        sa.PrimaryKeyConstraint("structure_id", "position", name=op.f("lesson_pkey")),
    )
    op.create_table(
        "certificate",
        sa.Column("id", Id(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("enrollment_id", Id(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("completed_at", UtcDateTime(), nullable=False),
        sa.Column("issued_at", UtcDateTime(), nullable=False),
        sa.Column("corrections", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.ForeignKeyConstraint(
            ["enrollment_id"], ["enrollment.id"], name=op.f("certificate_enrollment_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("certificate_pkey")),
        sa.UniqueConstraint("code", name=op.f("certificate_code_key")),
        sa.UniqueConstraint("enrollment_id", name=op.f("certificate_enrollment_id_key")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "delivery",
        sa.Column("id", Id(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("occurrence", sa.String(), nullable=False),
        sa.Column("subscriber_id", Id(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("stream_id", Id(), nullable=True),
        sa.Column("generation", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("signup_id", Id(), nullable=True),
        sa.Column("link_request_id", Id(), nullable=True),
        sa.Column("enrollment_id", Id(), nullable=True),
        sa.Column("campaign_id", Id(), nullable=True),
        sa.Column("approval_id", Id(), nullable=True),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("message_id", Id(), nullable=True),
        sa.Column("tracked", sa.Boolean(), server_default=sa.text("(false)"), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=True),
        sa.Column("details", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("lane", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("planned_at", UtcDateTime(), nullable=False),
        sa.Column("lapses_at", UtcDateTime(), nullable=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_until", UtcDateTime(), nullable=True),
        sa.Column("fence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("first_started_at", UtcDateTime(), nullable=True),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("next_attempt_at", UtcDateTime(), nullable=True),
        sa.Column("uncertain_at", UtcDateTime(), nullable=True),
        sa.Column("reply_stage", sa.String(), nullable=True),
        sa.Column("reply_code", sa.Integer(), nullable=True),
        sa.Column("reply_status", sa.String(), nullable=True),
        sa.Column("reply_text", sa.String(), nullable=True),
        sa.CheckConstraint(
            "(purpose = 'staff' AND subscriber_id IS NULL AND address IS NOT NULL) OR (purpose <> 'staff' AND subscriber_id IS NOT NULL AND address IS NULL)",
            name=op.f("delivery_addressed"),
        ),
        sa.CheckConstraint(
            "kind = 'confirmation' OR kind = 'welcome' OR kind = 'lesson' OR kind = 'evaluation' OR kind = 'newsletter' OR kind = 'lifecycle' OR kind = 'report' OR kind = 'notice'",
            name=op.f("delivery_kind_known"),
        ),
        sa.CheckConstraint(
            "purpose <> 'stream' OR stream_id IS NOT NULL", name=op.f("delivery_stream_named")
        ),
        sa.CheckConstraint(
            "purpose = 'stream' OR purpose = 'request' OR purpose = 'staff'",
            name=op.f("delivery_purpose_known"),
        ),
        sa.CheckConstraint(
            "state <> 'sending' OR (started_at IS NOT NULL AND lease_owner IS NOT NULL)",
            name=op.f("delivery_intent_complete"),
        ),
        sa.CheckConstraint(
            "state = 'held' OR state = 'queued' OR state = 'sending' OR state = 'accepted' OR state = 'deferred' OR state = 'failed' OR state = 'uncertain' OR state = 'cancelled' OR state = 'lapsed'",
            name=op.f("delivery_state_known"),
        ),
        sa.CheckConstraint("lane BETWEEN 0 AND 2", name=op.f("delivery_lane_known")),
        sa.ForeignKeyConstraint(
            ["approval_id"], ["approval.id"], name=op.f("delivery_approval_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("delivery_campaign_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["enrollment_id"], ["enrollment.id"], name=op.f("delivery_enrollment_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["link_request_id"], ["link_request.id"], name=op.f("delivery_link_request_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["message.id"], name=op.f("delivery_message_id_fkey")
        ),
        sa.ForeignKeyConstraint(["signup_id"], ["signup.id"], name=op.f("delivery_signup_id_fkey")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("delivery_subscriber_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("delivery_pkey")),
        sa.UniqueConstraint(
            "subscriber_id", "occurrence", name=op.f("delivery_subscriber_id_occurrence_key")
        ),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.create_index(
            "delivery_approval",
            ["approval_id"],
            unique=False,
            sqlite_where=sa.text("approval_id IS NOT NULL"),
            postgresql_where=sa.text("approval_id IS NOT NULL"),
        )
        batch_op.create_index(
            "delivery_campaign",
            ["campaign_id", "state"],
            unique=False,
            sqlite_where=sa.text("campaign_id IS NOT NULL"),
            postgresql_where=sa.text("campaign_id IS NOT NULL"),
        )
        batch_op.create_index(
            "delivery_deferred",
            ["next_attempt_at"],
            unique=False,
            sqlite_where=sa.text("state = 'deferred'"),
            postgresql_where=sa.text("state = 'deferred'"),
        )
        batch_op.create_index(
            "delivery_enrollment",
            ["enrollment_id"],
            unique=False,
            sqlite_where=sa.text("enrollment_id IS NOT NULL"),
            postgresql_where=sa.text("enrollment_id IS NOT NULL"),
        )
        batch_op.create_index(
            "delivery_failed",
            ["id"],
            unique=False,
            sqlite_where=sa.text("state = 'failed'"),
            postgresql_where=sa.text("state = 'failed'"),
        )
        batch_op.create_index(
            "delivery_held",
            ["next_attempt_at", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'held'"),
            postgresql_where=sa.text("state = 'held'"),
        )
        batch_op.create_index(
            "delivery_leased",
            ["lease_owner", "lease_until"],
            unique=False,
            sqlite_where=sa.text("lease_owner IS NOT NULL"),
            postgresql_where=sa.text("lease_owner IS NOT NULL"),
        )
        batch_op.create_index(
            "delivery_link_request",
            ["link_request_id"],
            unique=False,
            sqlite_where=sa.text("link_request_id IS NOT NULL"),
            postgresql_where=sa.text("link_request_id IS NOT NULL"),
        )
        batch_op.create_index(
            "delivery_queued",
            ["lane", "id"],
            unique=False,
            sqlite_where=sa.text("state = 'queued'"),
            postgresql_where=sa.text("state = 'queued'"),
        )
        batch_op.create_index(
            "delivery_requests",
            ["subscriber_id", "first_started_at"],
            unique=False,
            sqlite_where=sa.text("purpose = 'request'"),
            postgresql_where=sa.text("purpose = 'request'"),
        )
        batch_op.create_index(
            "delivery_signup",
            ["signup_id"],
            unique=False,
            sqlite_where=sa.text("signup_id IS NOT NULL"),
            postgresql_where=sa.text("signup_id IS NOT NULL"),
        )
        batch_op.create_index(
            "delivery_slot",
            ["due_at", "id"],
            unique=False,
            sqlite_where=sa.text("enrollment_id IS NOT NULL"),
            postgresql_where=sa.text("enrollment_id IS NOT NULL"),
        )
        batch_op.create_index(
            "delivery_staff_message",
            ["message_id"],
            unique=False,
            sqlite_where=sa.text("purpose = 'staff'"),
            postgresql_where=sa.text("purpose = 'staff'"),
        )
        batch_op.create_index(
            "delivery_staff_occurrence",
            ["address", "occurrence"],
            unique=True,
            sqlite_where=sa.text("subscriber_id IS NULL"),
            postgresql_where=sa.text("subscriber_id IS NULL"),
        )
        batch_op.create_index(
            "delivery_uncertain",
            ["next_attempt_at"],
            unique=False,
            sqlite_where=sa.text("state = 'uncertain'"),
            postgresql_where=sa.text("state = 'uncertain'"),
        )

    op.create_table(
        "event",
        sa.Column("id", Id(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("subscriber_id", Id(), nullable=True),
        sa.Column("delivery_id", Id(), nullable=True),
        sa.Column("message_id", Id(), nullable=True),
        sa.Column("link_id", Id(), nullable=True),
        sa.Column("enrollment_id", Id(), nullable=True),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("data", Json(), server_default=sa.text("'{}'"), nullable=False),
        sa.CheckConstraint(
            "kind = 'opened' OR kind = 'clicked' OR kind = 'answered' OR kind = 'interested' OR kind = 'done' OR kind = 'bounced' OR kind = 'complained' OR kind = 'replied' OR kind = 'confirmed' OR kind = 'unsubscribed'",
            name=op.f("event_kind_known"),
        ),
        sa.CheckConstraint(
            "verdict = 'raw' OR verdict = 'human' OR verdict = 'machine' OR verdict = 'unsure'",
            name=op.f("event_verdict_known"),
        ),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["delivery.id"], name=op.f("event_delivery_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["enrollment_id"], ["enrollment.id"], name=op.f("event_enrollment_id_fkey")
        ),
        sa.ForeignKeyConstraint(["link_id"], ["link.id"], name=op.f("event_link_id_fkey")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("event_message_id_fkey")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("event_subscriber_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("event_pkey")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(
            "event_delivery",
            ["delivery_id"],
            unique=False,
            sqlite_where=sa.text("delivery_id IS NOT NULL"),
            postgresql_where=sa.text("delivery_id IS NOT NULL"),
        )
        batch_op.create_index(
            "event_done",
            ["enrollment_id", "name"],
            unique=True,
            sqlite_where=sa.text("kind = 'done'"),
            postgresql_where=sa.text("kind = 'done'"),
        )
        batch_op.create_index(
            "event_enrollment",
            ["enrollment_id"],
            unique=False,
            sqlite_where=sa.text("enrollment_id IS NOT NULL"),
            postgresql_where=sa.text("enrollment_id IS NOT NULL"),
        )
        batch_op.create_index("event_kind", ["kind", "at"], unique=False)
        batch_op.create_index(
            "event_link",
            ["link_id"],
            unique=False,
            sqlite_where=sa.text("link_id IS NOT NULL"),
            postgresql_where=sa.text("link_id IS NOT NULL"),
        )
        batch_op.create_index(
            "event_message",
            ["message_id", "kind", "at"],
            unique=False,
            sqlite_where=sa.text("message_id IS NOT NULL"),
            postgresql_where=sa.text("message_id IS NOT NULL"),
        )
        batch_op.create_index(
            "event_name",
            ["name", "kind", "at"],
            unique=False,
            sqlite_where=sa.text("name IS NOT NULL"),
            postgresql_where=sa.text("name IS NOT NULL"),
        )
        batch_op.create_index(
            "event_raw",
            ["at"],
            unique=False,
            sqlite_where=sa.text("verdict = 'raw'"),
            postgresql_where=sa.text("verdict = 'raw'"),
        )
        batch_op.create_index(
            "event_subscriber",
            ["subscriber_id", "kind", "at"],
            unique=False,
            sqlite_where=sa.text("subscriber_id IS NOT NULL"),
            postgresql_where=sa.text("subscriber_id IS NOT NULL"),
        )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(
            "event_subscriber",
            sqlite_where=sa.text("subscriber_id IS NOT NULL"),
            postgresql_where=sa.text("subscriber_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "event_raw",
            sqlite_where=sa.text("verdict = 'raw'"),
            postgresql_where=sa.text("verdict = 'raw'"),
        )
        batch_op.drop_index(
            "event_name",
            sqlite_where=sa.text("name IS NOT NULL"),
            postgresql_where=sa.text("name IS NOT NULL"),
        )
        batch_op.drop_index(
            "event_message",
            sqlite_where=sa.text("message_id IS NOT NULL"),
            postgresql_where=sa.text("message_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "event_link",
            sqlite_where=sa.text("link_id IS NOT NULL"),
            postgresql_where=sa.text("link_id IS NOT NULL"),
        )
        batch_op.drop_index("event_kind")
        batch_op.drop_index(
            "event_enrollment",
            sqlite_where=sa.text("enrollment_id IS NOT NULL"),
            postgresql_where=sa.text("enrollment_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "event_done",
            sqlite_where=sa.text("kind = 'done'"),
            postgresql_where=sa.text("kind = 'done'"),
        )
        batch_op.drop_index(
            "event_delivery",
            sqlite_where=sa.text("delivery_id IS NOT NULL"),
            postgresql_where=sa.text("delivery_id IS NOT NULL"),
        )

    op.drop_table("event")
    with op.batch_alter_table("delivery", schema=None) as batch_op:
        batch_op.drop_index(
            "delivery_uncertain",
            sqlite_where=sa.text("state = 'uncertain'"),
            postgresql_where=sa.text("state = 'uncertain'"),
        )
        batch_op.drop_index(
            "delivery_staff_occurrence",
            sqlite_where=sa.text("subscriber_id IS NULL"),
            postgresql_where=sa.text("subscriber_id IS NULL"),
        )
        batch_op.drop_index(
            "delivery_staff_message",
            sqlite_where=sa.text("purpose = 'staff'"),
            postgresql_where=sa.text("purpose = 'staff'"),
        )
        batch_op.drop_index(
            "delivery_slot",
            sqlite_where=sa.text("enrollment_id IS NOT NULL"),
            postgresql_where=sa.text("enrollment_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "delivery_signup",
            sqlite_where=sa.text("signup_id IS NOT NULL"),
            postgresql_where=sa.text("signup_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "delivery_requests",
            sqlite_where=sa.text("purpose = 'request'"),
            postgresql_where=sa.text("purpose = 'request'"),
        )
        batch_op.drop_index(
            "delivery_queued",
            sqlite_where=sa.text("state = 'queued'"),
            postgresql_where=sa.text("state = 'queued'"),
        )
        batch_op.drop_index(
            "delivery_link_request",
            sqlite_where=sa.text("link_request_id IS NOT NULL"),
            postgresql_where=sa.text("link_request_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "delivery_leased",
            sqlite_where=sa.text("lease_owner IS NOT NULL"),
            postgresql_where=sa.text("lease_owner IS NOT NULL"),
        )
        batch_op.drop_index(
            "delivery_held",
            sqlite_where=sa.text("state = 'held'"),
            postgresql_where=sa.text("state = 'held'"),
        )
        batch_op.drop_index(
            "delivery_failed",
            sqlite_where=sa.text("state = 'failed'"),
            postgresql_where=sa.text("state = 'failed'"),
        )
        batch_op.drop_index(
            "delivery_enrollment",
            sqlite_where=sa.text("enrollment_id IS NOT NULL"),
            postgresql_where=sa.text("enrollment_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "delivery_deferred",
            sqlite_where=sa.text("state = 'deferred'"),
            postgresql_where=sa.text("state = 'deferred'"),
        )
        batch_op.drop_index(
            "delivery_campaign",
            sqlite_where=sa.text("campaign_id IS NOT NULL"),
            postgresql_where=sa.text("campaign_id IS NOT NULL"),
        )
        batch_op.drop_index(
            "delivery_approval",
            sqlite_where=sa.text("approval_id IS NOT NULL"),
            postgresql_where=sa.text("approval_id IS NOT NULL"),
        )

    op.drop_table("delivery")
    op.drop_table("certificate")
    op.drop_table("lesson")
    with op.batch_alter_table("enrollment", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("enrollment_subscriber_id"))
        batch_op.drop_index(
            "enrollment_running",
            sqlite_where=sa.text("state IN ('active', 'paused')"),
            postgresql_where=sa.text("state IN ('active', 'paused')"),
        )
        batch_op.drop_index(
            "enrollment_paused",
            sqlite_where=sa.text("state = 'paused'"),
            postgresql_where=sa.text("state = 'paused'"),
        )
        batch_op.drop_index(
            "enrollment_finished",
            sqlite_where=sa.text("state = 'finished'"),
            postgresql_where=sa.text("state = 'finished'"),
        )
        batch_op.drop_index(
            "enrollment_due",
            sqlite_where=sa.text("state = 'active'"),
            postgresql_where=sa.text("state = 'active'"),
        )

    op.drop_table("enrollment")
    with op.batch_alter_table("approval_message", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("approval_message_message_id"))

    op.drop_table("approval_message")
    op.drop_table("structure")
    with op.batch_alter_table("campaign_message", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("campaign_message_message_id"))

    op.drop_table("campaign_message")
    op.drop_table("approval")
    op.drop_table("trigger")
    with op.batch_alter_table("subscription", schema=None) as batch_op:
        batch_op.drop_index(
            "subscription_confirmed_at",
            sqlite_where=sa.text("state = 'confirmed'"),
            postgresql_where=sa.text("state = 'confirmed'"),
        )
        batch_op.drop_index(
            "subscription_confirmed",
            sqlite_where=sa.text("state = 'confirmed'"),
            postgresql_where=sa.text("state = 'confirmed'"),
        )

    op.drop_table("subscription")
    with op.batch_alter_table("signup", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("signup_subscriber_id"))
        batch_op.drop_index(
            "signup_open",
            sqlite_where=sa.text("confirmed_at IS NULL AND refused_at IS NULL"),
            postgresql_where=sa.text("confirmed_at IS NULL AND refused_at IS NULL"),
        )
        batch_op.drop_index(
            "signup_expiring",
            sqlite_where=sa.text("confirmed_at IS NULL"),
            postgresql_where=sa.text("confirmed_at IS NULL"),
        )

    op.drop_table("signup")
    with op.batch_alter_table("link_request", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("link_request_subscriber_id"))
        batch_op.drop_index("link_request_expiring")

    op.drop_table("link_request")
    op.drop_table("link")
    op.drop_table("course")
    op.drop_table("counter")
    with op.batch_alter_table("consent", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("consent_subscriber_id"))

    op.drop_table("consent")
    with op.batch_alter_table("campaign", schema=None) as batch_op:
        batch_op.drop_index(
            "campaign_scheduled",
            sqlite_where=sa.text("planned_at IS NULL"),
            postgresql_where=sa.text("planned_at IS NULL"),
        )

    op.drop_table("campaign")
    op.drop_table("workspace")
    op.drop_table("wording")
    op.drop_table("suppression")
    with op.batch_alter_table("subscriber", schema=None) as batch_op:
        batch_op.drop_index("subscriber_birthday")

    op.drop_table("subscriber")
    op.drop_table("stream")
    op.drop_table("source")
    op.drop_table("segment")
    with op.batch_alter_table("message", schema=None) as batch_op:
        batch_op.drop_index("message_hash")
        batch_op.drop_index(
            "message_current",
            sqlite_where=sa.text("superseded_at IS NULL"),
            postgresql_where=sa.text("superseded_at IS NULL"),
        )

    op.drop_table("message")
    op.drop_table("halt")
    op.drop_table("aging")
    op.drop_table("aged_event")
    op.drop_table("aged_delivery")
    op.drop_table("actions")
