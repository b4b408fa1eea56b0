"""The APP of a command: its argument, else `sagas` in amends.toml."""

from amends.coordinator.config import Settings
from amends.coordinator.definition.loading import App, load_app
from amends.coordinator.errors import UsageError


def app_names(app: str | None, settings: Settings) -> tuple[str, ...]:
    """What to load. Raises `UsageError` (AM5006) where nobody says it."""
    names = (app,) if app is not None else settings.sagas
    if not names:
        raise UsageError(
            "AM5006", "no APP is given", do='name a file, folder or module, or write sagas = ["…"] in amends.toml'
        )
    return names


def loaded_app(app: str | None, settings: Settings) -> App:
    """Load it; several modules become one. Raises `UsageError`."""
    loaded = [load_app(name) for name in app_names(app, settings)]
    if len(loaded) == 1:
        return loaded[0]
    return App(
        name=", ".join(each.name for each in loaded),
        sagas=tuple(saga for each in loaded for saga in each.sagas),
        parts=tuple(saga for each in loaded for saga in each.parts),
        build="+".join(each.build for each in loaded),
    )
