//! Keys that take one of a few words.

/// Makes an enum whose variants are words of the configuration, with `Leaf`, `Display` and `as_str`.
///
/// Words after `not_yet` belong to the contract, but this version has no code for them. Those after `theirs` are EMQX's,
/// each with ours.
///
/// ```
/// settings::choice! {
///     /// How log lines look.
///     pub enum Format {
///         /// For people.
///         Text = "text",
///         /// For machines.
///         Json = "json",
///     }
///     not_yet "cbor";
/// }
/// assert_eq!(Format::Json.as_str(), "json");
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),+ $(,)? }
        $(not_yet $($later:literal),+;)?
        $(theirs $($theirs:literal = $ours:literal),+;)?
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        $visibility enum $name { $($(#[$doc])* $variant),+ }

        impl $name {
            /// The word that stands for it in the configuration.
            #[must_use]
            $visibility const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::Leaf for $name {
            const EXPECTED: &'static str = $crate::one_of!($($word),+);

            fn read(item: &$crate::Item) -> Result<Self, $crate::Misfit> {
                match item.text() {
                    $(Some($word) => Ok(Self::$variant),)+
                    $($(Some($later) => Err($crate::Misfit::NotInThisVersion(concat!("\"", $later, "\"").into())),)+)?
                    $($(Some($theirs) => {
                        let hint = concat!("EMQX's \"", $theirs, "\" is \"", $ours, "\" here").into();
                        Err($crate::Misfit::UnexpectedBut { hint })
                    })+)?
                    Some(other) => Err($crate::Misfit::near(other, &[$($word),+])),
                    None => Err($crate::Misfit::Unexpected),
                }
            }

            fn to_toml(&self) -> String {
                $crate::quoted(self.as_str())
            }
        }
    };
}

/// `"a", "b"`, for messages.
#[doc(hidden)]
#[macro_export]
macro_rules! one_of {
    ($only:literal) => { concat!("\"", $only, "\"") };
    ($first:literal, $last:literal) => { concat!("\"", $first, "\" or \"", $last, "\"") };
    ($first:literal, $($rest:literal),+) => { concat!("\"", $first, "\", ", $crate::one_of!($($rest),+)) };
}

#[cfg(test)]
mod tests {
    use crate::leaf::read_toml;
    use crate::{Leaf, Misfit};

    crate::choice! {
        enum Colour { Red = "red", Green = "green", DarkBlue = "dark-blue" }
        not_yet "ultraviolet";
        theirs "rouge" = "red";
    }

    #[test]
    fn a_choice_takes_its_words_and_nothing_else() {
        assert_eq!(Colour::EXPECTED, "\"red\", \"green\" or \"dark-blue\"");
        for colour in [Colour::Red, Colour::Green, Colour::DarkBlue] {
            assert_eq!(read_toml(&colour.to_toml()), Ok(colour));
        }
        let hint = "did you mean \"dark-blue\"?".into();
        assert_eq!(read_toml::<Colour>("\"darkblue\""), Err(Misfit::UnexpectedBut { hint }));
        let hint = "EMQX's \"rouge\" is \"red\" here".into();
        assert_eq!(read_toml::<Colour>("\"rouge\""), Err(Misfit::UnexpectedBut { hint }));
        assert_eq!(read_toml::<Colour>("\"mauve\""), Err(Misfit::Unexpected));
        assert_eq!(read_toml::<Colour>("3"), Err(Misfit::Unexpected));
        assert_eq!(read_toml::<Colour>("\"ultraviolet\""), Err(Misfit::NotInThisVersion("\"ultraviolet\"".into())));
    }
}
