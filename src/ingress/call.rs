//! Calls a service in place where it is ready, and a clone of it where it has to be waited for.
//!
//! A clone for each request, as tower's `Oneshot` wants one, costs a shared counter for each layer of a stack, and each
//! of those a trip between the processor's cores.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;
use tower::util::{Oneshot, ServiceExt as _};
use tower_service::Service;

pin_project! {
    /// The service's answer.
    pub struct Call<S, R>
    where
        S: Service<R>,
    {
        #[pin]
        way: Way<S, R>,
    }
}

pin_project! {
    #[project = WayProjection]
    enum Way<S, R>
    where
        S: Service<R>,
    {
        InPlace { #[pin] future: S::Future },
        Waiting { #[pin] future: Oneshot<S, R> },
    }
}

// === impl Call ===

impl<S: Service<R> + Clone, R> Call<S, R> {
    /// Calls `service` with `request`.
    pub(super) fn new(service: &mut S, request: R) -> Self {
        let way = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Way::InPlace { future: service.call(request) },
            // An error is found once more by the clone, whose future can tell it.
            Poll::Ready(Err(_)) | Poll::Pending => Way::Waiting { future: service.clone().oneshot(request) },
        };
        Self { way }
    }
}

impl<S: Service<R>, R> Future for Call<S, R> {
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().way.project() {
            WayProjection::InPlace { future } => future.poll(context),
            WayProjection::Waiting { future } => future.poll(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::{Ready, ready};

    use super::*;

    /// Takes one request, and then only clones of it do; answers with the generation that was called.
    struct OneEach {
        generation: u32,
        taken: bool,
    }

    impl Clone for OneEach {
        fn clone(&self) -> Self {
            Self { generation: self.generation + 1, taken: false }
        }
    }

    impl Service<()> for OneEach {
        type Response = u32;
        type Error = Infallible;
        type Future = Ready<Result<u32, Infallible>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            if self.taken { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn call(&mut self, (): ()) -> Self::Future {
            self.taken = true;
            ready(Ok(self.generation))
        }
    }

    #[tokio::test]
    async fn a_ready_service_is_called_in_place_and_a_busy_one_through_a_clone() {
        let mut service = OneEach { generation: 0, taken: false };
        let (first, second) = (Call::new(&mut service, ()), Call::new(&mut service, ()));
        assert_eq!((first.await, second.await), (Ok(0), Ok(1)));
    }
}
