"""Who watches over this workspace, and how they are written to."""

from dataclasses import replace
from datetime import datetime
from functools import partial

from l3mail import alarms, conditions
from l3mail.alarms import Asking, Duty
from l3mail.rounds import Agenda
from l3mail.settings import Settings
from l3mail.tokens import Purpose
from l3mail.wiring.agendas import make_agenda
from l3mail.wiring.mails import neutral_values
from l3mail.wiring.rules import load_tokens


def make_watched_agenda(settings: Settings) -> Agenda:
    """The agenda of a house that lives, whose staff is told how it fares.

    What is only foreseen is planned without: every alarm answers something that happened.
    """
    agenda, duty = make_agenda(settings), make_duty(settings)
    mine = (alarms.planner(duty), alarms.asker(duty, make_asking(settings)))
    # First, so that a report that can't be written keeps no alarm back.
    return replace(agenda, planners=(*mine, *agenda.planners))


def make_duty(settings: Settings) -> Duty:
    """Who is on duty in this workspace."""
    return Duty(
        to=settings.alerts.to,
        house=settings.workspace.name,
        zone=settings.zone,
        locale=settings.workspace.locale,
    )


def make_asking(settings: Settings) -> Asking:
    """Who is asked to approve in this workspace, and how."""
    tokens = load_tokens(settings)

    def link(purpose: Purpose, about: int, approver: str, until: datetime) -> str:
        number = alarms.approver_number(approver)
        token = tokens.make(purpose, about, number, expires_at=until)
        return f"{settings.web.base_url}/{purpose}/{token}"

    return Asking(
        settings.approvers,
        partial(link, Purpose.APPROVE),
        lambda text: neutral_values(settings, text, shown=conditions.ALL),
        partial(link, Purpose.RELEASE),
    )
