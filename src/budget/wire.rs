//! What isolates and their account say to each other about meters, inside `metering::CommitRequest` and
//! `CommitReply`. All amounts are running totals of one session in one window of a meter: they only
//! grow, so what is lost, late, doubled or out of order does no harm.

use serde::{Deserialize, Serialize};

use super::{AccountKind, AccountRef, MeterId, Unit, policy::Policy};
use crate::{catalog::is_zero, time::Millis};

/// A question: may be asked at any time and any number of times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Number of a question with `wants` in the session: slices are handed out once for each number, and
    /// for none that comes after a later one, so nothing is handed out that nobody waits for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n: u64,
    /// Whose meters are wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<AccountRef>,
    /// Slices that are wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wants: Vec<Want>,
}

impl Ask {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.wants.is_empty()
    }
}

/// A slice that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Of which meter.
    pub meter: MeterId,
    /// The window that the session knows.
    pub window: u32,
    /// The session's total that is bound already: used, returned, set aside. Means nothing in a later window.
    pub base: i64,
    /// Needed beyond that.
    pub need: i64,
    /// Welcome beyond that; at least `need`.
    pub more: i64,
    /// What is left will do, up to `more`: nobody else is waited for any longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rest: bool,
}

/// What a session has used and given back; goes only with the batch that has the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Of which meter.
    pub meter: MeterId,
    /// Of which window.
    pub window: u32,
    /// Used, in total.
    pub used: i64,
    /// Given back, in total.
    pub returned: i64,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Number of the question; 0 where it wanted no slices.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n: u64,
    /// Meters of the accounts asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Charged>,
    /// How the meters named anywhere stand.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meters: Vec<MeterView>,
    /// Meters that there are no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<MeterId>,
}

/// The meters of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charged {
    /// The account.
    pub account: AccountRef,
    /// Its meters.
    pub meters: Vec<MeterId>,
    /// Nothing is served for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
    /// Of an organization: its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// Of an organization: the kinds below it that have meters at all, so that nobody asks for nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracks: Vec<AccountKind>,
}

/// A meter as a session sees it.
#[expect(clippy::struct_excessive_bools, reason = "independent properties of one limit")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterView {
    /// Its number.
    pub id: MeterId,
    /// Whose.
    pub account: AccountRef,
    /// Its name.
    pub name: String,
    /// What is counted.
    pub unit: Unit,
    /// Only for this model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The limit now.
    pub limit: i64,
    /// Refuses what does not fit.
    pub hard: bool,
    /// With 429 instead of 402.
    pub rate: bool,
    /// Serves on when the account cannot be asked.
    pub fail_open: bool,
    /// Every request asks.
    pub exact: bool,
    /// Number of the window.
    pub window: u32,
    /// Its end; 0 where it begins with the next use.
    pub until: Millis,
    /// Used in it by everybody, as far as known.
    pub spent: i64,
    /// Held by everybody.
    pub held: i64,
    /// Handed out to this session, in total.
    pub granted: i64,
    /// Used by this session, in total, as far as it has told.
    #[serde(default)]
    pub used: i64,
    /// Given back by this session, in total.
    pub returned: i64,
    /// Of a slice that was wanted: less was handed out than was welcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tight: Option<bool>,
}

impl MeterView {
    /// What nobody has used or holds, as far as known; negative when more was used than the limit is now.
    pub fn free(&self) -> i64 {
        self.limit - self.spent - self.held
    }
}
