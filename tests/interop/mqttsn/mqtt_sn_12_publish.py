"""Publishes with every QoS, with the client `mqtt-sn-12`: HOST PORT."""

import sys

from mqttsn12.client.MqttSnClient import MqttSnClient

host, port = sys.argv[1], int(sys.argv[2])

client = MqttSnClient()
client.set_client_id("mqtt-sn-12-publisher")
client.set_clean_session(True)
client.set_keep_alive(30)
client.set_timeout(20)
client.set_will("interop/will", "lost", 1, False)
client.open(host, port)
client.send_connect()
for qos in (0, 1, 2):
    client.send_publish("interop/up", f"qos {qos}", qos)
client.send_publish("ab", "short", 1)
client.send_publish("interop/kept", "retained", 1, True)
client.send_disconnect(0)
client.close()

stranger = MqttSnClient()
stranger.open(host, port)
stranger.send_publish_with_bytes(b"cd", "qos -1", -1)
stranger.close()
print("done", flush=True)
