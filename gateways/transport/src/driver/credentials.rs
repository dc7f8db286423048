//! The way to the credential stores and back.

use std::fmt;
use std::task::{Context, Poll};

use bridge_core::auth::{Answer, Opinion, Question};
use bridge_core::time::Now;
use shard::Shard;
use tokio::sync::mpsc;

/// Puts a question to a store: what it can say at once is returned, all else comes through the channel.
pub type AskStore = Box<dyn FnMut(Question) -> Option<Answer> + Send>;

/// How a shard reaches the credential stores.
pub struct CredentialLine {
    ask: AskStore,
    answers: mpsc::Receiver<Answer>,
}

impl CredentialLine {
    /// `ask` must not block: the shard waits for it.
    #[must_use]
    pub fn new(ask: AskStore, answers: mpsc::Receiver<Answer>) -> Self {
        Self { ask, answers }
    }

    /// For a node without stores: whoever asks one hears that it cannot say.
    #[must_use]
    pub fn none() -> Self {
        let (_nobody, answers) = mpsc::channel(1);
        Self::new(Box::new(|Question { id, .. }| Some(Answer { id, opinion: Opinion::Failed })), answers)
    }

    /// Hands over the answers that have come; true when there may be more.
    pub(super) fn hear(&mut self, cx: &mut Context<'_>, now: Now, shard: &mut Shard) -> bool {
        let mut heard = 0;
        while heard < ANSWERS_A_TURN {
            let Poll::Ready(Some(answer)) = self.answers.poll_recv(cx) else { return false };
            shard.answer(now, answer);
            heard += 1;
        }
        true
    }

    /// Carries away what the shard wants to know. An answer on the spot may lead to the next question.
    pub(super) fn speak(&mut self, now: Now, shard: &mut Shard) {
        while let Some(question) = shard.take_question() {
            if let Some(answer) = (self.ask)(question) {
                shard.answer(now, answer);
            }
        }
    }
}

impl fmt::Debug for CredentialLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialLine").field("answers", &self.answers).finish_non_exhaustive()
    }
}

/// Answers handed over before somebody else gets a turn.
const ANSWERS_A_TURN: usize = 256;
