//! Values that cannot be meant, and values that contradict each other.

use super::{MARK, check, destination, refused, source};

/// A problem in the `verify` of a source; without a mark, at the key itself.
#[track_caller]
fn verify(settings: &str, key: &str, fragment: &str) {
    let path = format!("sources.a.verify.{key}");
    let mark = if settings.contains(MARK) { "" } else { "‸" };
    check(&format!("sources: {{ a: {{ path: /a, {mark}verify: {{ {settings} }} }} }}\n"), &path, fragment);
}

/// A problem in the route from `a` to `b`.
#[track_caller]
fn route(route: &str, path: &str, fragment: &str) {
    check(&format!("destinations: {{ b: {{ discard: true }} }}\nroutes: [{route}]\n"), path, fragment);
}

#[test]
fn addresses_and_ports_must_make_sense() {
    check("ingress: { listen: ‸8080 }\n", "ingress.listen", "not an address");
    check("ingress: { listen: ‸'localhost:8080' }\n", "ingress.listen", "not an address");
    check("ingress: { trusted_proxies: [‸10.0.0.0/33] }\n", "ingress.trusted_proxies[0]", "neither an address");
    check("ingress: { proxy_protocol: ‸v1 }\n", "ingress.proxy_protocol", "trusted_proxies only, and there are none");
    check("ingress: { proxy_protocol: ‸v3, trusted_proxies: [10.0.0.1] }\n", "ingress.proxy_protocol", "not one of");
    check("admin: { ‸listen: '0.0.0.0:8081' }\n", "admin.listen", "no tokens");
    check("admin: { ‸listen: '[::]:8081', tokens: [] }\n", "admin.listen", "no tokens");
    check("admin: { ‸listen: '127.0.0.1:8080' }\n", "admin.listen", "same port as ingress");
    check(
        "ingress: { listen: '127.0.0.1:9' }\nadmin: { ‸listen: '127.0.0.1:9' }\n",
        "admin.listen",
        "same port as ingress",
    );
}

#[test]
fn limits_must_agree() {
    check("ingress: { connections_max: ‸0 }\n", "ingress.connections_max", "zero");
    check("ingress: { headers_bytes_max: ‸1KiB }\n", "ingress.headers_bytes_max", "out of bounds");
    check("ingress: { headers_bytes_max: ‸1GiB }\n", "ingress.headers_bytes_max", "out of bounds");
    check("ingress: { body_bytes_max: ‸0B }\n", "ingress.body_bytes_max", "out of bounds");
    check("ingress: { ‸body_memory_max: 1KiB }\n", "ingress.body_memory_max", "smaller than body_bytes_max");
    let app = "path: /a, mode: proxy, app: 'http://app.example'";
    for (settings, source) in [
        ("body_spool_max: 4MiB", format!("{app}, ‸body_bytes_max: 5MiB, verify: {{ scheme: none }}")),
        // What nobody wrote: the most that the provider sends, and what the ingress takes.
        ("body_spool_max: 24MiB", format!("{app}, verify: {{ scheme: github, secrets: [xyz] }}")),
        ("body_spool_max: 1MiB, body_bytes_max: 2MiB", format!("{app}, verify: {{ scheme: none }}")),
    ] {
        let mark = if source.contains(MARK) { "" } else { "‸" };
        let text = format!("ingress: {{ {settings} }}\nsources: {{ {mark}a: {{ {source} }} }}\n");
        check(&text, "sources.a.body_bytes_max", "more than ingress.body_spool_max");
    }
    check("ingress: { ‸header_timeout: 9s }\n", "ingress.header_timeout", "longer than request_timeout");
    check("ingress: { request_timeout: ‸0s }\n", "ingress.request_timeout", "zero");
}

#[test]
fn admin_tokens_must_be_worth_something() {
    let token = |token: &str| format!("admin: {{ tokens: [{token}] }}\n");
    let long = "SECRET";
    check(&token("{ name: a, token: ‸'', role: admin }"), "admin.tokens[0].token", "empty");
    check(&token("{ name: a, token: ‸short, role: admin }"), "admin.tokens[0].token", "shorter than 16");
    check(&token(&format!("{{ name: ‸'a b', token: {long}, role: admin }}")), "admin.tokens[0].name", "not a name");
    check(&token(&format!("{{ name: a, token: {long}, role: ‸root }}")), "admin.tokens[0].role", "not one of");
    let bound = |project: &str| token(&format!("{{ name: a, token: {long}, role: admin, project: {project} }}"));
    check(&bound("‸'a b'"), "admin.tokens[0].project", "not a name of a project");
    check(&bound("‸''"), "admin.tokens[0].project", "not a name of a project");
    let twice = format!("{{ name: a, token: {long}, role: admin }}, {{ name: ‸a, token: {long}2, role: viewer }}");
    check(&token(&twice), "admin.tokens[1].name", "two tokens");
    let same = format!("{{ name: a, token: {long}, role: admin }}, {{ name: b, token: ‸{long}, role: viewer }}");
    check(&token(&same), "admin.tokens[1].token", "two tokens are the same");
}

#[test]
fn the_store_at_redis_must_be_whole() {
    let redis = |rest: &str, path: &str, fragment: &str| {
        check(&format!("store: {{ engine: redis, url: 'redis://r', {rest} }}\n"), path, fragment);
    };
    check("store: { engine: ‸redis }\n", "store.engine", "nothing says where Redis is");
    check("store: { url: ‸'redis://:SECRET@x' }\n", "store.url", "of the redis engine");
    check("store: { shards: ‸2 }\n", "store.shards", "of the redis engine");
    check("store: { engine: redis, url: ‸'http://:SECRET@x' }\n", "store.url", "not the URL of a Redis server");
    check("store: { engine: redis, url: ‸'redis://:SECRET@x/db' }\n", "store.url", "invalid database number");
    check("store: { engine: redis, url: ‸'rediss://x#insecure' }\n", "store.url", "fragment");
    redis("tls: ‸{}", "store.tls", "not `rediss://`");
    redis("key_prefix: ‸'{a}'", "store.key_prefix", "not a prefix");
    redis("sentinels: ‸[]", "store.sentinels", "no sentinel");
    redis("sentinels: [‸'http://:SECRET@x']", "store.sentinels[0]", "not the URL of a Redis server");
    redis("sentinels: [‸'unix:///s']", "store.sentinels[0]", "over TCP");
    redis("cluster: ‸true, sentinels: ['redis://s']", "store.cluster", "a cluster and sentinels");
    redis("nodes: ‸['redis://s']", "store.nodes", "and no cluster");
    redis("cluster: true, nodes: [‸'unix:///s']", "store.nodes[0]", "over TCP");
    redis("shards: ‸0", "store.shards", "out of bounds");
    redis("shards: ‸33", "store.shards", "out of bounds");
    redis("disk_free_min: ‸1MiB", "store.disk_free_min", "of the embedded engine");
}

#[test]
fn the_store_must_be_able_to_keep() {
    check("store: { path: ‸'' }\n", "store.path", "not a folder");
    check("store: { retention: { events: ‸0s } }\n", "store.retention.events", "zero");
    check("store: { retention: { rejections: ‸0d } }\n", "store.retention.rejections", "zero");
    check("store: { bytes_max: ‸1KiB }\n", "store.bytes_max", "out of bounds");
}

#[test]
fn there_must_be_a_source() {
    refused("‸sources: {}\n", &[("sources", "there are no sources")]);
}

#[test]
fn names_and_paths_must_be_clean() {
    let path = |path: &str| format!("sources: {{ a: {{ path: ‸{path}, verify: {{ scheme: none }} }} }}\n");
    check("sources: { ‸'a b': { path: /a, verify: { scheme: none } } }\n", "sources.\"a b\"", "not a name");
    check("destinations: { ‸-b: { discard: true } }\n", "destinations.-b", "not a name");
    for bad in ["a", "'/a?b'", "'/a#b'", "'/{a}'", "'/a b'", "/ä", "''", "/a%zz", "/a%", "/a%00", "'/a\\b'", "'/a<b'"]
    {
        check(&path(bad), "sources.a.path", "not a path");
    }
    check(
        "sources:\n  a: { path: /a, verify: { scheme: none } }\n  b: { path: ‸/a, verify: { scheme: none } }\n",
        "sources.b.path",
        "the source `a` has this path",
    );
}

#[test]
fn guards_must_let_something_through() {
    source("methods: ‸[]", "methods", "empty");
    source("methods: [‸TRACE]", "methods[0]", "not a method");
    source("methods: [POST, ‸POST]", "methods[1]", "twice");
    source("content_types: ‸[]", "content_types", "empty");
    source("content_types: [‸'application/json; charset=utf-8']", "content_types[0]", "not a content type");
    source("body_bytes_max: ‸1GiB", "body_bytes_max", "out of bounds");
    source("allow_ips: ‸[]", "allow_ips", "nobody could send");
    let feed = |settings: &str, key: &str, fragment: &str| {
        source(&format!("allow_ips: [{{ feed: {settings} }}]"), &format!("allow_ips[0].feed{key}"), fragment);
    };
    feed("‸nobody", "", "no list of this name is known");
    feed("{ url: ‸nonsense }", ".url", "not a URL");
    feed("{ url: ‸'ftp://a.example/x' }", ".url", "not a URL");
    feed("{ url: ‸'http://a.example/x' }", ".url", "let himself in");
    feed("{ url: ‸'https://user@a.example/x' }", ".url", "a user, a password");
    feed("{ url: 'https://a.example/x', format: ‸json }", ".format", "where the list stands");
    feed("{ url: 'https://a.example/x', format: text, pointer: ‸/a }", ".pointer", "has no pointer");
    feed("{ url: 'https://a.example/x', pointer: ‸hooks }", ".pointer", "not a JSON pointer");
    feed("{ url: 'https://a.example/x', refresh: ‸10ms }", ".refresh", "out of bounds");
    source("allow_ips: [{ feed: ‸{ pointer: /a } }]", "allow_ips[0].feed", "`url` is missing");
    source("allow_ips: [{ feed: github }, ‸{ feed: github }]", "allow_ips[1]", "here twice");
    source("allow_ips: [10.0.0.0/8, ‸{}]", "allow_ips[1]", "either a file or a feed");
    source("allow_ips: [{ feed: github, file: ‸x }]", "allow_ips[0].file", "cannot use the file");
    source("allow_ips: { ‸fed: github }", "allow_ips.fed", "unknown key");
    source("allow_ips: [10.0.0.0/8, ‸host]", "allow_ips[1]", "neither an address");
    source("allow_ips: ‸10.0.0.300", "allow_ips", "neither an address");
    source("rate_limit: { requests: ‸0, per: 1m }", "rate_limit.requests", "zero");
    source("rate_limit: { requests: 1, per: ‸0s }", "rate_limit.per", "zero");
    source("rate_limit: { requests: 1, per: ‸2d }", "rate_limit.per", "longer than a day");
    source("rate_limit: { requests: 1, per: 1m, burst: ‸0 }", "rate_limit.burst", "zero");
    source("rate_limit: { requests: 1, per: 1m, by: ‸host }", "rate_limit.by", "nothing to count by");
    source("rate_limit: [{ requests: 1, per: 1m, by: ‸'header:a b' }]", "rate_limit[0].by", "not a header name");
}

#[test]
fn dedup_and_respond_must_be_possible() {
    source("dedup: ‸never", "dedup", "not `off`");
    source("dedup: { window: ‸0s }", "dedup.window", "zero");
    source("dedup: { by: ‸id }", "dedup.by", "does not know where the event's id stands");
    source("dedup: { by: ‸data/id }", "dedup.by", "nothing to compare by");
    source("dedup: { by: ‸'/a~2' }", "dedup.by", "nothing to compare by");
    source("respond: { status: ‸302 }", "respond.status", "not a 2xx");
    source("respond: { status: 204, body: ‸x }", "respond.body", "a 204 has no body");
    source("respond: { content_type: ‸json }", "respond.content_type", "not a content type");
}

#[test]
fn every_scheme_has_its_own_keys() {
    verify("scheme: ‸hmc", "scheme", "not one of");
    verify("scheme: appmint", "secrets", "needs at least one secret");
    verify("scheme: none, ‸secrets: [SECRET]", "secrets", "the scheme `none` has no `secrets`");
    verify("scheme: appmint, secrets: ‸[]", "secrets", "empty");
    verify("scheme: appmint, secrets: [‸'']", "secrets[0]", "empty");
    verify("scheme: appmint, secrets: ‸' '", "secrets", "empty");
    verify("scheme: appmint, secrets: [SECRET, ‸SECRET]", "secrets[1]", "twice");
    verify("scheme: appmint, secrets: [SECRET], ‸header: X-A", "header", "has no `header`");
    verify("scheme: token, secrets: [SECRET], ‸signed: '{body}'", "signed", "has no `signed`");
    verify("scheme: appmint, secrets: [SECRET], tolerance: ‸5m", "tolerance", "signs no time");
    verify("scheme: basic, secrets: [‸SECRET]", "secrets[0]", "not user:password");
    verify("scheme: standard-webhooks, secrets: [‸'whsec_!!SECRET']", "secrets[0]", "not written in base64");
    verify("scheme: token, secrets: [SECRET], id: ‸/x", "id", "names no place");
}

#[test]
fn a_scheme_that_is_none_gets_the_right_name() {
    for (written, hint) in [
        ("strip", "did you mean `stripe`?"),
        ("git-hub", "did you mean `github`?"),
        ("whatsapp", "write `meta`: that is how it signs"),
        ("qqq", "`hookward schemes` lists them"),
    ] {
        let text = format!("sources: {{ a: {{ path: /a, verify: {{ scheme: {written}, secrets: [x] }} }} }}\n");
        let error = super::load(&text, &super::no_variables).unwrap_err().to_string();
        assert!(error.contains("not one of the schemes") && error.contains(hint), "{written}: {error}");
    }
}

#[test]
fn presets_take_what_they_sign_and_nothing_else() {
    verify("scheme: twilio, secrets: [SECRET]", "public_url", "signs the URL, and nothing says what it is");
    verify("scheme: square, secrets: [SECRET], public_url: ‸'https://x/?a=b'", "public_url", "not a URL");
    verify(
        "scheme: stripe, secrets: [SECRET], public_url: ‸'https://x/y'",
        "public_url",
        "the scheme `stripe` has no `public_url`: it does not sign the URL",
    );
    verify("scheme: github, secrets: [SECRET], tolerance: ‸5m", "tolerance", "signs no time");
    verify("scheme: github, secrets: [SECRET], ‸header: X-A", "header", "has no `header`");
    verify(
        "scheme: slack, secrets: [SECRET], ‸verify_token: SECRET",
        "verify_token",
        "no handshake that shows a token",
    );
    verify("scheme: none, handshake: ‸slack", "handshake", "nobody of this name");
    verify("scheme: meta, secrets: [SECRET], ‸handshake: strava", "handshake", "has no `handshake`");
    verify("scheme: discord, secrets: [‸SECRET]", "secrets[0]", "not written in hex");
    verify("scheme: sendgrid, secrets: [‸c2VjcmV0]", "secrets[0]", "not a public key of ecdsa-p256");
}

#[test]
fn the_hmac_scheme_must_agree_with_itself() {
    verify("scheme: hmac, secrets: [SECRET]", "header", "needs the header");
    let hmac = |rest: &str| format!("scheme: hmac, secrets: [SECRET], header: X-S, {rest}");
    verify(&hmac("algorithm: ‸md5"), "algorithm", "not one of `sha1`, `sha256`, `sha512`");
    verify("scheme: hmac, secrets: [‸SECRET], header: X-S, key_encoding: hex", "secrets[0]", "not written in hex");
    verify(&hmac("signed: ‸'{bdy}'"), "signed", "not a template");
    verify(&hmac("signed: ‸'v0'"), "signed", "not a template");
    verify(&hmac("‸signed: '{timestamp}{body}'"), "signed", "nothing says where it stands");
    verify(&hmac("timestamp_header: ‸X-T"), "timestamp_header", "is not signed");
    verify(&hmac("‸signed: '{id}.{body}', id: 'body:/id'"), "signed", "which header");
    verify(&hmac("‸signed: '{url}{body}'"), "signed", "what the sender calls us");
    verify(&hmac("public_url: ‸'https://x/y'"), "public_url", "does not have {url}");
    verify(&hmac("signed: '{url}{body}', public_url: ‸'x'"), "public_url", "not a URL");
    verify(&hmac("signed: '{timestamp}{body}', timestamp_header: ‸'X T'"), "timestamp_header", "not a header name");
}

#[test]
fn a_tolerance_beyond_the_dedup_window_is_refused() {
    let text = "sources: { a: { path: /a, dedup: { window: 1m }, ‸verify: { scheme: standard-webhooks, secrets: [c2VjcmV0] } } }\n";
    check(text, "sources.a.verify.tolerance", "longer than dedup.window");
}

#[test]
fn routes_must_lead_somewhere() {
    route("{ from: ‸x, to: b }", "routes[0].from", "no source of this name");
    route("{ from: a, to: ‸c }", "routes[0].to", "no destination of this name");
    route("{ from: ‸[], to: b }", "routes[0].from", "no source is named");
    route("{ from: a, to: ‸[] }", "routes[0].to", "no destination is named");
    route("{ from: [a, ‸'*'], to: b }", "routes[0].from[1]", "already means every source");
    route("{ from: [a, ‸a], to: b }", "routes[0].from[1]", "twice");
    route("{ from: a, to: [b, ‸b] }", "routes[0].to[1]", "twice");
    route("{ from: a, to: b, types: ‸[] }", "routes[0].types", "no type could match");
    route("{ from: a, to: b, types: [‸''] }", "routes[0].types[0]", "no type could match");
    route("{ from: a, to: b, types: ‸'a b' }", "routes[0].types", "no type could match");
    route("{ from: a, to: b, expires: ‸0s }", "routes[0].expires", "expires before");
    route("{ from: a, to: b, delay: 1h, expires: ‸1h }", "routes[0].expires", "expires before");
}

#[test]
fn a_misspelled_name_gets_the_right_one() {
    let text = "sources: { appmint: { path: /a, verify: { scheme: none } } }\ndestinations: { crm: { discard: true } }\n\
                routes: [{ from: apmint, to: crmm }]\n";
    let error = super::load(text, &super::no_variables).unwrap_err().to_string();
    assert!(error.contains("did you mean `appmint`?") && error.contains("did you mean `crm`?"), "{error}");
}

#[test]
fn a_source_has_one_mode() {
    source("app: ‸'http://x'", "app", "with `mode: proxy` only");
    source("if_app_fails: ‸reject", "if_app_fails", "with `mode: proxy` only");
    source("fail: ‸open", "fail", "with `mode: proxy` only");
    check(
        "sources: { ‸a: { path: /a, verify: { scheme: none }, mode: proxy } }\n",
        "sources.a.app",
        "no app to pass requests on to",
    );
    source("mode: proxy, app: ‸'ftp://x'", "app", "http or https");
    source("mode: proxy, app: ‸'http://u:SECRET@x'", "app", "credentials");
    source("mode: proxy, app: ‸'http://x/?token=SECRET'", "app", "has a query");
    source("mode: proxy, app: { url: ‸'ftp://x' }", "app.url", "http or https");
    source("mode: proxy, app: { url: 'http://x', http: ‸3 }", "app.http", "not one of");
    source("mode: proxy, app: { url: 'http://x', http: ‸auto }", "app.http", "http:// has none");
    source("mode: proxy, if_app_fails: keep, app: { url: 'http://x', http: ‸2 }", "app.http", "over HTTP/1.1");
    source("mode: proxy, app: 'http://x', respond: ‸{ status: 202 }", "respond", "the app answers");
    let shop = "sources: { a: { path: /a, verify: { scheme: none }, mode: proxy, app: 'http://x' } }\n";
    let routes = "destinations: { b: { discard: true } }\nroutes: [{ from: ‸a, to: b }]\n";
    check(&format!("{shop}{routes}"), "routes[0].from", "`a` is in proxy mode");
}

#[test]
fn destinations_must_be_reachable_in_principle() {
    destination("url: ‸crm/webhooks", "url", "not a URL");
    destination("url: ‸'ftp://crm/'", "url", "http or https");
    destination("url: ‸'http://'", "url", "not a URL");
    destination("url: ‸'http://user:SECRET@crm/'", "url", "credentials");
    destination("url: ‸'http://crm/#SECRET'", "url", "fragment");
    destination("discard: true, url: ‸'http://crm'", "url", "sends nothing");
    destination("url: 'http://b', timeout: ‸0s", "timeout", "zero");
    destination("url: 'http://b', concurrency: ‸0", "concurrency", "out of bounds");
    destination("url: 'http://b', concurrency: ‸20000", "concurrency", "out of bounds");
    let order = "order: ‸{ by: destination }";
    destination(&format!("url: 'http://b', concurrency: 4, {order}"), "order", "one delivery after the other");
    check(
        &format!(
            "store: {{ engine: redis, url: 'redis://a', shards: 3 }}\ndestinations: {{ b: {{ url: 'http://b', {order} }} }}\n"
        ),
        "destinations.b.order",
        "the store has 3 shards",
    );
    destination("url: 'http://b', queue_max: ‸0", "queue_max", "dead at once");
    destination("url: 'http://b', response_bytes_max: ‸1GiB", "response_bytes_max", "out of bounds");
    destination("url: 'http://b', retry: { jitter: ‸2 }", "retry.jitter", "not a part");
    destination("url: 'http://b', retry: { jitter: ‸NaN }", "retry.jitter", "not a part");
    destination("url: 'http://b', retry: { final: [‸200] }", "retry.final[0]", "success already");
    destination("url: 'http://b', retry: { final: [‸99] }", "retry.final[0]", "not a status");
    destination("url: 'http://b', breaker: { failures: ‸0 }", "breaker.failures", "zero");
    destination("url: 'http://b', breaker: { open: ‸0s }", "breaker.open", "zero");
    destination("url: 'http://b', rate_limit: { requests: ‸0, per: 1s }", "rate_limit.requests", "zero");
}

#[test]
fn what_a_destination_adds_must_be_sendable() {
    destination("url: 'http://b', sign: { secret: ‸'!!SECRET' }", "sign.secret", "base64");
    destination("url: 'http://b', sign: { secret: ‸'' }", "sign.secret", "empty");
    destination("url: 'http://b', headers: { add: { ‸'a b': SECRET } }", "headers.add.\"a b\"", "not a header name");
    destination("url: 'http://b', headers: { add: { ‸Host: x } }", "headers.add.Host", "the gateway's own");
    destination(
        "url: 'http://b', headers: { add: { X-A: ‸\"a\\nb\" } }",
        "headers.add.X-A",
        "cannot stand in a header",
    );
    destination("url: 'http://b', headers: { remove: [‸Hookward-Event-Id] }", "headers.remove[0]", "the gateway's own");
    destination("url: 'http://b', headers: { add: { X-A: x }, remove: [‸x-a] }", "headers.remove[0]", "`add` sets");
    destination("url: 'http://b', auth: ‸{ username: a }", "auth", "neither");
    destination("url: 'http://b', auth: ‸{ bearer: SECRET, username: a, password: b }", "auth", "neither");
    destination("url: 'http://b', auth: { username: ‸'a:b', password: SECRET }", "auth.username", "no colon");
}

#[test]
fn contradictions_are_told_at_once() {
    refused(
        "ingress: { ‸header_timeout: 9s }\nadmin: { ‸listen: '0.0.0.0:1' }\nroutes: [{ from: ‸x, to: ‸y }]\n",
        &[
            ("ingress.header_timeout", "longer"),
            ("admin.listen", "no tokens"),
            ("routes[0].from", "no source"),
            ("routes[0].to", "no destination"),
        ],
    );
}
