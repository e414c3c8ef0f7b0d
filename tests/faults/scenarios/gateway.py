"""A gateway dies or starves, or what it says and hears does not arrive."""

import asyncio
import resource
import signal
from contextlib import ExitStack
from socket import create_connection

import psutil

from tests.faults.scenario import scenario
from tests.faults.stand import Layout, Stand


@scenario("gateway dies after the confirm, before its 202", short=True)
async def before_answer(stand: Stand) -> None:
    await stand.again("gateway-1", point=f"confirmed-not-answered:{stand.dice.randint(5, 40)}")
    await stand.died("gateway-1")
    await stand.again("gateway-1")


@scenario("confirms do not arrive, and then the connection is reset")
async def confirms_lost(stand: Stand) -> None:
    link = stand.link("gateway-1", "broker")
    link.back.silent = True
    await stand.wait(0.2, 3.0)
    link.reset()
    link.heal()


@scenario("answers to shoppers are cut off")
async def answers_lost(stand: Stand) -> None:
    for _ in range(5):
        stand.doors[0].back.silent = True
        await stand.wait(0.1, 0.4)
        stand.doors[0].reset()
        stand.doors[0].heal()
        await stand.wait(0.1, 0.4)


@scenario("kill -9 of one of two gateways", layout=Layout(gateways=2))
async def killed(stand: Stand) -> None:
    stand.signal("gateway-1", signal.SIGKILL)
    await stand.died("gateway-1")
    await stand.wait(0.5, 1.5)
    await stand.again("gateway-1")


@scenario(
    "kill -9 of a worker, and of both, of a gateway",
    layout=Layout(settings={"gateway_workers": "2"}),
)
async def worker_killed(stand: Stand) -> None:
    gateway = psutil.Process(stand.process("gateway-1").pid)
    for victims in (1, 2, 1):
        workers = gateway.children()
        for worker in stand.dice.sample(workers, min(victims, len(workers))):
            worker.kill()
        await stand.wait(1.0, 2.0)
        await stand.until(
            lambda: len(gateway.children()) == 2 and stand.ready("gateway-1"), "two workers"
        )


@scenario("the clock of one of two gateways is an hour ahead", layout=Layout(gateways=2))
async def clock_ahead(stand: Stand) -> None:
    stand.signal("gateway-1", signal.SIGUSR1)
    await stand.wait(4.0)
    stand.signal("gateway-1", signal.SIGUSR2)


@scenario("rolling restart of two gateways under load", layout=Layout(gateways=2), rate=200.0)
async def rolling(stand: Stand) -> None:
    for name in ("gateway-1", "gateway-2") * 2:
        await stand.again(name)
        await stand.until(lambda n=name: stand.ready(n), f"{name} to be ready")


@scenario("gateway without a free file descriptor")
async def no_descriptors(stand: Stand) -> None:
    gateway = psutil.Process(stand.process("gateway-1").pid)
    soft, hard = gateway.rlimit(resource.RLIMIT_NOFILE)
    gateway.rlimit(resource.RLIMIT_NOFILE, (gateway.num_fds() + 2, hard))
    with ExitStack() as exits:
        for _ in range(20):
            door = ("127.0.0.1", stand.doors[0].port)
            exits.enter_context(await asyncio.to_thread(create_connection, door))
        # It has to connect again, and cannot.
        stand.link("gateway-1", "broker").reset()
        await stand.wait(2.0)
        gateway.rlimit(resource.RLIMIT_NOFILE, (soft, hard))


@scenario("consumer without a free file descriptor")
async def no_descriptors_to_drain(stand: Stand) -> None:
    consumer = psutil.Process(stand.process("consumer-1").pid)
    soft, hard = consumer.rlimit(resource.RLIMIT_NOFILE)
    consumer.rlimit(resource.RLIMIT_NOFILE, (3, hard))
    for to in ("broker", "database"):
        stand.link("consumer-1", to).reset()
    await stand.wait(2.0)
    consumer.rlimit(resource.RLIMIT_NOFILE, (soft, hard))


@scenario("the clock of gateway and consumer steps by an hour, and back", short=True)
async def clock(stand: Stand) -> None:
    names = ["gateway-1", "consumer-1"]
    stand.dice.shuffle(names)
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        for name in names:
            stand.signal(name, number)
            await stand.wait(0.5, 1.0)
