//! `ingress.tls`: certificates made by rcgen, and clients that nobody here wrote: curl and openssl.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Gateway, eventually, hookward};

/// An authority of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Else issuer and subject of what it issues have one name, and openssl takes it for self-signed.
        params.distinguished_name.push(DnType::CommonName, "an authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes `NAME.pem` and `NAME.key` for these hosts.
    pub(crate) fn issue(&self, folder: &Path, name: &str, hosts: &[&str]) {
        self.issue_with(folder, name, hosts, |_| {});
    }

    fn issue_with(&self, folder: &Path, name: &str, hosts: &[&str], change: impl FnOnce(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        put(folder, &format!("{name}.key"), &key.serialize_pem());
        put(folder, &format!("{name}.pem"), &certificate.pem());
    }

    /// Writes its own certificate.
    pub(crate) fn publish(&self, folder: &Path, name: &str) -> PathBuf {
        put(folder, name, &self.0.pem());
        folder.join(name)
    }
}

/// Writes a file as whoever renews certificates should: beside, and then renamed.
fn put(folder: &Path, name: &str, text: &str) {
    let beside = folder.join(format!("{name}.new"));
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, folder.join(name)).unwrap();
}

fn config(tls: &str) -> String {
    format!(
        "ingress: {{ listen: \"@INGRESS@\", header_timeout: 2s, {tls} }}\n\
         sources: {{ a: {{ path: /in, dedup: off, verify: {{ scheme: none }} }} }}\n"
    )
}

/// Posts to `https://HOST/in`, believing this authority; says `STATUS VERSION`, or `000 0` and why on standard error.
async fn curl(gateway: SocketAddr, host: &str, authority: &Path, more: &[&str]) -> String {
    let mut command = Command::new("curl");
    command
        .args(["-sS", "-o", "/dev/null", "-w", "%{http_code} %{http_version}", "-d", "", "--max-time", "20"])
        .args(["--resolve", &format!("{host}:{}:127.0.0.1", gateway.port()), "--cacert"])
        .arg(authority)
        .args(more)
        .arg(format!("https://{host}:{}/in", gateway.port()))
        .stdin(Stdio::null());
    let output = run(command).await;
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A child process, without holding up what runs beside it.
async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("installed by tests/run")
}

/// What `openssl s_client` says of a connection.
async fn s_client(gateway: SocketAddr, more: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &gateway.to_string()]).args(more).stdin(Stdio::null());
    let output = run(command).await;
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_shown_and_both_versions_and_both_protocols_are_spoken() {
    let mut gateway = Gateway::prepare(&config("tls: { cert: one.pem, key: one.key }"));
    let authority = Authority::new();
    authority.issue(gateway.folder(), "one", &["one.example"]);
    let ca = authority.publish(gateway.folder(), "ca.pem");
    gateway.run().await;
    let at = gateway.ingress();
    for (more, said) in [
        (&["--http2"][..], "200 2"),
        (&["--http1.1"], "200 1.1"),
        (&["--no-alpn"], "200 1.1"),
        (&["--tls-max", "1.2"], "200 2"),
        (&["--tlsv1.3"], "200 2"),
        (&["--tls-max", "1.2", "--http1.1"], "200 1.1"),
    ] {
        assert_eq!(curl(at, "one.example", &ca, more).await, said, "{more:?}");
    }
    // The next lines: another name, and versions that are too old.
    assert_eq!(curl(at, "other.example", &ca, &[]).await, "000 0");
    for old in ["-tls1", "-tls1_1"] {
        let said = s_client(at, &[old, "-cipher", "ALL:@SECLEVEL=0"]).await;
        assert!(said.contains("Cipher is (NONE)"), "{old}: {said}");
    }
    let metrics = gateway.metrics().await;
    let connections =
        |protocol, tls| metrics.sum("hookward_connections_by_protocol_total", &[("protocol", protocol), ("tls", tls)]);
    assert_eq!((connections("h2", "1.2"), connections("http/1.1", "1.2")), (1.0, 1.0));
    // The one that minds the name has completed its handshake by then.
    assert_eq!((connections("h2", "1.3"), connections("http/1.1", "1.3")), (3.0, 2.0));
    let failed = |reason| metrics.sum("hookward_tls_handshakes_failed_total", &[("reason", reason)]);
    assert_eq!(failed("incompatible"), 2.0);
    let log = eventually("the access log", async || {
        let log = gateway.log();
        (log.matches("\"proto\":\"HTTP/").count() == 6).then_some(log)
    })
    .await;
    assert_eq!((log.matches("\"HTTP/2.0\"").count(), log.matches("\"HTTP/1.1\"").count()), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_certificates_are_chosen_by_the_name_that_the_client_asks_for() {
    let list = "[{ cert: a.pem, key: a.key }, { cert: wild.pem, key: wild.key }, { cert: b.pem, key: b.key }]";
    let mut gateway = Gateway::prepare(&config(&format!("tls: {{ certificates: {list} }}")));
    let authority = Authority::new();
    authority.issue(gateway.folder(), "a", &["a.example", "127.0.0.1"]);
    authority.issue(gateway.folder(), "wild", &["*.b.example", "b.example"]);
    authority.issue(gateway.folder(), "b", &["own.b.example"]);
    let ca = authority.publish(gateway.folder(), "ca.pem");
    gateway.run().await;
    let at = gateway.ingress();
    for host in ["a.example", "A.EXAMPLE", "b.example", "x.b.example", "own.b.example"] {
        assert_eq!(curl(at, host, &ca, &[]).await, "200 2", "{host}");
    }
    // No name is sent for an address: the first certificate.
    assert_eq!(curl(at, "127.0.0.1", &ca, &[]).await, "200 2");
    for host in ["two.labels.b.example", "unknown.example"] {
        assert_eq!(curl(at, host, &ca, &[]).await, "000 0", "{host}");
        // It was shown the first one.
        let said =
            s_client(at, &["-servername", host, "-verify_hostname", "a.example", "-CAfile", ca.to_str().unwrap()])
                .await;
        assert!(said.contains("Verify return code: 0 (ok)"), "{host}: {said}");
    }
    // RFC 9110 section 15.5.20: a host with another certificate than the connection was made with.
    for (name, host, status) in [
        ("a.example", "own.b.example", "421"),
        ("a.example", "b.example", "421"),
        ("own.b.example", "a.example", "421"),
        ("own.b.example", "unknown.example", "421"),
        ("own.b.example", "x.b.example", "421"),
        // The certificate that was shown is for it too.
        ("x.b.example", "own.b.example", "200"),
        ("x.b.example", "b.example", "200"),
        ("b.example", "X.B.example:443", "200"),
        ("a.example", "127.0.0.1:8443", "200"),
        ("a.example", "unknown.example", "200"),
    ] {
        for protocol in ["--http2", "--http1.1"] {
            let said = curl(at, name, &ca, &[protocol, "-H", &format!("host: {host}")]).await;
            assert!(said.starts_with(status), "{name}, {host}, {protocol}: {said}");
        }
    }
    let rejections = gateway.list("/v1/rejections?limit=100").await;
    assert!(rejections.iter().any(|one| one["reason"] == "misdirected_request"), "{rejections:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_client_ca_only_clients_with_a_certificate_are_served() {
    let mut gateway = Gateway::prepare(&config("tls: { cert: one.pem, key: one.key, client_ca: clients.pem }"));
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let folder = gateway.folder().to_owned();
    authority.issue(&folder, "one", &["one.example"]);
    clients.issue(&folder, "client", &["client"]);
    strangers.issue(&folder, "stranger", &["client"]);
    clients.publish(&folder, "clients.pem");
    let ca = authority.publish(&folder, "ca.pem");
    gateway.run().await;
    let at = gateway.ingress();
    let with = |name: &str| {
        [folder.join(format!("{name}.pem")), folder.join(format!("{name}.key"))]
            .map(|path| path.to_str().unwrap().to_owned())
    };
    let [cert, key] = with("client");
    for version in [&["--tls-max", "1.2"][..], &["--tlsv1.3"]] {
        let more = [&["--cert", &cert, "--key", &key], version].concat();
        assert_eq!(curl(at, "one.example", &ca, &more).await, "200 2", "{version:?}");
        assert!(curl(at, "one.example", &ca, version).await.starts_with("000"), "{version:?}: without a certificate");
        let [cert, key] = with("stranger");
        let more = [&["--cert", &cert, "--key", &key], version].concat();
        assert!(curl(at, "one.example", &ca, &more).await.starts_with("000"), "{version:?}: of another authority");
    }
    let metrics = gateway.metrics().await;
    let failed = |reason| metrics.sum("hookward_tls_handshakes_failed_total", &[("reason", reason)]);
    assert_eq!((failed("client_certificate_missing"), failed("client_certificate_invalid")), (2.0, 2.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_is_shown_without_a_signal_and_a_bad_one_changes_nothing() {
    let mut gateway = Gateway::prepare(&config("tls: { cert: one.pem, key: one.key }"));
    let folder = gateway.folder().to_owned();
    let (old, new) = (Authority::new(), Authority::new());
    old.issue(&folder, "one", &["one.example"]);
    let (old_ca, new_ca) = (old.publish(&folder, "old.pem"), new.publish(&folder, "new.pem"));
    gateway.run().await;
    let at = gateway.ingress();
    assert_eq!(curl(at, "one.example", &old_ca, &[]).await, "200 2");
    // Half of a pair, garbage, nothing at all: what runs stays, and the log says which file and which key.
    let key = std::fs::read_to_string(folder.join("one.key")).unwrap();
    let cert = std::fs::read_to_string(folder.join("one.pem")).unwrap();
    for (file, text, words) in [
        (
            "one.key",
            KeyPair::generate().unwrap().serialize_pem(),
            ["ingress.tls.key", "one.key: the private key is not the one of the certificate"],
        ),
        ("one.key", "no key\n".to_owned(), ["ingress.tls.key", "one.key: no private key in it"]),
        (
            "one.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(),
            ["ingress.tls.cert", "one.pem: a certificate in it cannot be read"],
        ),
        ("one.pem", String::new(), ["ingress.tls.cert", "one.pem: no certificate in it"]),
    ] {
        let (before, log_before) = (gateway.reloads("failed").await, gateway.log().len());
        put(&folder, file, &text);
        eventually(file, async || (gateway.reloads("failed").await > before).then_some(())).await;
        let said = gateway.log()[log_before..].to_owned();
        for word in words {
            assert!(said.contains(word), "{file}: no {word:?} in {said}");
        }
        assert!(!said.contains("PRIVATE KEY"), "{said}");
        assert_eq!(curl(at, "one.example", &old_ca, &[]).await, "200 2", "{file}: what runs stays");
        put(&folder, "one.key", &key);
        put(&folder, "one.pem", &cert);
        eventually("all is well again", async || {
            let successful = gateway.metrics().await.sum("hookward_config_last_reload_successful", &[]);
            (successful > 0.5).then_some(())
        })
        .await;
    }
    new.issue(&folder, "one", &["one.example"]);
    eventually("the new certificate", async || {
        curl(at, "one.example", &new_ca, &[]).await.starts_with("200").then_some(())
    })
    .await;
    assert_eq!(curl(at, "one.example", &old_ca, &[]).await, "000 0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_garbage_and_silence_on_an_encrypted_port_are_ended_and_counted() {
    let mut gateway = Gateway::prepare(&config("tls: { cert: one.pem, key: one.key }"));
    Authority::new().issue(gateway.folder(), "one", &["one.example"]);
    gateway.run().await;
    let talk = async |bytes: &[u8]| {
        let mut stream = TcpStream::connect(gateway.ingress()).await.unwrap();
        drop(stream.write_all(bytes).await);
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection stayed open");
        answer
    };
    for plain in
        [&b"POST /in HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
    {
        let answer = String::from_utf8(talk(plain).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("malformed_request"), "{answer}");
        assert!(answer.contains("hookward-rejection-id: "), "{answer}");
    }
    // An alert and no word of HTTP.
    assert!(!talk(b"\x16\x03\x01\x00\x05hello").await.starts_with(b"HTTP"));
    assert!(!talk(b"\x00\x01\x02\x03\x04\x05\x06\x07").await.starts_with(b"HTTP"));
    // Nothing, and half a record: header_timeout.
    assert!(talk(b"").await.is_empty());
    assert!(talk(b"\x16\x03\x01\x02\x00").await.is_empty());
    drop(TcpStream::connect(gateway.ingress()).await.unwrap());
    let failed =
        async |reason| gateway.metrics().await.sum("hookward_tls_handshakes_failed_total", &[("reason", reason)]);
    assert_eq!((failed("plain_http").await, failed("malformed").await, failed("late").await), (2.0, 2.0, 2.0));
    eventually("the one that went away", async || (failed("closed").await >= 1.0).then_some(())).await;
    let rejections = gateway.list("/v1/rejections").await;
    assert!(
        rejections.iter().all(|one| one["reason"] == "malformed_request") && rejections.len() == 2,
        "{rejections:?}"
    );
}

/// `check` with this under `ingress.tls`, in a folder with certificates; exit code, standard output, standard error.
fn check(folder: &Path, tls: &str) -> (i32, String, String) {
    let file = folder.join("hookward.yaml");
    std::fs::write(&file, config(tls).replace("@INGRESS@", "127.0.0.1:8443")).unwrap();
    let output = hookward(&["check", "-c", file.to_str().unwrap()], &[("CERT", "one.pem")]);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn check_says_what_the_port_speaks_and_what_is_wrong_with_its_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let authority = Authority::new();
    authority.issue(folder, "one", &["one.example", "*.two.example"]);
    authority.issue(folder, "other", &["other.example"]);
    authority
        .issue_with(folder, "expired", &["old.example"], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 2));
    authority
        .issue_with(folder, "future", &["new.example"], |params| params.not_before = rcgen::date_time_ymd(4000, 1, 2));
    authority.publish(folder, "ca.pem");
    let (code, out, err) = check(folder, "tls: { cert: one.pem, key: one.key, client_ca: ca.pem }");
    assert_eq!(code, 0, "{err}");
    for words in ["HTTP/1.1 and HTTP/2 over TLS 1.2 and 1.3", "one.example, *.two.example", "client certificates"] {
        assert!(out.contains(words), "no {words:?} in {out}");
    }
    // Named by a variable, by { file: … }, and in quotes: all the same.
    for cert in ["\"${CERT}\"", "{ file: one.pem }", "./one.pem"] {
        assert_eq!(check(folder, &format!("tls: {{ cert: {cert}, key: one.key }}")).0, 0, "{cert}");
    }
    for (tls, place, words) in [
        ("{ cert: one.pem, key: other.key }", "ingress.tls.key", "other.key: the private key is not the one"),
        ("{ cert: one.key, key: one.key }", "ingress.tls.cert", "one.key: no certificate in it"),
        ("{ cert: one.pem, key: one.pem }", "ingress.tls.key", "one.pem: no private key in it"),
        ("{ cert: missing.pem, key: one.key }", "ingress.tls.cert", "missing.pem: No such file"),
        ("{ cert: one.pem }", "ingress.tls.key", "a cert without its key"),
        ("{ key: one.key }", "ingress.tls.cert", "a key without its cert"),
        ("{ client_ca: ca.pem }", "ingress.tls", "no certificate"),
        ("{ certificates: [] }", "ingress.tls", "no certificate"),
        ("{ cert: one.pem, key: one.key, client_ca: one.key }", "ingress.tls.client_ca", "one.key: no certificate"),
        (
            "{ certificates: [{ cert: one.pem, key: one.key }, { cert: other.pem, key: one.key }] }",
            "ingress.tls.certificates[1].key",
            "one.key: the private key is not the one",
        ),
    ] {
        let (code, _, err) = check(folder, &format!("tls: {tls}"));
        assert!(code == 78 && err.contains(&format!("error: {place}: ")) && err.contains(words), "{tls}: {code} {err}");
        assert!(!err.contains("PRIVATE KEY"), "{err}");
    }
    for (name, words) in
        [("expired", "expired.pem: expired on 2020-01-02"), ("future", "future.pem: not valid before 4000-01-02")]
    {
        let (code, _, err) = check(folder, &format!("tls: {{ cert: {name}.pem, key: {name}.key }}"));
        assert!(
            code == 0 && err.contains("warning: ingress.tls.cert: ") && err.contains(words),
            "{name}: {code} {err}"
        );
    }
}
