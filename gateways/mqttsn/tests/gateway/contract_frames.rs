//! The bytes that must match, octet by octet, and the two forms of the length.

use crate::world::{Qos, World, hex};
use codec_mqttsn::Qos as SnQos;

const NOTHING: [&str; 0] = [];

#[test]
#[rustfmt::skip]
fn each_message_of_the_gateway_has_the_bytes_of_the_specification() {
    let mut world = World::default();
    let table = [
        ("SEARCHGW",             "030100",                       "030201"),
        ("CONNECT, Will=1",      "09040c010000646576",           "0206"),
        ("WILLTOPIC",            "05072077 78",                  "0208"),
        ("WILLMSG",              "030977",                       "030500"),
        ("REGISTER",             "090a0000abcd742f61",           "070b0401abcd00"),
        ("REGISTER, wildcard",   "090a0000abce742f23",           "070b0000abce03"),
        ("SUBSCRIBE",            "081240abcf742f62",             "0813400402abcf00"),
        ("UNSUBSCRIBE",          "081400abd0742f62",             "0415abd0"),
        ("PUBLISH, QoS 1",       "080c200401abd131",             "070d0401abd100"),
        ("PUBLISH, unknown id",  "080c20ffffabd231",             "070dffffabd202"),
        ("PUBLISH, QoS 2",       "080c400401abd331",             "040fabd3"),
        ("PUBREL",               "0410abd3",                     "040eabd3"),
        ("PUBREC",               "040fabd4",                     "0410abd4"),
        ("PINGREQ",              "0216",                         "0217"),
        ("WILLTOPICUPD",         "051a0077 79",                  "031b00"),
        ("WILLMSGUPD",           "031c78",                       "031d00"),
        ("WILLTOPICUPD, empty",  "021a",                         "031b00"),
        ("WILLMSGUPD, no will",  "031c78",                       "031d03"),
        ("DISCONNECT, duration", "0418000a",                     "0218"),
        ("DISCONNECT",           "0218",                         "0218"),
        ("PINGREQ of a stranger", "0216",                        "0218"),
    ];
    for (name, said, heard) in table {
        assert_eq!(world.ask(1, &said.replace(' ', "")), [heard], "{name}");
    }
}

#[test]
fn the_long_form_of_the_length_is_taken_at_any_size() {
    let mut world = World::default();
    assert_eq!(world.ask(1, "01000b0404010000646576"), ["030500"]);
    assert_eq!(world.ask(1, "01000416"), ["0217"]);
    assert_eq!(world.ask(1, "01000716646576"), ["0217"]);
}

#[test]
fn the_long_form_is_sent_from_256_octets_on() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    world.subscribe(1, "t/a", SnQos::AtMostOnce);
    world.publish("t/a", &"x".repeat(248), Qos::AtMostOnce);
    assert_eq!(world.hear(1), [format!("ff0c0004010000{}", hex(&"x".repeat(248)))], "255 octets");
    world.publish("t/a", &"x".repeat(249), Qos::AtMostOnce);
    assert_eq!(world.hear(1), [format!("0101020c0004010000{}", hex(&"x".repeat(249)))], "256 would be, so 258");
}

#[test]
fn a_length_that_is_not_the_datagrams_is_malformed_and_ends_nobodys_session() {
    let mut world = World::default();
    world.connect(1, "dev", true);
    for malformed in ["0316", "0216ff", "00", "01", "0100", "010002", "ff16", "0217", "02"] {
        assert_eq!(world.ask(1, malformed), NOTHING, "{malformed}");
    }
    assert_eq!((world.ask(1, "0216"), world.sessions()), (vec!["0217".to_owned()], [0, 1, 0]));
}
