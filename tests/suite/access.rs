//! Who may come in, and what they may do, from the configuration to the device.

use std::path::Path;
use std::time::Instant;

use codec_mqttsn::{Qos, ReturnCode, Topic};

use crate::process::{Dir, PATIENCE, Setup, Tidegate, fed, tidegate};
use crate::sn::Device;

/// A users file with one user, whose password is "right".
fn users(dir: &Dir, user: &str) -> String {
    let file = dir.path("users.txt").to_str().unwrap().to_owned();
    let made = fed(&["passwd", &file, user], "right\n");
    assert_eq!(made.code, Some(0), "{}", made.errors);
    file
}

/// Every device comes as `username`, and `file` says who that is.
fn chain(username: &str, password: &str, file: &str) -> String {
    format!(
        "[{{ type = 'static', username = '{username}', password = '{password}' }}, {{ type = 'file', path = '{file}' }}]"
    )
}

fn start(chain: &str) -> Tidegate {
    Setup::new().set("AUTH__CHAIN", chain).set("AUTH__TIMEOUT", "60s").start().ready()
}

fn connack(node: &Tidegate, client_id: &str) -> ReturnCode {
    Device::new(node.mqttsn()).try_connect(client_id, true)
}

#[test]
fn the_right_credential_lets_in_and_a_wrong_or_unknown_one_does_not() {
    let dir = Dir::new();
    let file = users(&dir, "gateway");
    for (username, password, code, result) in [
        ("gateway", "right", ReturnCode::Accepted, "allow"),
        ("gateway", "wrong", ReturnCode::NotSupported, "deny"),
        ("gateway", "", ReturnCode::NotSupported, "deny"),
        ("stranger", "right", ReturnCode::NotSupported, "ignore"),
    ] {
        let node = start(&chain(username, password, &file));
        assert_eq!(connack(&node, "lamp"), code, "{username} {password}");
        assert_eq!(node.metric(&format!("tidegate_auth_store_answers_total{{store=\"file\",result=\"{result}\"}}")), 1);
    }
}

#[test]
fn the_credential_of_the_gateway_is_judged_like_any_other() {
    let dir = Dir::new();
    let file = users(&dir, "gateway");
    for (password, code) in [("right", ReturnCode::Accepted), ("wrong", ReturnCode::NotSupported)] {
        let setup = Setup::new().set("AUTH__CHAIN", &format!("[{{ type = 'file', path = '{file}' }}]"));
        let setup = setup.set("GATEWAYS__MQTTSN__USERNAME", "gateway").set("GATEWAYS__MQTTSN__PASSWORD", password);
        let node = setup.set("AUTH__TIMEOUT", "60s").start().ready();
        assert_eq!(connack(&node, "lamp"), code, "{password}");
    }
}

#[test]
fn who_is_left_at_the_end_of_the_chain_comes_in_if_the_operator_says_so() {
    let dir = Dir::new();
    let file = users(&dir, "gateway");
    let only_file = format!("[{{ type = 'file', path = '{file}' }}]");
    for (chain, keys, code) in [
        (&only_file, &[][..], ReturnCode::NotSupported),
        (&only_file, &[("AUTH__ALLOW_ANONYMOUS", "true")][..], ReturnCode::Accepted),
        (&only_file, &[("AUTH__ON_ALL_IGNORE", "allow")][..], ReturnCode::Accepted),
        (&chain("stranger", "x", &file), &[("AUTH__ALLOW_ANONYMOUS", "true")][..], ReturnCode::NotSupported),
        (&chain("stranger", "x", &file), &[("AUTH__ON_ALL_IGNORE", "allow")][..], ReturnCode::Accepted),
        (&"[]".to_owned(), &[][..], ReturnCode::Accepted),
        (&"[]".to_owned(), &[("AUTH__ALLOW_ANONYMOUS", "false")][..], ReturnCode::NotSupported),
    ] {
        let setup =
            keys.iter().fold(Setup::new().set("AUTH__CHAIN", chain), |setup, (key, value)| setup.set(key, value));
        let node = setup.start().ready();
        assert_eq!(connack(&node, "lamp"), code, "{chain} {keys:?}");
    }
}

#[test]
fn one_credential_of_many_devices_is_hashed_once() {
    let dir = Dir::new();
    let file = users(&dir, "gateway");
    let node = start(&chain("gateway", "right", &file));
    for number in 0..50 {
        assert_eq!(connack(&node, &format!("lamp-{number}")), ReturnCode::Accepted);
    }
    assert_eq!(node.metric("tidegate_auth_verifications_total{type=\"computed\"}"), 1);
    assert_eq!(node.metric("tidegate_auth_verifications_total{type=\"remembered\"}"), 49);
}

#[test]
fn a_node_with_a_bad_users_or_rules_file_does_not_start_and_check_says_why() {
    let dir = Dir::new();
    let users = dir.write("users.txt", "ann:$2b$10$abc\nbob\n");
    let rules = dir.write("rules.toml", "[[rules]]\npermit = \"allow\"\nwho = { all = true }\naction = \"all\"\n");
    let text = format!(
        "[[auth.chain]]\ntype = \"file\"\npath = \"{}\"\n[acl]\nfile = \"{}\"\n",
        users.display(),
        rules.display()
    );
    let file = dir.write("t.toml", &text);
    let told = |path: &Path| path.display().to_string();
    let expected = [
        format!(
            "{}:3:8: auth.chain[0].path: {}: line 1: hashes by bcrypt are not in this version: expected $argon2id$…",
            told(&file),
            told(&users)
        ),
        format!("{}:3:8: auth.chain[0].path: {}: line 2: expected name:$argon2id$…", told(&file), told(&users)),
        format!(
            "{}:5:8: acl.file: {}:1:1: rules[0]: names no `topics`, so it would concern nothing",
            told(&file),
            told(&rules)
        ),
    ];
    for arguments in [["check"].as_slice(), &["run", "-c"]] {
        let outcome = tidegate(&[arguments, &[file.to_str().unwrap()]].concat(), &[]);
        assert_eq!(outcome.code, Some(2));
        assert_eq!(outcome.errors.lines().collect::<Vec<_>>(), expected);
    }
}

/// Rules under which devices may use what lies under their client id, and publish alarms.
const RULES: &str = "[
    { permit = 'allow', who = { all = true }, action = 'all', topics = ['devices/%c/#'] },
    { permit = 'allow', who = { ip = '127.0.0.0/8' }, action = 'publish', topics = ['alarm'] },
]";

fn ruled(deny_action: &str) -> Tidegate {
    let setup = Setup::new().set("ACL__RULES", RULES).set("ACL__NO_MATCH", "deny");
    setup.set("ACL__DENY_ACTION", deny_action).start().ready()
}

#[test]
fn a_device_that_may_not_is_told_so_and_stays() {
    let node = ruled("ignore");
    let mut lamp = Device::connect(node.mqttsn(), "lamp");
    for (topic, qos, code) in [
        ("devices/lamp/state", Qos::AtLeastOnce, ReturnCode::Accepted),
        ("devices/door/state", Qos::AtLeastOnce, ReturnCode::NotSupported),
        ("devices/door/state", Qos::AtMostOnce, ReturnCode::NotSupported),
        ("devices/door/state", Qos::ExactlyOnce, ReturnCode::NotSupported),
        ("alarm", Qos::AtLeastOnce, ReturnCode::Accepted),
    ] {
        let id = lamp.register(topic);
        let msg_id = lamp.send_publish(Topic::Normal(id), "x", qos, false);
        assert_eq!(lamp.puback(), (msg_id, code), "{topic} {qos:?}");
    }
    for (filter, code) in [
        ("devices/lamp/+", ReturnCode::Accepted),
        ("devices/lamp/set", ReturnCode::Accepted),
        ("alarm", ReturnCode::NotSupported),
        ("devices/#", ReturnCode::NotSupported),
        ("devices/+/set", ReturnCode::NotSupported),
        ("#", ReturnCode::NotSupported),
    ] {
        let suback = lamp.try_subscribe(filter, Qos::AtLeastOnce);
        assert_eq!(suback.code, code, "{filter}");
        assert_eq!(suback.topic_id.0 == 0, code != ReturnCode::Accepted || filter.contains('+'), "{filter}");
    }
    let set = lamp.register("devices/lamp/set");
    lamp.publish(Topic::Normal(set), "on", Qos::AtLeastOnce, false);
    assert_eq!(lamp.message().payload, "on", "what it may do it still does");
    assert_eq!(node.metric("tidegate_acl_denied_total{action=\"publish\"}"), 3);
    assert_eq!(node.metric("tidegate_acl_denied_total{action=\"subscribe\"}"), 4);
}

#[test]
fn a_device_that_may_not_is_told_to_go_where_the_operator_says_so() {
    let node = ruled("disconnect");
    let mut lamp = Device::connect(node.mqttsn(), "lamp");
    let id = lamp.register("devices/door/state");
    let msg_id = lamp.send_publish(Topic::Normal(id), "x", Qos::AtLeastOnce, false);
    assert_eq!(lamp.puback(), (msg_id, ReturnCode::NotSupported));
    lamp.await_disconnect();

    let mut lamp = Device::connect(node.mqttsn(), "lamp");
    assert_eq!(lamp.try_subscribe("#", Qos::AtMostOnce).code, ReturnCode::NotSupported);
    lamp.await_disconnect();
}

#[test]
fn a_reload_takes_users_and_rules_anew_all_or_none_and_puts_nobody_out() {
    let dir = Dir::new();
    let file = users(&dir, "gateway");
    let open = "rules = []\n";
    let closed = "rules = [{ permit = 'deny', who.all = true, action = 'publish', topics = ['#'] }]\n";
    let rules = dir.write("rules.toml", open);
    let setup = Setup::new().set("AUTH__CHAIN", &chain("gateway", "right", &file)).set("AUTH__TIMEOUT", "60s");
    let mut node = setup.set("ACL__FILE", rules.to_str().unwrap()).start().ready();
    let mut lamp = Device::connect(node.mqttsn(), "lamp");
    let id = lamp.register("a");

    // The users are sound, the rules are not: neither counts.
    assert_eq!(fed(&["passwd", &file, "gateway"], "new\n").code, Some(0));
    dir.write("rules.toml", "rules = 5\n");
    node.signal("HUP");
    node.logged("not reloaded");
    node.logged("rules.toml:1:9: rules: expected an array of tables");
    assert_eq!(connack(&node, "door"), ReturnCode::Accepted);
    lamp.publish(Topic::Normal(id), "1", Qos::AtLeastOnce, false);

    dir.write("rules.toml", closed);
    node.signal("HUP");
    node.logged("the configuration is reloaded");
    assert_eq!(connack(&node, "window"), ReturnCode::NotSupported, "the password is another one now");
    // Each shard hears of the rules by itself.
    let until = Instant::now() + PATIENCE;
    loop {
        let msg_id = lamp.send_publish(Topic::Normal(id), "2", Qos::AtLeastOnce, false);
        match lamp.puback() {
            (told, ReturnCode::NotSupported) if told == msg_id => break,
            (_, code) => assert_eq!(code, ReturnCode::Accepted),
        }
        assert!(Instant::now() < until, "the shard does not hear of the rules");
    }
    lamp.ping(None);
}
