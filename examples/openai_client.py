"""The unmodified `openai` client against offramp, with a replay teacher behind it.

python examples/openai_client.py
"""

from __future__ import annotations

import asyncio

import openai

from offramp.gateway.app import Gateway
from offramp.upstream.openai import OpenAIUpstream
from offramp.upstream.recording import Recording
from offramp.upstream.replay import Replay
from offramp.upstream.serving import Server

REQUEST = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Where is my parcel?"}]}
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "On its way."}}]}


async def main() -> None:
    """Send one call through the gateway, plain and streaming."""
    recording = Recording()
    recording.add(REQUEST, ANSWER)
    async with Server(Replay(recording)) as teacher:
        upstream = OpenAIUpstream(teacher.address.url)
        async with (
            Server(Gateway(upstream)) as gateway,
            openai.AsyncOpenAI(base_url=f"{gateway.address.url}/v1", api_key="sk-any") as client,
        ):
            raw = await client.chat.completions.with_raw_response.create(**REQUEST)
            print("answer:", raw.parse().choices[0].message.content)
            print("x-offramp-route:", raw.headers["x-offramp-route"])
            stream = await client.chat.completions.create(**REQUEST, stream=True)
            print("stream:", "".join([chunk.choices[0].delta.content or "" async for chunk in stream]))
        await upstream.aclose()


if __name__ == "__main__":
    asyncio.run(main())
