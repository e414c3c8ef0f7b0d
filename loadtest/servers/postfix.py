"""A private Postfix that takes mail and throws it away."""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from loadtest.servers.installed import Installation, ServerNotFound
from loadtest.servers.ports import free_port
from loadtest.servers.server import Server, server_folder
from loadtest.servers.varnish import listens

_SETTINGS = {
    "compatibility_level": "3.6",
    "queue_directory": "{folder}/queue",
    "data_directory": "{folder}/data",
    "maillog_file_prefixes": "{folder}",
    "maillog_file": "{folder}/mail.log",
    "daemon_directory": "/usr/lib/postfix/sbin",
    "multi_instance_name": "postfix-flashsale",
    "multi_instance_enable": "yes",
    "myhostname": "mail.example",
    "mydestination": "",
    "inet_interfaces": "127.0.0.1",
    "inet_protocols": "ipv4",
    "alias_maps": "",
    "alias_database": "",
    "default_transport": "discard",
    "relay_transport": "discard",
    "smtpd_peername_lookup": "no",
    # The limits of anvil count for this client, too.
    "smtpd_client_event_limit_exceptions": "",
}
# name type private unpriv chroot wakeup maxproc command
_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
_TAKEN = re.compile(r"cleanup\[\d+\]: \w+: message-id=<([^@>]+)@")


class Postfix(Server):
    """A Postfix instance of its own, which only root can run."""

    def __init__(self, folder: Path, **settings: str) -> None:
        """Give it these settings of main.cf besides its own. Raises `ServerNotFound`."""
        super().__init__(folder)
        if os.geteuid() != 0:
            raise ServerNotFound("only root can run postfix")
        self.port = free_port()
        folder.chmod(0o755)  # its processes are another user's
        self._configuration = folder / "conf"
        for name in ("conf", "queue", "data"):
            (folder / name).mkdir()
        shutil.chown(folder / "data", "postfix")
        (self._configuration / "master.cf").write_text(_SERVICES.format(port=self.port))
        self.configure(**settings)

    def configure(self, **settings: str) -> None:
        """Set up main.cf. A process of Postfix reads it when it starts."""
        lines = (f"{key} = {value}\n" for key, value in (_SETTINGS | settings).items())
        text = "".join(lines).replace("{folder}", str(self._folder))
        (self._configuration / "main.cf").write_text(text)

    @property
    def url(self) -> str:
        """The address for FLASHSALE_SMTP_URL."""
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def mail_log(self) -> str:
        """What it has logged."""
        file = self._folder / "mail.log"
        return file.read_text(errors="replace") if file.exists() else ""

    @property
    def letters(self) -> Counter[str]:
        """How often each letter was taken, by its Message-ID up to the @."""
        return Counter(_TAKEN.findall(self.mail_log))

    def _command(self) -> Sequence[str]:
        postfix = Installation().command("postfix", "postfix", "-c", str(self._configuration))
        # Makes the folders of the queue.
        subprocess.run([*postfix, "check"], check=True, capture_output=True)
        return ["/usr/lib/postfix/sbin/master", "-d", "-c", str(self._configuration)]

    def _answers(self) -> bool:
        return listens(self.port)


@contextmanager
def postfix(**settings: str) -> Iterator[Postfix]:
    """Run a Postfix. Raises `ServerNotFound` or `ServerDidNotStart`."""
    with server_folder("postfix") as folder:
        server = Postfix(folder, **settings)
        try:
            server.start()
            yield server
        finally:
            server.close()
