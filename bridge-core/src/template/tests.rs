use super::*;
use proptest::prelude::*;
use std::borrow::Cow;

const LAMP: Values<'_> = Values {
    client_id: Some("lamp-17"),
    username: Some("ann"),
    peerhost: Some("2001:db8::7"),
    endpoint_name: Some("urn:imei:1"),
    node: Some("gw1"),
};

fn rendered(template: &str, values: &Values<'_>) -> Result<String, TemplateFault> {
    Template::parse(template, Literals::TopicFilter)?.render(values)
}

#[test]
#[rustfmt::skip]
fn placeholders_render_in_both_spellings() {
    let table = [
        ("",                                  ""),
        ("plain/topic",                       "plain/topic"),
        ("%c",                                "lamp-17"),
        ("${clientid}",                       "lamp-17"),
        ("a/%u/b",                            "a/ann/b"),
        ("a/${username}/b",                   "a/ann/b"),
        ("%a",                                "2001:db8::7"),
        ("${peerhost}",                       "2001:db8::7"),
        ("lwm2m/%e/dn/#",                     "lwm2m/urn:imei:1/dn/#"),
        ("${endpoint_name}",                  "urn:imei:1"),
        ("%n/%c%u${clientid}",                "gw1/lamp-17annlamp-17"),
        ("$share/%u/+",                       "$share/ann/+"),
        ("$c/{clientid}/$",                   "$c/{clientid}/$"),
        ("é/%c/日本",                          "é/lamp-17/日本"),
    ];
    for (template, expected) in table { assert_eq!(rendered(template, &LAMP).as_deref(), Ok(expected), "{template}"); }
}

#[test]
#[rustfmt::skip]
fn unknown_placeholders_and_characters_are_refused_by_name() {
    use TemplateFault::{Character, Unclosed, Unknown};
    use Literals::{TopicFilter, TopicName};
    let table = [
        ("a/%x/b",           TopicName,   Some(Unknown("%x".into()))),
        ("a/%C",             TopicName,   Some(Unknown("%C".into()))),
        ("a/%é/b",           TopicName,   Some(Unknown("%é".into()))),
        ("a/%%c",            TopicName,   Some(Unknown("%%".into()))),
        ("100%",             TopicName,   Some(Unknown("%".into()))),
        ("${client}/a",      TopicName,   Some(Unknown("${client}".into()))),
        ("${}",              TopicName,   Some(Unknown("${}".into()))),
        ("${node}",          TopicName,   Some(Unknown("${node}".into()))),
        ("a/${clientid",     TopicName,   Some(Unclosed("${clientid".into()))),
        ("a/+/b",            TopicName,   Some(Character('+'))),
        ("%c/#",             TopicName,   Some(Character('#'))),
        ("%c/+/#",           TopicFilter, None),
        ("a\0b",             TopicFilter, Some(Character('\0'))),
        ("a\u{85}b",         TopicName,   Some(Character('\u{85}'))),
        ("a\u{fffe}b",       TopicName,   Some(Character('\u{fffe}'))),
        ("a\u{10ffff}b",     TopicFilter, Some(Character('\u{10ffff}'))),
        ("a\u{fdd0}b",       TopicFilter, Some(Character('\u{fdd0}'))),
        ("a\u{fffd}\u{feff}b", TopicName, None),
    ];
    for (template, literals, fault) in table {
        assert_eq!(Template::parse(template, literals).err(), fault, "{template:?}");
    }
}

#[test]
fn a_template_tells_which_placeholders_it_uses() {
    let uses = |template| {
        let uses = Template::parse(template, Literals::TopicName).expect("a template").uses();
        Placeholder::ALL.into_iter().filter(|placeholder| uses.contains(*placeholder)).collect::<Vec<_>>()
    };
    assert_eq!(uses("a"), []);
    assert_eq!(uses("%e/%e/${endpoint_name}"), [Placeholder::EndpointName]);
    assert_eq!(uses("%n/%e/%a/%u/%c"), Placeholder::ALL);
    let [one, two] = ["%c", "%u"].map(|text| Template::parse(text, Literals::TopicName).expect("a template").uses());
    assert!(one.union(two).contains(Placeholder::ClientId) && one.union(two).contains(Placeholder::Username));
    assert!(!one.contains(Placeholder::Username) && !one.is_empty() && Uses::default().is_empty());
}

#[test]
#[rustfmt::skip]
fn a_value_that_breaks_out_of_its_level_is_refused_where_it_is_used() {
    use Placeholder::{ClientId, EndpointName, Node, Username};
    let breaks = |placeholder, character| Err(TemplateFault::BreaksOut { placeholder, character });
    let client = |id| Values { client_id: Some(id), ..LAMP };
    let user = |name| Values { username: Some(name), ..LAMP };
    let endpoint = |name| Values { endpoint_name: Some(name), ..LAMP };
    let table = [
        ("x/%c", client("a/b"),                          breaks(ClientId, '/')),
        ("x/%c", client("a+"),                           breaks(ClientId, '+')),
        ("x/%c", client("#"),                            breaks(ClientId, '#')),
        ("x/%u", client("a/+/#"),                        Ok("x/ann")),
        ("x/%u", user("a/b"),                            breaks(Username, '/')),
        ("x/%u", user("+"),                              breaks(Username, '+')),
        ("x/%u", user("b#/"),                            breaks(Username, '#')),
        ("x/%c", user("a/+/#"),                          Ok("x/lamp-17")),
        ("x/%e", endpoint("a/b/"),                       Ok("x/a%2Fb%2F")),
        ("x/%e", endpoint("a/+"),                        breaks(EndpointName, '+')),
        ("x/%e", endpoint("a#"),                         breaks(EndpointName, '#')),
        ("x/%c", endpoint("+"),                          Ok("x/lamp-17")),
        ("%n/x", Values { node: Some("hall/1"), ..LAMP }, Ok("hall/1/x")),
        ("%n/x", Values { node: Some("hall#"), ..LAMP },  breaks(Node, '#')),
        ("x/%c", client("100%"),                         Ok("x/100%")),
        ("x/%c/y", client(""),                           Ok("x//y")),
        ("x/%u", Values { username: None, ..LAMP },      Err(TemplateFault::Missing(Username))),
        ("x/%c", Values { username: None, ..LAMP },      Ok("x/lamp-17")),
    ];
    for (template, values, expected) in table {
        assert_eq!(rendered(template, &values), expected.map(str::to_owned), "{template} {values:?}");
    }
}

#[test]
#[rustfmt::skip]
fn one_filter_covers_all_clients_of_a_node() {
    let table = [
        ("lwm2m/%e/dn/#",      "lwm2m/+/dn/#"),
        ("tcp/%c/dn",          "tcp/+/dn"),
        ("%c",                 "+"),
        ("%n/%c",              "gw1/+"),
        ("a/x-%c-y/z",         "a/+/z"),
        ("a/%c%u/%e%n/z",      "a/+/+/z"),
        ("a/%n%c",             "a/+"),
        ("a/%u.%c/",           "a/+/"),
        ("a//%c//b",           "a//+//b"),
        ("a/+/b",              "a/+/b"),
    ];
    for (template, expected) in table {
        let template = Template::parse(template, Literals::TopicFilter).expect("a template");
        assert_eq!(template.filter_for_all("gw1").as_deref(), Ok(expected));
    }
}

#[test]
fn faults_say_what_is_wrong_in_words() {
    assert_eq!(TemplateFault::Unknown("%x".into()).to_string(), "unknown placeholder %x");
    assert_eq!(TemplateFault::Missing(Placeholder::Username).to_string(), "the client has no user name");
    let fault = TemplateFault::BreaksOut { placeholder: Placeholder::ClientId, character: '/' };
    assert_eq!(fault.to_string(), "'/' in the client id would break out of its topic level");
}

#[test]
#[rustfmt::skip]
fn filters_keep_their_share_in_front() {
    let table = [
        ("site/", "a/+",              "site/a/+"),
        ("site/", "#",                "site/#"),
        ("site/", "$share/g/a/#",     "$share/g/site/a/#"),
        ("site/", "$share/g//a",      "$share/g/site//a"),
        ("site/", "$share/é/+",       "$share/é/site/+"),
        ("site/", "$shared/g/a",      "site/$shared/g/a"),
        ("site/", "$SHARE/g/a",       "site/$SHARE/g/a"),
        ("site/", "$share",           "site/$share"),
        ("site/", "$SYS/#",           "site/$SYS/#"),
        ("",      "$share/g/a",       "$share/g/a"),
        ("",      "a/b",              "a/b"),
    ];
    for (prefix, filter, expected) in table { assert_eq!(Mountpoint::new(prefix).mount_filter(filter), expected); }
}

#[test]
fn only_topics_below_the_mountpoint_can_be_stripped() {
    let site = Mountpoint::new("site/");
    let table = [("site/a", Some("a")), ("site//", Some("/")), ("site/", None), ("site", None), ("other/a", None)];
    for (topic, expected) in table {
        assert_eq!(site.strip(topic), expected, "{topic}");
    }
    assert_eq!(Mountpoint::default().strip("a/b"), Some("a/b"));
    assert_eq!((site.prefix(), Mountpoint::default().prefix()), ("site/", ""));
}

#[test]
#[rustfmt::skip]
fn event_levels_are_percent_encoded() {
    let table = [("lamp-17", "lamp-17"), ("a/b", "a%2Fb"), ("+#", "%2B%23"), ("100%", "100%25"), ("a%2Fb", "a%252Fb"), ("é/", "é%2F")];
    for (text, expected) in table { assert_eq!(percent_encode_level(text), expected); }
    assert!(matches!(percent_encode_level("lamp"), Cow::Borrowed("lamp")));
}

proptest! {
    #[test]
    fn what_was_mounted_strips_to_itself(prefix in "[a-z/%é]{0,12}", topic in "[a-z/$é]{1,20}") {
        let mountpoint = Mountpoint::new(prefix);
        let (prefix, rest) = mountpoint.mount(&topic);
        let upstream = [prefix, rest].concat();
        prop_assert_eq!(mountpoint.strip(&upstream), Some(&*topic));
    }

    #[test]
    fn a_mounted_filter_is_the_share_the_prefix_and_the_filter(
        prefix in "[a-z/]{0,12}", group in "[a-z$]{1,5}", filter in "[a-z/+$]{1,20}",
    ) {
        let mountpoint = Mountpoint::new(prefix.clone());
        let shared = mountpoint.mount_filter(&format!("$share/{group}/{filter}"));
        prop_assert_eq!(shared, format!("$share/{group}/{prefix}{filter}"));
    }

    #[test]
    fn any_text_is_parsed_or_refused_and_what_is_parsed_renders(text in "([a-z/+#]|%[cuaenx]|\\$\\{(clientid|username|x)\\}|[%$é{}]){0,12}") {
        for literals in [Literals::TopicName, Literals::TopicFilter] {
            if let Ok(template) = Template::parse(&text, literals) {
                let topic = template.render(&LAMP).expect("all values are there and harmless");
                if template.uses().is_empty() { prop_assert_eq!(&topic, &text); }
                if literals == Literals::TopicName { prop_assert!(!topic.contains(['+', '#'])); }
            }
        }
    }

    #[test]
    fn no_client_reaches_another_level(id in "[a-z/+#%$]{0,6}", name in "[a-z/+#%$]{0,6}") {
        let values = Values { client_id: Some(&id), endpoint_name: Some(&name), ..LAMP };
        for template in ["a/%c/b", "a/%e/b", "a/%e-%c/b"] {
            if let Ok(topic) = rendered(template, &values) {
                prop_assert_eq!(topic.split('/').count(), 3);
                prop_assert!(!topic.contains(['+', '#']));
            }
        }
    }

    #[test]
    fn two_texts_never_share_an_event_level(one in "[a-b/+#%25]{0,5}", two in "[a-b/+#%25]{0,5}") {
        let (left, right) = (percent_encode_level(&one), percent_encode_level(&two));
        prop_assert!(!left.contains(['/', '+', '#']));
        prop_assert_eq!(left == right, one == two);
    }

    #[test]
    fn the_filter_for_all_covers_each_client(
        template in "([a-z/]|%[cuen]){1,10}", id in "[a-z]{0,4}", name in "[a-z/]{0,4}",
    ) {
        let template = Template::parse(&template, Literals::TopicName).expect("a template");
        let filter = template.filter_for_all("gw1").expect("a filter");
        let topic = template.render(&Values { client_id: Some(&id), endpoint_name: Some(&name), ..LAMP }).expect("a topic");
        let (filter, topic): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), topic.split('/').collect());
        prop_assert_eq!(filter.len(), topic.len());
        prop_assert!(filter.iter().zip(&topic).all(|(level, text)| *level == "+" || level == text));
    }
}
