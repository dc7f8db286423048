//! Topics written by the operator with gaps for what is known of a client: `lwm2m/%e/dn/#`, mountpoint `site/${username}/`.

mod mountpoint;

pub use mountpoint::{Mountpoint, percent_encode_level};

/// What a gap in a template stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// `%c`, `${clientid}`
    ClientId,
    /// `%u`, `${username}`
    Username,
    /// `%a`, `${peerhost}`: the client's IP address
    Peerhost,
    /// `%e`, `${endpoint_name}`: LwM2M
    EndpointName,
    /// `%n`: the name of this node
    Node,
}

/// What fills the gaps for one client; `None` where the client has no such thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values<'a> {
    /// The client id.
    pub client_id: Option<&'a str>,
    /// The user name.
    pub username: Option<&'a str>,
    /// The client's IP address, without its port.
    pub peerhost: Option<&'a str>,
    /// The LwM2M endpoint name.
    pub endpoint_name: Option<&'a str>,
    /// The name of this node.
    pub node: Option<&'a str>,
}

/// Which characters a template's own text may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals {
    /// Those of a topic name: no wildcards.
    TopicName,
    /// Those of a topic filter: `+` and `#` too. Whether they stand alone in their levels, the rendered filter shows.
    TopicFilter,
}

/// Why a template is refused, or a client for which it cannot be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateFault {
    /// The operator's: no placeholder has this name.
    #[error("unknown placeholder {0}")]
    Unknown(Box<str>),
    /// The operator's: `${` without its `}`; the rest of the template.
    #[error("placeholder {0} is not closed")]
    Unclosed(Box<str>),
    /// The operator's: a character that the template's own text may not hold.
    #[error("character {0:?} is not allowed here")]
    Character(char),
    /// The client's: it has no value for a placeholder that the template uses.
    #[error("the client has no {}", .0.name())]
    Missing(Placeholder),
    /// The client's: its value would break out of its level.
    #[error("{character:?} in the {} would break out of its topic level", .placeholder.name())]
    BreaksOut {
        /// Whose value it is.
        placeholder: Placeholder,
        /// The first character that must not be in it.
        character: char,
    },
}

/// Topic text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Box<[Part]>,
    uses: Uses,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Gap(Placeholder),
}

/// A set of placeholders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses(u8);

impl Template {
    /// Reads a template. There is no way to write a literal `%` or `${`.
    ///
    /// # Errors
    /// [`TemplateFault::Unknown`], [`Unclosed`](TemplateFault::Unclosed) or [`Character`](TemplateFault::Character):
    /// all texts refuse control characters and non-characters, for which a broker would drop the link.
    pub fn parse(text: &str, literals: Literals) -> Result<Self, TemplateFault> {
        let (mut parts, mut uses, mut rest) = (Vec::new(), Uses::default(), text);
        while !rest.is_empty() {
            let gap = [rest.find('%'), rest.find("${")].into_iter().flatten().min();
            let (literal, tail) = rest.split_at(gap.unwrap_or(rest.len()));
            if let Some(bad) = literal.chars().find(|character| literals.refuse(*character)) {
                return Err(TemplateFault::Character(bad));
            }
            if !literal.is_empty() {
                parts.push(Part::Text(literal.into()));
            }
            rest = tail;
            if !tail.is_empty() {
                let (name, after) = split_gap(tail)?;
                let placeholder = Placeholder::ALL.into_iter().find(|known| known.spellings().contains(&name));
                let placeholder = placeholder.ok_or_else(|| TemplateFault::Unknown(name.into()))?;
                parts.push(Part::Gap(placeholder));
                uses = uses.with(placeholder);
                rest = after;
            }
        }
        Ok(Self { parts: parts.into(), uses })
    }

    /// The placeholders in it.
    #[must_use]
    pub const fn uses(&self) -> Uses {
        self.uses
    }

    /// The text for one client. Its length is not checked: the longest topic has 65,535 bytes.
    ///
    /// # Errors
    /// [`TemplateFault::Missing`] or [`TemplateFault::BreaksOut`], for a placeholder in use: no value may hold `+` or
    /// `#`, and `/` only those that the device does not choose. In an endpoint name `/` is percent-encoded.
    pub fn render(&self, values: &Values<'_>) -> Result<String, TemplateFault> {
        let mut text = String::new();
        self.append(&mut text, values)?;
        Ok(text)
    }

    /// As [`render`](Self::render), behind what `text` holds. Of a fault, the parts before it remain.
    pub(crate) fn append(&self, text: &mut String, values: &Values<'_>) -> Result<(), TemplateFault> {
        self.append_with(text, |text, placeholder| fill(text, placeholder, values))
    }

    /// As [`append`](Self::append), with values that may break out of their levels: to compare with, never to send.
    pub(crate) fn append_as_is(&self, text: &mut String, values: &Values<'_>) -> Result<(), TemplateFault> {
        self.append_with(text, |text, placeholder| {
            text.push_str(values.of(placeholder).ok_or(TemplateFault::Missing(placeholder))?);
            Ok(())
        })
    }

    fn append_with(
        &self,
        text: &mut String,
        mut fill: impl FnMut(&mut String, Placeholder) -> Result<(), TemplateFault>,
    ) -> Result<(), TemplateFault> {
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Gap(placeholder) => fill(text, *placeholder)?,
            }
        }
        Ok(())
    }

    /// One filter for all clients of a node: each level with a placeholder becomes `+`, but the node's name stays
    /// (`lwm2m/%e/dn/#` gives `lwm2m/+/dn/#`). It matches what any client's rendering matches, and may match more.
    ///
    /// # Errors
    /// As [`render`](Self::render), for the node's name.
    pub fn filter_for_all(&self, node: &str) -> Result<String, TemplateFault> {
        let values = Values { node: Some(node), ..Values::default() };
        let mut text = String::new();
        // Whether the level that is being written has become `+`.
        let mut covered = false;
        for part in &self.parts {
            let mut piece = String::new();
            match part {
                Part::Text(literal) => piece.push_str(literal),
                Part::Gap(Placeholder::Node) => fill(&mut piece, Placeholder::Node, &values)?,
                Part::Gap(_) => {
                    text.truncate(text.rfind('/').map_or(0, |slash| slash + 1));
                    text.push('+');
                    covered = true;
                }
            }
            if covered {
                let Some((_, after)) = piece.split_once('/') else { continue };
                text.push('/');
                text.push_str(after);
                covered = false;
            } else {
                text.push_str(&piece);
            }
        }
        Ok(text)
    }
}

impl Literals {
    fn refuse(self, character: char) -> bool {
        let wildcard = matches!(character, '+' | '#') && matches!(self, Self::TopicName);
        let non_character =
            matches!(character as u32 & 0xFFFF, 0xFFFE | 0xFFFF) || matches!(character, '\u{FDD0}'..='\u{FDEF}');
        wildcard || non_character || character.is_control()
    }
}

impl Placeholder {
    /// Every one there is.
    pub const ALL: [Self; 5] = [Self::ClientId, Self::Username, Self::Peerhost, Self::EndpointName, Self::Node];

    /// What it stands for, in the words of the documentation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientId => "client id",
            Self::Username => "user name",
            Self::Peerhost => "peer host",
            Self::EndpointName => "endpoint name",
            Self::Node => "node name",
        }
    }

    const fn spellings(self) -> &'static [&'static str] {
        match self {
            Self::ClientId => &["%c", "${clientid}"],
            Self::Username => &["%u", "${username}"],
            Self::Peerhost => &["%a", "${peerhost}"],
            Self::EndpointName => &["%e", "${endpoint_name}"],
            Self::Node => &["%n"],
        }
    }
}

impl Uses {
    /// Whether the placeholder is in the set.
    #[must_use]
    pub const fn contains(self, placeholder: Placeholder) -> bool {
        self.0 & 1 << placeholder as u8 != 0
    }

    /// Whether the text is the same for all clients.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The placeholders of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn with(self, placeholder: Placeholder) -> Self {
        Self(self.0 | 1 << placeholder as u8)
    }
}

impl<'a> Values<'a> {
    const fn of(&self, placeholder: Placeholder) -> Option<&'a str> {
        match placeholder {
            Placeholder::ClientId => self.client_id,
            Placeholder::Username => self.username,
            Placeholder::Peerhost => self.peerhost,
            Placeholder::EndpointName => self.endpoint_name,
            Placeholder::Node => self.node,
        }
    }
}

/// The placeholder as written at the beginning of `text`, and what follows it.
fn split_gap(text: &str) -> Result<(&str, &str), TemplateFault> {
    let end = if text.starts_with('%') {
        // `%` and one character, if there is one.
        text.char_indices().nth(2).map_or(text.len(), |(end, _)| end)
    } else {
        text.find('}').ok_or_else(|| TemplateFault::Unclosed(text.into()))? + 1
    };
    Ok(text.split_at(end))
}

fn fill(text: &mut String, placeholder: Placeholder, values: &Values<'_>) -> Result<(), TemplateFault> {
    let value = values.of(placeholder).ok_or(TemplateFault::Missing(placeholder))?;
    let forbidden = |character: &char| match character {
        '+' | '#' => true,
        '/' => matches!(placeholder, Placeholder::ClientId | Placeholder::Username),
        _ => false,
    };
    if let Some(character) = value.chars().find(forbidden) {
        return Err(TemplateFault::BreaksOut { placeholder, character });
    }
    match placeholder {
        Placeholder::EndpointName => text.push_str(&value.replace('/', "%2F")),
        _ => text.push_str(value),
    }
    Ok(())
}

#[cfg(test)]
mod tests;
