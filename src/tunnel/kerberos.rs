//! The tokens of one exchange, made in a thread as GSSAPI blocks: a KDC may not answer.

use tokio::time::{Instant, timeout_at};

use super::authentication::Stopped;
use crate::auth::negotiate::NoToken;
use crate::net::blocking::on_a_thread;
use crate::net::gss::{Context, Step};

/// Whose tokens, and how far the context got.
pub(super) struct Kerberos {
    service: String,
    /// None before the first token, and while a thread has it.
    context: Option<Context>,
}

impl Kerberos {
    pub(super) fn new(service: String) -> Self {
        Self { service, context: None }
    }

    /// The next token; `reply`: what the proxy said to the last one.
    pub(super) async fn token(
        &mut self,
        reply: Option<Vec<u8>>,
        deadline: Instant,
    ) -> Result<Result<Vec<u8>, NoToken>, Stopped> {
        let step = self.step(reply, deadline).await?;
        Ok(step.and_then(|step| match step.token.is_empty() {
            false => Ok(step.token),
            true => Err(NoToken::Other("there is nothing more to say to the proxy".into())),
        }))
    }

    /// Whether the token of a 2xx is from the proxy that the ticket is for.
    pub(super) async fn is_proved_by(&mut self, token: Vec<u8>, deadline: Instant) -> Result<bool, Stopped> {
        Ok(self.step(Some(token), deadline).await?.is_ok_and(|step| step.complete))
    }

    async fn step(
        &mut self,
        reply: Option<Vec<u8>>,
        deadline: Instant,
    ) -> Result<Result<Step, NoToken>, Stopped> {
        let context = self.context.take().filter(|_| reply.is_some());
        let service = self.service.clone();
        let work = on_a_thread(move || {
            let mut context = match context {
                Some(context) => context,
                None => Context::new(&service)?,
            };
            let step = context.step(reply.as_deref())?;
            Ok((context, step))
        });
        match timeout_at(deadline, work).await {
            Err(_) => Err(Stopped::Late),
            Ok(Ok(Ok((context, step)))) => {
                self.context = Some(context);
                Ok(Ok(step))
            }
            Ok(Ok(Err(why))) => Ok(Err(why)),
            Ok(Err(no_thread)) => Ok(Err(NoToken::Other(no_thread.to_string()))),
        }
    }
}
