//! Texts of the configuration that become topics or client ids: the rules are those of the types that read them.

use crate::template::{Literals, Placeholder, Template};
use crate::text::is_carriable;
use crate::topic::TopicName;

/// A topic name.
///
/// # Errors
/// What is wrong, to follow the text: "holds a wildcard".
pub fn check_topic(text: &str) -> Result<(), String> {
    TopicName::try_from(text).map(|_| ()).map_err(|fault| fault.to_string())
}

/// The prefix of a gateway's topics: empty, or text with the placeholders of a device and the node.
///
/// # Errors
/// As [`check_topic`].
pub fn check_template(text: &str) -> Result<(), String> {
    parse(text).map(|_| ())
}

/// The prefix of what belongs to no device: empty, or text with the node's placeholder `%n` and no other.
///
/// # Errors
/// As [`check_topic`].
pub fn check_node_template(text: &str) -> Result<(), String> {
    let uses = parse(text)?.uses();
    match Placeholder::ALL.into_iter().find(|each| *each != Placeholder::Node && uses.contains(*each)) {
        Some(other) => Err(format!("asks for the {} of a client, but only %n is known here", other.name())),
        None => Ok(()),
    }
}

/// A text that becomes part of a topic level and of a client id; it may be empty.
///
/// # Errors
/// As [`check_topic`].
pub fn check_name(text: &str) -> Result<(), String> {
    if let Some(bad) = text.chars().find(|c| matches!(c, '/' | '+' | '#')) {
        return Err(format!("holds {bad:?}, which would break out of its topic level"));
    }
    if is_carriable(text) { Ok(()) } else { Err("holds a character that MQTT cannot carry".into()) }
}

fn parse(text: &str) -> Result<Template, String> {
    Template::parse(text, Literals::TopicName).map_err(|fault| format!("is no topic prefix: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn texts_that_become_topics_are_held_to_the_rules_of_topics() {
        type Check = fn(&str) -> Result<(), String>;
        let table: [(Check, &str, Result<(), &str>); 14] = [
            (check_topic, "a/b c/ß", Ok(())),
            (check_topic, "", Err("is empty")),
            (check_topic, "a/+", Err("holds a wildcard")),
            (check_topic, "a\u{1}", Err("holds a character that MQTT cannot carry")),
            (check_template, "", Ok(())),
            (check_template, "x/%c/%u/%a/%e/%n/${clientid}/${username}/${peerhost}/${endpoint_name}/", Ok(())),
            (check_template, "x/%C", Err("is no topic prefix: unknown placeholder %C")),
            (check_template, "x/#", Err("is no topic prefix: character '#' is not allowed here")),
            (check_node_template, "x/%n", Ok(())),
            (check_node_template, "", Ok(())),
            (check_node_template, "x/${clientid}", Err("asks for the client id of a client, but only %n is known here")),
            (check_name, "a-b c", Ok(())),
            (check_name, "a/b", Err("holds '/', which would break out of its topic level")),
            (check_name, "a\u{7f}", Err("holds a character that MQTT cannot carry")),
        ];
        for (check, text, expected) in table {
            assert_eq!(check(text), expected.map_err(ToOwned::to_owned), "{text:?}");
        }
    }
}
