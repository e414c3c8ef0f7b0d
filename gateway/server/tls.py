"""TLS to clients: the certificate from its files, read again when they change."""

import asyncio
import os
import ssl

import structlog

from flashsale.runtime.errors import SettingsError
from flashsale.runtime.settings import PREFIX, Settings

log = structlog.get_logger()

_LOOK_SECONDS = 1.0

_Version = tuple[tuple[int, int, int], ...]


class ServerTls:
    """The certificate for new connections. Open connections keep the one that they began with."""

    def __init__(self, certificate: str, key: str) -> None:
        """Read both files. Raises `SettingsError`."""
        self._certificate = certificate
        self._key = key
        self._version = self._look()
        self.context = self._load()

    async def follow(self) -> None:
        """Keep reading the files when they change. Files that can't be used change nothing.

        An orchestrator replaces them by a link, and others one after the other.
        """
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                version = self._look()
                if version == self._version:
                    continue
                self._version = version
                self.context = self._load()
            except SettingsError as error:
                if self._version:
                    log.warning("the certificate before stays in use", reason=str(error))
                self._version = ()
            else:
                log.info("certificate read again", file=self._certificate)

    def _look(self) -> _Version:
        """Return what tells one version of the files from the next. Raises `SettingsError`."""
        found = []
        for name, path in (("CERT", self._certificate), ("KEY", self._key)):
            try:
                status = os.stat(path)
            except OSError as error:
                raise SettingsError(f"{PREFIX}TLS_{name}={path}: {error.strerror}") from error
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return tuple(found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            # Without a password OpenSSL would ask the terminal for one.
            context.load_cert_chain(self._certificate, self._key, password="")
        except OSError as error:
            reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            raise SettingsError(
                f"{PREFIX}TLS_CERT={self._certificate}: no certificate in PEM that fits the key in"
                f" {PREFIX}TLS_KEY={self._key} ({reason or error})"
            ) from error
        return context


def server_tls(settings: Settings) -> ServerTls | None:
    """Return the certificate of the settings, None without one. Raises `SettingsError`."""
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return ServerTls(settings.tls_cert, settings.tls_key)
