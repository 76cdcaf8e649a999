//! How a relay ends: the half-closes, the silences, and when it is over.
//!
//! Knows no socket and reads no clock; both relays (`bridge`, `relay`) ask it what is due.
//!
//! ```text
//! inbound   Flowing ──client's end──► Drained ──silence──► Shut       (towards the target)
//! outbound  Flowing ──target's end──► Shut                            (towards the client)
//! ```

use std::time::{Duration, Instant};

/// When the client's end is passed on to the proxy. A proxy may close the whole tunnel on it and
/// drop the answer that is under way (RFC 9110 §9.3.6; Squid and nghttpx do).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HalfClose {
    /// Once the tunnel has been silent for so long.
    After(Duration),
    /// Not at all: the target ends the tunnel.
    Never,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// When the client's end is passed on.
    pub half_close: HalfClose,
    /// How long the client may be silent once the target has ended; `None` is for ever.
    pub linger: Option<Duration>,
    /// How long both may be silent; `None` is for ever.
    pub idle: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Flowing,
    Drained,
    Shut,
}

/// Where a relay stands.
#[derive(Debug)]
pub(super) struct Ending {
    patience: Patience,
    last_byte: Instant,
    inbound: Half,
    outbound: Half,
    /// Nobody reads what the target says any more.
    unread: bool,
}

/// Which directions have bytes at hand that their sink does not take: that is no silence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    pub(super) inbound: bool,
    pub(super) outbound: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Wait; with a moment, look again then.
    Later(Option<Instant>),
    /// Pass the client's end on to the proxy.
    HalfClose,
    /// Both directions have ended, or nobody waits any more.
    Over,
    /// Both directions were silent too long.
    Idle,
    /// Nobody reads the target's answer, and it has not ended in time.
    Unread,
}

impl Ending {
    pub(super) fn new(patience: Patience, now: Instant) -> Self {
        Self { patience, last_byte: now, inbound: Half::Flowing, outbound: Half::Flowing, unread: false }
    }

    /// Bytes went through, in whichever direction.
    pub(super) fn moved(&mut self, now: Instant) {
        self.last_byte = now;
    }

    /// The client has ended, and all its bytes were delivered.
    pub(super) fn client_ended(&mut self, now: Instant) {
        self.last_byte = now;
        if self.inbound == Half::Flowing {
            self.inbound = Half::Drained;
        }
    }

    /// The target has ended, all its bytes were delivered, and its end was passed on.
    pub(super) fn target_ended(&mut self, now: Instant) {
        self.last_byte = now;
        self.outbound = Half::Shut;
    }

    /// The client's end was passed on.
    pub(super) fn half_closed(&mut self) {
        self.inbound = Half::Shut;
    }

    /// Nobody reads what the target says any more. What the client had sent before is still
    /// carried, and its end passed on: there is no answer left to be dropped.
    pub(super) fn client_left(&mut self, now: Instant) {
        self.last_byte = now;
        self.unread = true;
    }

    pub(super) fn target_has_ended(&self) -> bool {
        self.outbound == Half::Shut
    }

    /// What is due.
    pub(super) fn due(&self, now: Instant, waiting: Waiting) -> Due {
        let mut alarm: Option<Instant> = None;
        let mut passed = |silence: Duration| {
            let moment = self.last_byte.checked_add(silence);
            alarm = [alarm, moment].into_iter().flatten().min();
            moment.is_some_and(|moment| moment <= now)
        };
        match (self.inbound, self.outbound) {
            (Half::Drained | Half::Shut, Half::Shut) => return Due::Over,
            (Half::Flowing, Half::Shut) => {
                // No time at all is a terminal's: the target's end is the end.
                let counts = !waiting.inbound || self.patience.linger == Some(Duration::ZERO);
                if counts && self.patience.linger.is_some_and(&mut passed) {
                    return Due::Over;
                }
            }
            (Half::Drained, _) => match self.patience.half_close {
                HalfClose::After(Duration::ZERO) => return Due::HalfClose,
                HalfClose::After(_) if self.unread => return Due::HalfClose,
                HalfClose::After(silence) if !waiting.outbound && passed(silence) => return Due::HalfClose,
                HalfClose::After(_) | HalfClose::Never => {}
            },
            (Half::Flowing | Half::Shut, _) => {}
        }
        if self.unread && passed(self.patience.linger.unwrap_or_default()) {
            return Due::Unread;
        }
        if self.patience.idle.is_some_and(passed) {
            return Due::Idle;
        }
        Due::Later(alarm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Waiting = Waiting { inbound: false, outbound: false };
    const ANSWER: Waiting = Waiting { inbound: false, outbound: true };
    const SECOND: Duration = Duration::from_secs(1);

    fn patience() -> Patience {
        Patience { half_close: HalfClose::After(SECOND), linger: Some(SECOND), idle: None }
    }

    fn ending(patience: Patience) -> (Ending, Instant) {
        let now = Instant::now();
        (Ending::new(patience, now), now)
    }

    #[test]
    fn the_half_close_waits_for_silence() {
        let (mut ending, now) = ending(patience());
        ending.client_ended(now);
        assert_eq!(ending.due(now, NOTHING), Due::Later(Some(now + SECOND)));
        ending.moved(now + SECOND / 2);
        assert_eq!(ending.due(now + SECOND, NOTHING), Due::Later(Some(now + SECOND / 2 + SECOND)));
        assert_eq!(ending.due(now + 2 * SECOND, NOTHING), Due::HalfClose);
        ending.half_closed();
        assert_eq!(ending.due(now + 9 * SECOND, NOTHING), Due::Later(None));
        ending.target_ended(now);
        assert_eq!(ending.due(now, NOTHING), Due::Over);
    }

    #[test]
    fn an_answer_that_waits_for_a_slow_client_is_no_silence() {
        let (mut ending, now) = ending(patience());
        ending.client_ended(now);
        assert_eq!(ending.due(now + 9 * SECOND, ANSWER), Due::Later(None));
    }

    #[test]
    fn zero_passes_the_end_on_at_once_and_never_leaves_it() {
        let (mut at_once, now) =
            ending(Patience { half_close: HalfClose::After(Duration::ZERO), ..patience() });
        at_once.client_ended(now);
        assert_eq!(at_once.due(now, ANSWER), Due::HalfClose);
        let (mut never, now) = ending(Patience { half_close: HalfClose::Never, ..patience() });
        never.client_ended(now);
        assert_eq!(never.due(now + 99 * SECOND, NOTHING), Due::Later(None));
        never.target_ended(now);
        assert_eq!(never.due(now, NOTHING), Due::Over);
    }

    #[test]
    fn a_client_lingers_for_a_while_behind_the_targets_end() {
        let (mut ending, now) = ending(patience());
        ending.target_ended(now);
        assert_eq!(ending.due(now, NOTHING), Due::Later(Some(now + SECOND)));
        ending.moved(now + SECOND);
        assert_eq!(ending.due(now + SECOND, NOTHING), Due::Later(Some(now + 2 * SECOND)));
        assert_eq!(ending.due(now + 2 * SECOND, NOTHING), Due::Over);
    }

    #[test]
    fn an_answer_that_nobody_reads_is_not_waited_for() {
        let (mut ending, now) = ending(patience());
        ending.client_left(now);
        assert_eq!(ending.due(now, NOTHING), Due::Later(Some(now + SECOND)));
        ending.client_ended(now);
        assert_eq!(ending.due(now, NOTHING), Due::HalfClose);
        ending.half_closed();
        assert_eq!(ending.due(now + SECOND, NOTHING), Due::Unread);
        ending.target_ended(now);
        assert_eq!(ending.due(now + SECOND, NOTHING), Due::Over, "it ended all the same");
    }

    #[test]
    fn a_target_that_takes_its_time_is_no_silence_of_the_client() {
        let (mut ending, now) = ending(patience());
        ending.target_ended(now);
        let upload = Waiting { inbound: true, outbound: false };
        assert_eq!(ending.due(now + 9 * SECOND, upload), Due::Later(None));
        assert_eq!(ending.due(now + 9 * SECOND, NOTHING), Due::Over);
    }

    #[test]
    fn silence_in_both_directions_is_idle() {
        let (mut ending, now) = ending(Patience { idle: Some(SECOND), ..patience() });
        assert_eq!(ending.due(now, NOTHING), Due::Later(Some(now + SECOND)));
        ending.moved(now + SECOND);
        assert_eq!(ending.due(now + SECOND, NOTHING), Due::Later(Some(now + 2 * SECOND)));
        assert_eq!(ending.due(now + 2 * SECOND, ANSWER), Due::Idle);
    }
}
