"""A command in an image's tree, held as Compose and Kubernetes hold it."""

import subprocess
from pathlib import Path

from tests.image.building import Image

# All of it happens in the command's own view of the mounts, and ends with the command.
_CONFINE = """
root=$1 tmp=$2 user=$3
shift 3
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$tmp" "$root/tmp"
mount -o remount,bind,ro "$root"
exec chroot "$root" \
    setpriv --reuid "${user%:*}" --regid "${user#*:}" --clear-groups --no-new-privs \
        --bounding-set=-all --inh-caps=-all \
    env --ignore-environment "$@"
"""


def confined(image: Image, tmp: Path, *arguments: str, **settings: str) -> list[str]:
    """What starts the image with these arguments: its user, no capability, a read-only root.

    The folder `tmp` is its /tmp; several commands may share one. The network is the machine's.
    """
    environment = [*image.environment, *(f"FLASHSALE_{k.upper()}={v}" for k, v in settings.items())]
    return [
        *("unshare", "--mount", "sh", "-euc", _CONFINE, "confined"),
        *(str(image.tree), str(tmp), image.user),
        *(*environment, *image.entrypoint, *arguments),
    ]


def started(image: Image, tmp: Path, *arguments: str, **settings: str) -> str:
    """What the image prints, started with these arguments, when it ends well."""
    done = subprocess.run(
        confined(image, tmp, *arguments, **settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
