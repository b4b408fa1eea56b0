"""What the conformance kit tries: each promise about doubt as a few requests, and what the books must say then."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from amends.coordinator.errors import UsageError
from amends.coordinator.failures import StepRefused, StepUnavailable, StepUnknown
from amends.coordinator.testing.attempts import attempt_at
from amends.coordinator.testing.connector_trial import EPOCH, Subject, Trial
from amends.schemas.events import EvidenceRecorded, PermissionDenied

RIVALS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One promise, tried."""

    name: str
    promise: str
    called_for: Callable[[Subject], bool]
    trial: Callable[[Trial], Awaitable[None]]

    def __str__(self) -> str:
        return self.name

    async def run(self, subject: Subject) -> None:
        """Raises `BrokenPromise`."""
        await self.trial(Trial(subject=subject, promise=self.promise))


async def same_key_twice(trial: Trial) -> None:
    first, second = await trial.do(), await trial.do(number=2)
    trial.expect_success(first, "the first request")
    await trial.expect_books(
        applied=1, after="the same key twice", follows="a request sent again after a lost reply acts twice"
    )
    trial.expect(
        second.ok and second.value == first.value,
        f"the first was answered {first.value!r} and the repetition {second.value!r} ({second})",
        "a step settled by sending again has another result than the one that took effect",
    )


async def same_key_at_once(trial: Trial) -> None:
    replies = await asyncio.gather(*(trial.do(number=2) for _ in range(RIVALS)))
    last = await trial.do_until_definite()
    shown = ", ".join(str(reply) for reply in (*replies, last))
    trial.expect(last.ok, f"{RIVALS} at once and one more came to {shown}", "the step never gets its answer")
    await trial.expect_books(
        applied=1, after=f"one key {RIVALS} times at once", follows="a worker and its successor act twice"
    )


async def another_key_acts_again(trial: Trial) -> None:
    trial.expect_success(await trial.do(), "the step")
    trial.expect_success(await trial.undo(), "its undo")
    trial.expect_success(await trial.do(generation=1), "the step under a new key")
    await trial.expect_books(
        applied=2,
        undone=1,
        after="step, undo, and the step under a new key",
        follows="a step undone is never done again",
    )


async def undo_reverses(trial: Trial) -> None:
    trial.expect_success(await trial.do(), "the step")
    trial.expect_success(await trial.undo(), "its undo")
    await trial.expect_books(applied=1, undone=1, after="the step and its undo", follows="compensation does not undo")


async def undo_twice(trial: Trial) -> None:
    trial.expect_success(await trial.do(), "the step")
    trial.expect_success(await trial.undo(), "its undo")
    again = await trial.undo(number=2)
    trial.expect(again.ok, f"the repeated undo ended with {again}", "a compensation parks though it was done")
    await trial.expect_books(applied=1, undone=1, after="the undo twice", follows="more is given back than was taken")


async def late_do_after_undo(trial: Trial) -> None:
    trial.expect_success(await trial.do(), "the step")
    trial.expect_success(await trial.undo(), "its undo")
    await trial.do(number=2)
    await trial.expect_books(
        applied=1,
        undone=1,
        after="the step, its undo, and the step's request again",
        follows="a request late in the network acts after the saga has ended",
    )


async def undo_before_do(trial: Trial) -> None:
    undo = await trial.undo()
    trial.expect(undo.ok, f"the undo of nothing ended with {undo}", "a compensation parks though nothing is wrong")
    await trial.expect_books(applied=0, after="an undo of nothing", follows="what was never taken is given back")
    late = await trial.do(number=2)
    await trial.expect_books(
        applied=0, after="an undo and then its late step", follows="the late request acts after the saga has ended"
    )
    refused = isinstance(late.failure, StepRefused | StepUnknown)
    trial.expect(refused, f"the late step ended with {late}", "its effect is taken for granted")


async def lookup_tells_the_truth(trial: Trial) -> None:
    trial.expect(await trial.lookup() is None, "the lookup found what was never done", "a step is skipped")
    done = await trial.do()
    trial.expect_success(done, "the step")
    found = await trial.lookup()
    trial.expect(found is not None, "the lookup does not find what was done", "it is done twice, or never undone")
    same = found == done.value or found is True
    trial.expect(
        same, f"the step returned {done.value!r} and the lookup {found!r}", "the run goes on with another result"
    )
    trial.expect(
        await Trial(subject=trial.subject, promise=trial.promise, thing=trial.thing).lookup() is None,
        "the lookup found another run's effect on the same object",
        "it asks by the object and not by the key",
    )


async def lookup_finds_what_lost_its_reply(trial: Trial) -> None:
    assert trial.subject.loses_replies is not None
    async with trial.subject.loses_replies(trial.thing):
        await trial.do()
    applied, _ = await trial.books()
    found = await trial.lookup()
    trial.expect(
        (found is not None) == bool(applied),
        f"the step took effect {applied} times and the lookup said {found!r}",
        "a guess",
    )


async def stored_failure_under_an_old_key(trial: Trial) -> None:
    assert trial.subject.refuses is not None
    async with trial.subject.refuses(trial.thing):
        refused = await trial.do()
    trial.expect(
        isinstance(refused.failure, StepRefused), f"a refusal came out as {refused}", "it is retried, or taken for done"
    )
    await trial.expect_books(applied=0, after="a refusal", follows="refused is not without effect")
    old = await trial.do(number=2)
    await trial.expect_books(
        applied=int(old.ok), after=f"the refused key again ({old})", follows="the answer is not what happened"
    )
    new = await trial.do(generation=1)
    trial.expect(new.ok, f"a new key ended with {new}", "after a definite failure a retry never gets through")
    await trial.expect_books(
        applied=int(old.ok) + 1, after="a new key after a refusal", follows="the answer is not what happened"
    )


async def lower_epoch_is_refused(trial: Trial) -> None:
    trial.expect_success(await trial.do(), "the step")
    zombie = await trial.do(number=2, epoch=EPOCH - 1)
    trial.expect(not zombie.ok, "a worker that was replaced got an answer", "two owners of one run both go on")
    if trial.subject.undo is not None:
        undo = await trial.undo(epoch=EPOCH)
        trial.expect_success(undo, "the owner's undo")
        late = await trial.undo(number=2, epoch=EPOCH - 1)
        trial.expect(not late.ok, "the undo of a worker that was replaced got an answer", "two owners both go on")
    await trial.expect_books(
        applied=1,
        undone=int(trial.subject.undo is not None),
        after="requests of a replaced worker",
        follows="a zombie acts",
    )


async def lost_reply_is_in_doubt(trial: Trial) -> None:
    assert trial.subject.loses_replies is not None
    async with trial.subject.loses_replies(trial.thing):
        reply = await trial.do()
    applied, _ = await trial.books()
    trial.expect(
        not (reply.definite_failure and applied),
        f"the step took effect and came out as {reply}",
        "the effect is never undone, as nobody knows of it",
    )
    if trial.subject.promises.deduplicates:
        settled = await trial.do_until_definite()
        trial.expect(settled.ok, f"sending again under the same key came to {settled}", "the doubt is never settled")
        await trial.expect_books(applied=1, after="a lost reply and sending again", follows="it acts twice")


async def unreachable_is_definite(trial: Trial) -> None:
    assert trial.subject.unreachable is not None
    async with trial.subject.unreachable(trial.thing):
        reply = await trial.do()
    trial.expect(
        isinstance(reply.failure, StepUnavailable),
        f"with nobody there it came out as {reply}",
        "a step that was never sent is settled as if it might have been",
    )
    await trial.expect_books(applied=0, after="a participant that was not there", follows="it was there")


async def nothing_without_an_attempt(trial: Trial) -> None:
    try:
        await trial.subject.do(trial.thing)
    except UsageError as error:
        trial.expect(
            error.code == "AM2001", f"it failed with {error.code}", "call current_attempt before anything else"
        )
    else:
        trial.expect(
            kept=False, what="it worked outside an attempt", follows="its effect has no key, no entry, no evidence"
        )
    await trial.expect_books(applied=0, after="a call outside an attempt", follows="it acted for nobody")


async def readers_change_nothing(trial: Trial) -> None:
    reply = await trial.under(attempt_at(trial.saga_id, role="verify", epoch=EPOCH), trial.subject.do)
    await trial.expect_books(applied=0, after="a read-back that tried to act", follows="a read-back changes the world")
    denied = any(isinstance(note, PermissionDenied) for note in reply.attempt.notes)
    trial.expect(
        isinstance(reply.failure, StepRefused) and denied,
        f"it ended with {reply}, and the denial was {'' if denied else 'not '}recorded",
        "call Attempt.before_send before each request",
    )


async def no_lease_no_send(trial: Trial) -> None:
    for attempt in (
        attempt_at(trial.saga_id, lease_left_s=0, epoch=EPOCH),
        attempt_at(trial.saga_id, within_s=-1, epoch=EPOCH),
    ):
        reply = await trial.under(attempt, trial.subject.do)
        trial.expect(
            isinstance(reply.failure, StepUnavailable),
            f"without lease or time it came out as {reply}",
            "call Attempt.before_send directly before each request",
        )
    await trial.expect_books(applied=0, after="attempts without lease or time", follows="a zombie acts")


async def evidence_without_secrets(trial: Trial) -> None:
    done = await trial.do()
    trial.expect_success(done, "the step")
    name = trial.subject.dependency.name
    seen = [note for note in done.attempt.notes if isinstance(note, EvidenceRecorded) and note.tool == name]
    trial.expect(bool(seen), "it left no evidence", "the log has the handler's word only; call Attempt.record")
    replies = [done]
    if trial.subject.refuses is not None:
        async with trial.subject.refuses(trial.thing):
            replies.append(await trial.do(generation=1))
    texts = [text for reply in replies for text in (str(reply), repr(reply.failure), repr(reply.attempt.notes))]
    leaked = any(secret in text for secret in trial.subject.secrets for text in texts)
    trial.expect(not leaked, "a secret is in its evidence or its errors", "these are written to the log for good")


def _always(_: Subject) -> bool:
    return True


def _deduplicates(subject: Subject) -> bool:
    return subject.promises.deduplicates


def _undoes(subject: Subject) -> bool:
    return subject.undo is not None


def _undoes_once(subject: Subject) -> bool:
    return subject.undo is not None and subject.promises.deduplicates


def _takes_tombstones(subject: Subject) -> bool:
    return subject.undo is not None and subject.promises.tombstones


CHECKS: Final = tuple(
    Check(name=trial.__name__, promise=promise, called_for=called_for, trial=trial)
    for trial, promise, called_for in (
        (nothing_without_an_attempt, "it acts in the name of an attempt only", _always),
        (readers_change_nothing, "it changes nothing for a reader", _always),
        (no_lease_no_send, "it sends nothing once the lease or the time is over", _always),
        (evidence_without_secrets, "it leaves evidence, and no secrets", _always),
        (undo_reverses, "its undo undoes", _undoes),
        (another_key_acts_again, "another key is another effect", _undoes),
        (same_key_twice, "the same key acts once", _deduplicates),
        (same_key_at_once, "the same key acts once, even at once", _deduplicates),
        (undo_twice, "the same key undoes once", _undoes_once),
        (late_do_after_undo, "a repeated request after the undo does not act again", _undoes_once),
        (undo_before_do, "an undo that comes first makes it refuse the late request", _takes_tombstones),
        (lookup_tells_the_truth, "its lookup tells the truth", lambda subject: subject.lookup is not None),
        (
            lookup_finds_what_lost_its_reply,
            "its lookup tells the truth after a lost reply",
            lambda subject: subject.lookup is not None and subject.loses_replies is not None,
        ),
        (
            stored_failure_under_an_old_key,
            "a refusal has no effect, and does not stop a new key",
            lambda subject: subject.refuses is not None,
        ),
        (lower_epoch_is_refused, "a lower epoch is refused", lambda subject: subject.fences),
        (
            lost_reply_is_in_doubt,
            "a lost reply is never called a failure",
            lambda subject: subject.loses_replies is not None,
        ),
        (
            unreachable_is_definite,
            "what was never sent is known to be without effect",
            lambda subject: subject.unreachable is not None,
        ),
    )
)
"""Every check, cheap ones first."""
