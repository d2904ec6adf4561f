//! A request from files and options: for the verbs that look at one instead of sending it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};

use super::Failure;
use crate::domain::Timestamp;

/// What makes the request.
#[derive(Debug, clap::Args)]
pub(super) struct RequestArgs {
    /// The whole request, `-` for standard input: request line, headers, an empty line, body, as `hookward sign` prints it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["body", "headers_file", "headers", "method"])]
    pub(super) request: Option<PathBuf>,
    /// The body's bytes; without it and without --request, standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) body: Option<PathBuf>,
    /// A file with headers, `Name: value` a line.
    #[arg(long = "headers", value_name = "FILE")]
    headers_file: Option<PathBuf>,
    /// A header, `Name: value`.
    #[arg(long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    #[arg(long, default_value = "POST")]
    method: String,
    /// The URL as the sender calls it, with its query.
    #[arg(long)]
    pub(super) url: Option<String>,
}

/// The most that is read of a file or of standard input, in bytes.
const INPUT_BYTES_MAX: u64 = 64 << 20;

// === impl RequestArgs ===

impl RequestArgs {
    /// The request.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or something is not written as HTTP writes it.
    pub(super) fn read(&self) -> Result<Request<Bytes>, Failure> {
        let url = self.url.as_deref().map(target).transpose()?;
        if let Some(file) = &self.request {
            let mut request = message(&input(Some(file))?)?;
            if let Some(url) = url {
                *request.uri_mut() = url;
            }
            return Ok(request);
        }
        let method: Method = self.method.parse().map_err(|error| Failure::Usage(format!("--method: {error}")))?;
        let mut headers = HeaderMap::new();
        if let Some(file) = &self.headers_file {
            let text = input(Some(file))?;
            for line in lines(&text) {
                append(&mut headers, line).map_err(|why| Failure::Failed(format!("{}: {why}", file.display())))?;
            }
        }
        for header in &self.headers {
            append(&mut headers, header.as_bytes()).map_err(|why| Failure::Usage(format!("--header: {why}")))?;
        }
        let body = Bytes::from(input(self.body.as_deref())?);
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url.unwrap_or_else(|| Uri::from_static("/"));
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// What the sender calls us, without a query: `--url`, else by the request's own host.
    pub(super) fn public_url(&self, request: &Request<Bytes>) -> Box<str> {
        if let Some(url) = &self.url {
            return url.split(['?', '#']).next().unwrap_or_default().into();
        }
        let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
        format!("https://{}{}", host.unwrap_or("localhost"), request.uri().path()).into()
    }
}

/// A time that was written as RFC 3339.
///
/// # Errors
///
/// It is none.
pub(super) fn time(option: &str, text: &str) -> Result<Timestamp, Failure> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|error| Failure::Usage(format!("{option}: {error}; write it like 2026-01-02T15:04:05Z")))?;
    let milliseconds = u64::try_from(time.as_millisecond());
    milliseconds.map(Timestamp).map_err(|_before_1970| Failure::Usage(format!("{option}: before 1970")))
}

/// Path and query of a URL.
fn target(url: &str) -> Result<Uri, Failure> {
    let uri: Uri = url.parse().map_err(|error| Failure::Usage(format!("--url: {error}")))?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    target.parse().map_err(|error| Failure::Usage(format!("--url: {error}")))
}

/// The bytes of a file, or of standard input.
pub(super) fn input(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let named = file.filter(|file| *file != Path::new("-"));
    let name = named.map_or_else(|| "standard input".to_owned(), |file| file.display().to_string());
    let failed = |error: std::io::Error| Failure::Failed(format!("{name}: {error}"));
    let mut bytes = Vec::new();
    let read = match named {
        Some(file) => std::fs::File::open(file).map_err(failed)?.take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes),
        None => std::io::stdin().take(INPUT_BYTES_MAX + 1).read_to_end(&mut bytes),
    };
    read.map_err(failed)?;
    if bytes.len() as u64 > INPUT_BYTES_MAX {
        return Err(Failure::Failed(format!("{name}: larger than {} MiB", INPUT_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

/// A message of HTTP/1.1, its lines ended by LF or CRLF; the version may be left out.
fn message(bytes: &[u8]) -> Result<Request<Bytes>, Failure> {
    let not = |why: &str| Failure::Failed(format!("--request: {why}"));
    let ends = [&b"\r\n\r\n"[..], b"\n\n"];
    let end = ends.iter().filter_map(|end| Some((memchr::memmem::find(bytes, end)?, end.len()))).min();
    let (head, body) = match end {
        Some((at, length)) => (bytes.get(..at), bytes.get(at + length..)),
        None => (Some(bytes), None),
    };
    let mut lines = lines(head.unwrap_or_default());
    let line = lines.next().map(String::from_utf8_lossy).ok_or_else(|| not("it is empty"))?;
    let mut words = line.split_ascii_whitespace();
    let (method, target) = (words.next().unwrap_or_default(), words.next());
    let target = target.ok_or_else(|| not("its first line is not `METHOD TARGET`"))?;
    let mut request = Request::builder().method(method).uri(target).body(Bytes::new());
    if let Ok(request) = &mut request {
        *request.body_mut() = Bytes::copy_from_slice(body.unwrap_or_default());
        for line in lines {
            append(request.headers_mut(), line).map_err(|why| not(&why))?;
        }
    }
    request.map_err(|error| not(&format!("its first line: {error}")))
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
}

/// Adds a header that was written as a line.
pub(super) fn append(headers: &mut HeaderMap, line: &[u8]) -> Result<(), String> {
    let not = || format!("not `Name: value`: {}", line.escape_ascii());
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(not)?;
    let (name, value) = line.split_at_checked(colon).ok_or_else(not)?;
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let name = HeaderName::from_bytes(name.trim_ascii()).map_err(|_not_a_name| not())?;
    headers.append(name, HeaderValue::from_bytes(value).map_err(|_not_a_value| not())?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(&str, &str, usize, &str), &str>) {
        match (message(text.as_bytes()), expected) {
            (Ok(request), Ok((method, target, headers, body))) => {
                let target = (request.method().as_str(), &*request.uri().to_string(), request.headers().len())
                    == (method, target, headers);
                assert!(target, "{request:?}");
                assert_eq!(request.body(), body.as_bytes());
            }
            (Err(error), Err(words)) => assert!(error.to_string().contains(words), "{error}"),
            (got, _) => panic!("{text}: {got:?}"),
        }
    }

    #[test]
    fn messages_are_read_as_sign_prints_them_and_as_they_go_over_the_wire() {
        check("POST /in?a=b\nx-a: 1\n\n{\n\n}", Ok(("POST", "/in?a=b", 1, "{\n\n}")));
        check("POST /in HTTP/1.1\r\nHost: a\r\nX-A:  1 \r\n\r\n\n\nbody", Ok(("POST", "/in", 2, "\n\nbody")));
        check("GET /in", Ok(("GET", "/in", 0, "")));
        check("", Err("it is empty"));
        check("POST", Err("METHOD TARGET"));
        check("POST /in\nnonsense\n\n", Err("not `Name: value`: nonsense"));
    }
}
