//! What a request is charged to.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Kinds of accounts, from the widest to the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// Everything an `Account` object answers for.
    Organization,
    /// A team.
    Workspace,
    /// A virtual key; rotation does not change it.
    Key,
    /// The operator's end user (`user` of a request).
    User,
    /// A conversation or agent run (`session_id`).
    Session,
    /// A word of the request's `tags`.
    Tag,
}

impl AccountKind {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Organization, Self::Workspace, Self::Key, Self::User, Self::Session, Self::Tag];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Workspace => "workspace",
            Self::Key => "key",
            Self::User => "user",
            Self::Session => "session",
            Self::Tag => "tag",
        }
    }

    /// In an error's sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Organization => "this organization",
            Self::Workspace => "this key's workspace",
            Self::Key => "this API key",
            Self::User => "this end user",
            Self::Session => "this session",
            Self::Tag => "this tag",
        }
    }
}

/// One account, written `kind:id`. The id `*` stands for the defaults of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountRef {
    /// Its kind.
    pub kind: AccountKind,
    /// Which of that kind.
    pub id: String,
}

impl AccountRef {
    /// An account.
    pub fn new(kind: AccountKind, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }

    /// The defaults of a kind: what every account of it has without being named.
    pub fn default_of(kind: AccountKind) -> Self {
        Self::new(kind, "*")
    }

    /// Whether it stands for the defaults of its kind.
    pub fn is_default(&self) -> bool {
        self.id == "*"
    }
}

impl fmt::Display for AccountRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.name(), self.id)
    }
}

impl FromStr for AccountRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, id) = text.split_once(':').ok_or_else(|| format!("{text:?} is not an account: write kind:id"))?;
        let kind = AccountKind::ALL
            .into_iter()
            .find(|known| known.name() == kind)
            .ok_or_else(|| format!("{kind:?} is no kind of account"))?;
        Ok(Self::new(kind, id))
    }
}

impl Serialize for AccountRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AccountRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_written_and_read_the_same() {
        for text in ["organization:default", "key:ab", "tag:a:b", "user:*"] {
            assert_eq!(text.parse::<AccountRef>().unwrap().to_string(), text);
        }
        assert!("key".parse::<AccountRef>().is_err() && "robot:1".parse::<AccountRef>().is_err());
    }
}
