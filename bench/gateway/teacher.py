"""The upstream of the bench: a fast server that answers at once, as its own process.

``python -m bench.gateway.teacher --port 0`` prints its port. A raw ``asyncio.Protocol`` on httptools and
uvloop, so that it is never what limits. Besides the API it has three paths of its own, which no gateway is
asked to pass on: ``PUT /bench/mode`` (``plain``, ``paced``, or a name of :mod:`bench.gateway.special`),
``GET /bench/last`` (the body of the last call, byte for byte) and ``GET /bench/count`` (calls so far).
"""

from __future__ import annotations

import argparse
import asyncio
from typing import cast

import httptools
import uvloop
from bench.gateway import answers, special

PACE_S = 0.010
"""Seconds between the events of a paced stream: 100 tokens a second."""

_BACKLOG = 4096


class Desk:
    """What all connections share: the mode, the answers, the last body."""

    def __init__(self) -> None:
        self.mode = "plain"
        self.last = b""
        self.count = 0
        self.special = special.replies()
        self.pieces = [answers.chunk(one) for one in answers.chat_events()]
        self.pieces[-1] += answers.LAST_CHUNK
        self.pieces[0] = answers.stream_head() + self.pieces[0]
        self.burst = b"".join(self.pieces)
        self.chat = answers.whole(200, answers.chat())
        self.others = {
            b"/v1/messages": answers.whole(200, answers.messages()),
            b"/v1/responses": answers.whole(200, answers.responses()),
            b"/v1/embeddings": answers.whole(200, answers.embeddings()),
        }

    def reply(self, path: bytes, body: bytes) -> bytes | None:
        """Return the whole response, or None where a paced stream is due."""
        self.last = body
        self.count += 1
        if self.mode in self.special:
            return self.special[self.mode]
        if path in self.others:
            return self.others[path]
        if not streams(body):
            return self.chat
        return None if self.mode == "paced" else self.burst

    def own(self, method: bytes, path: bytes, body: bytes) -> bytes:
        """Answer what is not the API: the bench's own paths, health checks, lists of models."""
        if path == b"/bench/mode" and method == b"PUT":
            self.mode = body.decode()
        if path == b"/bench/last":
            return answers.whole(200, self.last, ())
        if path == b"/bench/count":
            return answers.whole(200, b"%d" % self.count, ())
        model = {"id": "gpt-4o-mini", "object": "model", "created": 1_790_000_000, "owned_by": "bench"}
        return answers.whole(200, answers.dump({"object": "list", "data": [model]}), ())


def streams(body: bytes) -> bool:
    """Say whether a request asks for a stream, in whatever spacing it was serialised."""
    at = body.find(b'"stream":')
    return at >= 0 and body[at + 9 : at + 16].lstrip().startswith(b"true")


class Teacher(asyncio.Protocol):
    """One connection."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._body: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.Protocol`."""
        del exc
        self._transport = None

    def data_received(self, data: bytes) -> None:
        """See :class:`asyncio.Protocol`."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.close()

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self._url = b""
        self._body = []

    def on_url(self, url: bytes) -> None:
        """Take a piece of the path."""
        self._url += url

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer."""
        if self._transport is None:
            return
        path, body = self._url.partition(b"?")[0], b"".join(self._body)
        method = self._parser.get_method()
        if method != b"POST":
            self._transport.write(self._desk.own(method, path, body))
            return
        reply = self._desk.reply(path, body)
        if reply is None:
            self._pace(0)
        else:
            self._transport.write(reply)

    def _pace(self, number: int) -> None:
        if self._transport is None:
            return
        self._transport.write(self._desk.pieces[number])
        if number + 1 < len(self._desk.pieces):
            self._loop.call_later(PACE_S, self._pace, number + 1)


async def serve(port: int) -> None:
    """Serve until killed."""
    desk = Desk()
    server = await asyncio.get_running_loop().create_server(
        lambda: Teacher(desk), "127.0.0.1", port, backlog=_BACKLOG
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Run the upstream."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
