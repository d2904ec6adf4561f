//! Ids: prefixed, time-ordered, and made from one number.
//!
//! An event's [`Seq`] is its place in time (milliseconds, then a counter). Every id is a UUIDv7 (RFC 9562
//! section 5.7) that carries the seq, the ordinal of the delivery in the event's plan and the number of the
//! attempt, and ends in a keyed tag: an id leads to its row without an index, and nobody can guess one.
//! Written as the prefix and 26 characters of Crockford's base32, lower case.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use siphasher::sip::SipHasher13;

use super::clock::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of an id behind its prefix.
pub const TEXT_CHARS: usize = 26;

/// An event's place in time: 42 bits of milliseconds since 1970, then a counter of 22 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// Makes ids whose tag only the owner of `key` can make.
#[derive(Clone)]
pub struct IdMint {
    key: [u8; 16],
}

/// The text is not an id of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an id: expected {prefix} and 26 characters of base32")]
pub struct IdError {
    prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        impl $name {
            /// What the text starts with.
            pub const PREFIX: &str = $prefix;

            /// The 128 bits of the UUIDv7.
            #[must_use]
            pub fn as_u128(self) -> u128 {
                self.0
            }

            /// The id with these 128 bits, as they were stored.
            #[must_use]
            pub fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// The text behind the prefix.
            #[must_use]
            pub fn digits(self) -> [u8; TEXT_CHARS] {
                digits(self.0)
            }

            /// The place in time of the event that it belongs to.
            #[must_use]
            pub fn seq(self) -> Seq {
                unpack_seq(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_text(f, $prefix, self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_text(text, $prefix).map(Self).ok_or(IdError { prefix: $prefix })
            }
        }
    )*};
}

ids! {
    /// An event that we hold.
    EventId "evt_";
    /// One event for one destination.
    DeliveryId "delivery_";
    /// One request of a delivery.
    AttemptId "attempt_";
    /// A request that a guard refused.
    RejectionId "rejection_";
    /// A customer's endpoint; its place in time is when it was registered.
    WebhookId "webhook_";
}

// === impl Seq ===

impl Seq {
    /// How many bits count the events of one millisecond.
    pub const COUNTER_BITS: u32 = 22;

    /// The first seq of a millisecond.
    #[must_use]
    pub fn first_at(time: Timestamp) -> Self {
        Self(time.0 << Self::COUNTER_BITS)
    }

    /// The seq after `self` for an event of `now`: always larger, also where the clock went back.
    #[must_use]
    pub fn next(self, now: Timestamp) -> Self {
        Self::first_at(now).max(Self(self.0 + 1))
    }

    /// The millisecond in which it was given.
    #[must_use]
    pub fn time(self) -> Timestamp {
        Timestamp(self.0 >> Self::COUNTER_BITS)
    }
}

// === impl DeliveryId, AttemptId ===

impl DeliveryId {
    /// Which delivery of the event's plan it is, from 0.
    #[must_use]
    pub fn ordinal(self) -> u16 {
        (self.0 >> 36) as u16
    }
}

impl AttemptId {
    /// Which delivery of the event's plan it belongs to, from 0.
    #[must_use]
    pub fn ordinal(self) -> u16 {
        (self.0 >> 36) as u16
    }

    /// The attempt's number from 1; attempts beyond 255 share that number.
    #[must_use]
    pub fn number(self) -> u8 {
        (self.0 >> 28) as u8
    }
}

// === impl IdMint ===

impl IdMint {
    /// A mint with the store's own key.
    #[must_use]
    pub fn new(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The id of the event at `seq`.
    #[must_use]
    pub fn event(&self, seq: Seq) -> EventId {
        EventId(self.pack(seq, 0, 0, 1))
    }

    /// The id of the event's delivery number `ordinal`.
    #[must_use]
    pub fn delivery(&self, seq: Seq, ordinal: u16) -> DeliveryId {
        DeliveryId(self.pack(seq, ordinal, 0, 2))
    }

    /// The id of an attempt; `number` counts from 1.
    #[must_use]
    pub fn attempt(&self, seq: Seq, ordinal: u16, number: u16) -> AttemptId {
        AttemptId(self.pack(seq, ordinal, u8::try_from(number).unwrap_or(u8::MAX), 3))
    }

    /// The id of the rejection at `seq`.
    #[must_use]
    pub fn rejection(&self, seq: Seq) -> RejectionId {
        RejectionId(self.pack(seq, 0, 0, 4))
    }

    /// The id of the webhook registered at `seq`.
    #[must_use]
    pub fn webhook(&self, seq: Seq) -> WebhookId {
        WebhookId(self.pack(seq, 0, 0, 5))
    }

    fn pack(&self, seq: Seq, ordinal: u16, attempt: u8, kind: u8) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.key);
        hasher.write_u64(seq.0);
        hasher.write_u16(ordinal);
        hasher.write_u8(attempt);
        hasher.write_u8(kind);
        let tag = hasher.finish() & 0x0fff_ffff;
        let counter = u128::from(seq.0 & ((1 << Seq::COUNTER_BITS) - 1));
        u128::from(seq.time().0) << 80
            | 7 << 76
            | (counter >> 10) << 64
            | 2 << 62
            | (counter & 0x3ff) << 52
            | u128::from(ordinal) << 36
            | u128::from(attempt) << 28
            | u128::from(tag)
    }
}

impl fmt::Debug for IdMint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdMint")
    }
}

fn unpack_seq(bits: u128) -> Seq {
    let counter = (bits >> 64 & 0xfff) << 10 | (bits >> 52 & 0x3ff);
    // An id that nobody has given may name a time that no seq holds: it stands after everything.
    Seq(((bits >> 80) as u64).saturating_mul(1 << Seq::COUNTER_BITS).saturating_add(counter as u64))
}

fn write_text(f: &mut fmt::Formatter<'_>, prefix: &str, bits: u128) -> fmt::Result {
    f.write_str(prefix)?;
    f.write_str(std::str::from_utf8(&digits(bits)).unwrap_or_default())
}

/// Five bits a character, the last one first; in three words, since shifting all 128 bits costs more.
fn digits(bits: u128) -> [u8; TEXT_CHARS] {
    const WORD_CHARS: usize = 12;
    let mut text = [0_u8; TEXT_CHARS];
    for (place, word) in text.rchunks_mut(WORD_CHARS).enumerate() {
        let mut rest = (bits >> (5 * WORD_CHARS * place)) as u64;
        for character in word.iter_mut().rev() {
            *character = ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'0');
            rest >>= 5;
        }
    }
    text
}

fn parse_text(text: &str, prefix: &str) -> Option<u128> {
    let digits = text.strip_prefix(prefix)?.as_bytes();
    // The first character carries three bits only: anything above 7 would not fit 128 bits.
    if digits.len() != TEXT_CHARS || digits.first().is_none_or(|first| *first > b'7') {
        return None;
    }
    digits.iter().try_fold(0_u128, |bits, character| {
        let digit = ALPHABET.iter().position(|known| known == character)?;
        Some(bits << 5 | digit as u128)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text_and_lead_back_to_the_seq() {
        let mint = IdMint::new([7; 16]);
        for counter in [0_u64, 1, 1023, 1024, (1 << 22) - 1] {
            let seq = Seq(Seq::first_at(Timestamp(1_763_921_045_678)).0 | counter);
            let delivery = mint.delivery(seq, 513);
            assert_eq!(delivery.to_string().parse(), Ok(delivery));
            assert_eq!((delivery.seq(), delivery.ordinal()), (seq, 513));
            let attempt = mint.attempt(seq, 513, 8);
            assert_eq!((attempt.seq(), attempt.ordinal(), attempt.number()), (seq, 513, 8));
            assert_eq!(mint.event(seq).seq(), seq);
            assert_eq!(mint.event(seq).as_u128() >> 76 & 0xf, 7, "version 7");
            assert_eq!(mint.event(seq).as_u128() >> 62 & 0x3, 2, "variant of RFC 9562");
        }
    }

    #[test]
    fn an_id_beyond_the_end_of_time_leads_to_the_last_place() {
        let id: EventId = "evt_7zzzzzzzzzzzzzzzzzzzzzzzzz".parse().unwrap();
        assert_eq!(id.seq(), Seq(u64::MAX));
    }

    #[test]
    fn text_of_another_kind_or_alphabet_is_refused() {
        let id = IdMint::new([1; 16]).event(Seq(5 << 22)).to_string();
        assert!(id.parse::<DeliveryId>().is_err());
        assert!(id.replace("evt_0", "evt_8").parse::<EventId>().is_err());
        assert!(format!("{id}0").parse::<EventId>().is_err());
        assert!(id.to_uppercase().parse::<EventId>().is_err());
    }

    #[test]
    fn seq_grows_where_the_clock_goes_back() {
        let first = Seq::default().next(Timestamp(1000));
        let second = first.next(Timestamp(900));
        assert!(second > first);
        assert_eq!(second.time(), Timestamp(1000));
    }
}
