"""The short way of messages in and out does what nats-py does, byte by byte."""

import asyncio
import random

import nats.errors
import pytest
from nats.aio.client import Client

from runner.messaging.jetstream.client import ReconnectingClient, listen

HEAD = b"NATS/1.0\r\nNats-Msg-Id: a b\r\nX: 1\r\n\r\n"
STATUS = b"NATS/1.0 404 No Messages\r\n\r\n"
BEAT = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 3\r\n\r\n"


def _message(subject, sid, body, reply=b""):
    return b"MSG %b %d %b%d\r\n%b\r\n" % (subject, sid, reply and reply + b" ", len(body), body)


def _with_headers(subject, sid, head, body, reply=b""):
    sizes = b"%d %d" % (len(head), len(head) + len(body))
    return b"HMSG %b %d %b%b\r\n%b%b\r\n" % (subject, sid, reply and reply + b" ", sizes, head, body)


SMALL = b"".join(
    [
        _message(b"a.b", 1, b"hello"),
        _message(b"a.b", 1, b"", b"reply.1"),
        b"PING\r\n",
        _message(b"a.b", 1, b"MSG a 1 5\r\nPING\r\n", b"$JS.ACK.s.c.1.2.3.4.5"),
        _with_headers(b"a.c", 1, HEAD, b"body", b"reply.2"),
        _with_headers(b"a.c", 1, STATUS, b""),
        b"+OK\r\n",
        _with_headers(b"a.c", 1, BEAT, b""),
        _message(b"nobody.listens", 7, b"lost"),
        _message(b"a.b", 1, b"last"),
    ]
)
LARGE = [
    _message(b"a.b", 1, b"x" * 100_000),
    _with_headers(b"a.c", 1, HEAD, b"y" * 70_000),
    _message(b"a.b", 1, b"z" * 50_000),
]
STREAM = SMALL + b"".join(LARGE) + SMALL


async def _connected(kind):
    """A client that believes to be connected: what it sends stays in its buffer."""
    client = kind()
    client._status = Client.CONNECTED
    client._flush_queue = asyncio.Queue()
    client._flush_queue.put_nowait(None)
    client._flusher_task = asyncio.get_running_loop().create_future()
    return client


async def _received(kind, parts, *, headers=True):
    client = await _connected(kind)
    seen = []
    await listen(client, "a.>", lambda m: seen.append((m.subject, m.reply, bytes(m.data), m.headers)), headers=headers)
    for part in parts:
        await client._ps.parse(part)
    return seen


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 61])
async def test_small_messages_arrive_as_with_nats_py_however_they_are_cut(size):
    parts = [SMALL[start : start + size] for start in range(0, len(SMALL), size)]
    assert await _received(ReconnectingClient, parts) == await _received(Client, [SMALL])


@pytest.mark.parametrize("size", [1024, 32_768, len(STREAM)])
async def test_large_messages_arrive_as_with_nats_py_however_they_are_cut(size):
    parts = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    assert await _received(ReconnectingClient, parts) == await _received(Client, [STREAM])


async def test_messages_arrive_as_with_nats_py_when_cut_anywhere():
    expected = await _received(Client, [STREAM])
    chance = random.Random(1)  # noqa: S311 - places to cut at
    for _ in range(50):
        places = sorted(chance.sample(range(len(STREAM)), 12))
        parts = [STREAM[a:b] for a, b in zip([0, *places], [*places, None], strict=True)]
        assert await _received(ReconnectingClient, parts) == expected


async def test_headers_that_nobody_reads_are_left_out_but_those_of_a_status_stay():
    stream = _with_headers(b"a.c", 1, HEAD, b"body") + _with_headers(b"a.c", 1, STATUS, b"")
    found = await _received(ReconnectingClient, [stream], headers=False)
    assert [one[3] for one in found] == [None, {"Status": "404", "Description": "No Messages"}]


async def test_a_malformed_message_is_a_protocol_error():
    client = await _connected(ReconnectingClient)
    with pytest.raises(nats.errors.ProtocolError):
        await client._ps.parse(b"MSG a one 5\r\nhello\r\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("a.b", b"data", "", None),
        ("a.b", b"", "reply.1", None),
        ("a.b", b"\r\nPUB x 1\r\n", "", {"Nats-Msg-Id": "a/b c"}),
        ("a.ü", b"data", "reply", {"A": "1", "B": " 2 "}),
        ("a.b", b"data", "", {"A": "one\r\nPUB evil  0\r\n\r\n"}),
    ],
)
async def test_what_is_published_is_what_nats_py_sends(arguments):
    sent = []
    for kind in (Client, ReconnectingClient):
        client = await _connected(kind)
        await client.publish(*arguments)
        sent.append(b"".join(client._pending))
        assert client._pending_data_size == len(sent[-1])
    assert sent[0] == sent[1]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("a b", b""), nats.errors.BadSubjectError),
        (("", b""), nats.errors.BadSubjectError),
        (("a", b"x" * 2_000_000), nats.errors.MaxPayloadError),
    ],
)
async def test_what_nats_py_refuses_is_refused(arguments, error):
    client = await _connected(ReconnectingClient)
    with pytest.raises(error):
        await client.publish(*arguments)


async def test_nothing_is_buffered_without_a_connection():
    client = await _connected(ReconnectingClient)
    client._status = Client.RECONNECTING
    with pytest.raises(nats.errors.OutboundBufferLimitError):
        await client.publish("a", b"data")


async def test_the_answer_to_a_flush_that_was_given_up_is_no_error():
    client = ReconnectingClient()
    given_up, waiting = (asyncio.get_running_loop().create_future() for _ in range(2))
    client._pongs = [given_up, waiting]
    given_up.cancel()
    await client._process_pong()
    assert not waiting.done()
    await client._process_pong()
    assert waiting.result() is True
