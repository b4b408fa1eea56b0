"""Whether an answer to a request sent again speaks for the first one as well (rules 3 and 8)."""

import pytest
from msgspec.structs import replace

from tests.simulation.definitions import action, read, saga
from tests.simulation.run import Run


def sent_again(*, window_ms: int | None = None, undo: bool = False) -> Run:
    run = Run.of(saga(action("a", key=True, window_ms=window_ms, attempts=9, undo_verify=False), read("bad")))
    if undo:
        run.ok("a")
        run.refused("bad")
    what = "undo of a" if undo else "a"
    run.unknown(what)
    assert run.tick() == [f"request {what} again"]
    return run


@pytest.mark.parametrize("undo", [False, True], ids=["step", "undo"])
def test_a_verdict_of_who_knows_the_key_covers_the_first_request(*, undo: bool) -> None:
    what = "undo of a" if undo else "a"
    run = sent_again(undo=undo)
    assert run.refused(what)[0] == f"{what} failed (refused)"
    assert run.effect(what).doubt is None


@pytest.mark.parametrize("undo", [False, True], ids=["step", "undo"])
@pytest.mark.parametrize("kind", ["withdrawn", "permission_denied", "invalid_argument"])
def test_a_refusal_of_our_own_says_nothing_about_the_first_request(kind: str, *, undo: bool) -> None:
    what = "undo of a" if undo else "a"
    run = sent_again(undo=undo)
    assert run.refused(what, kind=kind)[0] == f"{what} in doubt ({kind})"


@pytest.mark.parametrize("undo", [False, True], ids=["step", "undo"])
def test_that_nobody_was_reached_says_nothing_about_the_first_request(*, undo: bool) -> None:
    what = "undo of a" if undo else "a"
    assert sent_again(undo=undo).unavailable(what)[0] == f"{what} in doubt (unavailable)"


def test_a_refusal_behind_the_keys_window_says_nothing_about_the_first_request() -> None:
    run = sent_again(window_ms=1_500)
    assert run.refused("a")[0] == "a failed (refused)"
    run = Run.of(saga(action("a", key=True, window_ms=500)))
    run.unknown("a")
    run.resolve("a", "retry")
    assert run.refused("a")[0] == "a in doubt (refused)"


def test_a_refusal_that_comes_late_is_one_of_who_knew_the_key_when_it_was_asked() -> None:
    run = sent_again(window_ms=1_500)
    run.now += 3_000_000
    assert run.refused("a")[0] == "a failed (refused)"


def test_an_attempt_that_raised_leaves_the_first_request_in_doubt() -> None:
    run = sent_again()
    assert run.raises("a")[0] == "a in doubt (exception)"
    doubt = run.effect("a").doubt
    assert doubt is not None
    assert (doubt.attempt, doubt.loose) == (1, True)


def test_after_attempts_that_all_returned_a_refused_repetition_is_settled_as_ended() -> None:
    run = Run.of(saga(action("a", key=True)))
    assert run.raises("a") == ["a settled: ended by exception", "retry a"]
    run.tick()
    assert run.withdrawn("a") == ["a settled: ended by reply", "retry a"]
    assert run.effect("a").counted == 1, "what was withdrawn costs no attempt"


def test_the_doubt_remembers_when_it_began_and_since_when_it_is_quiet() -> None:
    run = Run.of(saga(action("a", key=True)))
    run.now += 700_000
    run.unknown("a")
    began = run.now
    run.tick()
    run.now += 300_000
    run.unknown("a")
    doubt = run.effect("a").doubt
    assert doubt is not None
    assert (doubt.since, doubt.quiet_from, doubt.attempt) == (began, run.now, 1)


def test_a_lost_request_goes_out_again_at_once_under_its_key() -> None:
    run = Run.of(saga(action("a", key=True)))
    key = run.effect("a").key
    assert run.recovers() == ["resumed (recovery)", "a in doubt (lost)", "request a again"]
    assert (run.effect("a").key, run.effect("a").attempt, run.effect("a").counted) == (key, 2, 1)


@pytest.mark.parametrize(("window_ms", "again"), [(1_199, False), (1_200, True)], ids=["too short", "long enough"])
def test_a_key_counts_as_known_only_if_the_whole_attempt_fits_its_window(window_ms: int, *, again: bool) -> None:
    run = Run.of(saga(action("a", key=True, window_ms=window_ms)))
    run.now += 200_000  # The attempt may take 1000 ms more.
    assert run.unknown("a")[1:] == (["retry a"] if again else ["parked forward: a (in_doubt)"])


@pytest.mark.parametrize(("timeout_ms", "again"), [(1_000, True), (9_000, False)], ids=["fits", "too long"])
def test_for_an_undo_the_undos_own_timeout_must_fit_its_window(timeout_ms: int, *, again: bool) -> None:
    step = action("a", key=True, window_ms=8_000, undo_verify=False)
    assert step.undo is not None
    undo = replace(step.undo, handler=replace(step.undo.handler, timeout_ms=timeout_ms))
    run = Run.of(saga(replace(step, undo=undo), read("bad")))
    run.ok("a")
    run.refused("bad")
    assert run.unknown("undo of a")[-1] == ("retry undo of a" if again else "parked undo: a (in_doubt)")


def test_a_window_that_closes_while_a_retry_waits_is_closed() -> None:
    run = Run.of(saga(action("a", key=True, window_ms=1_100)))
    assert run.unknown("a") == ["a in doubt (in_doubt)", "retry a"]
    assert run.tick() == ["parked forward: a (in_doubt)"]
    assert run.resolve("a", "retry") == ["resolved a: retry", "request a again"]


def test_an_attempt_that_outlived_its_timeout_may_return_without_an_answer() -> None:
    run = Run.of(saga(action("a", key=True)))
    run.times_out("a")
    assert run.unknown("a") == ["a in doubt (in_doubt)", "retry a"]


def test_out_of_attempts_an_absence_is_recorded_before_the_run_turns_back() -> None:
    run = Run.of(saga(action("a", lookup=True, attempts=1)))
    run.unknown("a")
    assert run.denies("a") == ["a settled: absent by lookup", "drain (failed)", "compensate nothing", "compensated"]


def test_the_window_is_counted_from_the_first_request_under_the_key() -> None:
    run = Run.of(saga(action("a", key=True, window_ms=2_000, attempts=9)))
    first = run.effect("a").key_used_at
    run.unknown("a")
    run.tick()
    assert run.effect("a").key_used_at == first
    run.refused("a", kind="withdrawn")
    assert run.effect("a").key_used_at == first
