//! The stage `connect` with a SOCKS proxy.

use tokio::time::Instant;

use super::{Cause, Error, Facts, Ladder, Question, Stage, Tunnel};
use crate::auth::username;
use crate::net::socks::{DriveError, drive};
use crate::proto::socks::{Client, SocksError, Version};
use crate::route::Protocol;
use crate::secret::Login;

impl Ladder<'_> {
    /// Asks once: a proxy that has refused a login closes the connection (RFC 1929 §2).
    pub(super) async fn socks(&mut self) -> Result<Tunnel, Error> {
        self.observer.entered(Stage::Connect, &self.proxy.authority);
        tracing::debug!("SOCKS: {} through {}", self.target, self.proxy.authority);
        let version = if self.proxy.protocol == Protocol::Socks4 { Version::Four } else { Version::Five };
        let logins = self.config.logins.of(&self.proxy.authority);
        let known = logins.at_hand();
        let user = known.as_ref().map_or("", Login::user);
        let mut client = Client::new(version, self.target.clone(), user);
        let Some(mut stream) = self.stream.take() else { return Err(self.failed(Cause::Closed)) };
        let mut deadline = Instant::now() + self.config.proxy_timeout;
        loop {
            let driven = tokio::time::timeout_at(deadline, drive(&mut client, &mut stream)).await;
            let stands = driven.map_err(|_| self.failed(Cause::Timeout(self.config.proxy_timeout)))?;
            let stands = stands.map_err(|error| match error {
                DriveError::Socks(SocksError::Closed) => self.failed(Cause::Closed),
                DriveError::Socks(error) => self.failed(Cause::Socks(error)),
                DriveError::Broken(error) => self.broken(error),
            })?;
            if stands {
                self.observer.learnt(Facts::Granted);
                tracing::debug!("the tunnel is open");
                return Ok(Tunnel { early: bytes::Bytes::new(), stream });
            }
            let asked = Instant::now();
            let proxy = self.proxy.authority.clone();
            let login = logins.login(Question { proxy, realm: String::new(), refused: 0 }).await;
            let login = login.map_err(|error| self.failed(Cause::LookUp(error)))?;
            deadline += asked.elapsed();
            let message = login.as_ref().and_then(username::message);
            client.authorize(message.ok_or_else(|| self.failed(Cause::NoSocksLogin))?);
        }
    }
}
