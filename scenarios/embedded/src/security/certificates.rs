//! Certificates for tests.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, date_time_ymd,
};

use crate::settings::Identity;

/// Names under which brokers and clients of one machine are reached.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Why a certificate could not be made: the system has no randomness, or the name cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot make a test certificate")]
pub struct CertificateError(#[from] rcgen::Error);

/// An authority of its own and what it signs: EC P-256 keys, valid from 2020 to 2120. Two of them do not trust each other.
#[derive(Debug)]
pub struct TestCertificates {
    authority: String,
    issuer: Issuer<'static, KeyPair>,
}

impl TestCertificates {
    /// A new authority.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn generate() -> Result<Self, CertificateError> {
        let mut params = params("test authority", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?.pem();
        Ok(Self {
            authority,
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority's certificate in PEM: for `ssl.ca.location`, a trust store, or [`crate::Tls::trusted`].
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// For brokers: valid for `localhost` and the loopback addresses.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn server(&self) -> Result<Identity, CertificateError> {
        self.server_named(&LOCAL_NAMES)
    }

    /// For brokers that are reached under other names, or addresses.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn server_named(&self, names: &[&str]) -> Result<Identity, CertificateError> {
        self.sign(params("broker", names)?)
    }

    /// As [`Self::server`], but it ended in 2021.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn expired_server(&self) -> Result<Identity, CertificateError> {
        self.sign(expired(params("broker", &LOCAL_NAMES)?))
    }

    /// For a client: the principal is `User:CN=` and this name, unless mapping rules say otherwise.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn client(&self, common_name: &str) -> Result<Identity, CertificateError> {
        self.sign(params(common_name, &[])?)
    }

    /// As [`Self::client`], but it ended in 2021.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn expired_client(&self, common_name: &str) -> Result<Identity, CertificateError> {
        self.sign(expired(params(common_name, &[])?))
    }

    fn sign(&self, mut params: CertificateParams) -> Result<Identity, CertificateError> {
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate_chain: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

fn params(common_name: &str, names: &[&str]) -> Result<CertificateParams, CertificateError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    Ok(params)
}

fn expired(mut params: CertificateParams) -> CertificateParams {
    params.not_after = date_time_ymd(2021, 1, 1);
    params
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::security::principal::distinguished_name;

    fn name_of(pem: &str) -> Option<String> {
        distinguished_name(&CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
    }

    /// What `X500Principal.getName()` answers for the same subjects.
    #[test]
    fn subjects_are_read_back_in_java_s_order() {
        let certificates = TestCertificates::generate().unwrap();
        let client = certificates.client("client").unwrap();
        assert_eq!(
            name_of(&client.certificate_chain).as_deref(),
            Some("CN=client")
        );
        let mut long = params("a, b", &[]).unwrap();
        long.distinguished_name
            .push(DnType::OrganizationalUnitName, "tests");
        long.distinguished_name.push(DnType::CountryName, "DE");
        // An e-mail address: no keyword of RFC 2253.
        long.distinguished_name
            .push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), "x");
        let long = certificates.sign(long).unwrap();
        let expected = "1.2.840.113549.1.9.1=#0c0178,C=DE,OU=tests,CN=a\\, b";
        assert_eq!(name_of(&long.certificate_chain).as_deref(), Some(expected));
    }
}
