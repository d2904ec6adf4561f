//! sslyze (PyPI) against the ingress: nothing that Mozilla's intermediate profile does not have.

use std::process::Command;

use rcgen::KeyPair;

use super::packages;
use crate::support::Gateway;

/// The days that a certificate is valid: what public authorities give, and less than the profile's most.
const DAYS: &str = "90";

/// Certificate and key with RSA of 2048 bits, by openssl: ring makes no RSA keys.
fn rsa(folder: &std::path::Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-sha256", "-days", DAYS, "-subj", "/CN=hooks.example"])
        .args(["-addext", "subjectAltName=DNS:hooks.example,IP:127.0.0.1", "-keyout"])
        .arg(folder.join("tls.key"))
        .arg("-out")
        .arg(folder.join("tls.pem"))
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

/// Certificate and key with ECDSA on P-256.
fn ecdsa(folder: &std::path::Path) {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    std::fs::write(folder.join("tls.key"), key.serialize_pem()).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-sha256", "-days", DAYS, "-subj", "/CN=hooks.example"])
        .args(["-addext", "subjectAltName=DNS:hooks.example,IP:127.0.0.1", "-key"])
        .arg(folder.join("tls.key"))
        .arg("-out")
        .arg(folder.join("tls.pem"))
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_sslyze_finds_nothing_above_the_intermediate_profile() {
    for (name, make) in [("RSA 2048", rsa as fn(&std::path::Path)), ("ECDSA P-256", ecdsa)] {
        let mut gateway = Gateway::prepare(
            "ingress: { listen: \"@INGRESS@\", tls: { cert: tls.pem, key: tls.key } }\n\
             sources: { a: { path: /in, dedup: off, verify: { scheme: none } } }\n",
        );
        make(gateway.folder());
        gateway.run().await;
        let mut sslyze = Command::new("python3");
        sslyze
            .args(["-m", "sslyze", "--mozilla_config", "intermediate"])
            .arg(gateway.ingress().to_string())
            .env("PYTHONPATH", packages().join("python"))
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let output = tokio::task::spawn_blocking(move || sslyze.output()).await.unwrap().expect("python3 is installed");
        let said = String::from_utf8_lossy(&output.stdout);
        // What the compliance check lists, a line each.
        let (_, verdict) = said.split_once("COMPLIANCE AGAINST TLS CONFIGURATION").expect("a verdict");
        let findings: Vec<_> = verdict.lines().filter_map(|line| line.trim().strip_prefix("* ")).collect();
        println!("{name}: {findings:?}");
        // Nobody whom the public trusts has issued the test's certificate; there is nothing else.
        let kinds: Vec<_> = findings.iter().filter_map(|finding| finding.split(':').next()).collect();
        assert_eq!(kinds, ["certificate_path_validation"], "{name}: {verdict}");
        assert!(verdict.contains("\"intermediate\""), "{name}: {verdict}");
    }
}
