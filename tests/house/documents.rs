//! Rules of the documents: what they name is there.

use crate::{refuse, tree};

const TAGS: [&str; 5] = ["breaking", "added", "changed", "fixed", "security"];

/// A code span that begins with one of these is a path; so is one that ends in a suffix below.
const FOLDERS: [&str; 9] =
    ["protocol-codecs/", "bridge-core/", "settings/", "gateways/", "config/", "tests/", "fuzz/", "docs/", ".ci/"];
const SUFFIXES: [&str; 3] = [".rs", ".md", ".toml"];

/// Code spans of a text, fenced blocks left out.
fn spans(text: &str) -> Vec<&str> {
    let outside = text.split("\n```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

/// The paths among the code spans: `a/{b,c}.rs` is two.
fn paths(text: &str) -> Vec<String> {
    let is_path = |span: &&str| {
        !span.contains([' ', '<', '$', '*'])
            && (FOLDERS.iter().any(|folder| span.starts_with(folder)) || SUFFIXES.iter().any(|end| span.ends_with(end)))
    };
    let expand =
        |span: &str| match span.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?))) {
            Some((before, (list, after))) => list.split(',').map(|one| format!("{before}{one}{after}")).collect(),
            None => vec![span.to_owned()],
        };
    spans(text).into_iter().filter(is_path).flat_map(expand).collect()
}

/// "`file` → `function`": the pairs of a text.
fn hops(text: &str) -> Vec<(&str, &str)> {
    let hop = |(at, arrow): (usize, &str)| {
        let (before, after) = (&text[..at], &text[at + arrow.len()..]);
        Some((before.rsplit('`').next()?, after.split('`').next()?))
    };
    text.match_indices("` → `").filter_map(hop).filter(|(file, _)| file.ends_with(".rs")).collect()
}

fn has_function(source: &str, function: &str) -> bool {
    let name = function.rsplit("::").next().unwrap_or(function);
    ["fn ", "macro_rules! "].iter().any(|kind| {
        source
            .match_indices(&format!("{kind}{name}"))
            .any(|(at, found)| !source[at + found.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    })
}

/// Targets of links that lead to a file, relative to the document's folder.
fn links(text: &str) -> Vec<&str> {
    let target = |(at, found): (usize, &str)| text[at + found.len()..].split(')').next();
    let local = |target: &&str| !target.contains("://") && !target.starts_with('#') && !target.starts_with("mailto:");
    text.match_indices("](").filter_map(target).filter(local).filter_map(|target| target.split('#').next()).collect()
}

/// Entries of a changelog that are not tagged, and versions without a date.
fn untagged(text: &str) -> Vec<String> {
    let tagged = |entry: &str| TAGS.iter().any(|tag| entry.starts_with(&format!("**{tag}** ")));
    let entry = |line: &&str| line.strip_prefix("- ").is_some_and(|entry| !tagged(entry));
    let version = |line: &&str| {
        line.strip_prefix("## ").is_some_and(|head| {
            let dated = head.rsplit_once(" - ").is_some_and(|(_, date)| date.len() == 10 && date.starts_with("20"));
            head != "[Unreleased]" && !(head.starts_with('[') && dated)
        })
    };
    text.lines().filter(|line| entry(line) || version(line)).map(|line| format!("CHANGELOG.md: {line}")).collect()
}

/// Names of metrics in a text.
fn metrics(text: &str) -> Vec<&str> {
    let name = |(at, _): (usize, &str)| {
        let rest = &text[at..];
        &rest[..rest.find(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')).unwrap_or(rest.len())]
    };
    text.match_indices("tidegate_").map(name).filter(|name| name.len() > "tidegate_".len()).collect()
}

/// Labels of metrics, `name="value"` between braces, as the sources write them: `name: "value"`.
fn labels(text: &str) -> Vec<String> {
    let braced = spans(text).into_iter().filter_map(|span| span.split_once('{')?.1.strip_suffix('}'));
    let label = |pair: &str| {
        let (name, value) = pair.trim().split_once('=')?;
        value.starts_with('"').then(|| format!("{name}: {value}"))
    };
    braced.flat_map(|list| list.split(',').filter_map(label).collect::<Vec<_>>()).collect()
}

/// "`module::test`": the tests that a text names.
fn named_tests(text: &str) -> Vec<(&str, &str)> {
    spans(text).into_iter().filter_map(|span| span.split_once("::")).collect()
}

/// Rows of the tables of a text that name no test.
fn untested(text: &str) -> Vec<&str> {
    let rows = text.lines().filter(|line| line.starts_with("| ") && !line.contains("| tests |"));
    rows.filter(|row| named_tests(row).is_empty()).collect()
}

/// Whether a source has a test of this name.
fn has_test(source: &str, name: &str) -> bool {
    let head = format!("fn {name}(");
    let first = |test: &str| test.lines().map(str::trim).find(|line| line.starts_with("fn ")).map(str::to_owned);
    source.split("#[test]").skip(1).filter_map(first).any(|line| line.starts_with(&head))
}

/// Lines of a text that are commands to try a gateway.
fn attempts(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("mosquitto_sub ") || line.starts_with("printf ")).collect()
}

#[test]
fn paths_named_in_the_documents_exist() {
    let mut complaints = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"].map(tree::file) {
        let gone = paths(&document.text).into_iter().filter(|path| !tree::exists(path));
        complaints.extend(gone.map(|path| format!("{}: {path} is gone", document.path)));
    }
    refuse(&complaints);
}

#[test]
fn functions_on_a_packets_way_exist() {
    let text = tree::file("ARCHITECTURE.md").text;
    let hops = hops(&text);
    assert!(hops.len() >= 10, "ARCHITECTURE.md shows only {} hops", hops.len());
    let gone = hops.into_iter().filter(|(file, function)| !has_function(&tree::file(file).text, function));
    refuse(&gone.map(|(file, function)| format!("ARCHITECTURE.md: no {function} in {file}")).collect::<Vec<_>>());
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    for document in tree::files(".md") {
        let folder = document.path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        let dead = links(&document.text).into_iter().filter(|target| !tree::exists(&format!("{folder}{target}")));
        complaints.extend(dead.map(|target| format!("{}: {target} is gone", document.path)));
    }
    refuse(&complaints);
}

#[test]
fn every_change_is_tagged() {
    refuse(&untagged(&tree::file("CHANGELOG.md").text));
}

#[test]
fn metrics_named_in_the_documents_exist() {
    let names = tree::file("bridge-core/src/metrics.rs").text;
    let binary: String =
        tree::files(".rs").into_iter().filter(|f| f.path.starts_with("gateways/suite/src/")).map(|f| f.text).collect();
    let known = |name: &str| [&names, &binary].iter().any(|text| text.contains(&format!("\"{name}\"")));
    let mut complaints = Vec::new();
    for document in tree::files(".md") {
        let gone = metrics(&document.text).into_iter().filter(|name| !known(name));
        complaints.extend(gone.map(|name| format!("{}: no metric is called {name}", document.path)));
    }
    refuse(&complaints);
}

#[test]
fn labels_named_in_the_limits_are_counted() {
    let sources: String = tree::files(".rs").into_iter().filter(|f| f.path.contains("/src/")).map(|f| f.text).collect();
    let text = tree::file("docs/limits.md").text;
    let gone = labels(&text).into_iter().filter(|label| !sources.contains(label.as_str()));
    refuse(&gone.map(|label| format!("docs/limits.md: nothing counts {label}")).collect::<Vec<_>>());
}

#[test]
fn each_promise_has_a_test() {
    for (gateway, least) in [("mqttsn", 80), ("tcp", 60)] {
        let document = format!("docs/{gateway}-conformance.md");
        let text = tree::file(&document).text;
        let named = named_tests(&text);
        assert!(named.len() >= least, "{document} names {} tests only", named.len());
        let mut complaints: Vec<_> = untested(&text).into_iter().map(|row| format!("no test: {row}")).collect();
        for (module, name) in named {
            let path = format!("gateways/{gateway}/tests/gateway/{module}.rs");
            if !tree::exists(&path) || !has_test(&tree::file(&path).text, name) {
                complaints.push(format!("{document}: no test {module}::{name}"));
            }
        }
        refuse(&complaints);
    }
}

#[test]
fn the_readme_shows_what_the_program_prints() {
    let readme = tree::file("README.md").text;
    let printed = tree::file("gateways/suite/src/startup/tests.rs").text;
    let attempts = attempts(&readme);
    assert_eq!(attempts.len(), 4, "for each protocol one to listen, one to send");
    let gone = attempts.into_iter().filter(|line| !printed.contains(line));
    refuse(&gone.map(|line| format!("README.md: the program does not print {line}")).collect::<Vec<_>>());
}

#[test]
fn a_path_that_is_gone_is_seen() {
    let text = "see `gateways/none/{a,b}.rs`, `a/b` and `x.md`\n```\n`docs/in-a-fence.md`\n```\n`docs/after.md`";
    assert_eq!(paths(text), ["gateways/none/a.rs", "gateways/none/b.rs", "x.md", "docs/after.md"]);
    assert!(!tree::exists("gateways/none/a.rs"));
}

#[test]
fn a_function_that_is_gone_is_seen() {
    assert_eq!(hops("1. `a/b.rs` → `Bridge::up`, then `x` → `y`"), [("a/b.rs", "Bridge::up")]);
    assert!(has_function("pub fn up(&mut self)", "Bridge::up"));
    assert!(!has_function("pub fn upward(&mut self)", "Bridge::up"));
}

#[test]
fn a_dead_link_is_seen() {
    let text = "[a](docs/gone.md#part) [b](https://example.org/x) [c](#here)";
    assert_eq!(links(text), ["docs/gone.md"]);
}

#[test]
fn a_promise_without_a_test_is_seen() {
    let text = "| promise | tests |\n|---|---|\n| one | `a::b` `a::c_d` |\n| two | `max_topics` |";
    assert_eq!(named_tests(text), [("a", "b"), ("a", "c_d")]);
    assert_eq!(untested(text), ["| two | `max_topics` |"]);
    let source = "#[test]\n#[rustfmt::skip]\nfn one() {}\nfn two() {}\n#[test]\nfn three() {}";
    assert!(has_test(source, "one") && has_test(source, "three"));
    assert!(!has_test(source, "two") && !has_test(source, "thr"));
}

#[test]
fn an_untagged_change_is_seen() {
    let good = "# Changelog\n\n## [Unreleased]\n\n- **added** MQTT-SN: x\n  and more\n\n## [0.1.0] - 2026-01-31\n";
    assert_eq!(untagged(good), [""; 0]);
    for bad in ["- **improved** x", "- x", "- added x", "## 0.1.0", "## [0.1.0]"] {
        assert_eq!(untagged(bad).len(), 1, "{bad}");
    }
}

#[test]
fn a_metric_is_read_whole() {
    assert_eq!(
        metrics("`tidegate_faults_total{blame}` and tidegate_x, tidegate_"),
        ["tidegate_faults_total", "tidegate_x"]
    );
}

#[test]
fn labels_and_attempts_are_read_whole() {
    let text = "`tidegate_x_total{reason=\"a\", blame=\"b\"}`, `{reason=\"c\"}` and `predefined = { 1 = \"x\" }`";
    assert_eq!(labels(text), ["reason: \"a\"", "blame: \"b\"", "reason: \"c\""]);
    assert_eq!(attempts("see\nprintf 'x'\nfprintf\nmosquitto_sub -t a"), ["printf 'x'", "mosquitto_sub -t a"]);
}
