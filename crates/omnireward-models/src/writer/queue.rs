//! A thread that writes replies for futures that wait.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread,
};

use futures::channel::oneshot;
use omnireward_core::{ChatMessage, ModelError, ModelErrorKind, error_chain};

use super::WritingNetwork;
use crate::{
    Error, Result,
    generation::{
        Constraint, Finished, Generator, GeneratorOptions, Reply, Request, RequestId, Sampling,
        Watched,
    },
};

/// A conversation, and how it is answered.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) messages: Vec<ChatMessage>,
    /// A beginning of the reply that is given.
    pub(super) begun: String,
    pub(super) sampling: Sampling,
    pub(super) sample: u64,
    pub(super) constraint: Option<Constraint>,
    pub(super) watched: Option<Watched>,
}

/// A reply, and what it cost.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) reply: Reply,
    /// Rows of the prompt.
    pub(super) read: usize,
}

type Answer = Result<Answered, ModelError>;

/// Writes on a thread of its own, for as many questions at once as there is room for. A question whose asker has gone
/// is forgotten. The thread ends with the queue.
#[derive(Debug)]
pub(super) struct Queue {
    sender: mpsc::Sender<(Question, oneshot::Sender<Answer>)>,
}

impl Queue {
    pub(super) fn new(network: Arc<WritingNetwork>, options: GeneratorOptions) -> Self {
        let (sender, questions) = mpsc::channel();
        thread::spawn(move || serve(&network, options, &questions));
        Self { sender }
    }

    pub(super) async fn ask(&self, question: Question) -> Answer {
        let gone = || ModelError::new(ModelErrorKind::Internal, "the writing thread ended");
        let (reply, answer) = oneshot::channel();
        self.sender.send((question, reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

type Questions = mpsc::Receiver<(Question, oneshot::Sender<Answer>)>;

fn serve(network: &WritingNetwork, options: GeneratorOptions, questions: &Questions) {
    let mut desk = match network.generator(options) {
        Ok(generator) => Desk {
            network,
            generator,
            asked: BTreeMap::new(),
        },
        Err(error) => {
            for (_, reply) in questions {
                // Whoever asked may have gone.
                let _ = reply.send(Err(failed(&error_chain(&error))));
            }
            return;
        }
    };
    loop {
        if desk.asked.is_empty() {
            let Ok((question, reply)) = questions.recv() else {
                return;
            };
            desk.take(question, reply);
        }
        for (question, reply) in questions.try_iter() {
            desk.take(question, reply);
        }
        desk.forget_those_who_left();
        desk.step();
    }
}

/// The questions that are being answered.
struct Desk<'a> {
    network: &'a WritingNetwork,
    generator: Generator<'a>,
    asked: BTreeMap<RequestId, Asked>,
}

struct Asked {
    read: usize,
    reply: oneshot::Sender<Answer>,
}

impl Desk<'_> {
    fn take(&mut self, question: Question, reply: oneshot::Sender<Answer>) {
        match self.add(question) {
            Ok((id, read)) => {
                self.asked.insert(id, Asked { read, reply });
            }
            Err(error) => {
                let _ = reply.send(Err(model_error(error)));
            }
        }
    }

    fn add(&mut self, question: Question) -> Result<(RequestId, usize)> {
        let mut prompt = self.network.prompt(&question.messages)?;
        if !question.begun.is_empty() {
            prompt.go_on(&self.network.tokens(&question.begun)?);
        }
        let read = prompt.rows.len();
        let id = self.generator.add(Request {
            prompt,
            samples: question.sample..question.sample + 1,
            sampling: question.sampling,
            stop: self.network.stop().clone(),
            constraint: question.constraint,
            watched: question.watched,
        })?;
        Ok((id, read))
    }

    fn forget_those_who_left(&mut self) {
        let generator = &mut self.generator;
        self.asked.retain(|id, asked| {
            let has_left = asked.reply.is_canceled();
            if has_left {
                generator.cancel(*id);
            }
            !has_left
        });
    }

    fn step(&mut self) {
        match self.generator.step() {
            Ok(finished) => {
                for Finished { request, reply, .. } in finished {
                    if let Some(Asked { read, reply: asker }) = self.asked.remove(&request) {
                        let _ = asker.send(Ok(Answered { reply, read }));
                    }
                }
            }
            Err(error) => {
                let said = error_chain(&error);
                for (_, asked) in std::mem::take(&mut self.asked) {
                    let _ = asked.reply.send(Err(failed(&said)));
                }
            }
        }
    }
}

fn failed(said: &str) -> ModelError {
    ModelError::new(
        ModelErrorKind::Internal,
        format!("the writing model failed: {said}"),
    )
}

pub(super) fn model_error(error: Error) -> ModelError {
    let kind = match &error {
        Error::Input { .. } => ModelErrorKind::Media,
        Error::Request { .. } => ModelErrorKind::Rejected,
        _ => ModelErrorKind::Internal,
    };
    ModelError::caused_by(kind, "the writing model failed", error)
}
