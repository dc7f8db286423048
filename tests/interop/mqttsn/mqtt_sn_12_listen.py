"""Prints what arrives, with the client `mqtt-sn-12`: HOST PORT COUNT. Says `subscribed` first."""

import sys
import threading

from mqttsn12.client.MqttSnClient import MqttSnClient, MqttSnListener

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


class Printer(MqttSnListener):
    arrived = 0

    def message_arrived(self, msg):
        payload = bytes(msg.get_payload()).decode()
        name = msg.get_topic_name() or msg.get_topic_id().to_bytes(2, "big").decode()
        print(name, payload, flush=True)
        Printer.arrived += 1


client = MqttSnClient()
client.set_client_id("mqtt-sn-12-listener")
client.set_clean_session(True)
client.set_keep_alive(30)
client.set_timeout(20)
client.open(host, port)
client.send_connect()
for topic in ("interop/down", "interop/any/#", "ef"):
    client.send_subscribe(topic, 0, Printer())
print("subscribed", flush=True)
while Printer.arrived < count:
    client.polling()
    # The client polls without waiting; nothing is ever set.
    threading.Event().wait(0.01)
client.send_disconnect(0)
client.close()
