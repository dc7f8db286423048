"""Subscribes, publishes to itself, and publishes without a connection, with the client `mqttsn` (Eclipse's RSMB client): HOST PORT."""

import queue
import sys

from mqttsn.client import Callback, Client, publish

host, port = sys.argv[1], int(sys.argv[2])


class Inbox(Callback):
    def __init__(self):
        super().__init__()
        self.messages = queue.Queue()

    def message_arrived(self, topic_name, payload, qos, retained, msgid):
        self.messages.put((topic_name, payload, qos))
        return True


def text(value):
    return value.decode() if isinstance(value, bytes) else str(value)


inbox = Inbox()
client = Client(b"rsmb-client", host=host, port=port)
client.register_callback(inbox)
client.connect()
code, topic_id = client.subscribe("interop/echo", qos=1)
assert code == 0, code
client.publish(topic_id, "to myself", qos=1)
_, payload, _ = inbox.messages.get(timeout=20)
print("heard", text(payload), flush=True)
# Without a connection: QoS -1, the topic name in front of the payload and its length as topic id.
publish("interop/inline", "from a stranger", port=port, host=host)
print("done", flush=True)
