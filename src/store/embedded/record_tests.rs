//! Records survive their bytes, and no flipped bit or missing byte of a sealed one goes unnoticed (F08, F09).

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use proptest::prelude::*;

use super::record::{DeliveryRecord, Framed, Kind, Payload, Place, Progress, Record};
use super::segment::{HEADER_BYTES, Segment};
use super::{decode, encode};
use crate::domain::{
    Attempt, DeadReason, HeaderBlock, HeaderBlockBuilder, NewEvent, Next, OutcomeClass, PlannedDelivery, Seq, Timestamp,
};
use crate::store::{DedupMark, StoreKeys};

/// Seals a record into a fresh segment and reads it back, as the engine does.
fn kept(framed: &Framed) -> Payload {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let segment = Segment::create(folder.path(), 1, 1 << 20, &StoreKeys::random().unwrap()).unwrap();
    let (place, sealed) = sealed(&segment, framed, HEADER_BYTES);
    segment.write_at(&sealed, place.offset).unwrap();
    segment.read(place).unwrap()
}

fn sealed(segment: &Segment, framed: &Framed, offset: u32) -> (Place, Bytes) {
    let mut record = framed.0.clone();
    segment.seal(&mut record, offset);
    (Place { segment: segment.number, offset, bytes: u32::try_from(record.len()).unwrap() }, record.into())
}

fn text() -> impl Strategy<Value = String> {
    proptest::string::string_regex("(?s).{0,40}").unwrap()
}

fn headers() -> impl Strategy<Value = HeaderBlock> {
    let value = proptest::collection::vec(prop_oneof![Just(b'\t'), 32_u8..=126, 128_u8..=255], 0..60);
    proptest::collection::vec(("[a-z][a-z0-9-]{0,20}", value), 0..12).prop_map(|fields| {
        let mut headers = HeaderBlockBuilder::default();
        for (name, value) in fields {
            assert!(headers.try_add(name.as_bytes(), &value));
        }
        headers.finish()
    })
}

fn new_event() -> impl Strategy<Value = NewEvent> {
    let names = (text(), proptest::option::of(text()), proptest::option::of(text()), text());
    let rest = (any::<u64>(), proptest::option::of(text()), headers(), any::<Vec<u8>>(), any::<Option<u8>>());
    let rest = (rest, proptest::option::of(0..u64::MAX));
    (names, rest).prop_map(
        |((source, id, event_type, project), ((at, query, headers, body, secret_index), signed_at))| NewEvent {
            source: source.into(),
            source_event_id: id.map(Into::into),
            event_type: event_type.map(Into::into),
            project: project.into(),
            received_at: Timestamp(at),
            method: Method::PUT,
            query: query.map(Into::into),
            headers,
            body: body.into(),
            signed_at: signed_at.map(Timestamp),
            secret_index,
        },
    )
}

fn delivery() -> impl Strategy<Value = DeliveryRecord> {
    // The largest number stands for "no time".
    let time = proptest::option::of(0..u64::MAX);
    (text(), any::<u16>(), time.clone(), time, proptest::option::of(text()), 0_u8..3, any::<u16>()).prop_map(
        |(target, route, not_before, expires_at, key, state, attempts)| {
            let planned = PlannedDelivery {
                target: target.into(),
                route,
                not_before: not_before.map(Timestamp),
                expires_at: expires_at.map(Timestamp),
                order_key: key.clone().map(Into::into),
                batch_key: key.map(Into::into),
            };
            let mut progress = Progress::pending(Timestamp(u64::from(attempts)));
            progress.attempts = attempts;
            if state == 1 {
                progress = Progress::dead(DeadReason::QueueFull, Timestamp(7));
            }
            DeliveryRecord { planned, progress }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn events_survive_their_bytes(
        seq: u64,
        received in new_event(),
        mark in proptest::option::of((any::<[u8; 16]>(), any::<u32>())),
        deliveries in proptest::collection::vec(delivery(), 0..5),
    ) {
        let window = |seconds: u32| Duration::from_secs(u64::from(seconds));
        let dedup = mark.map(|(key, seconds)| DedupMark { key, window: window(seconds) });
        let framed = encode::event(Kind::Admit, Seq(seq), &received, dedup.as_ref(), &deliveries);
        let mut shared = received.clone();
        let record = encode::share(framed.clone(), &mut shared);
        prop_assert_eq!(&*record, framed.as_ref());
        prop_assert_eq!((&shared.headers, &shared.body), (&received.headers, &received.body));
        prop_assert!(record.as_ptr_range().contains(&shared.body.as_ptr()) || shared.body.is_empty());
        let payload = kept(&framed);
        let (its_seq, got, its_dedup, its_deliveries) = decode::event(&payload).unwrap();
        prop_assert_eq!((its_seq, its_dedup, its_deliveries), (Seq(seq), dedup, deliveries));
        prop_assert_eq!(format!("{got:?}"), format!("{received:?}"));
        prop_assert_eq!(got.headers, received.headers);
        let Some(Record::Admit(head)) = decode::record(&payload) else { panic!("not an admission") };
        prop_assert_eq!(head.body_bytes as usize, received.body.len());
    }

    #[test]
    fn attempts_survive_their_bytes(
        number: u16,
        micros in 0..1_u64 << 40,
        status in proptest::option::of(1_u16..),
        response_headers in headers(),
        body: Vec<u8>,
        error in proptest::option::of(text()),
        next in 0..3_usize,
    ) {
        let attempt = Attempt {
            number,
            started_at: Timestamp(micros),
            duration: Duration::from_micros(micros),
            outcome: OutcomeClass::Tls,
            status,
            response_headers,
            response_body: body.into(),
            error: error.map(Into::into),
        };
        let next = [Next::Succeeded, Next::RetryAt(Timestamp(micros)), Next::Dead(DeadReason::Refused)][next];
        let payload = kept(&encode::settle(Seq(micros), number, &attempt, next));
        let Some(Record::Settle(outline)) = decode::record(&payload) else { panic!("not a settlement") };
        let got = decode::settled(&payload).unwrap();
        prop_assert_eq!((outline.seq, outline.ordinal, outline.next), (got.seq, got.ordinal, got.next));
        prop_assert_eq!((got.seq, got.ordinal, got.next), (Seq(micros), number, next));
        prop_assert_eq!(format!("{:?}", got.attempt), format!("{attempt:?}"));
        prop_assert_eq!(got.attempt.response_headers, attempt.response_headers);
    }

    /// Whatever bytes verify by chance or malice: decoding them neither panics nor takes memory without end.
    #[test]
    fn any_bytes_decode_or_do_not(kind in 1_u8..=9, version in 1_u8..=2, bytes: Vec<u8>) {
        let payload = Payload { kind: Kind::from_byte(kind).unwrap(), version, bytes: bytes.into() };
        drop(decode::record(&payload));
        drop(decode::event(&payload));
        drop(decode::settled(&payload));
    }
}

#[test]
fn every_flipped_bit_and_every_cut_of_64_kib_of_records_is_noticed() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let segment = Segment::create(folder.path(), 1, 1 << 20, &StoreKeys::random().unwrap()).unwrap();
    let received = |body: usize| NewEvent {
        source: "github".into(),
        source_event_id: Some("e1".into()),
        event_type: None,
        project: "default".into(),
        received_at: Timestamp(5),
        method: Method::POST,
        query: None,
        headers: HeaderBlock::default(),
        body: vec![0x5a; body].into(),
        signed_at: None,
        secret_index: None,
    };
    let (mut offset, mut bits) = (HEADER_BYTES, 0_usize);
    for number in 0.. {
        let framed = encode::event(Kind::Admit, Seq(number), &received(number as usize * 7), None, &[]);
        let (place, whole) = sealed(&segment, &framed, offset);
        let (payload, length) = segment.parse(&whole, offset).unwrap();
        assert_eq!(length, place.bytes);
        assert!(segment.parse(&whole, offset + 8).is_none(), "a record is tied to its place");
        for cut in 0..payload.bytes.len() + 16 {
            assert!(segment.parse(&whole.slice(..cut), offset).is_none(), "record {number} cut at {cut}");
        }
        let mut flipped = whole.to_vec();
        for bit in 0..whole.len() * 8 {
            flipped[bit / 8] ^= 1 << (bit % 8);
            let found = segment.parse(&Bytes::copy_from_slice(&flipped), offset);
            let harmless = found.is_none_or(|(found, length)| found.bytes == payload.bytes && length == place.bytes);
            assert!(harmless, "record {number}, bit {bit}");
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        bits += whole.len() * 8;
        offset += place.bytes;
        if bits >= 64 * 1024 * 8 {
            break;
        }
    }
}
