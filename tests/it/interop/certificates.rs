//! Senders that keep their key at their own host: npm `sns-validator` takes the same messages as we do, PyPI
//! `paypalrestsdk` says what PayPal signs; where a certificate comes from, how often it is fetched, and what happens where it cannot be had.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookward::guard::handshake::{HandshakeSigned, Handshakes};
use hookward::guard::signature::Config;
use hookward::guard::signature::odd::{Certificates, Fetch, Fetched, FetchingLayer};
use hookward::guard::{Declared, GuardLayer, declared};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::*;

const CERTIFICATE: &str = include_str!("providers/rsa.cert.pem");

/// What node signed.
#[derive(Debug, Deserialize)]
struct Signed {
    topic: String,
    messages: Vec<String>,
    confirm: String,
    paypal: PayPal,
}

#[derive(Debug, Deserialize)]
struct PayPal {
    headers: BTreeMap<String, String>,
    body: String,
}

fn signed() -> Signed {
    let body = r#"{"id":"WH-1","event_type":"PAYMENT.SALE.COMPLETED","resource":{"note":"Zoë"}}"#;
    let mut paypal = json!({ "id": "t-1", "time": "2026-11-23T12:00:00Z", "webhook": "WEBHOOK-1", "body": body });
    paypal["signed"] = python(include_str!("providers/paypal.py"), &paypal.to_string()).into();
    let key = include_str!("providers/rsa.key.pem");
    let input = json!({ "key": key, "certificate": CERTIFICATE, "paypal": paypal }).to_string();
    serde_json::from_str(&node(include_str!("providers/certificates.cjs"), &input)).expect("signed")
}

/// The host of the certificates, as far as it answers.
#[derive(Default)]
struct Host {
    is_down: std::sync::atomic::AtomicBool,
    asked: AtomicUsize,
    urls: Mutex<Vec<String>>,
}

impl Fetch for Host {
    fn fetch(&self, url: &Url) -> Fetched {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.urls.lock().expect("not poisoned").push(url.to_string());
        let is_down = self.is_down.load(Ordering::SeqCst);
        Box::pin(async move {
            if is_down { Err("down".to_owned()) } else { Ok(Bytes::from_static(CERTIFICATE.as_bytes())) }
        })
    }
}

/// A source with this scheme, its certificates from `host`.
struct Source {
    verifier: Arc<Verifier>,
    certificates: Arc<Certificates>,
    handshakes: Option<Arc<Handshakes>>,
}

impl Source {
    fn new(name: &str, secrets: &[&str], host: &Arc<Host>, clock: &Clock) -> Self {
        let scheme = Scheme::named(name).expect("a preset");
        let known = scheme.handshakes;
        let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let fetch: Arc<dyn Fetch> = Arc::clone(host) as Arc<dyn Fetch>;
        let certificates = Arc::new(Certificates::new(fetch, clock.clone()));
        let verifier = Verifier::new(&Config { scheme, secrets, public_url: None }).expect("a verifier");
        let verifier = Arc::new(verifier.with_certificates(Arc::clone(&certificates)));
        let handshakes = Handshakes::new(known, &[Method::POST], None, Arc::clone(&verifier)).map(Arc::new);
        Self { verifier, certificates, handshakes }
    }

    /// The status and the reason, or the id and the type of the event that gets through.
    async fn answer(&self, headers: &BTreeMap<String, String>, body: &str) -> (u16, String) {
        let app = service_fn(|request: Request<Buffered>| async move {
            let facts = request.extensions().get::<Facts>().cloned().unwrap_or_default();
            let found = [facts.source_event_id, facts.event_type].map(Option::unwrap_or_default).join(" ");
            Ok::<_, std::convert::Infallible>(Response::new(Bytes::from(found)))
        });
        let scheme = self.verifier.scheme();
        let types = scheme.content_types.as_ref().expect("some").iter().map(|kind| kind.as_ref().into()).collect();
        let declared = declared::Config { body_bytes_max: 1 << 20, content_types: Some(types) };
        let stack = (
            GuardLayer::new((Declared::new(declared), SignatureHead(Arc::clone(&self.verifier)))),
            FetchingLayer::new(self.verifier.odd(), &self.certificates),
            GuardLayer::new((
                Signature(Arc::clone(&self.verifier)),
                self.handshakes.clone().map(HandshakeSigned),
                Envelope::new(envelope::Config::of(scheme)),
            )),
        );
        let mut request = Request::post("/in");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Buffered::from(Bytes::copy_from_slice(body.as_bytes()))).expect("a request");
        let response = stack.layer(app).oneshot(request).await.expect("infallible");
        let found = match response.extensions().get::<Refused>() {
            Some(refused) => refused.rejection.reason.code().to_owned(),
            None => String::from_utf8(response.body().to_vec()).expect("text"),
        };
        (response.status().as_u16(), found)
    }
}

fn text_plain() -> BTreeMap<String, String> {
    [("content-type".to_owned(), "text/plain; charset=UTF-8".to_owned())].into()
}

#[tokio::test]
async fn messages_of_sns_are_accepted_for_our_topic_and_every_signed_byte_counts() {
    let signed = signed();
    let (host, clock) = (Arc::new(Host::default()), Clock::manual(Timestamp(1_763_900_000_000)));
    let source = Source::new("aws-sns", &["arn:aws:sns:eu-west-1:1:other", &signed.topic], &host, &clock);
    let foreign = Source::new("aws-sns", &["arn:aws:sns:us-east-1:123456789012:others"], &host, &clock);
    let headers = text_plain();
    for message in &signed.messages {
        let whole: serde_json::Value = serde_json::from_str(message).expect("JSON");
        let expected = format!("{} Notification", whole["MessageId"].as_str().expect("text"));
        assert_eq!(source.answer(&headers, message).await, (200, expected));
        assert_eq!(
            foreign.answer(&headers, message).await,
            (401, "signature_mismatch".into()),
            "somebody else's topic"
        );
        for field in ["Message", "MessageId", "Subject", "Timestamp", "Type"] {
            let Some(value) = whole[field].as_str() else { continue };
            let mut other = whole.clone();
            other[field] = format!("{value}x").into();
            let (status, reason) = source.answer(&headers, &other.to_string()).await;
            assert_eq!((status, reason.as_str()), (401, "signature_mismatch"), "{field}");
        }
        let twice = message.replacen("{\"", "{\"Message\":\"another\",\"", 1);
        assert_eq!(source.answer(&headers, &twice).await, (401, "signature_malformed".into()), "a field twice");
    }
    assert_eq!(host.asked.load(Ordering::SeqCst), 2, "one certificate a source, however many messages");
}

#[tokio::test]
async fn certificates_come_from_amazon_alone_and_a_confirmation_calls_amazon_alone() {
    let signed = signed();
    let (host, clock) = (Arc::new(Host::default()), Clock::machine());
    let source = Source::new("aws-sns", &[&signed.topic], &host, &clock);
    let headers = text_plain();
    let message = &signed.messages[0];
    for foreign in [
        "https://sns.us-east-1.amazonaws.com.example.com/SimpleNotificationService-1.pem",
        "http://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-1.pem",
        "https://example.com@sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com@example.com/SimpleNotificationService-1.pem",
        "https://s3.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "https://sns.us-east-1.amazonaws.com/other.pem",
        "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-1.der",
        "https://evil.sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem",
        "file:///etc/passwd",
        "not a url",
    ] {
        let mut other: serde_json::Value = serde_json::from_str(message).expect("JSON");
        other["SigningCertURL"] = foreign.into();
        assert_eq!(source.answer(&headers, &other.to_string()).await.0, 401, "{foreign}");
    }
    assert_eq!(host.asked.load(Ordering::SeqCst), 0, "nothing is fetched from elsewhere");

    assert_eq!(source.answer(&headers, &signed.confirm).await, (200, String::new()), "nothing is kept of it");
    let called = "https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn=x&Token=abc";
    tokio::time::timeout(Duration::from_secs(10), async {
        while !host.urls.lock().expect("not poisoned").iter().any(|url| url == called) {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the URL is called");
}

#[tokio::test]
async fn without_its_certificate_a_sender_is_asked_to_come_again_and_the_host_is_left_alone() {
    let signed = signed();
    let (host, clock) = (Arc::new(Host::default()), Clock::manual(Timestamp(1_763_900_000_000)));
    let source = Source::new("paypal", &["WEBHOOK-1"], &host, &clock);
    let mut headers = signed.paypal.headers.clone();
    headers.insert("content-type".to_owned(), "application/json".to_owned());
    let body = &signed.paypal.body;
    host.is_down.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        assert_eq!(source.answer(&headers, body).await, (503, "certificate_unavailable".into()));
    }
    assert_eq!(host.asked.load(Ordering::SeqCst), 1, "a host that failed is not asked again at once");
    host.is_down.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(11));
    assert_eq!(source.answer(&headers, body).await, (200, "WH-1 PAYMENT.SALE.COMPLETED".into()));
    for at in 0..body.len() {
        let mut changed = body.clone().into_bytes();
        changed[at] ^= 1;
        let Ok(changed) = String::from_utf8(changed) else { continue };
        assert_eq!(source.answer(&headers, &changed).await.0, 401, "byte {at}");
    }
    let other = Source::new("paypal", &["WEBHOOK-2"], &host, &clock);
    assert_eq!(other.answer(&headers, body).await, (401, "signature_mismatch".into()), "somebody else's webhook");
    for (name, value) in [
        ("paypal-cert-url", "https://api.paypal.com.example.com/v1/notifications/certs/CERT-1"),
        ("paypal-cert-url", "https://www.paypal.com/v1/notifications/certs/CERT-1"),
        ("paypal-auth-algo", "SHA1withRSA"),
        ("paypal-transmission-id", "t|1"),
        ("paypal-transmission-sig", "!"),
    ] {
        let mut headers = headers.clone();
        headers.insert(name.to_owned(), value.to_owned());
        assert_eq!(source.answer(&headers, body).await, (401, "signature_malformed".into()), "{name}: {value}");
    }
}
