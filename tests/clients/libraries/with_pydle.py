"""A client on PyPI's `pydle`. What it is to do comes on stdin, what happens goes to stdout; see library.rs."""

import asyncio
import json
import sys

import pydle

host, port, nick, password, channel = sys.argv[1:]


def tell(*words):
    print(json.dumps(words), flush=True)


class Client(pydle.Client):
    RECONNECT_ON_ERROR = False

    async def on_capability_batch_available(self, value):
        return True

    async def on_capability_message_tags_available(self, value):
        return True

    async def on_capability_server_time_available(self, value):
        return True

    async def on_capability_draft_chathistory_available(self, value):
        return True

    listed = ()

    async def on_raw_cap_ls(self, params):
        # pydle 1.2 takes the `*` of a list that goes on for all that there is, and ends the negotiation.
        self.listed += (params[-1],)
        if len(params) == 1:
            await super().on_raw_cap_ls([" ".join(self.listed)])

    async def on_raw_001(self, message):
        tell("registered", message.params[0])
        await super().on_raw_001(message)

    async def on_connect(self):
        await super().on_connect()
        await self.join(channel)

    async def on_join(self, channel, user):
        await super().on_join(channel, user)
        tell("joined", user, channel)

    async def on_raw_privmsg(self, message):
        await super().on_raw_privmsg(message)
        what = "history" if "batch" in message.tags else "heard"
        tell(what, message.source.partition("!")[0], message.params[1])

    async def on_raw_batch(self, message):
        tell("batch", *message.params)

    async def on_disconnect(self, expected):
        await super().on_disconnect(expected)
        tell("closed")
        asyncio.get_running_loop().stop()


async def listen(client):
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        word, _, rest = line.decode().rstrip("\n").partition(" ")
        if word == "say":
            await client.message(channel, rest)
        elif word == "raw":
            await client.raw(rest + "\r\n")


async def run():
    client = Client(nick, sasl_username=nick, sasl_password=password, sasl_mechanism="PLAIN")
    listening = asyncio.create_task(listen(client))
    await client.connect(host, int(port), tls=False)
    await listening


try:
    asyncio.run(run())
except RuntimeError:
    # The loop was stopped: the server has closed the connection.
    pass
