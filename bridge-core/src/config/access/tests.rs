//! What an operator writes into `[acl]`, and is told about it.

use settings::to_toml;

use super::*;

fn read(text: &str) -> (AclConfig, Vec<String>) {
    let mut config = AclConfig::default();
    let mut document = Document::parse("a.toml", text);
    document.read(&mut config, &mut |_| Err(std::io::Error::other("none")));
    let problems = document.finish().err().unwrap_or_default();
    (config, problems.iter().map(ToString::to_string).collect())
}

const WHOLE: &str = r##"
    rules = [
        { permit = "allow", who = { user = "ops" }, action = "all", topics = ["#", "$SYS/#"] },
        { permit = "deny", who = { ip = "10.0.0.0/8" }, action = "subscribe", topics = ["eq #"] },
        { permit = "allow", who = { client = "lamp" }, action = "publish", topics = ["up/%c", "up/${username}"] },
        { permit = "deny", who.all = true, action = "all", topics = ["#"] },
    ]
    file = "more.toml"
    no_match = "deny"
    deny_action = "disconnect"
    cache_size = 0
    cache_ttl = "2m"
"##;

fn topic(text: &str) -> RuleTopic {
    RuleTopic::parse(text).unwrap()
}

#[test]
fn rules_keep_their_order_and_those_of_the_file_come_after() {
    let (config, problems) = read(WHOLE);
    assert_eq!(problems, [""; 0]);
    assert_eq!(config.file, Some("more.toml".into()));
    let more = read_rules(
        "more.toml",
        "[[rules]]\npermit = \"allow\"\naction = \"all\"\ntopics = [\"x\"]\nwho = { client = \"c\" }\n",
    );
    let rule = |permit, who, actions, topics: &[&str]| AclRule {
        permit,
        who,
        actions,
        topics: topics.iter().map(|text| topic(text)).collect(),
    };
    let expected = Acl {
        rules: vec![
            rule(Verdict::Allow, Who::User("ops".into()), Actions::All, &["#", "$SYS/#"]),
            rule(Verdict::Deny, Who::Address("10.0.0.0/8".parse().unwrap()), Actions::Subscribe, &["eq #"]),
            rule(Verdict::Allow, Who::Client("lamp".into()), Actions::Publish, &["up/%c", "up/${username}"]),
            rule(Verdict::Deny, Who::All, Actions::All, &["#"]),
            rule(Verdict::Allow, Who::Client("c".into()), Actions::All, &["x"]),
        ],
        no_match: Verdict::Deny,
        disconnect: true,
        cache_size: 0,
        cache_ttl_ms: 120_000,
        node: "north".into(),
    };
    assert_eq!(*config.compiled(&more.unwrap(), "north"), expected);
}

#[test]
fn without_a_table_everybody_may_do_everything() {
    let (config, problems) = read("");
    assert_eq!((config.clone(), problems), (AclConfig::default(), Vec::new()));
    assert_eq!(*config.compiled(&[], ""), Acl::default());
}

#[test]
fn what_is_written_reads_back() {
    for text in [WHOLE, ""] {
        let (config, _) = read(text);
        let written = to_toml(&mut config.clone());
        assert_eq!(read(&written), (config, Vec::new()), "{written}");
    }
}

#[test]
#[rustfmt::skip]
fn each_mistake_is_told_where_it_stands() {
    let who = r#"one of { user = "…" }, { client = "…" }, { ip = "…" }, { all = true }"#;
    let rule = |text: &str| format!("rules = [{{ {text} }}]");
    let good = r#"permit = "deny", action = "all", who.all = true, topics = ["a"]"#;
    let with = |from: &str, to: &str| rule(&good.replace(from, to));
    assert_eq!(read(&rule(good)).1, [""; 0]);
    for (text, expected) in [
        (with("permit = \"deny\", ", ""),     "a.toml:1:10: rules[0].permit: is missing: expected \"allow\" or \"deny\"".to_owned()),
        (with("\"deny\"", "\"denied\""),      "a.toml:1:21: rules[0].permit: expected \"allow\" or \"deny\", found \"denied\"".into()),
        (with("action = \"all\", ", ""),      "a.toml:1:10: rules[0].action: is missing: expected \"publish\", \"subscribe\" or \"all\"".into()),
        (with("\"all\"", "\"publsih\""),      "a.toml:1:38: rules[0].action: expected \"publish\", \"subscribe\" or \"all\", found \"publsih\" (did you mean \"publish\"?)".into()),
        (with("who.all = true, ", ""),        format!("a.toml:1:10: rules[0].who: is missing: expected {who}")),
        (with("who.all = true", "who = \"all\""), "a.toml:1:51: rules[0].who: expected a table, found \"all\"".into()),
        (with("who.all = true", "who = { }"), format!("a.toml:1:51: rules[0].who: expected {who}")),
        (with("who.all = true", "who = { user = \"\" }"), format!("a.toml:1:51: rules[0].who: expected {who}")),
        (with("who.all = true", "who = { all = false }"), format!("a.toml:1:51: rules[0].who: expected {who}")),
        (with("who.all = true", "who = { user = \"u\", client = \"c\" }"), format!("a.toml:1:51: rules[0].who: expected {who}")),
        (with("who.all = true", "who = { usr = \"u\" }"), "a.toml:1:53: rules[0].who.usr: unknown key (did you mean `user`?)".into()),
        (with("who.all = true", "who = { ipaddr = \"::1\" }"), "a.toml:1:53: rules[0].who.ipaddr: is EMQX's name: here it is `ip`".into()),
        (with("who.all = true", "who = { ip = \"10.0.0.0/33\" }"), "a.toml:1:58: rules[0].who.ip: \"10.0.0.0/33\" has a prefix that is no number from 0 to 32".into()),
        (with(", topics = [\"a\"]", ""),      "a.toml:1:10: rules[0]: names no `topics`, so it would concern nothing".into()),
        (with("[\"a\"]", "[]"),               "a.toml:1:10: rules[0]: names no `topics`, so it would concern nothing".into()),
        (with("[\"a\"]", "[\"a\", \"a/#/b\"]"), "a.toml:1:76: rules[0].topics[1]: \"a/#/b\" is no topic: has a wildcard that is not a level of its own".into()),
        (with("[\"a\"]", "[\"%e\"]"),         "a.toml:1:71: rules[0].topics[0]: \"%e\" is no topic: asks for the endpoint name, which access rules do not know".into()),
        ("cache_size = 1025".into(),          "a.toml:1:14: cache_size: expected 0 to 1024, found the number 1025".into()),
        ("cache_ttl = \"0s\"".into(),         "a.toml:1:13: cache_ttl: expected \"1s\" to \"1d\", found \"0s\"".into()),
        ("cache.max_size = 32".into(),        "a.toml:1:1: cache: is EMQX's name: here it is `cache_size`".into()),
        ("deny_action = \"drop\"".into(),     "a.toml:1:15: deny_action: expected \"ignore\" or \"disconnect\", found \"drop\"".into()),
    ] {
        assert_eq!(read(&text).1, [expected], "{text}");
    }
}

#[test]
fn a_file_of_rules_holds_rules_and_nothing_else() {
    let problems = read_rules("more.toml", "no_match = \"deny\"\n\n[[rules]]\ntopics = [5]\n").unwrap_err();
    let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let who = WhoConfig::EXPECTED;
    let expected = [
        "more.toml:1:1: no_match: unknown key".to_owned(),
        "more.toml:3:1: rules[0].permit: is missing: expected \"allow\" or \"deny\"".into(),
        format!("more.toml:3:1: rules[0].who: is missing: expected {who}"),
        "more.toml:3:1: rules[0].action: is missing: expected \"publish\", \"subscribe\" or \"all\"".into(),
        "more.toml:4:11: rules[0].topics[0]: expected a topic filter in quotes, like \"a/+/%c\" or \"eq #\", found the number 5".into(),
    ];
    let mut sorted = expected;
    sorted.sort();
    let mut found = told;
    found.sort();
    assert_eq!(found, sorted);
    assert_eq!(read_rules("more.toml", ""), Ok(Vec::new()));
}
