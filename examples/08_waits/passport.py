"""Makes a passport: takes a number, waits for the photo, lets the ink dry, and hands it over on the day."""

from datetime import datetime

from pydantic import BaseModel

from amends import Context, Saga, Topic


class Application(BaseModel):
    """What arrives on the topic `applications`."""

    application_id: str
    applicant: str
    pick_up_at: datetime


class Photo(BaseModel):
    """What the photographer sends, when there is a picture."""

    file: str
    shop: str = "at the station"


passport = Saga(
    "passport",
    trigger=Topic("applications", Application, idempotency_key="application_id", business_key="applicant"),
    deadline="30d",
)


@passport.action(idempotent=True)
async def take_number(ctx: Context, trigger: Application) -> str:
    return f"C01X{int(ctx.saga_id[:4], 16):05}"


@take_number.undo(verify="reply")
async def void_number(trigger: Application) -> None: ...


photo = passport.wait(
    "photo",
    Photo,
    correlation=passport.trigger.applicant,  # what both sides know
    timeout="12s",  # a week, where time does not have to fit into an example
    on_timeout="fail",
    after=take_number,
)
ink_is_dry = passport.pause("ink_is_dry", "2s", after=photo)
the_day = passport.wait_until("the_day", passport.trigger.pick_up_at, after=ink_is_dry)


@passport.result
def handed_over(number: str = take_number.result, picture: Photo = photo.result) -> str:
    return f"{number} with {picture.file}, taken {picture.shop}"
