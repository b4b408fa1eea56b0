"""`amends dev`, `amends worker`, `amends relay`: the commands that stay."""

from typing import Annotated

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import APP, RUN
from amends.coordinator.errors import UsageError

AppArgument = Annotated[
    str | None,
    typer.Argument(metavar="APP", help="File, folder or module that binds the sagas; default: sagas in amends.toml."),
]
AllowMissing = Annotated[
    bool, typer.Option("--allow-missing", help="Start even if open runs need handlers that APP lacks: they wait.")
]


@command(APP, "dev", panel=RUN, example="amends dev sagas.py --reload")
async def dev(
    call: Call,
    app: AppArgument = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Begin anew with the new code whenever a source file below APP changes.")
    ] = False,
    allow_missing: AllowMissing = False,
) -> int:
    """Worker, relay and timers in one process; shows each run as it ends."""
    if reload:
        from amends.coordinator.cli.reloading import serve_reloaded

        return await serve_reloaded(call, app, allow_missing=allow_missing)
    from amends.coordinator.cli.service import Wanted, serve

    return await serve(call, Wanted(app=app, relay=True, strict=False, allow_missing=allow_missing, show=True))


@command(APP, "worker", panel=RUN, example="amends worker shop.sagas --until-idle")
async def worker(
    call: Call,
    app: AppArgument = None,
    with_relay: Annotated[bool, typer.Option("--with-relay", help="Publish the log from this process too.")] = False,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="End when everything is read, run and published.")
    ] = False,
    allow_missing: AllowMissing = False,
) -> int:
    """Read triggers and run sagas; any number of workers with PostgreSQL, one with SQLite."""
    from amends.coordinator.cli.service import Wanted, serve

    wanted = Wanted(
        app=app, relay=with_relay or until_idle, strict=True, allow_missing=allow_missing, until_idle=until_idle
    )
    return await serve(call, wanted)


@command(
    APP, "relay", panel=RUN, example="amends relay --bus kafka://127.0.0.1:9092 --store postgresql://amends@db/amends"
)
async def relay(call: Call) -> int:
    """Publish the log to Kafka; any number of relays."""
    from amends.coordinator.bootstrap import only_sqlite
    from amends.coordinator.cli.service import serve_relay

    if only_sqlite(call.settings):
        raise UsageError(
            "AM5020", "with SQLite the worker carries the relay", do="start `amends worker APP`; it publishes by itself"
        )
    if call.settings.kafka is None:
        raise UsageError(
            "AM5021",
            "the local bus needs no relay: its topics are views over the log",
            do="set AMENDS_BUS=kafka://HOST:PORT, or just do not start it",
        )
    return await serve_relay(call)
