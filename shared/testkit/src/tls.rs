//! TLS as payees have it, right and wrong: authorities, certificates made on the spot, and a front that speaks TLS and passes
//! on what was inside to a scripted payee.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::door::{Door, Guest};

const MADE: &str = "certificates for tests can be made";

/// Who signs certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// One that nobody knows yet.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect(MADE);
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect(MADE),
        }
    }

    /// Its own certificate, as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server's certificate for these names and addresses.
    pub fn server(&self, names: &[&str]) -> Identity {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, 2100)
    }

    /// The same, out of date for years.
    pub fn expired(&self, names: &[&str]) -> Identity {
        self.sign(names, ExtendedKeyUsagePurpose::ServerAuth, 2020)
    }

    /// A client's certificate.
    pub fn client(&self, name: &str) -> Identity {
        self.sign(&[name], ExtendedKeyUsagePurpose::ClientAuth, 2100)
    }

    fn sign(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, last_year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect(MADE);
        params.not_before = date_time_ymd(2010, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().expect(MADE);
        let certificate = params.signed_by(&key, &self.issuer).expect(MADE);
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }
}

/// A TLS server on a free local port. Dropping it closes its connections.
pub struct Front {
    /// Where it listens.
    pub addr: SocketAddr,
    _door: Door,
}

impl Front {
    /// Shows `identity`, and passes what comes inside of TLS on to `target`. With `clients`, only those who show a
    /// certificate of that authority are let in.
    pub fn start(target: SocketAddr, identity: &Identity, clients: Option<&Authority>) -> io::Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(config(identity, clients)));
        let door = Door::open(SocketAddr::from(([127, 0, 0, 1], 0)), move |guest| {
            tokio::spawn(carry(guest, acceptor.clone(), target));
        })?;
        Ok(Self {
            addr: door.addr(),
            _door: door,
        })
    }
}

fn config(identity: &Identity, clients: Option<&Authority>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).expect(MADE);
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect(MADE))
        }
    };
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes());
    let chain: Vec<_> = chain.collect::<Result<_, _>>().expect(MADE);
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect(MADE);
    builder.with_single_cert(chain, key).expect(MADE)
}

/// Ends with its guest; what goes wrong on the way is what the guest sees of it.
async fn carry(guest: Guest, acceptor: TlsAcceptor, target: SocketAddr) {
    let Guest { stream, gone, stay } = guest;
    let _stay = stay;
    let carried = async {
        let mut inside = acceptor.accept(stream).await?;
        let mut onward = TcpStream::connect(target).await?;
        tokio::io::copy_bidirectional(&mut inside, &mut onward).await
    };
    tokio::select! {
        () = gone.cancelled() => {}
        ended = carried => if let Err(error) = ended {
            tracing::debug!(%error, "a TLS connection ended");
        },
    }
}
