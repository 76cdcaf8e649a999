//! Nonces that a server gives out (RFC 7616 §3.3), and their counts.
//!
//! A nonce tells when it was made, under a hash with a key, so that none has to be remembered
//! before a client has proved a password with it. Refuses to know passwords and clocks: the time is
//! an argument, since the start.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

/// How long a nonce is taken. A client whose nonce is older is told so (`stale`), and has the next
/// one for a round trip.
const LIFETIME: Duration = Duration::from_secs(300);

/// Nonces whose counts are kept, at 40 bytes: those of as many clients, who all know a password.
const MOST: usize = 4096;

/// What made them knows them again.
pub(super) struct Nonces {
    key: [u8; 32],
    made: u64,
    used: BTreeMap<Id, Uses>,
    /// Up to here the counts were forgotten, and no nonce is taken.
    forgotten: Option<Id>,
}

/// What a nonce is made of: milliseconds since the start, and a number.
type Id = (u64, u64);

impl Nonces {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, made: 0, used: BTreeMap::new(), forgotten: None }
    }

    /// A new one.
    pub(super) fn make(&mut self, now: Duration) -> String {
        self.made += 1;
        self.text((milliseconds(now), self.made))
    }

    /// Counts a use. `false`: it is none of ours, too old, or this use was counted before. The
    /// client must have proved a password: what was used takes memory.
    pub(super) fn take(&mut self, nonce: &str, count: u32, now: Duration) -> bool {
        let Some(id) = self.id(nonce) else { return false };
        let oldest = milliseconds(now.saturating_sub(LIFETIME));
        if id.0 < oldest || self.forgotten.is_some_and(|forgotten| id <= forgotten) {
            return false;
        }
        self.used = self.used.split_off(&(oldest, 0));
        let fresh = self.used.entry(id).or_default().take(count);
        if self.used.len() > MOST {
            self.forgotten = self.used.pop_first().map(|(id, _)| id);
        }
        fresh
    }

    /// The key comes first and all lengths are fixed, so nobody can append to what was hashed.
    fn text(&self, (at, number): Id) -> String {
        let id = [at.to_be_bytes(), number.to_be_bytes()].concat();
        let hash = Sha256::new().chain_update(self.key).chain_update(&id).finalize();
        BASE64_URL_SAFE_NO_PAD.encode([&id[..], &hash[..16]].concat())
    }

    fn id(&self, nonce: &str) -> Option<Id> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (at, rest) = bytes.split_first_chunk()?;
        let id = (u64::from_be_bytes(*at), u64::from_be_bytes(*rest.first_chunk()?));
        // Compared as secrets are: how much of a forgery was right does not show.
        (Secret::new(self.text(id)) == Secret::new(nonce)).then_some(id)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nonces")
            .field("made", &self.made)
            .field("used", &self.used.len())
            .finish_non_exhaustive()
    }
}

/// Which counts of a nonce were used: the highest, and which of the 64 up to it. Requests of one
/// client overtake each other on their connections.
#[derive(Debug, Default)]
struct Uses {
    highest: u32,
    seen: u64,
}

impl Uses {
    /// Whether this one was not used before.
    fn take(&mut self, count: u32) -> bool {
        if let Some(ahead) = count.checked_sub(self.highest).filter(|ahead| *ahead > 0) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let Some(bit) = 1u64.checked_shl(self.highest - count) else { return false };
        let fresh = self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    const NOW: Duration = Duration::from_secs(1000);

    fn nonces() -> Nonces {
        Nonces::new([7; 32])
    }

    #[test]
    fn a_nonce_is_taken_while_it_is_young_each_count_once() {
        let mut nonces = nonces();
        let (one, other) = (nonces.make(NOW), nonces.make(NOW));
        assert_ne!(one, other);
        assert!(nonces.take(&one, 1, NOW));
        assert!(!nonces.take(&one, 1, NOW), "a replay");
        assert!(nonces.take(&other, 1, NOW));
        assert!(nonces.take(&one, 2, NOW + LIFETIME));
        assert!(!nonces.take(&one, 3, NOW + LIFETIME + Duration::from_millis(1)));
    }

    #[test]
    fn what_is_too_old_is_forgotten_and_stays_refused() {
        let mut nonces = nonces();
        let old = nonces.make(NOW);
        assert!(nonces.take(&old, 1, NOW));
        let later = NOW + 2 * LIFETIME;
        let new = nonces.make(later);
        assert!(nonces.take(&new, 1, later));
        assert_eq!(nonces.used.len(), 1);
        assert!(!nonces.take(&old, 2, later));
    }

    #[test]
    fn however_many_are_used_the_memory_is_bounded_and_none_is_taken_twice() {
        let mut nonces = nonces();
        let first = nonces.make(NOW);
        assert!(nonces.take(&first, 1, NOW));
        for _ in 0..2 * MOST {
            let nonce = nonces.make(NOW);
            assert!(nonces.take(&nonce, 1, NOW));
        }
        assert_eq!(nonces.used.len(), MOST);
        assert!(!nonces.take(&first, 1, NOW), "its count is forgotten: a replay would go unseen");
    }

    #[test]
    fn another_key_makes_other_nonces() {
        let nonce = Nonces::new([8; 32]).make(NOW);
        assert!(!nonces().take(&nonce, 1, NOW));
    }

    proptest! {
        #[test]
        fn no_count_is_taken_twice_and_none_of_the_next_64_is_lost(counts in prop::collection::vec(1u32..200, 0..200)) {
            let (mut uses, mut taken) = (Uses::default(), HashSet::new());
            for count in counts {
                let recent = count + 64 > uses.highest;
                let fresh = uses.take(count);
                prop_assert!(!(fresh && taken.contains(&count)));
                prop_assert!(fresh || taken.contains(&count) || !recent);
                taken.extend(fresh.then_some(count));
            }
        }

        #[test]
        fn a_nonce_that_is_altered_is_none_of_ours(at in 0usize..43, with in "[-_A-Za-z0-9=]{0,2}") {
            let mut nonces = nonces();
            let nonce = nonces.make(NOW);
            let altered = format!("{}{with}{}", &nonce[..at], &nonce[at + 1..]);
            prop_assert_eq!(nonces.take(&altered, 1, NOW), altered == nonce);
        }
    }
}
