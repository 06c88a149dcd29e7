//! Faults for the simulator to find: proof that it would find real ones. Without the feature `planted`
//! nothing of this is compiled, and `plant!(Bug, right, wrong)` is `right`.

/// `right`, or `wrong` while that bug is switched on; `plant!(Bug => wrong)` is `wrong` in addition.
#[cfg(feature = "planted")]
macro_rules! plant {
    ($bug:ident, $right:expr, $wrong:expr $(,)?) => {
        if $crate::planted::is_on($crate::planted::Bug::$bug) { $wrong } else { $right }
    };
    ($bug:ident => $wrong:expr $(,)?) => {
        if $crate::planted::is_on($crate::planted::Bug::$bug) {
            $wrong;
        }
    };
}

/// `right`.
#[cfg(not(feature = "planted"))]
macro_rules! plant {
    ($bug:ident, $right:expr, $wrong:expr $(,)?) => {
        $right
    };
    ($bug:ident => $wrong:expr $(,)?) => {};
}

#[cfg(feature = "planted")]
pub use switch::{Bug, is_on, switch};

#[cfg(feature = "planted")]
mod switch {
    use std::cell::Cell;

    macro_rules! bugs {
        ($($name:ident: $what:literal,)*) => {
            /// What can be planted.
            #[derive(Clone, Copy, Debug, PartialEq, Eq)]
            pub enum Bug {
                $(#[doc = $what] $name,)*
            }

            impl Bug {
                /// All of them, with what each does.
                pub const ALL: &[(Self, &str)] = &[$((Self::$name, $what),)*];
            }
        };
    }

    bugs! {
        NoDedup: "a batch that comes again is taken again",
        UsageTwice: "what keys have used is added twice",
        SlotsTooEarly: "places of requests are given away after ten seconds of silence",
        SlotsNever: "places of dead isolates are never free again",
        LostStays: "a lost generation is reported and stays open",
        SentTooMuch: "more leaves the outbox than was sent",
        AlarmForgotten: "nothing wakes the object for what waits in the outbox",
        AskedAgain: "a question that comes again, or late, is given slices again",
        MarkForgotten: "numbers of batches are forgotten without a mark",
        ForgottenEarly: "sessions and their totals are forgotten after ten minutes",
        GrantNotSaved: "what is handed out is told and not written",
        HoldingNotSaved: "what is handed out is written to the meter and not to the session",
        WriteOffForgotten: "what the dead held is forgotten instead of written off",
        WriteOffTwice: "what the dead held is written off twice",
        StopUntold: "sessions are not told of stops",
        TracksForgotten: "sessions are not told that end users have limits",
        InheritForgotten: "accounts do not get the limits of their kind",
        LateIsNow: "what is told of an earlier window counts in the one of now",
        LostStaysLost: "what was written off in a window is written off in the next",
        FreeIgnoresHeld: "what others hold is handed out again",
        FreeIgnoresSpent: "what is spent is handed out again",
        OneTooMany: "one more is handed out than is free",
        ExactSlack: "an exact meter hands out slices",
        ShareIgnored: "a session gets all it wants while there is enough",
        TotalsAdded: "totals are added instead of taken",
        ReturnedAdded: "what was given back is added instead of taken",
        HeldNotUpdated: "what is told does not change what is held",
        SpentNotUpdated: "what is told is not spent",
        NegativeHolding: "what was used beyond the grants counts as less than nothing held",
        RollKeepsSpent: "a new window begins with what was spent in the old one",
        RollKeepsHeld: "a new window begins with what was held in the old one",
        RollKeepsNumber: "a new window has the number of the old one",
        ExtraForEver: "a temporary increase does not end",
        SoftRefuses: "a soft meter refuses",
        OtherModels: "the meter of one model is asked for all of them",
        ChargedForAll: "the meter of one model is charged for what others served",
        TicketsForEver: "what was earmarked for who never came back stays so",
        SettledNow: "a request is charged to the window in which it ends",
        NeverFree: "what was set aside for a request is not free after it",
        ToldEarly: "use is told before the event that it belongs to",
        ToldNever: "use is not told",
        GrowthForgotten: "what a stream got in addition is not noted with it",
        GrowthFree: "what a stream gets in addition is set aside nowhere",
        LikelyForAll: "what is likely is set aside for requests that may take more",
        SpentAgain: "what was used of a slice can be used again",
        SurplusTwice: "what is left of a slice is given back twice",
        ReturnUntold: "what is given back is not told",
        StaleAnswer: "an older answer takes the place of a newer one",
        ChangesIgnored: "an account that was changed is not asked again",
        NoWindowEnd: "a window has no end while there are slices of it",
        OpenWithoutWord: "without the account every meter is open",
        PlacesForEver: "idle places are used though the account has given them away",
        NeverUnsure: "what may have been handed out unheard is not asked for",
        Believed: "a provider may say that any number of tokens was used",
        NewNumber: "a batch is sent again under a new number",
        GivenUp: "a batch that was not taken is given up",
        AllDone: "an answer to one batch is taken for an answer to all",
        NeverAlive: "an isolate does not say that its requests run",
        BlockedForEver: "a batch that fails after it was taken closes the isolate for ever",
        FirstKeyPays: "what all keys have used is counted as the first one's",
        NeverOld: "an isolate goes on with totals that the account has long forgotten",
        NeverCut: "a stream goes on when its share is used up",
        NeverClamped: "a provider is not told how long an answer is covered",
        GrownTwice: "a stream believes that it got twice of what it got",
        PromptForgotten: "the prompt is not set aside for",
        RunsOn: "a stream goes on after it was stopped",
        CursorStays: "the roll-up counts events again",
        LostWins: "an event of a lost generation takes the place of the true one",
        LostSummed: "a lost generation stays in the sums when its true event comes",
        WordForAMinute: "the account's word is good for a minute",
        KvBelieved: "a copy in KV is believed, however old",
    }

    thread_local! {
        static ON: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether this one is switched on, in this thread.
    pub fn is_on(bug: Bug) -> bool {
        ON.get() == Some(bug)
    }

    /// Switches one on, and all others off.
    pub fn switch(bug: Option<Bug>) {
        ON.set(bug);
    }
}
