"""The base of every class of settings: `FLASHSALE_...` in the environment."""

from collections.abc import Mapping

from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from flashsale.runtime.service_links import is_service_address

PREFIX = "FLASHSALE_"


class FromEnvironment(BaseSettings):
    """Settings from the environment. They ignore what an orchestrator sets for a service.

    White space around a value does not count: a file of variables with Windows' ends of lines gives
    each value a carriage return, which nobody sees in a password.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore"
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the arguments, then the environment without the addresses of services in it."""
        return init_settings, _WithoutServiceAddresses(settings_cls)


class _WithoutServiceAddresses(EnvSettingsSource):
    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {
            name: value if value is None else value.strip()
            for name, value in super()._load_env_vars().items()
            if value is None
            or not (value.isspace() or is_service_address(name.upper(), value.strip()))
        }
