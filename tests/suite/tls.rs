//! The link to a broker over TLS: mosquitto with a certificate made here.

use codec_mqttsn::{Qos, Topic};

use crate::certificates::{Authority, Certificate};
use crate::mosquitto::{Mosquitto, free_port};
use crate::mqtt::MqttClient;
use crate::process::{Dir, Setup};
use crate::sn::Device;

/// A mosquitto with a TLS listener besides its plain one, and the TLS port.
fn mosquitto(Certificate { cert, key }: &Certificate) -> Option<(Mosquitto, u16)> {
    let port = free_port();
    // As root it would give up its rights, and then could not read the key.
    let options = format!("user root\nlistener {port} 127.0.0.1\ncertfile {cert}\nkeyfile {key}");
    Mosquitto::start(&options).map(|broker| (broker, port))
}

#[test]
fn messages_go_through_a_broker_whose_certificate_is_trusted() {
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let files = authority.certify(&dir, "localhost");
    let Some((broker, port)) = mosquitto(&files) else { return };
    let tidegate = Setup::new()
        .set("BROKER__URL", &format!("mqtts://localhost:{port}"))
        .set("BROKER__TLS__CA_FILE", &authority.file)
        .start()
        .ready();
    let mut ops = MqttClient::connect("ops", broker.port);
    ops.subscribe("up", 1);
    let mut device = Device::connect(tidegate.mqttsn(), "lamp");
    device.publish(Topic::Short(*b"up"), "on", Qos::AtLeastOnce, false);
    assert_eq!(ops.message().payload, "on");
}

#[test]
fn a_certificate_that_nobody_vouches_for_keeps_the_link_down_and_the_operator_told() {
    let dir = Dir::new();
    let files = Authority::new(&dir, "authority").certify(&dir, "localhost");
    let stranger = Authority::new(&dir, "stranger");
    let Some((_broker, port)) = mosquitto(&files) else { return };
    let tidegate = Setup::new()
        .set("BROKER__URL", &format!("mqtts://localhost:{port}"))
        .set("BROKER__TLS__CA_FILE", &stranger.file)
        .start();
    let body = tidegate.readyz_until(|code, body| code == 503 && body.contains("certificate"));
    assert!(body.contains("not trusted"), "{body}");
}

#[test]
fn a_broker_that_wants_a_client_certificate_gets_ours_or_says_that_it_wants_one() {
    let dir = Dir::new();
    let authority = Authority::new(&dir, "authority");
    let Certificate { cert, key } = authority.certify(&dir, "localhost");
    let ours = authority.certify(&dir, "gateway.example");
    let port = free_port();
    let wants = format!("cafile {}\nrequire_certificate true\nuse_identity_as_username true", authority.file);
    let options = format!("user root\nlistener {port} 127.0.0.1\ncertfile {cert}\nkeyfile {key}\n{wants}");
    let Some(broker) = Mosquitto::start(&options) else { return };
    let setup = || {
        let setup = Setup::new().set("BROKER__URL", &format!("mqtts://localhost:{port}"));
        setup.set("BROKER__TLS__CA_FILE", &authority.file)
    };
    let without = setup().start();
    without.readyz_until(|code, body| code == 503 && body.contains("the broker wants a client certificate"));

    let with =
        setup().set("BROKER__TLS__CERT_FILE", &ours.cert).set("BROKER__TLS__KEY_FILE", &ours.key).start().ready();
    let mut ops = MqttClient::connect("ops", broker.port);
    ops.subscribe("up", 1);
    let mut device = Device::connect(with.mqttsn(), "lamp");
    device.publish(Topic::Short(*b"up"), "on", Qos::AtLeastOnce, false);
    assert_eq!(ops.message().payload, "on");
}
