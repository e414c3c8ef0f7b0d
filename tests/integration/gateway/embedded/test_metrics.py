"""The metrics of requests and orders."""

from prometheus_client import generate_latest

from tests.integration.gateway.embedded_gateway import EmbeddedGateway


async def test_every_outcome_of_an_order_is_counted(gateway: EmbeddedGateway) -> None:
    await gateway.order()
    await gateway.order(sku="gone")
    await gateway.post(b"{")
    metrics = gateway.context.metrics
    counted = {
        sample.labels["outcome"]: sample.value
        for family in metrics.orders.collect()
        for sample in family.samples
    }
    assert counted == {"accepted": 1, "sold-out": 1, "bad-json": 1}


async def test_no_hostile_request_adds_a_metric_series(gateway: EmbeddedGateway) -> None:
    registry = gateway.context.metrics.registry

    async def be_hostile(number: int) -> None:
        await gateway.order(sku=f"sku-{number}", customer_id=f"c-{number}")
        await gateway.order(key=f"key-{number}")
        for path in (f"/orders/{number:032x}", f"/sales/sku-{number}", f"/{number}/../%2e{number}"):
            await gateway.call("GET", path)
        await gateway.call("PROPFIND", f"/{number}")
        await gateway.call("PUT", f"/orders/{number}")

    def series() -> set[str]:
        lines = generate_latest(registry).decode().splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    await be_hostile(0)
    before = series()
    for number in range(1, 20):
        await be_hostile(number)
    assert series() == before
    assert not any("c-0" in line or "sku-0" in line or "PROPFIND" in line for line in before)
    assert 'method="other",route="none",status="404"' in str(before)
