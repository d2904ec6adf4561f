//! Role `limit`: a bare hyper server that reads the body, verifies the HMAC and answers 200. Nothing is kept or sent
//! on: what any gateway on hyper would reach if its own work cost nothing.

use std::convert::Infallible;

use bytes::Bytes;
use hmac::Mac;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use crate::control::{say, serve};
use crate::event::{Signer, signer};

/// Runs until stdin ends. Says `port N` first.
pub(crate) fn run() {
    serve(|_| None);
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(accept());
}

async fn accept() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    say(&format!("port {}", listener.local_addr().expect("a bound address").port()));
    let keyed = signer();
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        let keyed = keyed.clone();
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(request, keyed.clone()));
            // An error here is a connection that the sender closed.
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service).await);
        });
    }
}

async fn answer(request: Request<Incoming>, mut keyed: Signer) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let mut claimed = [0_u8; 32];
    let well_formed = head
        .headers
        .get("x-appmint-signature")
        .and_then(|value| value.as_bytes().strip_prefix(b"sha256="))
        .is_some_and(|text| hex::decode_to_slice(text, &mut claimed).is_ok());
    let genuine = match body.collect().await {
        Ok(body) if well_formed => {
            keyed.update(&body.to_bytes());
            keyed.verify_slice(&claimed).is_ok()
        }
        _ => false,
    };
    let (status, text) = if genuine { (StatusCode::OK, "OK") } else { (StatusCode::UNAUTHORIZED, "") };
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    Ok(response)
}
