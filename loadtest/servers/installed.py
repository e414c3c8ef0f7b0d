"""Where servers are installed: on this machine, or in a folder that holds another Debian."""

import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Self

ROOT_VARIABLE = "FLASHSALE_TEST_SERVERS_ROOT"

# The mounts are in a namespace of the server's own, and end with it however it ends. Each command
# becomes the next one, so that the process which is started is the server.
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
    """The server is not installed. The message says what to install."""


@dataclass(frozen=True)
class Installation:
    """The programs under a root. In one that is not the machine's, only root can run them.

    They see the folder `data` where everybody does.
    """

    root: Path = Path("/")
    data: Path | None = None

    @classmethod
    def chosen(cls, data: Path | None = None) -> Self:
        """The root that FLASHSALE_TEST_SERVERS_ROOT names, else the machine's."""
        return cls(Path(os.environ.get(ROOT_VARIABLE) or "/").absolute(), data)

    @property
    def elsewhere(self) -> bool:
        """Whether it is not the machine's."""
        return self.root != Path("/")

    @property
    def missing(self) -> str | None:
        """Why there is no such root, if there is none."""
        if self.root.is_dir():
            return None
        why = self.root.with_name(f"{self.root.name}.why")  # by scripts/trixie
        return why.read_text().strip() if why.exists() else f"there is no folder {self.root}"

    def command(self, program: str, package: str, *arguments: str, user: str = "") -> list[str]:
        """What runs the program on these arguments, as that user if one is given.

        Raises `ServerNotFound` naming the package that has it.
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
        """Its path, as it is inside."""
        if self.missing:
            raise ServerNotFound(self.missing)
        newest = sorted(self.root.glob("usr/lib/postgresql/*/bin"), reverse=True)
        folders = [
            # On Debian the one on PATH runs the node by `su`, in a session that outlives its
            # caller.
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
