//! Every event reaches the app until it has kept it, and not again.

use std::sync::Mutex;

use tokio::sync::oneshot;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::domain::{Clock, Timestamp};
use crate::guard::dedup::MemoryMarks;

fn event(key: Option<u8>) -> Request<Bytes> {
    let mut request = Request::new(Bytes::new());
    request.extensions_mut().insert(Facts { dedup_key: key.map(|key| [key; 16]), ..Facts::default() });
    request
}

trait App: Service<Request<Bytes>, Response = Response<Bytes>, Error = ()> + Clone {}
impl<S: Service<Request<Bytes>, Response = Response<Bytes>, Error = ()> + Clone> App for S {}

/// An app that gives the answers one after the other.
fn app(answers: &[Result<u16, ()>]) -> Deduplicated<impl App, MemoryMarks> {
    let answers = Arc::new(Mutex::new(answers.iter().rev().copied().collect::<Vec<_>>()));
    let marks = MemoryMarks::new(64, Duration::from_secs(60), Clock::manual(Timestamp(0)));
    DedupLayer::new(Arc::new(marks)).layer(service_fn(move |_: Request<Bytes>| {
        let answer = answers.lock().expect("not poisoned").pop().expect("the app was asked once too often");
        std::future::ready(answer.map(|status| {
            let mut response = Response::new(Bytes::from("from the app"));
            *response.status_mut() = status.try_into().expect("a status");
            response
        }))
    }))
}

#[tokio::test]
async fn a_kept_event_does_not_reach_the_app_again() {
    let app = app(&[Ok(204), Ok(200)]);
    assert_eq!(app.clone().oneshot(event(Some(1))).await.expect("an answer").status(), 204);
    let copy = app.clone().oneshot(event(Some(1))).await.expect("an answer");
    assert_eq!((copy.status().as_u16(), copy.headers().get(DUPLICATE)), (200, Some(&HeaderValue::from_static("true"))));
    assert!(copy.body().is_empty());
    assert_eq!(app.oneshot(event(Some(2))).await.expect("an answer").body(), "from the app");
}

#[tokio::test]
async fn an_event_that_was_not_kept_may_come_again() {
    let app = app(&[Ok(500), Err(()), Ok(302), Ok(200)]);
    assert_eq!(app.clone().oneshot(event(Some(1))).await.expect("an answer").status(), 500);
    app.clone().oneshot(event(Some(1))).await.expect_err("the app failed");
    assert_eq!(app.clone().oneshot(event(Some(1))).await.expect("an answer").status(), 302);
    assert_eq!(app.clone().oneshot(event(Some(1))).await.expect("an answer").status(), 200);
    assert!(app.oneshot(event(Some(1))).await.expect("an answer").headers().contains_key(DUPLICATE));
}

#[tokio::test]
async fn requests_without_a_key_pass() {
    let app = app(&[Ok(200), Ok(200)]);
    for request in [event(None), Request::new(Bytes::new())] {
        assert_eq!(app.clone().oneshot(request).await.expect("an answer").body(), "from the app");
    }
}

#[tokio::test]
async fn a_copy_in_flight_comes_again_and_a_dropped_request_frees_its_claim() {
    let (answer, answered) = oneshot::channel::<()>();
    let answered = Arc::new(Mutex::new(Some(answered)));
    let marks = Arc::new(MemoryMarks::new(64, Duration::from_secs(60), Clock::manual(Timestamp(0))));
    let app = DedupLayer::new(marks).layer(service_fn(move |_: Request<Bytes>| {
        let answered = answered.lock().expect("not poisoned").take();
        async move {
            if let Some(answered) = answered {
                answered.await.expect("not dropped");
            }
            Ok::<_, ()>(Response::new(Bytes::from("from the app")))
        }
    }));

    let mut first = Box::pin(app.clone().oneshot(event(Some(1))));
    assert!(poll_once(&mut first).is_pending());
    let copy = app.clone().oneshot(event(Some(1))).await.expect("an answer");
    assert_eq!(copy.status(), 503);
    assert_eq!(copy.headers().get("retry-after").map(HeaderValue::as_bytes), Some(b"5".as_slice()));

    drop(first);
    drop(answer);
    let again = app.clone().oneshot(event(Some(1))).await.expect("an answer");
    assert_eq!(again.body(), "from the app");
    let copy = app.oneshot(event(Some(1))).await.expect("an answer");
    assert!(copy.headers().contains_key(DUPLICATE));
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(std::task::Waker::noop()))
}
