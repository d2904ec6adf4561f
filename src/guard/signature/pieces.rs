//! The pieces of a template that have to be made before anything is hashed: URLs, forms, fields of the body.
//!
//! Most schemes have none of them and pay nothing for it.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use url::form_urlencoded;

use super::read::{field, malformed};
use super::scheme::{Signatures, UrlForm};
use super::template::Part;
use crate::domain::{Reason, Rejection};
use crate::guard::layer::Head;

/// The parameter of the query that holds the body's hash where the body is no form.
const BODY_HASH: &str = "bodySHA256";

/// What a sender may call the source: the URLs that are tried, without query.
pub(super) fn urls(public_url: Option<&str>, form: UrlForm) -> Vec<Box<str>> {
    let url = public_url.unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://").filter(|_| form == UrlForm::WithOrWithoutPort) else {
        return vec![url.into()];
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    // A colon within brackets belongs to an address, not to a port.
    let port = host.rfind(':').filter(|at| *at > host.rfind(']').unwrap_or(0));
    let bare = host.get(..port.unwrap_or(host.len())).unwrap_or_default();
    let usual = if scheme.eq_ignore_ascii_case("http") { ":80" } else { ":443" };
    let port = port.and_then(|at| host.get(at..)).unwrap_or(usual);
    vec![format!("{scheme}://{bare}{path}").into(), format!("{scheme}://{bare}{port}{path}").into()]
}

/// The pieces of the template in their order.
///
/// # Errors
/// The body has no such field, or is covered by nothing.
pub(super) fn pieces<'a>(
    signatures: &Signatures,
    url: &str,
    head: Head<'_>,
    body: &'a [u8],
) -> Result<Vec<Cow<'a, str>>, Rejection> {
    let mut pieces = Vec::new();
    for part in signatures.signed.parts() {
        match part {
            Part::Field(pointer) => pieces.push(field(body, pointer)?),
            Part::Form => pieces.push(Cow::Owned(form(head, body)?)),
            Part::Url if signatures.url == UrlForm::Unescaped => pieces.push(Cow::Owned(unescaped(url, head))),
            _ => {}
        }
    }
    Ok(pieces)
}

/// Whether a part is one of those that [`pieces`] makes.
pub(super) fn is_piece(part: &Part, form: UrlForm) -> bool {
    match part {
        Part::Field(_) | Part::Form => true,
        Part::Url => form == UrlForm::Unescaped,
        Part::Literal(_) | Part::Body | Part::Timestamp | Part::Id | Part::Method => false,
    }
}

/// Each name with its value, sorted, and each value of a repeated name once.
///
/// # Errors
/// Neither is the body a form, nor does the query hold its hash: nothing covers the body.
fn form(head: Head<'_>, body: &[u8]) -> Result<String, Rejection> {
    let query = head.uri.query().unwrap_or_default();
    if let Some((_, hash)) = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == BODY_HASH) {
        let expected = hex::encode(Sha256::digest(body));
        return match bool::from(expected.as_bytes().ct_eq(hash.as_bytes())) {
            true => Ok(String::new()),
            false => Err(Rejection::new(Reason::SignatureMismatch, format!("{BODY_HASH} is not the body's hash"))),
        };
    }
    let kind = head.headers.get(CONTENT_TYPE).map(|kind| kind.as_bytes()).unwrap_or_default();
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    if !kind.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        return match body.is_empty() {
            true => Ok(String::new()),
            false => Err(malformed(format!("the body is no form and the query has no {BODY_HASH}: nothing covers it"))),
        };
    }
    let mut parameters: Vec<_> = form_urlencoded::parse(body).collect();
    parameters.sort();
    parameters.dedup();
    let mut text = String::with_capacity(body.len());
    for (name, value) in parameters {
        text.push_str(&name);
        text.push_str(&value);
    }
    Ok(text)
}

/// The URL with its query, and the escapes undone that HubSpot undoes before it signs.
fn unescaped(url: &str, head: Head<'_>) -> String {
    let query = head.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut text = String::with_capacity(url.len() + query.len());
    let whole = format!("{url}{query}");
    let mut rest = whole.as_str();
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        text.push_str(before);
        let code = escape.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok()).map(char::from);
        match code.filter(|code| ":/?@!$'()*,;".contains(*code)) {
            Some(code) => {
                text.push(code);
                rest = escape.get(3..).unwrap_or_default();
            }
            None => {
                text.push('%');
                rest = escape.get(1..).unwrap_or_default();
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[track_caller]
    fn check_form(uri: &str, kind: &str, body: &str, expected: Result<&str, Reason>) {
        let request = Request::post(uri).header("content-type", kind).body(()).expect("a request");
        let form = form(Head::of(&request), body.as_bytes()).map_err(|rejection| rejection.reason);
        assert_eq!(form.as_deref().map_err(|reason| *reason), expected, "{uri} {body}");
    }

    #[test]
    fn forms_are_sorted_and_what_is_no_form_needs_its_hash() {
        const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";
        check_form("/", FORM, "To=%2B1&From=a+b&Body=", Ok("BodyFroma bTo+1"));
        check_form("/", FORM, "b=2&a=1&b=1&b=2", Ok("a1b1b2"));
        check_form("/", FORM, "", Ok(""));
        check_form("/", "application/json", "", Ok(""));
        check_form("/", "application/json", "{}", Err(Reason::SignatureMalformed));
        let hash = hex::encode(Sha256::digest(b"{}"));
        check_form(&format!("/?a=b&bodySHA256={hash}"), "application/json", "{}", Ok(""));
        check_form(&format!("/?bodySHA256={hash}"), "application/json", "{ }", Err(Reason::SignatureMismatch));
        check_form(&format!("/?bodySHA256={hash}"), FORM, "a=b", Err(Reason::SignatureMismatch));
    }

    #[test]
    fn a_port_may_stand_in_the_url_or_not() {
        let urls = |url: &str| urls(Some(url), UrlForm::WithOrWithoutPort).join(" ");
        assert_eq!(urls("https://a.example/x"), "https://a.example/x https://a.example:443/x");
        assert_eq!(urls("http://a.example"), "http://a.example http://a.example:80");
        assert_eq!(urls("https://a.example:8443/x"), "https://a.example/x https://a.example:8443/x");
        assert_eq!(urls("https://[::1]/x"), "https://[::1]/x https://[::1]:443/x");
        assert_eq!(
            super::urls(Some("https://a.example:1/"), UrlForm::AsIs),
            [Box::<str>::from("https://a.example:1/")]
        );
    }

    #[test]
    fn only_what_may_stand_in_a_url_is_unescaped() {
        let request = Request::post("/x?a=%3A%2f%40%20%25&b=%").body(()).expect("a request");
        assert_eq!(unescaped("https://h/%21", Head::of(&request)), "https://h/!?a=:/@%20%25&b=%");
    }
}
