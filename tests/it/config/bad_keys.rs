//! Keys and shapes: unknown keys, keys of features that are not built, values of the wrong kind.

use super::{check, destination, refused, source};

#[test]
fn unknown_keys_are_refused() {
    check("‸ingres: { listen: x }\n", "ingres", "unknown key");
    check("ingress: { ‸lissten: x }\n", "ingress.lissten", "unknown key");
    check("admin: { ‸token: SECRET }\n", "admin.token", "unknown key");
    check("store: { retention: { ‸event: 1d } }\n", "store.retention.event", "unknown key");
    source("‸ip: 1", "ip", "unknown key");
    source("‸Methods: [POST]", "Methods", "unknown key");
    check(
        "sources: { a: { path: /a, verify: { scheme: appmint, secrets: [SECRET], ‸secret: SECRET } } }\n",
        "sources.a.verify.secret",
        "unknown key",
    );
    check("routes: [{ from: a, to: b, ‸type: x }]\n", "routes[0].type", "unknown key");
    destination("‸uri: x", "uri", "unknown key");
    check("‸\"a.b\": 1\n", "\"a.b\"", "unknown key");
}

#[test]
fn an_unknown_key_names_the_likeliest_one() {
    let error = super::load("ingres: {}\n", &super::no_variables).unwrap_err();
    assert!(error.to_string().contains("did you mean `ingress`?"), "{error}");
    let error = super::load("ingress: { zzz: 1 }\n", &super::no_variables).unwrap_err();
    assert!(error.to_string().contains("known here: listen, trusted_proxies"), "{error}");
}

#[test]
fn keys_of_features_that_are_not_built_are_refused_by_name() {
    let not_built = "not built yet: ";
    source("‸validate: { schema: x }", "validate", not_built);
    check(
        "sources: { a: { path: /a, verify: { scheme: ‸fusionauth, secrets: [SECRET] } } }\n",
        "sources.a.verify.scheme",
        not_built,
    );
    check("routes: [{ from: a, to: b, ‸when: 'event.data.amount > 1' }]\n", "routes[0].when", not_built);
    for key in ["batch", "tls", "proxy"] {
        destination(&format!("‸{key}: {{}}"), key, not_built);
    }
    destination("url: 'http://b', order: { by: ‸type }", "order.by", not_built);
}

#[test]
fn values_of_another_shape_are_refused_without_being_shown() {
    check("ingress: ‸SECRET\n", "ingress", "expected a mapping");
    check("ingress: ‸[SECRET]\n", "ingress", "found a list");
    check("admin: { tokens: ‸SECRET }\n", "admin.tokens", "expected a list");
    check("sources: { a: ‸SECRET }\n", "sources.a", "expected a mapping");
    check("sources: { a: { path: /a, verify: ‸SECRET } }\n", "sources.a.verify", "expected a mapping");
    check(
        "sources: { a: { path: /a, verify: { scheme: appmint, secrets: ‸{ x: SECRET } } } }\n",
        "sources.a.verify.secrets",
        "found a mapping",
    );
    check("routes: ‸{ from: a }\n", "routes", "expected a list");
    check("ingress: { listen: ‸[SECRET] }\n", "ingress.listen", "expected a text");
}

#[test]
fn a_key_without_a_value_is_refused_at_the_key() {
    check("‸ingress:\n", "ingress", "there is no value");
    check("ingress: { ‸listen: ~ }\n", "ingress.listen", "there is no value");
    check("ingress: { ‸listen: null }\n", "ingress.listen", "there is no value");
    check("routes:\n  - from: a\n    ‸to:\n", "routes[0].to", "there is no value");
    check("sources: { a: { path: /a, ‸verify: } }\n", "sources.a.verify", "there is no value");
}

#[test]
fn what_must_be_there_is_asked_for() {
    check("sources: { ‸a: { verify: { scheme: none } } }\n", "sources.a.path", "`path` is missing");
    check("sources: { ‸a: { path: /a } }\n", "sources.a.verify", "`verify` is missing");
    check("sources: { a: { path: /a, ‸verify: {} } }\n", "sources.a.verify.scheme", "`scheme` is missing");
    check("routes: [‸{ to: b }]\n", "routes[0].from", "`from` is missing");
    check("routes: [‸{ from: a }]\n", "routes[0].to", "`to` is missing");
    check("destinations: { ‸b: {} }\n", "destinations.b.url", "`url` is missing");
    check("admin: { tokens: [‸{ name: a, role: admin }] }\n", "admin.tokens[0].token", "`token` is missing");
    source("‸rate_limit: { requests: 5 }", "rate_limit.per", "`per` is missing");
}

#[test]
fn numbers_and_quantities_say_what_they_want() {
    check("ingress: { connections_max: ‸many }\n", "ingress.connections_max", "a whole number");
    check("ingress: { connections_max: ‸-1 }\n", "ingress.connections_max", "a whole number");
    check("ingress: { connections_max: ‸1.5 }\n", "ingress.connections_max", "a whole number");
    check("ingress: { connections_max: ‸99999999999 }\n", "ingress.connections_max", "a whole number");
    check("ingress: { header_timeout: ‸5 }\n", "ingress.header_timeout", "unit is missing");
    check("ingress: { header_timeout: ‸5 minutes }\n", "ingress.header_timeout", "not a duration");
    check("ingress: { header_timeout: ‸9999999d }\n", "ingress.header_timeout", "longer than 3650d");
    check("ingress: { body_bytes_max: ‸1024 }\n", "ingress.body_bytes_max", "unit is missing");
    check("ingress: { body_bytes_max: ‸1m }\n", "ingress.body_bytes_max", "not a size");
    destination("discard: ‸maybe", "discard", "`true` or `false`");
    destination("url: 'http://b', retry: { jitter: ‸x }", "retry.jitter", "a number");
    check("store: { durability: ‸loose }\n", "store.durability", "not one of `strict`, `relaxed`");
}

#[test]
fn several_problems_are_told_at_once() {
    refused(
        "ingress: { ‸listn: x, header_timeout: ‸5 }\nadmin: ‸[x]\nroutes: [{ from: a, to: [], ‸when: x }]\n",
        &[
            ("ingress.listn", "unknown key"),
            ("ingress.header_timeout", "unit is missing"),
            ("admin", "expected a mapping"),
            ("routes[0].when", "not built yet"),
        ],
    );
}
