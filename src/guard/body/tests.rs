//! The body guard by itself, in front of a service of its own: no server that could cut in before it.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use http_body::Frame;
use http_body_util::Full as Whole;
use tokio::time::{sleep, timeout};
use tower::{ServiceExt as _, service_fn};

use super::*;
use crate::domain::Hop;

/// A body that yields what its function yields, and ends with it.
struct Scripted<F>(F);

impl<F> Body for Scripted<F>
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> + Unpin,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        (self.0)(cx).map(|next| next.map(|data| data.map(Frame::data)))
    }
}

/// The status and the reason that came of a body, with at most 10 bytes in a tenth of a second.
async fn outcome(
    next: impl FnMut(&mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> + Unpin,
    budget: &BodyBudget,
) -> (u16, Option<Reason>) {
    let app = service_fn(|request: Request<Buffered>| async move {
        Ok::<_, Infallible>(Response::new(Whole::<Bytes>::from(request.into_body().into_bytes())))
    });
    let service = BodyLayer::new(10, Duration::from_millis(100), budget.clone()).layer(app);
    let answer = timeout(Duration::from_secs(10), service.oneshot(Request::new(Scripted(next)))).await;
    let Ok(response) = answer.expect("no body is waited for so long");
    let reason = response.extensions().get::<Refused>().map(|refused| refused.rejection.reason);
    (response.status().as_u16(), reason)
}

#[track_caller]
fn check(got: (u16, Option<Reason>), expected: Reason) {
    assert_eq!(got, (expected.status().as_u16(), Some(expected)));
}

#[tokio::test]
async fn a_body_that_never_comes_or_drips_is_cut_in_total_time() {
    let budget = BodyBudget::new(1000);
    check(outcome(|_| Poll::Pending, &budget).await, Reason::BodyTimeout);
    // An empty frame again and again: never too large, never silent for long.
    let mut drip = Box::pin(sleep(Duration::ZERO));
    let dripping = move |cx: &mut Context<'_>| {
        ready!(drip.as_mut().poll(cx));
        drip.set(sleep(Duration::from_millis(10)));
        Poll::Ready(Some(Ok(Bytes::new())))
    };
    check(outcome(dripping, &budget).await, Reason::BodyTimeout);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn the_time_of_a_body_begins_with_its_request_where_the_ingress_says_when() {
    let service = BodyLayer::new(10, Duration::from_secs(20), BodyBudget::new(1000))
        .layer(service_fn(|_| async { Ok::<_, Infallible>(Response::new(Whole::<Bytes>::default())) }));
    let began = std::time::Instant::now().checked_sub(Duration::from_secs(20)).expect("the machine is up for longer");
    let hop = Hop { peer: Ipv4Addr::LOCALHOST.into(), is_trusted: false, is_https: false, began };
    let mut request = Request::new(Scripted(|_: &mut Context<'_>| Poll::Pending));
    request.extensions_mut().insert(Facts { hop: Some(hop), ..Facts::default() });
    let answer = timeout(Duration::from_secs(10), service.oneshot(request)).await;
    assert_eq!(answer.expect("its time is over").unwrap().status(), Reason::BodyTimeout.status());
}

#[tokio::test]
async fn a_body_without_a_declared_length_is_bounded_as_it_comes() {
    let budget = BodyBudget::new(1000);
    let frames = |count: usize| {
        let mut left = count;
        move |_: &mut Context<'_>| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            Poll::Ready(Some(Ok(Bytes::from_static(b"12345"))))
        }
    };
    assert_eq!(outcome(frames(2), &budget).await, (200, None));
    check(outcome(frames(3), &budget).await, Reason::BodyTooLarge);
    check(outcome(frames(usize::MAX), &budget).await, Reason::BodyTooLarge);
    check(outcome(frames(2), &BodyBudget::new(9)).await, Reason::BodyMemoryFull);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn a_body_that_breaks_is_told_apart_from_a_sender_that_leaves() {
    let budget = BodyBudget::new(1000);
    for (kind, expected) in [
        (io::ErrorKind::InvalidInput, Reason::MalformedRequest),
        (io::ErrorKind::InvalidData, Reason::MalformedRequest),
        (io::ErrorKind::UnexpectedEof, Reason::BodyIncomplete),
        (io::ErrorKind::ConnectionReset, Reason::BodyIncomplete),
    ] {
        check(outcome(move |_| Poll::Ready(Some(Err(kind.into()))), &budget).await, expected);
    }
}
