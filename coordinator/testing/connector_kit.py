"""The conformance kit: whether a participant keeps what its connector promises about doubt.

Describe one step that acts on a real participant (or on its sandbox), and run every check its promises call for:

```python
SUBJECT = connector_kit.Subject(
    dependency=payments, do=charge, undo=refund, lookup=find, applied=charges, undone=refunds
)


@pytest.mark.parametrize("check", connector_kit.checks_of(SUBJECT), ids=str)
async def test_payments_keeps_its_promises(check: connector_kit.Check) -> None:
    await check.run(SUBJECT)
```

Each check works on an object of its own, under keys of its own, so the participant need not be emptied. A broken
promise is a `BrokenPromise` that says what was promised, what happened, and what would follow from it in a saga.
"""

from amends.coordinator.testing.attempts import attempt_at, new_saga_id, step_key
from amends.coordinator.testing.connector_checks import CHECKS, Check
from amends.coordinator.testing.connector_trial import BrokenPromise, Reply, Subject, Trial

__all__ = [
    "CHECKS",
    "BrokenPromise",
    "Check",
    "Reply",
    "Subject",
    "Trial",
    "attempt_at",
    "checks_of",
    "new_saga_id",
    "run",
    "step_key",
]


def checks_of(subject: Subject) -> tuple[Check, ...]:
    """The checks that this subject's promises, and what it lets the kit do, call for."""
    return tuple(check for check in CHECKS if check.called_for(subject))


async def run(subject: Subject) -> tuple[Check, ...]:
    """Run all of them and return them. Raises an `ExceptionGroup` of every `BrokenPromise`."""
    checks, broken = checks_of(subject), []
    for check in checks:
        try:
            await check.run(subject)
        except BrokenPromise as promise:
            broken.append(promise)
    if broken:
        raise ExceptionGroup(f"{subject.dependency.name} breaks {len(broken)} of {len(checks)} promises", broken)
    return checks
