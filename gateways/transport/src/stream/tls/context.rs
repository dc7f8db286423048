//! Contexts: certificate, trust, ciphers and keys as OpenSSL wants them.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use bridge_core::auth::PskKeys;
use bridge_core::live::Live;
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::ssl::{
    NameType, SniError, SslAcceptor, SslAcceptorBuilder, SslAlert, SslContext, SslContextBuilder, SslMethod,
    SslOptions, SslRef, SslSessionCacheMode, SslVerifyMode, SslVersion,
};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509Name};

use super::fault::TlsFault;
use super::identity_index;
use crate::broker::fault::first_reason;
use crate::broker::tls::{certificates, private_key};
use crate::config::{TlsConfig, TlsVersion, Verify};

/// The context of a listener, and what its operator should know. `keys`: `None` where there are none.
pub(super) fn build(config: &TlsConfig, keys: Option<&Live<PskKeys>>) -> Result<(SslContext, Vec<String>), TlsFault> {
    let with_keys = keys.is_some();
    let own = config.cert_file.as_deref().zip(config.key_file.as_deref());
    if own.is_none() && !with_keys {
        return Err(TlsFault::Nothing);
    }
    let authorities = match (config.verify, &config.ca_file) {
        (Verify::Optional | Verify::Required, Some(path)) => certificates(path, "ca_file")?,
        _ => Vec::new(),
    };
    let mut warnings = Vec::new();
    let plain = || bare(config, &authorities, with_keys);
    let mut builder = plain()?;
    if let Some((cert_file, key_file)) = own {
        identify(&mut builder, "", cert_file, key_file, &mut warnings)?;
    }
    let mut names = BTreeMap::new();
    for (at, sni) in config.sni.iter().enumerate() {
        let mut builder = plain()?;
        identify(&mut builder, &format!("sni[{at}]."), &sni.cert_file, &sni.key_file, &mut warnings)?;
        names.insert(sni.server_name.clone(), builder.build().into_context());
    }
    if !names.is_empty() {
        builder.set_servername_callback(move |ssl, _: &mut SslAlert| choose(ssl, &names));
    }
    if let Some(keys) = keys {
        ask_for_keys(&mut builder, keys.clone())?;
    }
    Ok((builder.build().into_context(), warnings))
}

/// A context without certificate and keys.
fn bare(config: &TlsConfig, authorities: &[X509], with_keys: bool) -> Result<SslAcceptorBuilder, TlsFault> {
    // No compression, buffers released while idle, and OpenSSL's other good defaults.
    let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    let speaks = |version| config.versions.contains(&version);
    let lowest = if speaks(TlsVersion::Tls12) { SslVersion::TLS1_2 } else { SslVersion::TLS1_3 };
    let highest = if speaks(TlsVersion::Tls13) { SslVersion::TLS1_3 } else { SslVersion::TLS1_2 };
    builder.set_min_proto_version(Some(lowest))?;
    builder.set_max_proto_version(Some(highest))?;
    builder.set_options(SslOptions::NO_RENEGOTIATION);
    // No session is kept here; a ticket holds all of it.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_session_id_context(b"tidegate")?;
    if with_keys {
        builder.set_options(SslOptions::NO_TICKET);
        builder.set_num_tickets(0)?;
        // OpenSSL takes a key of ours for one of SHA-256, and would pass over it if the client preferred SHA-384.
        builder.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    } else {
        builder.set_num_tickets(1)?;
    }
    ciphers(&mut builder, config, with_keys)?;
    trust(&mut builder, config.verify, authorities)?;
    Ok(builder)
}

/// Those of version 1.3 have a list of their own, and names of their own.
fn ciphers(builder: &mut SslContextBuilder, config: &TlsConfig, with_keys: bool) -> Result<(), TlsFault> {
    let (of_13, of_12): (Vec<_>, Vec<_>) =
        config.ciphers.iter().map(String::as_str).partition(|name| name.starts_with("TLS_"));
    if !of_13.is_empty() {
        let set = |builder: &mut SslContextBuilder, list: &str| builder.set_ciphersuites(list);
        of_these(builder, &of_13, set)?;
    }
    if !of_12.is_empty() {
        let set = |builder: &mut SslContextBuilder, list: &str| builder.set_cipher_list(list);
        of_these(builder, &of_12, set)?;
    } else if with_keys {
        builder.set_cipher_list(&format!("{OF_CERTIFICATES}:{OF_KEYS}"))?;
    }
    Ok(())
}

/// Where OpenSSL will not have a list, it is told of the names that it would not have alone either.
fn of_these(
    builder: &mut SslContextBuilder,
    names: &[&str],
    set: impl Fn(&mut SslContextBuilder, &str) -> Result<(), ErrorStack>,
) -> Result<(), TlsFault> {
    let Err(stack) = set(builder, &names.join(":")) else { return Ok(()) };
    // Those that begin with a sign change the list, and are no ciphers.
    let ciphers = names.iter().filter(|name| !name.starts_with(['@', '!', '-', '+']));
    let unknown: Vec<_> = ciphers.filter(|name| set(builder, name).is_err()).copied().collect();
    let reason = first_reason(&stack);
    let told = if unknown.is_empty() { reason } else { format!("{}: {reason}", unknown.join(", ")) };
    Err(TlsFault::Ciphers(told))
}

/// Whose certificates devices may show. No others than those in the configuration: never those of the system.
fn trust(builder: &mut SslContextBuilder, verify: Verify, authorities: &[X509]) -> Result<(), TlsFault> {
    let (mut store, mut names) = (X509StoreBuilder::new()?, Stack::<X509Name>::new()?);
    for authority in authorities {
        store.add_cert(authority.clone())?;
        names.push(authority.subject_name().to_owned()?)?;
    }
    builder.set_cert_store(store.build());
    builder.set_client_ca_list(names);
    builder.set_verify(match verify {
        Verify::None => SslVerifyMode::NONE,
        Verify::Optional => SslVerifyMode::PEER,
        Verify::Required => SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT,
    });
    Ok(())
}

/// `table` is what stands in front of the keys: empty, or `sni[0].`.
fn identify(
    builder: &mut SslContextBuilder,
    table: &str,
    cert_file: &Path,
    key_file: &Path,
    warnings: &mut Vec<String>,
) -> Result<(), TlsFault> {
    let in_table = |fault: crate::broker::TlsFault| TlsFault::from(fault).in_table(table);
    let unusable = |stack| TlsFault::file("cert_file", cert_file, first_reason(&stack)).in_table(table);
    let mut chain = certificates(cert_file, "cert_file").map_err(in_table)?.into_iter();
    if let Some(own) = chain.next() {
        warnings.extend(out_of_date(cert_file, own.not_before(), own.not_after())?);
        builder.set_certificate(&own).map_err(unusable)?;
    }
    for issuer in chain {
        builder.add_extra_chain_cert(issuer).map_err(unusable)?;
    }
    let key = private_key(key_file).map_err(in_table)?;
    builder.set_private_key(&key).and_then(|()| builder.check_private_key()).map_err(|_stack| {
        let reason = format!("is not the key of {}", cert_file.display());
        TlsFault::file("key_file", key_file, reason).in_table(table)
    })
}

fn out_of_date(path: &Path, from: &Asn1TimeRef, until: &Asn1TimeRef) -> Result<Option<String>, TlsFault> {
    let now = Asn1Time::days_from_now(0)?;
    let path = path.display();
    Ok(if until.compare(&now)? == Ordering::Less {
        Some(format!("{path}: the certificate is out of date since {until}"))
    } else if from.compare(&now)? == Ordering::Greater {
        Some(format!("{path}: the certificate is not valid before {from}"))
    } else {
        None
    })
}

/// The certificate of the name that the client asks for; the listener's own where none is given for it.
fn choose(ssl: &mut SslRef, names: &BTreeMap<String, SslContext>) -> Result<(), SniError> {
    let Some(asked) = ssl.servername(NameType::HOST_NAME).map(str::to_ascii_lowercase) else { return Ok(()) };
    let any = asked.split_once('.').map(|(_, rest)| format!("*.{rest}"));
    match names.get(&asked).or_else(|| names.get(&any?)) {
        Some(context) => ssl.set_ssl_context(context).map_err(|_stack| SniError::ALERT_FATAL),
        None => Ok(()),
    }
}

/// Answers OpenSSL's question for the key of an identity, and notes the identity for [`super::proven`].
fn ask_for_keys(builder: &mut SslContextBuilder, keys: Live<PskKeys>) -> Result<(), TlsFault> {
    let index = identity_index()?;
    builder.set_psk_server_callback(move |ssl, identity, into| {
        let Some(identity) = identity.and_then(|identity| std::str::from_utf8(identity).ok()) else { return Ok(0) };
        let keys = keys.get();
        let Some(key) = keys.key(identity) else { return Ok(0) };
        let Some(room) = into.get_mut(..key.len()) else { return Ok(0) };
        room.copy_from_slice(key);
        ssl.set_ex_data(index, identity.into());
        Ok(key.len())
    });
    Ok(())
}

/// Ours for certificates: forward secrecy and authenticated encryption only.
const OF_CERTIFICATES: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
                               ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
                               ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
/// Ours for pre-shared keys. The last four have no forward secrecy: devices that have nothing but AES can do no more.
const OF_KEYS: &str = "ECDHE-PSK-CHACHA20-POLY1305:DHE-PSK-AES128-GCM-SHA256:DHE-PSK-AES256-GCM-SHA384:\
                       ECDHE-PSK-AES128-CBC-SHA256:PSK-AES128-GCM-SHA256:PSK-AES256-GCM-SHA384:\
                       PSK-AES128-CCM:PSK-AES128-CBC-SHA256";
