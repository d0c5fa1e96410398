"""What falls due in a workspace by itself, the planners of upper parts included."""

from datetime import time

from l3mail.reports import Mondays, placeholder
from l3mail.rounds import Agenda
from l3mail.settings import Settings
from l3mail.wiring.reporting import Scribe
from l3mail.wiring.rules import asking_terms, make_rules, retention_terms


def make_agenda(settings: Settings, *, rehearsing: bool = False) -> Agenda:
    """What planning needs to know of this workspace.

    `rehearsing` plans the same rows, with a few words where the staff would get a long letter, and
    doubts no audience that grew.
    """
    write = placeholder(settings.workspace.locale) if rehearsing else Scribe(settings).write
    mondays = Mondays(
        settings.readers, time.fromisoformat(settings.reports.at), settings.zone, write
    )
    return Agenda(
        make_rules(settings),
        asking_terms(settings).question,
        growth=0 if rehearsing else settings.sending.growth,
        planners=(mondays.planner(),),
        kept=retention_terms(settings),
    )
