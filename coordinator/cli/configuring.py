"""`amends config show`."""

from typing import Annotated, Any

import typer

from amends.coordinator.cli.call import Call, command
from amends.coordinator.cli.groups import CONFIG


@command(CONFIG, "show", example="amends config show --origin")
def show_config(
    call: Call, origin: Annotated[bool, typer.Option("--origin", help="Also where each value came from.")] = False
) -> None:
    """The settings as they count here; passwords are not shown."""
    from amends.coordinator.cli.output import columns, show_list
    from amends.coordinator.config import NAMES, shown

    loaded = call.loaded
    computed: dict[str, object] = {"store": loaded.settings.store_url, "shards": loaded.settings.shards_new}
    facts: list[dict[str, Any]] = []
    for name in NAMES:
        value = computed.get(name, getattr(loaded.settings, name))
        facts.append({"setting": name, "value": shown(name, value) or None})
        if origin:
            facts[-1]["origin"] = loaded.origin(name)

    def text(found: list[dict[str, Any]]) -> str:
        return columns([[each["setting"], each["value"] or "-", each.get("origin", "")] for each in found])

    show_list(call, facts, text)
