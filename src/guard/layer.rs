//! What turns a guard, a pure question, into a tower layer: once for all guards.
//!
//! A [`Guard`] looks at a request and at what is already known about it ([`Facts`]) and says yes, perhaps
//! adding what it found, or refuses with a [`Rejection`]. [`GuardLayer`] puts it in front of any service:
//! a refusal becomes its response, with [`Refused`] in the response's extensions for a ledger.
//!
//! Guards over the head take requests with any body; guards over the body take those whose body is in
//! memory (`B: AsRef<[u8]>`, such as [`Buffered`]). No future is boxed and nothing waits.
//!
//! ```
//! use bytes::Bytes;
//! use hookward::domain::{Facts, Reason, Rejection};
//! use hookward::guard::{Guard, GuardLayer, Head};
//! use http::{Request, Response};
//! use tower::{Layer, ServiceExt, service_fn};
//!
//! struct OnlyTests;
//!
//! impl<B> Guard<B> for OnlyTests {
//!     fn check(&self, head: Head<'_>, _body: &B, _facts: &mut Facts) -> Result<(), Rejection> {
//!         match head.headers.contains_key("x-test") {
//!             true => Ok(()),
//!             false => Err(Rejection::new(Reason::MalformedRequest, "no test")),
//!         }
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let app = service_fn(|_: Request<()>| async { Ok::<_, std::io::Error>(Response::new(Bytes::from("OK"))) });
//! let guarded = GuardLayer::new(OnlyTests).layer(app);
//! assert_eq!(guarded.oneshot(Request::new(())).await?.status(), 400);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Uri};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::body::{Buffered, Received};
use super::report::{self, Reporter};
use crate::domain::{Facts, Refused, Rejection};

/// A pure question about a request: whether it may go on.
pub trait Guard<B> {
    /// Looks at the head, the body and what is known so far; adds to the facts what it found.
    ///
    /// # Errors
    /// The request must not go on, and why.
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection>;

    /// The same for a guard that may answer itself what would otherwise reach the service: a handshake.
    ///
    /// # Errors
    /// The request must not go on, and why.
    fn answer(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<Own, Rejection> {
        self.check(head, body, facts).map(|()| None)
    }

    /// Asks, refuses nothing, and notes what would have been refused; each of several guards is asked.
    fn report(&self, head: Head<'_>, body: &B, facts: &mut Facts, note: &mut Note<'_>) -> Own {
        report::one(self, head, body, facts, note)
    }

    /// What it is called where somebody asks what each guard says.
    fn name(&self) -> &'static str {
        "guard"
    }

    /// As [`answer`](Self::answer), and tells what this guard said, each of several for itself: for whoever explains
    /// a decision.
    ///
    /// # Errors
    /// The request must not go on, and why.
    fn narrate(&self, head: Head<'_>, body: &B, facts: &mut Facts, tell: &mut Tell<'_>) -> Result<Own, Rejection> {
        let said = self.answer(head, body, facts);
        tell(self.name(), &said, facts);
        said
    }
}

/// Hears what a guard of this name said, and what is known of the request then.
pub type Tell<'a> = dyn FnMut(&'static str, &Result<Own, Rejection>, &Facts) + 'a;

/// Notes a refusal that is not enforced.
pub type Note<'a> = dyn FnMut(Rejection, &mut Facts) + 'a;

/// What a guard answers itself, where it does.
pub type Own = Option<Box<Response<Bytes>>>;

/// A request's head, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target.
    pub uri: &'a Uri,
    /// The headers.
    pub headers: &'a HeaderMap,
}

/// Puts a guard in front of a service; clones share the guard.
#[derive(Debug)]
pub struct GuardLayer<G> {
    guard: Arc<G>,
    reporter: Option<Reporter>,
}

/// A service behind a guard.
#[derive(Debug)]
pub struct Guarded<S, G> {
    inner: S,
    guard: Arc<G>,
    /// Where nothing is enforced.
    reporter: Option<Reporter>,
}

pin_project! {
    /// The answer of the service behind the guard, or the guard's own.
    #[derive(Debug)]
    pub struct Answer<F, B> {
        #[pin]
        by: By<F, B>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = ByProjection]
    enum By<F, B> {
        Service { #[pin] future: F },
        Guard { response: Option<Box<Response<B>>> },
    }
}

// === impl Head ===

impl<'a> Head<'a> {
    /// The head of a request.
    #[must_use]
    pub fn of<B>(request: &'a Request<B>) -> Self {
        Self { method: request.method(), uri: request.uri(), headers: request.headers() }
    }
}

// === impl Guard ===

impl<B, G: Guard<B> + ?Sized> Guard<B> for Arc<G> {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        (**self).check(head, body, facts)
    }

    fn answer(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<Own, Rejection> {
        (**self).answer(head, body, facts)
    }

    fn report(&self, head: Head<'_>, body: &B, facts: &mut Facts, note: &mut Note<'_>) -> Own {
        (**self).report(head, body, facts, note)
    }

    fn name(&self) -> &'static str {
        (**self).name()
    }

    fn narrate(&self, head: Head<'_>, body: &B, facts: &mut Facts, tell: &mut Tell<'_>) -> Result<Own, Rejection> {
        (**self).narrate(head, body, facts, tell)
    }
}

/// A guard that may be absent from a configuration: absent, it lets everything through.
impl<B, G: Guard<B>> Guard<B> for Option<G> {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        self.as_ref().map_or(Ok(()), |guard| guard.check(head, body, facts))
    }

    fn answer(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<Own, Rejection> {
        self.as_ref().map_or(Ok(None), |guard| guard.answer(head, body, facts))
    }

    fn report(&self, head: Head<'_>, body: &B, facts: &mut Facts, note: &mut Note<'_>) -> Own {
        self.as_ref().and_then(|guard| guard.report(head, body, facts, note))
    }

    fn narrate(&self, head: Head<'_>, body: &B, facts: &mut Facts, tell: &mut Tell<'_>) -> Result<Own, Rejection> {
        self.as_ref().map_or(Ok(None), |guard| guard.narrate(head, body, facts, tell))
    }
}

/// Every guard of a list has to agree, asked in their order.
impl<B, G: Guard<B>> Guard<B> for Vec<G> {
    fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
        self.iter().try_for_each(|guard| guard.check(head, body, facts))
    }

    fn report(&self, head: Head<'_>, body: &B, facts: &mut Facts, note: &mut Note<'_>) -> Own {
        self.iter().find_map(|guard| guard.report(head, body, facts, note))
    }

    fn narrate(&self, head: Head<'_>, body: &B, facts: &mut Facts, tell: &mut Tell<'_>) -> Result<Own, Rejection> {
        for guard in self {
            if let Some(own) = guard.narrate(head, body, facts, tell)? {
                return Ok(Some(own));
            }
        }
        Ok(None)
    }
}

/// Guards in a row are one guard: each is asked only where those before it agree. One layer of several costs a
/// request less than several layers.
macro_rules! guards_in_a_row {
    ($($guard:ident $at:tt),+) => {
        impl<B, $($guard: Guard<B>),+> Guard<B> for ($($guard,)+) {
            fn check(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<(), Rejection> {
                $(self.$at.check(head, body, facts)?;)+
                Ok(())
            }

            fn answer(&self, head: Head<'_>, body: &B, facts: &mut Facts) -> Result<Own, Rejection> {
                $(if let Some(own) = self.$at.answer(head, body, facts)? {
                    return Ok(Some(own));
                })+
                Ok(None)
            }

            fn report(&self, head: Head<'_>, body: &B, facts: &mut Facts, note: &mut Note<'_>) -> Own {
                $(if let Some(own) = self.$at.report(head, body, facts, note) {
                    return Some(own);
                })+
                None
            }

            fn narrate(
                &self,
                head: Head<'_>,
                body: &B,
                facts: &mut Facts,
                tell: &mut Tell<'_>,
            ) -> Result<Own, Rejection> {
                $(if let Some(own) = self.$at.narrate(head, body, facts, tell)? {
                    return Ok(Some(own));
                })+
                Ok(None)
            }
        }
    };
}

guards_in_a_row!(G0 0, G1 1);
guards_in_a_row!(G0 0, G1 1, G2 2);
guards_in_a_row!(G0 0, G1 1, G2 2, G3 3);
guards_in_a_row!(G0 0, G1 1, G2 2, G3 3, G4 4);
guards_in_a_row!(G0 0, G1 1, G2 2, G3 3, G4 4, G5 5);
guards_in_a_row!(G0 0, G1 1, G2 2, G3 3, G4 4, G5 5, G6 6);

// === impl GuardLayer ===

impl<G> GuardLayer<G> {
    /// A layer of this guard.
    #[must_use]
    pub fn new(guard: G) -> Self {
        Self { guard: Arc::new(guard), reporter: None }
    }

    /// A layer of a guard that something else holds too.
    #[must_use]
    pub fn shared(guard: Arc<G>) -> Self {
        Self { guard, reporter: None }
    }

    /// The same guard, which refuses nothing where there is somebody to report to.
    #[must_use]
    pub fn reporting(self, reporter: Option<Reporter>) -> Self {
        Self { reporter, ..self }
    }
}

impl<G> Clone for GuardLayer<G> {
    fn clone(&self) -> Self {
        Self { guard: Arc::clone(&self.guard), reporter: self.reporter.clone() }
    }
}

impl<S, G> Layer<S> for GuardLayer<G> {
    type Service = Guarded<S, G>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded { inner, guard: Arc::clone(&self.guard), reporter: self.reporter.clone() }
    }
}

// === impl Guarded ===

impl<S: Clone, G> Clone for Guarded<S, G> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), guard: Arc::clone(&self.guard), reporter: self.reporter.clone() }
    }
}

impl<S, G, B, RB> Service<Request<B>> for Guarded<S, G>
where
    S: Service<Request<B>, Response = Response<RB>>,
    G: Guard<B>,
    B: 'static,
    RB: From<Bytes>,
{
    type Response = Response<RB>;
    type Error = S::Error;
    type Future = Answer<S::Future, RB>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match ask(&*self.guard, self.reporter.as_ref(), request) {
            Ok(request) => Answer { by: By::Service { future: self.inner.call(request) } },
            Err(response) => Answer { by: By::Guard { response: Some(response) } },
        }
    }
}

/// Asks a guard: gives the request back with its facts, or the response that refuses it or is the guard's own.
pub(super) fn ask<B: 'static, RB: From<Bytes>>(
    guard: &impl Guard<B>,
    reporter: Option<&Reporter>,
    request: Request<B>,
) -> Result<Request<B>, Box<Response<RB>>> {
    let (mut parts, body) = request.into_parts();
    let facts = parts.extensions.get_or_insert_default::<Facts>();
    let head = Head { method: &parts.method, uri: &parts.uri, headers: &parts.headers };
    let said = match reporter {
        None => guard.answer(head, &body, facts),
        Some(reporter) => Ok(reporter.ask(guard, head, &body, facts, || whole_body(&body))),
    };
    match said {
        Ok(None) => Ok(Request::from_parts(parts, body)),
        Ok(Some(own)) => Err(Box::new(own.map(RB::from))),
        Err(rejection) => {
            let client = facts.client;
            let refused = Refused {
                rejection,
                method: parts.method,
                uri: parts.uri,
                headers: parts.headers,
                body: whole_body(&body),
                client,
            };
            Err(Box::new(refuse(refused)))
        }
    }
}

/// The response of a refusal, with the [`Refused`] in its extensions.
#[must_use]
pub fn refuse<RB: From<Bytes>>(refused: Refused) -> Response<RB> {
    let mut response = refused.rejection.to_response();
    response.extensions_mut().insert(refused);
    response
}

/// The body for the ledger, where it is in memory.
fn whole_body<B: 'static>(body: &B) -> Bytes {
    let body = body as &dyn std::any::Any;
    let received = || body.downcast_ref::<Received>().map(Received::kept_bytes);
    body.downcast_ref::<Buffered>().map(|body| body.bytes().clone()).or_else(received).unwrap_or_default()
}

// === impl Answer ===

impl<F, B, E> Future for Answer<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().by.project() {
            ByProjection::Service { future } => Poll::Ready(ready!(future.poll(context))),
            // Polled again after the end, it waits for ever: nothing is left to say.
            ByProjection::Guard { response } => {
                response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(*response)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::StatusCode;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::domain::Reason;

    struct Says(Result<(), Rejection>);

    impl<B> Guard<B> for Says {
        fn check(&self, _head: Head<'_>, _body: &B, facts: &mut Facts) -> Result<(), Rejection> {
            facts.event_type = Some("seen".into());
            self.0.clone()
        }
    }

    async fn answer(guard: Says, request: Request<Buffered>) -> Response<Bytes> {
        let app = service_fn(|request: Request<Buffered>| async move {
            let facts = request.extensions().get::<Facts>().cloned().unwrap_or_default();
            Ok::<_, Infallible>(Response::new(Bytes::from(facts.event_type.unwrap_or_default().into_string())))
        });
        GuardLayer::new(guard).layer(app).oneshot(request).await.expect("infallible")
    }

    #[tokio::test]
    async fn what_a_guard_found_reaches_the_service() {
        let response = answer(Says(Ok(())), Request::new(Buffered::default())).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.body(), "seen");
    }

    #[tokio::test]
    async fn the_first_of_several_guards_that_refuses_is_the_last_to_be_asked() {
        struct Counts<'a>(&'a std::cell::Cell<u32>, Result<(), Rejection>);
        impl<B> Guard<B> for Counts<'_> {
            fn check(&self, _head: Head<'_>, _body: &B, _facts: &mut Facts) -> Result<(), Rejection> {
                self.0.set(self.0.get() + 1);
                self.1.clone()
            }
        }
        let asked = std::cell::Cell::new(0);
        let no = Rejection::new(Reason::AddressNotAllowed, "no");
        let guards = (Counts(&asked, Ok(())), Counts(&asked, Err(no.clone())), Counts(&asked, Ok(())));
        let request = Request::new(());
        let answer = guards.check(Head::of(&request), &(), &mut Facts::default());
        assert_eq!((answer, asked.get()), (Err(no), 2));
    }

    #[test]
    fn each_guard_in_a_row_is_heard_until_one_refuses() {
        let no = Rejection::new(Reason::AddressNotAllowed, "no");
        let guards = (vec![Says(Ok(())), Says(Ok(()))], None::<Says>, Says(Err(no.clone())), Says(Ok(())));
        let (request, mut heard) = (Request::new(()), Vec::new());
        let mut tell = |name: &'static str, said: &Result<Own, Rejection>, facts: &Facts| {
            heard.push((name, said.is_ok(), facts.event_type.is_some()));
        };
        let said = guards.narrate(Head::of(&request), &(), &mut Facts::default(), &mut tell);
        assert_eq!(said.map(|_| ()), Err(no));
        assert_eq!(heard, [("guard", true, true), ("guard", true, true), ("guard", false, true)]);
    }

    #[tokio::test]
    async fn a_refusal_carries_the_request_for_the_ledger() {
        let rejection = Rejection::new(Reason::SignatureMismatch, "no secret makes it");
        let mut request =
            Request::post("/hook?a=b").header("x-a", "b").body(Buffered::from(Bytes::from("body"))).expect("a request");
        request.extensions_mut().insert(Facts { client: Some([192, 0, 2, 1].into()), ..Facts::default() });
        let response = answer(Says(Err(rejection.clone())), request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let refused = response.extensions().get::<Refused>().expect("in the extensions");
        assert_eq!(refused.rejection, rejection);
        assert_eq!((refused.method.as_str(), refused.uri.to_string().as_str()), ("POST", "/hook?a=b"));
        assert_eq!((refused.headers.len(), &*refused.body), (1, b"body".as_slice()));
        assert_eq!(refused.client, Some([192, 0, 2, 1].into()));
        assert!(!String::from_utf8_lossy(response.body()).contains("no secret"));
    }
}
