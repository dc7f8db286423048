//! What MQTT can carry as text. A broker closes the whole link for a character it may not be sent, so such text is
//! stopped at the edge (MQTT 5.0 §1.5.4).

/// True when `text` has no NUL, no control character and no Unicode non-character.
#[must_use]
pub fn is_carriable(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().all(|b| b >= 0x20 && b != 0x7F);
    }
    text.chars().all(|c| !c.is_control() && !is_non_character(c))
}

/// The beginning of what somebody calls itself, before it is known to be fit: enough for a line of the log.
#[must_use]
pub fn in_short(text: &str) -> &str {
    let end = text.char_indices().nth(SHORT).map_or(text.len(), |(end, _)| end);
    text.get(..end).unwrap_or_default()
}

/// Characters of a name in a line of the log.
const SHORT: usize = 128;

/// U+FDD0 to U+FDEF, and the last two code points of each plane.
const fn is_non_character(c: char) -> bool {
    matches!(c, '\u{FDD0}'..='\u{FDEF}') || (c as u32) & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_name_is_cut_between_characters() {
        assert_eq!((in_short(""), in_short("lamp")), ("", "lamp"));
        assert_eq!(in_short(&"é".repeat(128)), "é".repeat(128));
        assert_eq!(in_short(&"é".repeat(129)), "é".repeat(128));
    }

    #[test]
    fn what_a_broker_would_close_the_link_for_is_not_carriable() {
        let table = [
            ("", true),
            ("dev-1", true),
            ("gerät é 日本", true),
            ("\u{FFFD}", true),
            ("a\0", false),
            ("\u{1f}", false),
            ("\u{7f}", false),
            ("ä\u{80}", false),
            ("ä\u{9f}", false),
            ("\u{FDD0}", false),
            ("\u{FDEF}", false),
            ("\u{FFFE}", false),
            ("\u{FFFF}", false),
            ("\u{1FFFE}", false),
            ("\u{10FFFF}", false),
        ];
        for (text, expected) in table {
            assert_eq!(is_carriable(text), expected, "{text:?}");
        }
    }
}
