"""A client on PyPI's `irc`. What it is to do comes on stdin, what happens goes to stdout; see library.rs."""

import json
import sys
import threading

import irc.client

host, port, nick, password, channel = sys.argv[1:]


def tell(*words):
    print(json.dumps(words), flush=True)


class Client(irc.client.SimpleIRCClient):
    def on_welcome(self, connection, event):
        tell("registered", connection.get_nickname())
        # Not by its own login, which requests sasl alone.
        connection.cap("REQ", "message-tags", "batch", "server-time", "draft/chathistory")
        connection.join(channel)

    def on_join(self, connection, event):
        tell("joined", event.source.nick, event.target)

    def on_pubmsg(self, connection, event):
        tags = {tag["key"]: tag["value"] for tag in event.tags or []}
        tell("history" if "batch" in tags else "heard", event.source.nick, event.arguments[0])

    def on_batch(self, connection, event):
        # The library takes the first parameter for the target.
        tell("batch", event.target, *event.arguments)

    def on_disconnect(self, connection, event):
        tell("closed")
        sys.exit(0)

    def on_login_failed(self, connection, event):
        tell("failed", *event.arguments)


client = Client()
client.connect(host, int(port), nick, password=password, sasl_login=nick)


def listen():
    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "say":
            client.connection.privmsg(channel, rest)
        elif word == "raw":
            client.connection.send_raw(rest)


threading.Thread(target=listen, daemon=True).start()
client.start()
