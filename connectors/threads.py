"""Blocking drivers in a bounded number of threads, and an attempt that does not end before its thread has (rule 2)."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

Result = TypeVar("Result")


async def run_to_its_end(executor: Executor, job: Callable[[], Result], *, abandon: Callable[[], None]) -> Result:
    """Run the job in a thread. Cancelled, ask it to stop with `abandon`, and end only once it has returned.

    An attempt that returned while its thread still worked would let an undo start beside the step it undoes.
    """
    future = executor.submit(copy_context().run, job)
    waiting = asyncio.wrap_future(future)
    try:
        return await asyncio.shield(waiting)
    except asyncio.CancelledError:
        if not future.cancel():
            await asyncio.to_thread(abandon)
        while not waiting.done():
            with suppress(asyncio.CancelledError):  # raised again below
                await asyncio.wait({waiting})
        if not waiting.cancelled():
            waiting.exception()  # seen, so that nobody reports it as lost
        raise


async def close_executor(executor: Executor) -> None:
    """Wait for its threads; their jobs have ended with their attempts."""
    await asyncio.to_thread(executor.shutdown)
