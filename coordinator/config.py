"""The settings (contract, section 1): flag, then environment `AMENDS_…`, then `amends.toml`, then default.

`load` says for each value which of them won. Nothing here opens or resolves anything: a password stays a reference.
"""

import logging
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PositiveInt, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from amends.coordinator.definition.durations import milliseconds
from amends.coordinator.definition.findings import nearest
from amends.coordinator.errors import UsageError

DEFAULT_FILE: Final = "amends.toml"
KAFKA: Final = "kafka://"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,200}")
_REFERENCE: Final = "PASSWORD may be ${env:NAME} or ${file:PATH}"
_SECRETS: Final = ("kafka_password", "master_key", "checkpoint_key")
_SHARDS: Final = 16
_SHARDS_MAX: Final = 4_096


class Settings(BaseSettings):
    """Every setting, checked. Durations and URLs are kept as they were written; properties give what is computed."""

    model_config = SettingsConfigDict(env_prefix="AMENDS_", env_ignore_empty=True, extra="forbid", frozen=True)

    data: Path = Field(default=Path(".amends"), description="Folder of the embedded store, made with mode 0700.")
    store: str = Field(
        default="", description=f"sqlite:///PATH or postgresql://USER:PASSWORD@HOST/DATABASE; {_REFERENCE}."
    )
    bus: str = Field(default="local", description="local, or kafka://HOST:PORT[,HOST:PORT].")
    namespace: str = Field(default="default", description="Separates installations fed by the same topics.")
    kafka_security_protocol: str | None = Field(default=None, description="PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL.")
    kafka_sasl_mechanism: str | None = Field(default=None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512.")
    kafka_user: str | None = Field(default=None, description="User for SASL.")
    kafka_password: str | None = Field(default=None, description="Where the password is: ${env:NAME} or ${file:PATH}.")
    kafka_ca_file: Path | None = Field(default=None, description="PEM file of trusted authorities.")
    kafka_client_id: str | None = Field(default=None, description="What the brokers call this client.")
    topic_prefix: str = Field(default="amends", description="amends.outcomes becomes PREFIX.outcomes.")
    topic_format: Literal["avro", "json"] = Field(default="avro", description="avro or json, for what is published.")
    schema_registry: str | None = Field(
        default=None, description=f"URL of a Confluent-compatible registry; {_REFERENCE}."
    )
    master_key: str | None = Field(
        default=None, description="Where the key is that wraps subjects' data keys: ${env:NAME} or ${file:PATH}."
    )
    checkpoint_key: str | None = Field(
        default=None, description="Where the key is that signs the shards' heads: ${env:NAME} or ${file:PATH}."
    )
    checkpoint_every: str = Field(default="1m", description="How often the head of a shard that moves is signed.")
    messages_kept: str = Field(default="7d", description="How long a message that nobody waits for is kept.")
    lease: str = Field(default="10s", description="How long a worker owns a shard without renewing.")
    shards: PositiveInt | None = Field(default=None, le=_SHARDS_MAX, description="Shards of a new store (SQLite: 1).")
    in_flight: PositiveInt = Field(default=256, description="Open runs a worker works on at once.")
    build: str | None = Field(default=None, description="Names the build on each entry (default: digest of APP).")
    log: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level that is logged.")
    sagas: Annotated[tuple[str, ...], NoDecode] = Field(default=(), description="Stands for APP; in amends.toml.")

    @property
    def store_url(self) -> str:
        return self.store or f"sqlite:///{self.data}/amends.db"

    @property
    def kafka(self) -> str | None:
        """The brokers, or None on the local bus."""
        return self.bus.removeprefix(KAFKA) if self.bus.startswith(KAFKA) else None

    @property
    def lease_ms(self) -> int:
        return milliseconds(self.lease)

    @property
    def messages_kept_ms(self) -> int:
        return milliseconds(self.messages_kept)

    @property
    def checkpoint_every_s(self) -> float:
        return milliseconds(self.checkpoint_every) / 1_000

    @property
    def shards_new(self) -> int:
        """How many shards a store gets when it is made."""
        embedded = self.store_url.startswith(("sqlite:", "memory:"))
        return self.shards or (1 if embedded else _SHARDS)

    @property
    def group(self) -> str:
        """The Kafka consumer group of this installation."""
        return f"{self.topic_prefix}.{self.namespace}"

    @property
    def log_level(self) -> int:
        return logging.getLevelNamesMapping()[self.log.upper()]

    @field_validator("sagas", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(each.strip() for each in value.split(",")) if isinstance(value, str) else value

    @field_validator("log", "topic_format", mode="before")
    @classmethod
    def _lowered(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("lease")
    @classmethod
    def _is_duration(cls, value: str) -> str:
        if not 1_000 <= milliseconds(value) <= 3_600_000:  # noqa: PLR2004  a second, an hour
            raise ValueError("a lease lasts between 1s and 1h")
        return value

    @field_validator("checkpoint_every")
    @classmethod
    def _is_pause(cls, value: str) -> str:
        if not 1_000 <= milliseconds(value) <= 86_400_000:  # noqa: PLR2004  a second, a day
            raise ValueError("heads are signed every 1s to 1d")
        return value

    @field_validator("messages_kept")
    @classmethod
    def _is_while(cls, value: str) -> str:
        if milliseconds(value) < 1_000:  # noqa: PLR2004  a second
            raise ValueError("a message is kept for 1s at least")
        return value

    @field_validator("lease", "checkpoint_every", "messages_kept", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value

    @field_validator("bus")
    @classmethod
    def _is_bus(cls, value: str) -> str:
        if value != "local" and not (value.startswith(KAFKA) and value.removeprefix(KAFKA)):
            raise ValueError("write local, or kafka://HOST:PORT[,HOST:PORT]")
        return value.rstrip("/") if value != "local" else value

    @field_validator("namespace", "topic_prefix")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value):
            raise ValueError("use letters, digits, . _ and -, 200 at most")
        return value

    @field_validator("build")
    @classmethod
    def _is_text(cls, value: str | None) -> str | None:
        """It stands in each entry: no run could be written down with bytes that are no text."""
        if value is not None and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise ValueError("it is not UTF-8") from None
        return value

    @field_validator("schema_registry")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("write the URL of a registry, like http://HOST:8081")
        return value

    @field_validator("kafka_password", "master_key", "checkpoint_key")
    @classmethod
    def _is_reference(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"\$\{(env|file):[^}\s]+\}", value):
            raise ValueError("it holds no reference; write ${env:NAME} or ${file:PATH}, never the secret itself")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what `load` has gathered: it must know where each value came from."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The settings, and for each name where its value came from."""

    settings: Settings
    origins: Mapping[str, str] = field(default_factory=dict)
    file: Path | None = None

    def origin(self, name: str) -> str:
        return self.origins.get(name, "default")


NAMES: Final = tuple(Settings.model_fields)


def load(flags: Mapping[str, str | None] | None = None, *, config: Path | None = None) -> Loaded:
    """Gather the settings. Raises `UsageError`: AM5001 a value, AM5002 the file, AM5003 an unknown key in it."""
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    environment = EnvSettingsSource(Settings)()
    file, written = _read(config)
    values = {**written, **environment, **given}
    origins = {
        **dict.fromkeys(written, f"{file}"),
        **{name: f"environment AMENDS_{name.upper()}" for name in environment},
        **{name: f"flag --{name.replace('_', '-')}" for name in given},
    }
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise _wrong_value(error, values, origins) from None
    return Loaded(settings=settings, origins=origins, file=file)


def shown(name: str, value: object) -> str:
    """A setting as a person may see it: without the password of a URL."""
    text = "" if value is None else ",".join(value) if isinstance(value, tuple) else str(value)
    return without_password(text) if name in {"store", "schema_registry", "bus"} else text


def without_password(url: str) -> str:
    """The URL with `***` in place of its password, were it a reference or hold what a URL must not hold."""
    return re.sub(r"(://[^:/?#@]*):.*@", r"\1:***@", url)


def _read(config: Path | None) -> tuple[Path | None, dict[str, Any]]:
    file = config or Path(DEFAULT_FILE)
    if config is None and not file.exists():
        return None, {}
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError("AM5002", f"{file} cannot be read: {why}", do="name a readable file with --config") from None
    except RecursionError:
        raise UsageError("AM5002", f"{file} is nested too deep", do="mend it; no setting is a nested list") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError("AM5002", f"{file} is not TOML: {error}", do="mend that line") from None
    for key in values:
        if key not in NAMES:
            raise UsageError("AM5003", f"{file} has the unknown key {key!r}", do=nearest(key, NAMES))
    return file, values


def _wrong_value(error: ValidationError, values: Mapping[str, object], origins: Mapping[str, str]) -> UsageError:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else "?"
    why = first["msg"].removeprefix("Value error, ")
    value = shown(name, values.get(name)) if name not in _SECRETS else "…"
    return UsageError(
        "AM5001",
        f"setting {name} is {value!r} ({origins.get(name, 'default')}): {why}",
        do="`amends config show --origin` lists the others",
    )
