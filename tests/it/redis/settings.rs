//! `store.*` of the Redis engine, each where it takes effect.

use std::path::Path;

use crate::support::{DURABLE, Gateway, RedisServer, Sender, Sink, appmint_to, event, eventually, hookward};

/// A gateway's log when it could not start.
async fn refused(config: &str) -> String {
    let mut gateway = Gateway::prepare(config);
    gateway.spawn();
    let status = gateway.ended().await;
    assert!(!status.success());
    gateway.log()
}

/// The gateway takes an event and delivers it.
async fn works(gateway: &Gateway, sink: &Sink, id: &str) {
    let before = sink.count();
    assert_eq!(Sender::new(gateway).send(&event(id, "payment.succeeded")).await.status, 200);
    sink.wait_for(before + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_url_names_user_password_and_database_and_nobody_shows_the_password() {
    let redis = RedisServer::start();
    redis.ask("ACL SETUSER hooks on >PASSWORD-of-the-test ~* +@all");
    redis.ask("ACL SETUSER default off");
    let sink = Sink::start().await;
    let url = format!("redis://hooks:PASSWORD-of-the-test@{}/3", redis.address());
    let config =
        format!("store: {{ engine: redis, url: \"{url}\", path: \"@STORE@\" }}\n{}", appmint_to(&[("crm", &sink)]));
    let gateway = Gateway::start(&config).await;
    works(&gateway, &sink, "evt_1").await;
    assert_eq!(redis.ask_as("hooks", "PASSWORD-of-the-test", "SELECT 3\r\nEXISTS {hookward:0}:meta"), "+OK\r\n:1\r\n");
    let check = hookward(&["check", "-c", gateway.config_file().to_str().unwrap()], &[]);
    let said = [check.stdout, check.stderr].concat();
    let shown = [gateway.log().into_bytes(), said, gateway.get("/readyz").await.body.to_vec()].concat();
    let shown = String::from_utf8(shown).unwrap();
    assert!(!shown.contains("PASSWORD-of-the-test"), "{shown}");
    assert!(shown.contains("the password stands in the file itself"), "{shown}");
    let wrong = refused(&config.replace("hooks:PASSWORD", "hooks:WRONG")).await;
    assert!(wrong.contains("user or password in store.url are wrong") && !wrong.contains("WRONG-of"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let arguments = [DURABLE, &["--unixsocket", socket.to_str().unwrap()]].concat();
    let _redis = RedisServer::start_with(&arguments);
    let sink = Sink::start().await;
    let store = format!("store: {{ engine: redis, url: \"unix://{}?db=1\", path: \"@STORE@\" }}\n", socket.display());
    let gateway = Gateway::start(&(store + &appmint_to(&[("crm", &sink)]))).await;
    works(&gateway, &sink, "evt_1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stores_with_other_prefixes_do_not_see_each_other() {
    let redis = RedisServer::start();
    let sink = Sink::start().await;
    let config = |prefix: &str| redis.store(&format!(", key_prefix: {prefix}")) + &appmint_to(&[("crm", &sink)]);
    let (one, other) = (Gateway::start(&config("one")).await, Gateway::start(&config("other")).await);
    works(&one, &sink, "evt_1").await;
    works(&other, &sink, "evt_1").await;
    assert_eq!((one.list("/v1/events").await.len(), other.list("/v1/events").await.len()), (1, 1));
    let keys = redis.ask("KEYS *");
    assert!(keys.contains("{one:0}:") && keys.contains("{other:0}:") && !keys.contains("{hookward:0}:"), "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_spread_the_keys_and_stay_what_they_were() {
    let redis = RedisServer::start();
    let sink = Sink::start().await;
    let config = |shards: &str| redis.store(shards) + &appmint_to(&[("crm", &sink)]);
    let gateway = Gateway::start(&config(", shards: 4")).await;
    for number in 0..32 {
        works(&gateway, &sink, &format!("evt_{number}")).await;
    }
    assert_eq!(gateway.list("/v1/events?limit=100").await.len(), 32);
    let keys = redis.ask("KEYS *");
    for shard in 0..4 {
        assert!(keys.contains(&format!("{{hookward:{shard}}}:e:")), "{keys}");
    }
    let said = refused(&config("")).await;
    assert!(said.contains("has 4 shards: write `store.shards: 4`"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_may_lose_what_it_acknowledged_is_refused_with_the_remedy() {
    let sink = Sink::start().await;
    let destinations = appmint_to(&[("crm", &sink)]);
    for (arguments, remedy) in [
        (&["--appendonly", "no"][..], "set appendonly yes and appendfsync always"),
        (&["--appendonly", "yes", "--appendfsync", "everysec"], "set appendfsync always"),
        (&[DURABLE, &["--maxmemory-policy", "allkeys-lru"]].concat(), "noeviction"),
    ] {
        let redis = RedisServer::start_with(arguments);
        let said = refused(&(redis.store("") + &destinations)).await;
        assert!(said.contains(remedy) && said.contains("`store.durability: relaxed`"), "{said}");
        let gateway = Gateway::start(&(redis.store(", durability: relaxed") + &destinations)).await;
        assert_eq!(gateway.get("/readyz").await.json()["durability"], "relaxed");
        assert_eq!(gateway.metrics().await.sum("hookward_store_relaxed", &[]), 1.0);
        assert!(gateway.log().contains(remedy), "{}", gateway.log());
        works(&gateway, &sink, "evt_1").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_tell_its_settings_is_believed_when_told_so() {
    let redis = RedisServer::start();
    redis.ask("ACL SETUSER default -config");
    let sink = Sink::start().await;
    let destinations = appmint_to(&[("crm", &sink)]);
    let said = refused(&(redis.store("") + &destinations)).await;
    assert!(said.contains("store.assume_durable"), "{said}");
    let gateway = Gateway::start(&(redis.store(", assume_durable: true") + &destinations)).await;
    works(&gateway, &sink, "evt_1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_bytes_max_what_is_over_goes_and_then_nothing_is_taken() {
    let redis = RedisServer::start();
    let mut sink = Sink::start().await;
    let gateway = Gateway::start(&(redis.store(", bytes_max: 64MiB") + &appmint_to(&[("crm", &sink)]))).await;
    sink.down().await;
    let mut sender = Sender::new(&gateway);
    let mut number = 0;
    let refused = loop {
        let body = crate::support::event_of_bytes(&format!("evt_{number}"), "payment.succeeded", 900_000);
        let reply = sender.send(&body).await;
        if reply.status != 200 {
            break reply;
        }
        number += 1;
        assert!(number < 200, "no bound");
    };
    assert_eq!((refused.status, refused.json()["code"].as_str()), (503, Some("store_full")));
    let reasons = gateway.get("/readyz").await.json()["reasons"].to_string();
    assert!(reasons.contains("store.bytes_max"), "{reasons}");
    sink.up().await;
    eventually("room", async || {
        let reply = sender.send(&event("evt_last", "payment.succeeded")).await;
        (reply.status == 200).then_some(())
    })
    .await;
}

/// A certificate for 127.0.0.1 and a key, issued by a CA: files in a folder.
pub(super) fn certificates(folder: &Path) {
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    // Another name than the certificates have: they would look as if they had signed themselves.
    ca.distinguished_name.push(rcgen::DnType::CommonName, "the tests' own CA");
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca = rcgen::CertifiedIssuer::self_signed(ca, ca_key).unwrap();
    std::fs::write(folder.join("ca.pem"), ca.pem()).unwrap();
    for name in ["server", "client"] {
        let key = rcgen::KeyPair::generate().unwrap();
        let cert = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), cert.pem()).unwrap();
        std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_its_own_ca_and_a_clients_certificate() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let port = crate::support::Port::take();
    let tls_port = port.address().port().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("server.pem"), file("server.key"));
    let tls = ["--tls-port", &tls_port, "--tls-ca-cert-file", &ca, "--tls-cert-file", &cert, "--tls-key-file", &key];
    let _redis = RedisServer::start_with(&[DURABLE, &tls].concat());
    let sink = Sink::start().await;
    let config = |tls: &str| {
        let url = format!("rediss://{}", port.address());
        format!("store: {{ engine: redis, url: \"{url}\", path: \"@STORE@\", tls: {{ {tls} }} }}\n")
            + &appmint_to(&[("crm", &sink)])
    };
    let identity = format!("cert: \"{}\", key: \"{}\"", file("client.pem"), file("client.key"));
    let gateway = Gateway::start(&config(&format!("ca: \"{ca}\", {identity}"))).await;
    works(&gateway, &sink, "evt_1").await;
    let stranger = refused(&config(&identity)).await;
    assert!(stranger.to_lowercase().contains("certificate"), "a CA that nobody trusts: {stranger}");
    let anonymous = refused(&config(&format!("ca: \"{ca}\""))).await;
    assert!(anonymous.contains("cannot be used"), "the server wants a certificate: {anonymous}");
}
