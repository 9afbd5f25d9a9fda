//! Nodes that know each other by certificates, and who is not let in.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use segue::types::User;

use super::servers::{address, leader, replicas_are_equal, several};
use crate::running::serve;
use crate::support::id;

/// An authority, and the folder of its files.
struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), own.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a certificate for a node on this machine; the settings that name it.
    fn settings(&self, node: &str) -> Vec<String> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert, secret) = (self.file(&format!("{node}.pem")), self.file(&format!("{node}.key")));
        std::fs::write(&cert, certificate.pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        settings(&self.file("ca.pem"), &cert, &secret)
    }
}

fn settings(ca: &Path, cert: &Path, key: &Path) -> Vec<String> {
    [("ca", ca), ("cert", cert), ("key", key)]
        .map(|(name, file)| format!("cluster.tls.{name}={}", file.display()))
        .to_vec()
}

/// What a server says that does not start.
#[track_caller]
fn refusal(settings: &[String], flags: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let mut all = vec!["cluster.listen=127.0.0.1:0"];
    all.extend(settings.iter().map(String::as_str));
    let output = serve(dir.path(), &all, flags).output().unwrap();
    assert!(!output.status.success(), "it started");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn nodes_with_certificates_of_one_authority_form_a_cluster_and_nobody_else_gets_in() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (nodes, _) = several(&["a", "b", "c"].map(|node| ours.settings(node)));
    let other = (leader(&nodes, "users-0") + 1) % 3;
    nodes[other].client().upsert_users(vec![User::unknown(id("written"))]).unwrap();
    nodes.iter().for_each(|node| drop(node.client().user(&id("written")).unwrap()));
    replicas_are_equal(&nodes[0], 3);

    let seed = address(&nodes[0]);
    let without = refusal(&[], &["--join", &seed]);
    assert!(without.contains("cannot be asked"), "{without}");
    let foreign = refusal(&theirs.settings("x"), &["--join", &seed]);
    assert!(foreign.contains("cannot be asked"), "{foreign}");
    // It believes our authority, and shows a certificate of another.
    let cert = (theirs.file("x.pem"), theirs.file("x.key"));
    let pretender = refusal(&settings(&ours.file("ca.pem"), &cert.0, &cert.1), &["--join", &seed]);
    assert!(pretender.contains("cannot be asked"), "{pretender}");
    assert_eq!(nodes[0].client().cluster_status().unwrap().nodes.len(), 3);
}

#[test]
fn wrong_files_of_certificates_are_named_at_the_start() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let (good, _) = (ours.settings("a"), theirs.settings("b"));
    let (ca, cert, key) = (ours.file("ca.pem"), ours.file("a.pem"), ours.file("a.key"));
    let half = refusal(&good[..2], &["--cluster-init"]);
    assert!(half.contains("cluster.tls.key: must be set, too"), "{half}");
    let missing = refusal(&settings(&ours.file("none.pem"), &cert, &key), &["--cluster-init"]);
    assert!(missing.contains("none.pem"), "{missing}");
    let swapped = refusal(&settings(&ca, &key, &key), &["--cluster-init"]);
    assert!(swapped.contains("holds no CERTIFICATE") && swapped.contains("a.key"), "{swapped}");
    let others = refusal(&settings(&ca, &cert, &theirs.file("b.key")), &["--cluster-init"]);
    assert!(others.contains("b.key"), "{others}");
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n").unwrap();
    let nonsense = refusal(&good, &["--cluster-init"]);
    assert!(nonsense.contains("a.key"), "{nonsense}");
}
