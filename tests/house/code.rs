//! What of a Rust file is code, and what of the code is tests.

/// The text with comments and literals blanked, line for line: a rule must not stumble over what is merely said.
pub(crate) fn code_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let said = comment(rest).or_else(|| literal(rest));
        let length = said.or_else(|| word(rest)).unwrap_or_else(|| first.len_utf8()).min(rest.len());
        let (piece, after) = rest.split_at(length);
        match said {
            Some(_) => out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' })),
            None => out.push_str(piece),
        }
        rest = after;
    }
    out
}

/// Octets of the comment that `rest` begins with.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut at, mut depth) = (2, 1);
    while depth > 0 && at < rest.len() {
        let next = &rest.as_bytes()[at..];
        let step = match next {
            [b'/', b'*', ..] => 1,
            [b'*', b'/', ..] => -1,
            _ => 0,
        };
        depth += step;
        at += if step == 0 { 1 } else { 2 };
    }
    Some(at)
}

/// Octets of the string or character that `rest` begins with.
fn literal(rest: &str) -> Option<usize> {
    let unprefixed = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - unprefixed.len();
    if prefix > 1 {
        return None;
    }
    if let Some(raw) = unprefixed.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let length = body.find(&end).map_or(body.len(), |at| at + end.len());
        return Some(prefix + 1 + hashes + 1 + length);
    }
    if let Some(body) = unprefixed.strip_prefix('"') {
        return Some(prefix + 1 + closed_by(body, '"'));
    }
    let body = unprefixed.strip_prefix('\'')?;
    let mut chars = body.chars();
    // 'x' and '\…' are characters; 'x without a second quote is a lifetime.
    match (chars.next()?, chars.next()) {
        ('\\', _) => Some(prefix + 1 + closed_by(body, '\'')),
        (only, Some('\'')) => Some(prefix + 1 + only.len_utf8() + 1),
        _ => None,
    }
}

/// Octets up to and with the first `quote` that no backslash hides.
fn closed_by(body: &str, quote: char) -> usize {
    let mut hidden = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    body.len()
}

/// Octets of the identifier that `rest` begins with: read whole, so that its end is not taken for a prefix.
fn word(rest: &str) -> Option<usize> {
    let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    (length > 0).then_some(length)
}

/// Lines of `code`, numbered from 1, that hold `words` with no letter or digit on either side.
pub(crate) fn lines_with<'a>(code: &'a str, words: &'a str) -> impl Iterator<Item = usize> + 'a {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let holds = move |line: &str| {
        line.match_indices(words).any(|(at, found)| {
            let (before, after) = (line[..at].chars().next_back(), line[at + found.len()..].chars().next());
            !(inside(before) || inside(found.chars().next_back()) && inside(after))
        })
    };
    (1..).zip(code.lines()).filter(move |(_, line)| holds(line)).map(|(number, _)| number)
}

/// Whether a whole file is test code.
pub(crate) fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("tests.rs")
}

/// Code that ships, and code that tests. Test modules stand at the end of a file.
pub(crate) fn split<'a>(path: &str, code: &'a str) -> (&'a str, &'a str) {
    if is_test_file(path) {
        return ("", code);
    }
    let inline = code.match_indices("#[cfg(test)]").find(|(at, found)| {
        let after = code[at + found.len()..].trim_start();
        after.starts_with("mod ") && after.find('{').is_some_and(|brace| !after[..brace].contains(';'))
    });
    code.split_at(inline.map_or(code.len(), |(at, _)| at))
}

#[test]
#[rustfmt::skip]
fn comments_and_literals_are_no_code() {
    for (text, expected) in [
        ("a // unsafe\nb",            "a          \nb"),
        ("/* x /* y */ z */ b",       "                  b"),
        ("f(\"// no \\\" comment\")", "f(                  )"),
        ("r#\"a\" b\"# c",            "          c"),
        ("br\"a\" c",                 "      c"),
        ("x = '\"'; y",               "x =    ; y"),
        ("'\\'' b",                   "     b"),
        ("fn a<'a>(b: &'a str)",      "fn a<'a>(b: &'a str)"),
        ("attr\"x\"",                 "attr   "),
        ("\"a\nb\" c",                "  \n   c"),
    ] {
        assert_eq!(code_of(text), expected, "{text}");
    }
}

#[test]
fn words_are_whole() {
    let found = |code, words| lines_with(code, words).collect::<Vec<_>>();
    assert_eq!(found("unsafe {\n#[deny(unsafe_code)]\nnot_unsafe", "unsafe"), [1]);
    assert_eq!(found("grand::x\nrand::rng()\nuse rand::Rng", "rand::"), [2, 3]);
}

#[test]
fn a_test_module_is_told_from_what_ships() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {} }";
    assert_eq!(split("a/src/x.rs", text), ("fn a() {}\n", "#[cfg(test)]\nmod tests {\n fn b() {} }"));
    let declared = "#[cfg(test)]\nmod tests;\nfn a() {}";
    assert_eq!(split("a/src/x.rs", declared), (declared, ""));
    assert_eq!(split("a/src/x/tests.rs", text), ("", text));
    assert_eq!(split("a/tests/x/main.rs", text), ("", text));
}
