"""Certificates for private servers, made by the `openssl` program."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from loadtest.servers.installed import ServerNotFound


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path) -> None:
        """Make the authority. Raises `ServerNotFound` without `openssl`."""
        if shutil.which("openssl") is None:
            raise ServerNotFound("no openssl here: install openssl")
        self._folder = folder
        self.root = Certificate(folder / "root.crt", folder / "root.key")
        _openssl(
            *("req", "-x509", *_new_key(self.root), "-days", "2", "-subj", "/CN=Test authority"),
            # Python 3.13 asks for it, and for the key identifiers below (RFC 5280, 4.2.1).
            *("-addext", "keyUsage = critical, keyCertSign, cRLSign"),
            *("-out", self.root.certificate),
        )

    def issue(self, name: str, alternative: str = "", days: int = 2) -> Certificate:
        """Make a certificate of that common name, for a host such as `DNS:localhost`.

        It is valid for so many days; one with -1 has expired.
        """
        made = Certificate(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        request, extensions = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        lines = ["subjectKeyIdentifier = hash", "authorityKeyIdentifier = keyid"]
        if alternative:
            lines.append(f"subjectAltName = {alternative}")
        extensions.write_text("\n".join(lines) + "\n")
        _openssl("req", *_new_key(made), "-subj", f"/CN={name}", "-out", request)
        _openssl(
            *("x509", "-req", "-in", request, "-days", str(days), "-extfile", extensions),
            *("-CA", self.root.certificate, "-CAkey", self.root.key, "-CAcreateserial"),
            *("-out", made.certificate),
        )
        return made


def _new_key(made: Certificate) -> tuple[str | Path, ...]:
    curve = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"
    return (*curve, "-nodes", "-keyout", made.key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
