"""The life of a delivery from claim to end, on both databases."""

from datetime import timedelta

from l3mail.models import DELIVERY
from l3mail.outbox import Verdict
from tests.fakes.village import Village


def test_a_delivery_goes_from_queued_to_accepted(village: Village) -> None:
    village.publish()
    delivery = village.delivery(village.learner(first_name="Ada"))
    (started,) = village.start()
    assert village.state(delivery) == "sending"
    assert (started.id, started.address, started.stream) == (delivery, "ada@schule.example", "kurs")
    assert started.person["first_name"] == "Ada"
    village.record(started, Verdict.ACCEPTED, code=250)
    row = village.row(DELIVERY, delivery)
    assert (row["state"], row["ended_at"], row["lease_owner"]) == ("accepted", village.now, None)
