"""Owns the server's settings, environment → one frozen value; refuses to be read by anything but bootstrap and the CLI.

Every variable starts with ``REFIT_``. A secret may instead be a file named by ``REFIT_…_FILE``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "REFIT_"


def default_home() -> Path:
    """Where Refit keeps its state when nobody says: the XDG data folder of the user."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "refit"


class Settings(BaseSettings):
    """Everything an operator can set; with nothing set, SQLite and the local runner in ``home``."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore")

    home: Path = Field(
        default_factory=default_home, description="state: database, mirrors, runs, objects, environments"
    )
    database_url: str = Field("", description="sqlite:///… or postgresql+psycopg://…; default: SQLite in home")
    repositories: dict[str, str] = Field(default_factory=dict, description='{"owner/name": "clone URL"}, as JSON')
    webhook_secret: SecretStr = Field(SecretStr(""), description="GitHub's webhook secret")
    webhook_secret_previous: SecretStr = Field(SecretStr(""), description="the secret before it, while rotating")
    github_token: SecretStr = Field(SecretStr(""), description="read access for clone and fetch")
    git_protocols: str = Field("https", description="colon-separated transports that git may use")
    backends: Path | None = Field(None, description="a YAML file that declares backends beside the local runner")
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65535, description="port to listen on; 0 chooses a free one")
    trusted_proxies: str = Field(
        "", description="addresses or networks, comma-separated, whose X-Forwarded-For is believed; * for any"
    )
    calls_per_minute: int = Field(3_000, ge=0, description="API calls and pages for one client; 0: no limit")
    bad_signatures_per_minute: int = Field(60, ge=0, description="unsigned webhooks answered one by one; 0: no limit")
    connections: int = Field(500, ge=1, description="connections at once; more are answered 503")
    receive_seconds: float = Field(20.0, gt=0, description="in which a request, head and body, must have arrived")
    streams: int = Field(64, ge=0, description="logs followed live at once; more are answered 503")
    slots: int = Field(default_factory=lambda: max(1, os.cpu_count() or 1), ge=1, description="local steps at once")
    sweep_seconds: float = Field(300.0, gt=0, description="between two looks for branches whose webhook never came")
    registry_seconds: float = Field(60.0, gt=0, description="between two looks for approvals in a vendor's registry")
    audit_seconds: float = Field(
        3600.0, gt=0, description="between two full recomputes of what is decided incrementally"
    )
    compile_unconfined: bool = Field(
        False, description="compile native definitions also where the machine allows no namespaces to do it in"
    )
    migrate: bool = Field(True, description="bring the database up to date on start")
    open_reading: bool | None = Field(None, description="reads without a token; default: only on a loopback host")

    @field_validator("repositories")
    @classmethod
    def _named_like_github(cls, value: dict[str, str]) -> dict[str, str]:
        for name, url in value.items():
            if name.count("/") != 1 or not all(name.split("/")):
                raise ValueError(f"{name!r} is not owner/name")
            if not url or url.startswith("-"):
                raise ValueError(f"the clone URL of {name} is empty or looks like an option")
        return value

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'refit.db'}"

    @property
    def reads_openly(self) -> bool:
        if self.open_reading is not None:
            return self.open_reading
        return self.host in ("127.0.0.1", "::1", "localhost")

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """Webhook secrets to accept, the current one first; empty entries left out."""
        found = (self.webhook_secret, self.webhook_secret_previous)
        return tuple(secret.get_secret_value().encode() for secret in found if secret.get_secret_value())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _Files(settings_cls)


class _Files(PydanticBaseSettingsSource):
    """``REFIT_WEBHOOK_SECRET_FILE=/run/secrets/webhook``: the value is the file's content without its last newline."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\n"), field_name, False
        except OSError as error:
            raise ValueError(f"reading {PREFIX}{field_name.upper()}_FILE: {error}") from error

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in values.items() if value is not None}
