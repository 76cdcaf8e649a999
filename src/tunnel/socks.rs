//! The stage `connect` with a SOCKS proxy.

use tokio::time::Instant;

use super::logins::Account;
use super::{Cause, Error, Facts, Ladder, Question, Stage, Tunnel};
use crate::auth::{Policy, Scheme, username};
use crate::net::socks::{DriveError, drive};
use crate::proto::socks::{Client, SocksError, Version};
use crate::route::Protocol;
use crate::secret::Login;

impl Ladder<'_> {
    /// A proxy that has refused a login closes the connection (RFC 1929 §2): the next one goes over
    /// a new connection.
    pub(super) async fn socks(&mut self) -> Result<Tunnel, Error> {
        self.observer.entered(Stage::Connect, &self.proxy.authority);
        tracing::debug!("SOCKS: {} through {}", self.target, self.proxy.authority);
        let version = if self.proxy.protocol == Protocol::Socks4 { Version::Four } else { Version::Five };
        let account = self.config.logins.of(self.proxy);
        // They go as they are, as with Basic.
        let may_log_in = match self.config.auth {
            Policy::Auto | Policy::Only(Scheme::Basic) => true,
            Policy::Only(_) | Policy::None => false,
        };
        let user = account.user().filter(|_| may_log_in).unwrap_or_default();
        let mut deadline = Instant::now() + self.config.proxy_timeout;
        let (mut login, mut refused, mut trial) = (None, 0, None);
        loop {
            let mut client = Client::new(version, self.target.clone(), &user, may_log_in);
            let mut stream = match self.stream.take() {
                Some(stream) => stream,
                None => self.redial(deadline).await?,
            };
            loop {
                let driven = tokio::time::timeout_at(deadline, drive(&mut client, &mut stream)).await;
                match driven.map_err(|_| self.failed(Cause::Timeout(self.config.proxy_timeout)))? {
                    Ok(true) => {
                        if login.is_some() {
                            account.remember_success();
                        }
                        self.observer.learnt(Facts::Granted);
                        tracing::debug!("the tunnel is open");
                        return Ok(Tunnel { early: bytes::Bytes::new(), stream });
                    }
                    Ok(false) => {
                        if login.is_none() {
                            login = self.socks_login(&account, refused, &mut deadline).await?;
                        }
                        let Some(login) = &login else { return Err(self.failed(Cause::NoSocksLogin)) };
                        let message = username::message(login)
                            .ok_or_else(|| self.failed(Cause::Socks(SocksError::LoginUnspeakable)))?;
                        if trial.is_none() {
                            trial = account.trial().await;
                            if refused == 0 && account.is_refused() {
                                return Err(self.failed(Cause::Socks(SocksError::Login)));
                            }
                        }
                        client.authorize(message);
                    }
                    Err(DriveError::Socks(SocksError::Login)) => break,
                    Err(DriveError::Socks(SocksError::Closed)) => return Err(self.failed(Cause::Closed)),
                    Err(DriveError::Socks(error)) => return Err(self.failed(Cause::Socks(error))),
                    Err(DriveError::Broken(error)) => return Err(self.broken(error)),
                }
            }
            account.remember_refusal(false);
            refused += 1;
            login = self.socks_login(&account, refused, &mut deadline).await?;
            if login.is_none() {
                return Err(self.failed(Cause::Socks(SocksError::Login)));
            }
        }
    }

    /// A login that was not refused, by an earlier connection either. The time that it takes is a
    /// program's or a person's.
    async fn socks_login(
        &mut self,
        account: &Account,
        refused: usize,
        deadline: &mut Instant,
    ) -> Result<Option<Login>, Error> {
        if refused == 0 && account.is_refused() {
            return Err(self.failed(Cause::Socks(SocksError::Login)));
        }
        let asked = Instant::now();
        let proxy = self.proxy.authority.clone();
        let login = account.login(Question { proxy, realm: String::new(), refused }).await;
        *deadline += asked.elapsed();
        login.map_err(|error| self.failed(Cause::LookUp(error)))
    }
}
