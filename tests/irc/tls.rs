//! TLS with the certificate that Roost makes for itself.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, StreamOwned,
    SupportedProtocolVersion,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::client::{Client, dial, find, texts};
use crate::server::Server;

/// Takes any certificate, but not a handshake that was not signed with it.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A TLS connection to the server, and the certificate it showed.
pub fn connect(server: &Server, version: &'static SupportedProtocolVersion) -> (Client, CertificateDer<'static>) {
    over(dial(server.tls), version, None)
}

/// TLS over `stream`, shown `identity` where there is one, and the certificate that the server showed.
pub fn over(
    stream: TcpStream,
    version: &'static SupportedProtocolVersion,
    identity: Option<Identity>,
) -> (Client, CertificateDer<'static>) {
    let connected = connected(stream, version, identity);
    (connected.client, connected.certificate)
}

/// A connection by TLS.
pub struct Connected {
    /// The client.
    pub client: Client,
    /// What the server showed.
    pub certificate: CertificateDer<'static>,
    /// Keying material for the channel binding `tls-exporter`.
    pub exporter: Vec<u8>,
    /// Whether it goes on with an earlier one's session.
    pub is_resumed: bool,
}

/// As [`over`], with all that is known of the connection.
pub fn connected(
    stream: TcpStream,
    version: &'static SupportedProtocolVersion,
    identity: Option<Identity>,
) -> Connected {
    connected_by(stream, config(version, identity))
}

/// How a client connects that is shown `identity`; what resumes its sessions is in there, too.
pub fn config(version: &'static SupportedProtocolVersion, identity: Option<Identity>) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)));
    let config = match identity {
        Some((chain, key)) => config.with_client_auth_cert(chain, key).unwrap(),
        None => config.with_no_client_auth(),
    };
    Arc::new(config)
}

/// As [`connected`], with a configuration that other connections may have used.
pub fn connected_by(stream: TcpStream, config: Arc<ClientConfig>) -> Connected {
    let connection = ClientConnection::new(config, ServerName::try_from("roost.local").unwrap()).unwrap();
    let mut stream: StreamOwned<ClientConnection, TcpStream> = StreamOwned::new(connection, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    let certificate = stream.conn.peer_certificates().unwrap()[0].clone().into_owned();
    let is_resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
    let exporter = stream.conn.export_keying_material(vec![0; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap();
    Connected { client: Client::over(Box::new(stream)), certificate, exporter, is_resumed }
}

#[test]
fn tls_1_2_and_1_3_carry_a_conversation() {
    let server = Server::start();
    let (mut alice, _) = connect(&server, &rustls::version::TLS12);
    let (mut bob, _) = connect(&server, &rustls::version::TLS13);
    alice.register("alice");
    bob.register("bob");
    alice.join("#room");
    bob.join("#room");
    alice.sync();
    for number in 0..200 {
        alice.send(&format!("PRIVMSG #room :{number} {}", "x".repeat(300)));
    }
    alice.silent();
    let lines = bob.sync();
    let numbers: Vec<&str> = texts(&lines).iter().map(|text| text.split(' ').next().unwrap()).collect();
    assert_eq!(numbers, (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
    find(&bob.ask("WHOIS alice"), "671").must_fit(":roost.local 671 bob alice :*");
    let mut plain = server.user("carol");
    assert!(plain.ask("WHOIS carol").iter().all(|line| line.command() != "671"));
}

#[test]
fn the_certificate_is_made_once_and_kept() {
    let mut server = Server::start();
    let (_, first) = connect(&server, &rustls::version::TLS13);
    server.restart();
    let (_, second) = connect(&server, &rustls::version::TLS13);
    assert_eq!(first, second);
    assert!(server.data().join("tls/certificate.pem").exists() && server.data().join("tls/key.pem").exists());
}

#[test]
fn the_key_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    let mode = std::fs::metadata(server.data().join("tls/key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn plain_text_on_the_tls_port_is_closed_and_harms_nobody() {
    let server = Server::start();
    let mut stream = dial(server.tls);
    std::io::Write::write_all(&mut stream, b"NICK alice\r\nUSER a 0 * :a\r\n").unwrap();
    let mut bytes = Vec::new();
    // A TLS alert, perhaps, and then the end.
    let _ = std::io::Read::read_to_end(&mut stream, &mut bytes);
    assert!(!bytes.windows(3).any(|window| window == b"001"));
    let (mut bob, _) = connect(&server, &rustls::version::TLS13);
    bob.register("bob");
}

#[test]
fn c57_half_a_handshake_holds_up_nobody() {
    let server = Server::start();
    let _silent: Vec<TcpStream> = (0..50).map(|_| dial(server.tls)).collect();
    let (mut bob, _) = connect(&server, &rustls::version::TLS13);
    bob.register("bob");
}
