"""Event streams: broadcasts, slow readers, and the limit on open streams."""

import asyncio
from unittest.mock import Mock

from flashsale.observability.gateway_metrics import GatewayMetrics
from gateway.http.sse import EventStream, EventStreams, event


async def a_stream(buffered: int = 0, closing: bool = False) -> tuple[EventStream, Mock]:
    transport = Mock(spec=asyncio.WriteTransport)
    transport.get_write_buffer_size.return_value = buffered
    transport.is_closing.return_value = closing
    stream = EventStream()
    await stream.prepare(Mock(transport=transport, protocol=Mock(hears_nothing=False)))
    transport.write.reset_mock()
    return stream, transport


def test_an_event_has_the_form_of_the_standard() -> None:
    assert event("sale", b'{"a":1}', "7") == b'id: 7\nevent: sale\ndata: {"a":1}\n\n'
    assert event("sale", b"{}") == b"event: sale\ndata: {}\n\n"


async def test_all_streams_of_a_topic_get_the_same_bytes() -> None:
    streams = EventStreams(10, GatewayMetrics())
    (one, first), (two, second), (other, third) = [await a_stream() for _ in range(3)]
    with (
        streams.listening("sale tv", one),
        streams.listening("sale tv", two),
        streams.listening("sale pc", other),
    ):
        message = b"event: sale\n\n"
        await streams.broadcast("sale tv", message)
        assert first.write.call_args.args[0] is message
        assert second.write.call_args.args[0] is message
        assert not third.write.called
        assert sorted(streams.topics()) == ["sale pc", "sale tv"]
        assert streams.has("sale tv")
    assert streams.topics() == []
    assert not streams.has("sale tv")


async def test_a_slow_reader_is_dropped_and_its_events_are_not_kept() -> None:
    metrics = GatewayMetrics()
    streams = EventStreams(10, metrics)
    slow, transport = await a_stream(buffered=65 * 1024)
    with streams.listening("t", slow):
        await streams.broadcast("t", b"event")
    assert transport.abort.called
    assert not transport.write.called
    assert slow.ended.done()
    assert metrics.registry.get_sample_value("flashsale_streams_dropped_total") == 1


async def test_a_reader_that_is_gone_ends_its_stream() -> None:
    gone, transport = await a_stream(closing=True)
    gone.send(b"event")
    assert gone.ended.done()
    assert not transport.write.called


async def test_streams_are_full_at_their_limit() -> None:
    streams = EventStreams(1, GatewayMetrics())
    stream, _ = await a_stream()
    assert not streams.full
    with streams.listening("t", stream):
        assert streams.full
    assert not streams.full
