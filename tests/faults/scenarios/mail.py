"""The mail server is away, slow or limited in a sale, and the service dies meanwhile."""

import asyncio
import signal
from pathlib import Path

from sqlalchemy import text

from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand
from tests.integration.services.mail_servers import RealMailServer, at_most

_SERVED = Layout(services=1)
_CONNECTIONS = 4


async def _kill_and_start(stand: Stand, **settings: str) -> None:
    stand.signal("services-1", signal.SIGKILL)
    await stand.died("services-1")
    await stand.again("services-1", **settings)


async def _see_that_each_is_sent(stand: Stand, server: RealMailServer, kills: int) -> None:
    """Stop the service, and see that what it calls done is sent, and next to nothing twice.

    A kill may double what was under way: a letter of each connection.
    """
    await stand.stop("services-1")
    async with stand.session() as session:
        done = text("SELECT event_id FROM effects WHERE service = 'mail'")
        ids = set((await session.execute(done)).scalars())
    files = await asyncio.to_thread(_written, Path(stand.settings["mail_folder"]))
    assert server.letters, "no letter was sent: this tested nothing"
    assert ids <= files | set(server.letters), "a letter that is said to be sent was not"
    assert sum(server.letters.values()) - len(server.letters) <= kills * _CONNECTIONS
    # To a folder, what is left.
    await stand.start("services-1")


def _written(folder: Path) -> set[str]:
    return {file.stem for file in folder.glob("*.eml")}


@scenario("mail server away for 15 s, services killed meanwhile", layout=_SERVED, rate=60.0)
async def away(stand: Stand) -> None:
    server = RealMailServer()
    settings = {"smtp_url": server.url, "smtp_connections": str(_CONNECTIONS)}
    with server:
        await stand.again("services-1", **settings)
        await stand.until(lambda: len(server.ids) > 20, "some letters")
        server.stop()
        await stand.wait(2.0, 6.0)
        await _kill_and_start(stand, **settings)
        await stand.wait(9.0)
        server.start()
        sent = len(server.ids)
        await stand.until(lambda: len(server.ids) > sent + 50, "letters after the return")
        await _see_that_each_is_sent(stand, server, kills=1)


@scenario("slow mail server with a limited rate, services killed", layout=_SERVED, rate=60.0)
async def limited(stand: Stand) -> None:
    server = RealMailServer(seconds=0.1, at_letter=at_most(10, 1.0))
    settings = {"smtp_url": server.url, "smtp_connections": str(_CONNECTIONS)}
    with server:
        await stand.again("services-1", **settings)
        for _ in range(3):
            sent = len(server.ids)
            await stand.until(lambda sent=sent: len(server.ids) > sent + 20, "some letters")
            await stand.wait(0.0, 1.0)
            await _kill_and_start(stand, **settings)
        await _see_that_each_is_sent(stand, server, kills=3)
