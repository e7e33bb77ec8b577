//! What connections to a payee are made with: which addresses may be reached, whose certificates are believed, and which
//! one we show. Payees that need the same share connections; a certificate that is renewed in its file makes new ones.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::declaration::is_private_address;
use reqwest::redirect::Policy;
use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::profiles::Target;

/// The longest connecting, name and TLS included, may take. It is half of what the payee's timeout is, where that is less:
/// an address where nobody answers is then *not sent*, and not *maybe*.
const CONNECT_MAX: Duration = Duration::from_secs(4);
/// The most headers of an answer.
const HEADERS_MAX: usize = 64;
/// Different ways to connect that are kept. Renewed certificates leave old ones behind; past this all are made anew.
const KEPT_MAX: usize = 256;

/// Which addresses may be called, whatever name leads to them. Judged for every address, right before it is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// Public ones only.
    Public,
    /// Private ones only: what is not encrypted goes nowhere else.
    Inside,
    /// All.
    Anywhere,
}

impl Reach {
    /// Why an address may not be called.
    pub(crate) fn forbids(self, address: IpAddr) -> Option<String> {
        match (self, is_private_address(address)) {
            (Self::Public, true) => Some(format!("{address} is a private address and allow_private is not set")),
            (Self::Inside, false) => Some(format!(
                "{address} is a public address: http:// goes to private ones only"
            )),
            _ => None,
        }
    }
}

/// Certificates for a payee, as PEM.
#[derive(Clone)]
pub(crate) struct Certificates {
    /// Who may have signed the payee's, instead of the system's authorities.
    pub(crate) ca: Option<SecretString>,
    /// What we show, and its key.
    pub(crate) ours: Option<(SecretString, SecretString)>,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Certificates(not shown)")
    }
}

impl Certificates {
    fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let (certificate, key) = self.ours.as_ref().map_or((None, None), |(c, k)| (Some(c), Some(k)));
        for part in [self.ca.as_ref(), certificate, key] {
            let text = part.map(|part| part.expose_secret().as_bytes()).unwrap_or_default();
            hash.update(text.len().to_be_bytes());
            hash.update(text);
        }
        hash.finalize().into()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    reach: Reach,
    connect: Duration,
    reuse: bool,
    certificates: Option<[u8; 32]>,
}

/// Clients by what they connect with.
#[derive(Debug)]
pub(crate) struct Connections {
    /// The system's authorities, and nothing to show.
    plain: ClientConfig,
    clients: Mutex<HashMap<Key, reqwest::Client>>,
}

impl Connections {
    pub(crate) fn new() -> Result<Self, String> {
        let mut system = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "one of the system's certificate authorities cannot be read");
        }
        system.add_parsable_certificates(found.certs);
        Ok(Self {
            plain: trusting(system)?.with_no_client_auth(),
            clients: Mutex::default(),
        })
    }

    /// The client for a target. An error is something of ours that an operator has to set right.
    pub(crate) fn to(&self, target: &Target) -> Result<reqwest::Client, String> {
        let key = Key {
            reach: target.reach,
            connect: CONNECT_MAX.min(target.timeout / 2),
            reuse: target.reuse,
            certificates: target.certificates.as_ref().map(Certificates::fingerprint),
        };
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let tls = self.tls(target.certificates.as_ref())?;
        let client = build(&key, tls).map_err(|error| format!("no HTTP client: {error}"))?;
        if clients.len() >= KEPT_MAX {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
    }

    /// How TLS is spoken: the payee's name and certificate are always verified.
    pub(crate) fn tls(&self, certificates: Option<&Certificates>) -> Result<ClientConfig, String> {
        let Some(certificates) = certificates else {
            return Ok(self.plain.clone());
        };
        let mut config = match &certificates.ca {
            Some(pem) => trusting(authorities(pem)?)?.with_no_client_auth(),
            None => self.plain.clone(),
        };
        if let Some((certificate, key)) = &certificates.ours {
            let chain = read_certificates("unikassa.client_certificate.certificate", certificate)?;
            let key = PrivateKeyDer::from_pem_slice(key.expose_secret().as_bytes()).map_err(|_| {
                "unikassa.client_certificate.key: holds no private key in PEM that is not encrypted".to_owned()
            })?;
            let ours = CertifiedKey::from_der(chain, key, config.crypto_provider()).map_err(|error| {
                format!("unikassa.client_certificate: certificate and key do not go together: {error}")
            })?;
            config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(ours));
        }
        Ok(config)
    }
}

fn trusting(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, String> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("no TLS: {error}"))?;
    Ok(builder.with_root_certificates(roots))
}

fn authorities(pem: &SecretString) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates("unikassa.ca", pem)? {
        roots
            .add(certificate)
            .map_err(|error| format!("unikassa.ca: {error}"))?;
    }
    Ok(roots)
}

fn read_certificates(field: &str, pem: &SecretString) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.expose_secret().as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{field}: holds no certificate in PEM")),
    }
}

fn build(key: &Key, tls: ClientConfig) -> Result<reqwest::Client, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .http1_only()
        .http1_max_headers(HEADERS_MAX)
        .tls_backend_preconfigured(tls)
        .dns_resolver(Judging(key.reach))
        .connect_timeout(key.connect)
        .pool_idle_timeout(Duration::from_secs(30))
        .user_agent(concat!("unigate/", env!("CARGO_PKG_VERSION")));
    // A connection that was kept may be closed by the other side in the very moment in which it is used again, and then
    // nobody knows whether the request arrived.
    if key.reuse {
        builder
    } else {
        builder.pool_max_idle_per_host(0)
    }
    .build()
}

/// Resolves names to addresses that may be called; only those are connected to. So a name that leads elsewhere the next
/// time it is asked about gains nothing by it.
struct Judging(Reach);

impl reqwest::dns::Resolve for Judging {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let reach = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found: Vec<_> = tokio::net::lookup_host((host.as_str(), 0)).await?.collect();
            let mut why = format!("{host} leads to no address");
            let mut allowed = Vec::with_capacity(found.len());
            for address in found {
                match reach.forbids(address.ip()) {
                    Some(forbidden) => why = format!("{host}: {forbidden}"),
                    None => allowed.push(address),
                }
            }
            if allowed.is_empty() {
                return Err(why.into());
            }
            Ok(Box::new(allowed.into_iter()) as reqwest::dns::Addrs)
        })
    }
}
