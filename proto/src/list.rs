//! A closed list of names, each with its meaning: the one source from which code, help, docs and reports take them.

/// Declares an enum whose variants have a name on the wire and in reports, and a meaning in words.
macro_rules! closed_list {
    (
        $(#[$attribute:meta])*
        $list:ident, $what:literal {
            $( $variant:ident = $name:literal, $meaning:literal; )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $list {
            $( #[doc = $meaning] $variant, )+
        }

        impl $list {
            /// Every member, in the order of the list.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )+ ];

            /// The name that reports and flags use.
            pub const fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// What the name means, for help and docs.
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$variant => $meaning, )+ }
            }
        }

        impl std::fmt::Display for $list {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $list {
            type Err = $crate::list::NotInList;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|member| member.name() == text).ok_or_else(|| {
                    $crate::list::NotInList::new($what, text, Self::ALL.iter().map(|member| member.name()))
                })
            }
        }

        impl serde::Serialize for $list {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl<'de> serde::Deserialize<'de> for $list {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $list {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($list).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let names: Vec<&str> = Self::ALL.iter().map(|member| member.name()).collect();
                schemars::json_schema!({ "type": "string", "enum": names })
            }
        }
    };
}

pub(crate) use closed_list;

/// A word that is not in a closed list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no {what}; expected one of {expected}")]
pub struct NotInList {
    what: &'static str,
    given: String,
    expected: String,
}

impl NotInList {
    pub(crate) fn new(what: &'static str, given: &str, names: impl Iterator<Item = &'static str>) -> Self {
        Self {
            what,
            given: given.to_owned(),
            expected: names.collect::<Vec<_>>().join(", "),
        }
    }
}
