"""Copies keys: takes a blank, cuts it, and throws the blank away if the cut goes wrong."""

from pydantic import BaseModel

from amends import Context, Saga, StepRefused, Topic


class Key(BaseModel):
    """What a customer brings."""

    request_id: str
    profile: str


copying = Saga("copying", trigger=Topic("keys", Key, idempotency_key="request_id", business_key="profile"))


@copying.action(idempotent=True)
def take_blank(ctx: Context, trigger: Key) -> str:
    return f"blank {trigger.profile[0]}"


@take_blank.undo(verify="reply")
def throw_away(blank: str | None = take_blank.maybe) -> None: ...


@copying.action(idempotent=True, irreversible=True)
def cut(trigger: Key, blank: str = take_blank.result) -> str:
    if trigger.profile.endswith("*"):
        raise StepRefused("a protected profile", kind="protected")
    return f"{blank} cut as {trigger.profile}"
