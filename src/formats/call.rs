//! A request, whatever it asks for: what the gateway knows of it.

use std::borrow::Cow;

use crate::{
    budget::estimate::Weight,
    catalog::Tokens,
    dialect::{
        call::{Api, Call as Conversation},
        single::Asked,
    },
    routing::preferences::Preferences,
    task::{self, count},
};

/// A request, checked.
#[derive(Debug)]
pub struct Call<'a> {
    /// Which route it came by.
    pub api: Api,
    /// The whole of it.
    pub body: &'a [u8],
    /// What it asks for.
    pub what: What<'a>,
}

/// What a request asks for.
#[derive(Debug)]
pub enum What<'a> {
    /// An answer in a conversation.
    Conversation(Box<Conversation<'a>>),
    /// One answer to one question.
    Task(Box<task::Call<'a>>),
    /// How many tokens a conversation has.
    Count(Box<count::Call>),
}

impl Call<'_> {
    /// Names asked for, in order of preference; never empty.
    pub fn models(&self) -> &[String] {
        self.either(|call| &*call.models, |asked| &*asked.models)
    }

    /// The answer is to be a stream.
    pub fn stream(&self) -> bool {
        matches!(&self.what, What::Conversation(call) if call.stream)
    }

    /// The `provider` object.
    pub fn preferences(&self) -> &Preferences {
        self.either(|call| &call.preferences, |asked| &asked.preferences)
    }

    /// Longest answer asked for, in tokens. What is no conversation is answered without any, or as long as
    /// the model likes.
    pub fn max_tokens(&self) -> Option<u64> {
        match &self.what {
            What::Conversation(call) => call.max_tokens,
            What::Task(call) => match &**call {
                task::Call::Image(_) | task::Call::Transcription(_) => None,
                task::Call::Embedding(_)
                | task::Call::Ranking(_)
                | task::Call::Moderation(_)
                | task::Call::Speech(_) => Some(0),
            },
            What::Count(_) => Some(0),
        }
    }

    /// Groups requests of one conversation.
    pub fn session_id(&self) -> Option<&str> {
        self.either(|call| call.session_id.as_deref(), |asked| asked.session_id.as_deref())
    }

    /// The operator's end user.
    pub fn user(&self) -> Option<&str> {
        self.either(|call| call.user.as_deref(), |asked| asked.user.as_deref())
    }

    /// How many answers are wanted.
    pub fn choices(&self) -> u64 {
        self.either(|call| call.choices, |asked| asked.choices)
    }

    /// Words that the request is charged to.
    pub fn tags(&self) -> &[String] {
        self.either(|call| &*call.tags, |asked| &*asked.tags)
    }

    /// What its prompt is made of, the basis of estimates. What is only counted weighs nothing.
    pub fn weight(&self) -> Weight {
        if self.is_free() { Weight::default() } else { self.either(|call| call.weight, |asked| asked.weight) }
    }

    /// What it asks for that is not billed in tokens, at most.
    pub fn units(&self) -> Tokens {
        let units = self.either(|_| task::Units::default(), |asked| asked.units);
        Tokens {
            images: units.images,
            characters: units.characters,
            seconds_milli: units.milliseconds,
            ..Tokens::default()
        }
    }

    /// Nothing is charged for it.
    pub fn is_free(&self) -> bool {
        matches!(self.what, What::Count(_))
    }

    /// Names of the parameters sent, as `supported_parameters` spells them.
    pub fn parameters(&self) -> Cow<'_, [&str]> {
        self.either(|call| call.parameters(), |asked| asked.parameters.iter().map(String::as_str).collect()).into()
    }

    fn either<'c, T>(
        &'c self,
        of_conversation: impl FnOnce(&'c Conversation<'_>) -> T,
        of_asked: impl FnOnce(&'c Asked) -> T,
    ) -> T {
        match &self.what {
            What::Conversation(call) => of_conversation(call),
            What::Task(call) => of_asked(call.asked()),
            What::Count(call) => of_asked(&call.asked),
        }
    }
}
