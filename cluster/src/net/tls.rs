//! Mutual TLS between nodes: every node shows a certificate of the cluster's own authority, and believes no other.
//!
//! A node's certificate must name the host part of the address others reach it at. Certificates are read once, at the
//! start; a new one needs a restart of that node.

use std::path::{Path, PathBuf};

use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use super::network::NetworkError;

/// The files of a node's TLS, in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authority that all nodes are of.
    pub ca: PathBuf,
    /// This node's certificate, and those between it and the authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What the files hold.
#[derive(Clone)]
pub(crate) struct Tls {
    authority: Certificate,
    identity: Identity,
}

impl Tls {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// `Io` and `Tls`, which name the file.
    pub fn read(files: &TlsFiles) -> Result<Self, NetworkError> {
        let TlsFiles { ca, cert, key } = files;
        let authority = Certificate::from_pem(read(ca, "CERTIFICATE")?);
        let identity = Identity::from_pem(read(cert, "CERTIFICATE")?, read(key, "PRIVATE KEY")?);
        let tls = Self { authority, identity };
        // Building a server reads everything, and finds a key of another certificate.
        let built = tonic::transport::Server::builder().tls_config(tls.server());
        built.map_err(|error| NetworkError::Tls {
            file: format!("{}, {}, {}", ca.display(), cert.display(), key.display()),
            reason: sources(&error),
        })?;
        Ok(tls)
    }

    /// What the port asks of whoever connects: a certificate of the same authority.
    pub fn server(&self) -> ServerTlsConfig {
        ServerTlsConfig::new().identity(self.identity.clone()).client_ca_root(self.authority.clone())
    }

    /// What this node shows, and asks of whom it connects to.
    pub fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new().identity(self.identity.clone()).ca_certificate(self.authority.clone())
    }
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, NetworkError> {
    let bytes = std::fs::read(path).map_err(|source| NetworkError::Io {
        action: "read a file of `cluster.tls`",
        address: path.display().to_string(),
        source,
    })?;
    let wrong = |reason: String| NetworkError::Tls { file: path.display().to_string(), reason };
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("it is no PEM file".to_owned()))?;
    let begins = text.lines().any(|line| line.starts_with("-----BEGIN ") && line.contains(what));
    if !begins {
        return Err(wrong(format!("it holds no {what} in PEM form")));
    }
    Ok(bytes)
}

/// An error and what is behind it, as one sentence.
pub(super) fn sources(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}
