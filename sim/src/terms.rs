//! Accounts, and the limits that they are given.

use sluice::{
    budget::{AccountKind, AccountRef, Period, Terms, Unit},
    time::Millis,
};

use crate::draw::Draw;

/// The models of every world.
pub const MODELS: [&str; 3] = ["sim/small", "sim/medium", "sim/large"];

/// How generous a world's limits are.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    pub generous: i64,
    pub tiny: bool,
}

/// A limit for that account.
pub fn draw(draw: &mut Draw, account: AccountRef, style: Style, now: Millis) -> Terms {
    let unit = *draw.pick(&[Unit::Usd, Unit::Usd, Unit::Usd, Unit::Tokens, Unit::Requests, Unit::Parallel]);
    let seconds = draw.range(2, 120) as u32;
    let period = match unit {
        Unit::Parallel => Period::Lifetime,
        Unit::Requests => Period::Seconds(seconds),
        _ => *draw.pick(&[Period::Lifetime, Period::Daily, Period::Weekly, Period::Monthly, Period::Seconds(seconds)]),
    };
    let name = format!("b{}", draw.range(0, 2));
    let mut terms = Terms::budget(account, name, unit, period, limit(draw, unit, style));
    terms.rate = matches!(unit, Unit::Requests | Unit::Parallel) || draw.chance(0.1);
    terms.hard = draw.chance(0.85);
    terms.exact = draw.chance(0.15);
    terms.fail_open = draw.chance(0.05);
    if draw.chance(0.15) {
        terms.model = Some((*draw.pick(&MODELS)).to_owned());
    }
    if draw.chance(0.1) {
        terms.extra = limit(draw, unit, style);
        terms.extra_until = Some(now.plus(draw.wide(1_000, 3_600_000)));
    }
    if draw.chance(0.2) {
        terms.alerts = vec![500, 800, 1_000];
    }
    terms
}

/// An amount of that unit.
pub fn limit(draw: &mut Draw, unit: Unit, style: Style) -> i64 {
    let generous = if style.tiny { 1 } else { style.generous };
    match unit {
        Unit::Usd => draw.wide(100_000, 20_000_000 * generous),
        Unit::Tokens => draw.wide(50, 4_000 * generous),
        Unit::Requests => draw.wide(1, 20 * generous),
        Unit::Parallel => draw.range(1, 3 * generous),
    }
}

/// Any account that may have a limit.
pub fn account(draw: &mut Draw, keys: &[(String, String)]) -> AccountRef {
    let (hash, workspace) = draw.pick(keys).clone();
    match draw.range(0, 9) {
        0..=1 => AccountRef::new(AccountKind::Organization, "default"),
        2..=3 => AccountRef::new(AccountKind::Workspace, workspace),
        4..=6 => AccountRef::new(AccountKind::Key, hash),
        7 => AccountRef::new(AccountKind::User, *draw.pick(&["*", "u0", "u1"])),
        8 => AccountRef::new(AccountKind::Session, *draw.pick(&["*", "s0", "s1"])),
        _ => AccountRef::new(AccountKind::Tag, *draw.pick(&["t0", "t1"])),
    }
}
