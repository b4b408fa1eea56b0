"""Answers for what is pending: as the reply of an attempt, or, where that comes too late, for the record (rule 12)."""

from amends.coordinator.core.messages import Delivered, Done, Replied, Unknown
from amends.coordinator.core.pending import takes_answer
from amends.coordinator.core.replies import record_late, record_outcome
from amends.coordinator.core.state import State
from amends.coordinator.core.turn import Turn
from amends.schemas.events import AnswerReceived


def record_answer(turn: Turn, message: Delivered) -> None:
    """A message that answers. One for a request that is not the present one changes nothing: it is another's."""
    path, direction, said = message.path, message.direction, message.answer
    assert said is not None, "a message without an answer is one for a wait"
    if not takes_answer(turn.state, path, direction, message.correlation):
        return
    before = turn.state.effect(path, direction)
    turn.emit(
        AnswerReceived(
            path=path,
            direction=direction,
            attempt=before.attempt,
            message_id=message.message_id,
            correlation=message.correlation,
            message_type=message.message_type,
            answer=said.verdict,
            body=message.body,
        )
    )
    answer = said.answer
    if isinstance(answer, Done) and answer.external_id is None:
        answer = Done(result=answer.result, external_id=before.external_id)
    reply = Replied(path=path, direction=direction, attempt=before.attempt, answer=answer)
    if _too_late(turn.state, message):
        record_late(turn, reply, before, answered=True)
    elif before.phase == "pending" or not isinstance(answer, Unknown):
        record_outcome(turn, reply, before, answered=True)


def _too_late(state: State, message: Delivered) -> bool:
    """Whether nothing is decided by it any more: the run has ended, its undo list is frozen, or a person decided."""
    if state.closed or state.effect(message.path, "undo").phase == "skipped":
        return True
    return message.direction == "forward" and state.undo_list is not None
