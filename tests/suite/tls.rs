//! The link to a broker over TLS: mosquitto with a certificate made here.

use std::fs;

use codec_mqttsn::{Qos, Topic};
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};

use crate::mosquitto::{Mosquitto, free_port};
use crate::mqtt::MqttClient;
use crate::process::{Dir, Setup};
use crate::sn::Device;

/// Writes a certificate that vouches for itself, and its key; returns their paths.
pub(crate) fn certificate(dir: &Dir, host: &str) -> [String; 2] {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, host).unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&BigNum::from_u32(1).unwrap().to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
    let names = SubjectAlternativeName::new().dns(host).build(&builder.x509v3_context(None, None)).unwrap();
    builder.append_extension(names).unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    let paths = ["crt", "key"].map(|kind| dir.path(&format!("{host}.{kind}")));
    fs::write(&paths[0], builder.build().to_pem().unwrap()).unwrap();
    fs::write(&paths[1], key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    paths.map(|path| path.to_str().unwrap().to_owned())
}

/// A mosquitto with a TLS listener besides its plain one, and the TLS port.
fn mosquitto([cert, key]: &[String; 2]) -> Option<(Mosquitto, u16)> {
    let port = free_port();
    // As root it would give up its rights, and then could not read the key.
    let options = format!("user root\nlistener {port} 127.0.0.1\ncertfile {cert}\nkeyfile {key}");
    Mosquitto::start(&options).map(|broker| (broker, port))
}

#[test]
fn messages_go_through_a_broker_whose_certificate_is_trusted() {
    let dir = Dir::new();
    let files = certificate(&dir, "localhost");
    let Some((broker, port)) = mosquitto(&files) else { return };
    let tidegate = Setup::new()
        .set("BROKER__URL", &format!("mqtts://localhost:{port}"))
        .set("BROKER__TLS__CA_FILE", &files[0])
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
    let files = certificate(&dir, "localhost");
    let stranger = certificate(&dir, "elsewhere.example");
    let Some((_broker, port)) = mosquitto(&files) else { return };
    let tidegate = Setup::new()
        .set("BROKER__URL", &format!("mqtts://localhost:{port}"))
        .set("BROKER__TLS__CA_FILE", &stranger[0])
        .start();
    let body = tidegate.readyz_until(|code, body| code == 503 && body.contains("certificate"));
    assert!(body.contains("not trusted"), "{body}");
}

#[test]
fn a_broker_that_wants_a_client_certificate_gets_ours_or_says_that_it_wants_one() {
    let dir = Dir::new();
    let (files, ours) = (certificate(&dir, "localhost"), certificate(&dir, "gateway.example"));
    let port = free_port();
    let [cert, key] = &files;
    let wants = format!("cafile {}\nrequire_certificate true\nuse_identity_as_username true", ours[0]);
    let options = format!("user root\nlistener {port} 127.0.0.1\ncertfile {cert}\nkeyfile {key}\n{wants}");
    let Some(broker) = Mosquitto::start(&options) else { return };
    let setup =
        || Setup::new().set("BROKER__URL", &format!("mqtts://localhost:{port}")).set("BROKER__TLS__CA_FILE", &files[0]);
    let without = setup().start();
    without.readyz_until(|code, body| code == 503 && body.contains("the broker wants a client certificate"));

    let with = setup().set("BROKER__TLS__CERT_FILE", &ours[0]).set("BROKER__TLS__KEY_FILE", &ours[1]).start().ready();
    let mut ops = MqttClient::connect("ops", broker.port);
    ops.subscribe("up", 1);
    let mut device = Device::connect(with.mqttsn(), "lamp");
    device.publish(Topic::Short(*b"up"), "on", Qos::AtLeastOnce, false);
    assert_eq!(ops.message().payload, "on");
}
