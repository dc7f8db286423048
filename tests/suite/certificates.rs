//! Certificates made by the test, by an authority of its own.

use std::fs;

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name, X509NameBuilder};

use crate::process::Dir;

/// Somebody whose signature is trusted.
pub(crate) struct Authority {
    name: X509Name,
    key: PKey<Private>,
    /// Path of its own certificate.
    pub(crate) file: String,
}

/// Paths of a certificate and of its key.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(dir: &Dir, name: &str) -> Self {
        let (key, file) = (key(), path(dir, &format!("{name}.ca")));
        let name = subject(name);
        let mut builder = builder(&name, &name, &key);
        builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        fs::write(&file, builder.build().to_pem().unwrap()).unwrap();
        Self { name, key, file }
    }

    /// A certificate of somebody with this common name, which is a host name too, and its key.
    pub(crate) fn certify(&self, dir: &Dir, name: &str) -> Certificate {
        let key = key();
        let mut builder = builder(&subject(name), &self.name, &key);
        let names = SubjectAlternativeName::new().dns(name).build(&builder.x509v3_context(None, None)).unwrap();
        builder.append_extension(names).unwrap();
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        let [cert_file, key_file] = ["crt", "key"].map(|kind| path(dir, &format!("{name}.{kind}")));
        fs::write(&cert_file, builder.build().to_pem().unwrap()).unwrap();
        fs::write(&key_file, key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        Certificate { cert: cert_file, key: key_file }
    }
}

fn path(dir: &Dir, name: &str) -> String {
    dir.path(name).to_str().unwrap().to_owned()
}

fn key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap()
}

fn subject(name: &str) -> X509Name {
    let mut builder = X509NameBuilder::new().unwrap();
    builder.append_entry_by_nid(Nid::COMMONNAME, name).unwrap();
    builder.build()
}

fn builder(subject: &X509Name, issuer: &X509Name, key: &PKey<Private>) -> openssl::x509::X509Builder {
    let mut serial = BigNum::new().unwrap();
    serial.rand(64, openssl::bn::MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::days_from_now(2).unwrap()).unwrap();
    builder
}
