"""A lane that is held up goes on once the record that was refused has passed, and not before."""

from amends.coordinator.errors import RecordTooLarge
from amends.coordinator.runtime.relay_holds import Holds


def test_a_lane_is_held_until_the_very_record_that_was_refused_has_passed() -> None:
    holds, refused = Holds(), RecordTooLarge(topic="amends.audit", index=0, size_bytes=2_000_000)
    assert holds.hold(3, 17, refused)
    assert not holds.hold(3, 17, refused), "the same again is no news"
    holds.passed(3, 16)
    assert 3 in holds
    holds.passed(3, 17)
    assert 3 not in holds
