"""Find the programs of servers: on this machine, or in a root folder with another Debian."""

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT_VARIABLE = "FLASHSALE_TEST_SERVERS_ROOT"

# The mounts are in a namespace of the server's own, so they always end with it. Each command execs
# the next one, so that the started process is the server.
_ENTER = """
root=$1 data=$2
shift 2
mount -t tmpfs tmpfs "$root/tmp"
for folder in /proc /dev ${data:+"$data"}; do
    mkdir -p "$root$folder"
    mount --rbind "$folder" "$root$folder"
done
exec chroot "$root" "$@"
"""


class ServerNotFound(Exception):
    """The server is not installed. The message names the package."""


@dataclass(frozen=True)
class Installation:
    """The programs under a root folder. Under another root than `/`, only root can run them.

    Programs find the folder `data` at the same path as on the machine.
    """

    root: Path = Path("/")
    data: Path | None = None

    @classmethod
    def chosen(cls, data: Path | None = None) -> Self:
        """Return the installation under FLASHSALE_TEST_SERVERS_ROOT, by default the machine's."""
        return cls(Path(os.environ.get(ROOT_VARIABLE) or "/").absolute(), data)

    @property
    def elsewhere(self) -> bool:
        """Whether the root is not the machine's."""
        return self.root != Path("/")

    @property
    def missing(self) -> str | None:
        """The reason why the root does not exist; None if it exists."""
        if self.root.is_dir():
            return None
        why = self.root.with_name(f"{self.root.name}.why")  # scripts/trixie writes this file
        return why.read_text().strip() if why.exists() else f"there is no folder {self.root}"

    def command(self, program: str, package: str, *arguments: str, user: str = "") -> list[str]:
        """Return the command that runs a program with these arguments, as `user` if given.

        Raises `ServerNotFound`, whose message names the package.
        """
        command = [self._find(program, package), *arguments]
        if user:
            entry = pwd.getpwnam(user)
            ids = f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}"
            command = ["setpriv", *ids, "--clear-groups", *command]
        if self.elsewhere:
            enter = "unshare", "--mount", "sh", "-ec", _ENTER, "enter"
            command = [*enter, str(self.root), str(self.data or ""), *command]
        return command

    def _find(self, program: str, package: str) -> str:
        """Return the path of a program, as seen inside the root."""
        if self.missing:
            raise ServerNotFound(self.missing)
        newest = sorted(self.root.glob("usr/lib/postgresql/*/bin"), reverse=True)
        folders = [
            # First this folder: Debian's wrapper on the PATH runs the node by `su`, in a session
            # that outlives the wrapper.
            "/usr/lib/rabbitmq/bin",
            *os.environ.get("PATH", "").split(os.pathsep),
            *(f"/{folder.relative_to(self.root)}" for folder in newest),
            *("/usr/sbin", "/usr/bin", "/usr/local/sbin"),
        ]
        inside = (self.root / folder.lstrip("/") for folder in folders if folder)
        found = shutil.which(program, path=os.pathsep.join(map(str, inside)))
        if found is None:
            where = f"in {self.root}" if self.elsewhere else "here"
            raise ServerNotFound(f"no {program} {where}: install {package}")
        return f"/{Path(found).relative_to(self.root)}"
