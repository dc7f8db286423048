mod support;

use std::path::Path;

use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::ssl::{SslConnectorBuilder, SslMethod, SslVerifyMode};

use super::*;
use crate::config::{SniConfig, TlsVersion, Verify};
use bridge_core::peer::Proven;
use support::{Files, Identity, client, handshake, plain_client};

fn no_keys() -> Live<PskKeys> {
    Live::from(PskKeys::default())
}

fn keys(pairs: &[(&str, &[u8])]) -> Live<PskKeys> {
    Live::from(pairs.iter().map(|&(identity, key)| (identity.into(), key.into())).collect::<PskKeys>())
}

/// With the server's own certificate.
fn config(files: &Files, own: &Identity) -> TlsConfig {
    TlsConfig {
        cert_file: Some(files.put("own.crt", &own.cert_pem())),
        key_file: Some(files.put("own.key", &own.key_pem())),
        ..TlsConfig::default()
    }
}

/// That wants certificates by `authority`, too.
fn verifying(files: &Files, own: &Identity, authority: &Identity, verify: Verify) -> TlsConfig {
    let ca_file = Some(files.put("ca.crt", &authority.cert_pem()));
    TlsConfig { ca_file, verify, ..config(files, own) }
}

fn with_psk(builder: &mut SslConnectorBuilder, identity: &'static str, key: &'static [u8]) {
    builder.set_psk_client_callback(move |_, _, name, psk| {
        name[..identity.len()].copy_from_slice(identity.as_bytes());
        name[identity.len()] = 0;
        psk[..key.len()].copy_from_slice(key);
        Ok(key.len())
    });
}

const KEY: &[u8] = b"sixteen octets!!";
const OTHER_KEY: &[u8] = b"sixteen others!!";
const VERSIONS: [TlsVersion; 2] = [TlsVersion::Tls12, TlsVersion::Tls13];

#[test]
fn a_client_that_proves_nothing_is_nobody() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    let server = ServerTls::load(&config(&files, &own), &no_keys()).unwrap();
    let done = handshake(&server, client(&own, |_| {}));
    assert_eq!((done.verdict, done.proven, done.shown.as_deref()), (Ok(()), ProvenBuf::Nothing, Some("gw")));
    assert_eq!(server.warnings(), [""; 0]);
}

#[test]
fn each_version_is_spoken_only_where_it_is_configured() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    for (versions, client_version, expected) in [
        (&VERSIONS[..1], SslVersion::TLS1_2, Ok(())),
        (&VERSIONS[1..], SslVersion::TLS1_3, Ok(())),
        (&VERSIONS[..1], SslVersion::TLS1_3, Err("nothing_in_common")),
        (&VERSIONS[1..], SslVersion::TLS1_2, Err("nothing_in_common")),
        (&VERSIONS[..], SslVersion::TLS1_1, Err("nothing_in_common")),
    ] {
        let config = TlsConfig { versions: versions.to_vec(), ..config(&files, &own) };
        let server = ServerTls::load(&config, &no_keys()).unwrap();
        let done = handshake(
            &server,
            client(&own, |builder| {
                builder.set_min_proto_version(Some(client_version)).unwrap();
                builder.set_max_proto_version(Some(client_version)).unwrap();
                builder.set_security_level(0);
            }),
        );
        assert_eq!(done.verdict.map_err(|fault| fault.reason()), expected, "{versions:?} {client_version:?}");
    }
}

#[test]
fn the_common_name_of_a_verified_certificate_is_who_it_is() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    let (authority, stranger) = (Identity::new("authority"), Identity::new("stranger"));
    let lamp = authority.issue(&["lamp-7"]);
    for version in VERSIONS {
        for (verify, shown, expected) in [
            (Verify::Required, Some(&lamp), Ok(Proven::Certificate("lamp-7"))),
            (Verify::Required, Some(&stranger), Err("untrusted")),
            (Verify::Required, None, Err("no_certificate")),
            (Verify::Optional, Some(&lamp), Ok(Proven::Certificate("lamp-7"))),
            (Verify::Optional, Some(&stranger), Err("untrusted")),
            (Verify::Optional, None, Ok(Proven::Nothing)),
            (Verify::None, Some(&lamp), Ok(Proven::Nothing)),
            (Verify::None, Some(&stranger), Ok(Proven::Nothing)),
        ] {
            let config = TlsConfig { versions: vec![version], ..verifying(&files, &own, &authority, verify) };
            let server = ServerTls::load(&config, &no_keys()).unwrap();
            let done = handshake(
                &server,
                client(&own, |builder| {
                    if let Some(identity) = shown {
                        identity.show(builder);
                    }
                }),
            );
            let proven = done.verdict.map(|()| done.proven.view()).map_err(|fault| fault.reason());
            assert_eq!(proven, expected, "{version} {verify}");
        }
    }
}

#[test]
fn a_certificate_that_is_out_of_date_proves_nothing() {
    let (files, own, authority) = (Files::new(), Identity::new("gw"), Identity::new("authority"));
    let server = ServerTls::load(&verifying(&files, &own, &authority, Verify::Optional), &no_keys()).unwrap();
    let old = authority.issue_until(&["lamp"], 1);
    let done = handshake(&server, client(&own, |builder| old.show(builder)));
    assert_eq!(done.verdict, Err(HandshakeFault::Untrusted("certificate has expired".into())));
}

#[test]
fn a_name_that_is_none_or_several_is_nobodys() {
    let (files, own, authority) = (Files::new(), Identity::new("gw"), Identity::new("authority"));
    let server = ServerTls::load(&verifying(&files, &own, &authority, Verify::Required), &no_keys()).unwrap();
    for names in [&["lamp", "ops"][..], &[], &["a\u{7}b"], &["ops\0lamp"]] {
        let shown = authority.issue(names);
        let done = handshake(&server, client(&own, |builder| shown.show(builder)));
        assert_eq!((done.verdict, done.proven), (Ok(()), ProvenBuf::Nothing), "{names:?}");
    }
}

#[test]
fn a_pre_shared_key_proves_its_identity_in_both_versions_with_and_without_a_certificate() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    let keys = keys(&[("urn:imei:1", KEY), ("other", OTHER_KEY)]);
    for base in [TlsConfig::default(), config(&files, &own)] {
        for version in VERSIONS {
            let server = ServerTls::load(&TlsConfig { versions: vec![version], ..base.clone() }, &keys).unwrap();
            for (identity, key, expected) in [
                ("urn:imei:1", KEY, Ok(Proven::Psk("urn:imei:1"))),
                ("urn:imei:1", OTHER_KEY, Err("wrong_key")),
                (
                    "nobody",
                    KEY,
                    Err(if version == TlsVersion::Tls12 { "unknown_identity" } else { "nothing_in_common" }),
                ),
            ] {
                let done = handshake(
                    &server,
                    plain_client(|builder| {
                        with_psk(builder, identity, key);
                        builder.set_cipher_list("PSK").unwrap();
                        // What most clients prefer, and no key of ours is for.
                        builder.set_ciphersuites("TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256").unwrap();
                    }),
                );
                let proven = done.verdict.map(|()| done.proven.view()).map_err(|fault| fault.reason());
                // In version 1.3 who has no key of ours may still be content with our certificate.
                let expected = match expected {
                    Err("nothing_in_common") if base.cert_file.is_some() => Ok(Proven::Nothing),
                    other => other,
                };
                assert_eq!(proven, expected, "{version} {identity}");
            }
        }
    }
}

#[test]
fn where_certificates_are_required_a_key_does_as_well() {
    let (files, own, authority) = (Files::new(), Identity::new("gw"), Identity::new("authority"));
    for version in VERSIONS {
        let base = verifying(&files, &own, &authority, Verify::Required);
        let server = ServerTls::load(&TlsConfig { versions: vec![version], ..base }, &keys(&[("lamp", KEY)])).unwrap();
        let psk = plain_client(|builder| {
            with_psk(builder, "lamp", KEY);
            builder.set_cipher_list("PSK").unwrap();
        });
        let done = handshake(&server, psk);
        assert_eq!((done.verdict, done.proven.view()), (Ok(()), Proven::Psk("lamp")), "{version}");
        assert_eq!(handshake(&server, plain_client(|_| {})).verdict, Err(HandshakeFault::NoCertificate), "{version}");
    }
}

#[test]
fn an_identity_that_was_only_named_is_not_proved() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    let server = ServerTls::load(&config(&files, &own), &keys(&[("ops", KEY)])).unwrap();
    // The key cannot be used with the only cipher that the client speaks: our certificate is.
    let done = handshake(
        &server,
        client(&own, |builder| {
            with_psk(builder, "ops", b"not the key at all");
            builder.set_ciphersuites("TLS_AES_256_GCM_SHA384").unwrap();
        }),
    );
    assert_eq!((done.verdict, done.proven), (Ok(()), ProvenBuf::Nothing));
}

#[test]
fn keys_are_those_of_the_moment() {
    let keys = keys(&[("lamp", KEY)]);
    let server = ServerTls::load(&TlsConfig::default(), &keys).unwrap();
    let shake = || handshake(&server, plain_client(|builder| with_psk(builder, "lamp", OTHER_KEY))).verdict;
    assert_eq!(shake(), Err(HandshakeFault::WrongKey));
    keys.set([("lamp".into(), OTHER_KEY.into())].into_iter().collect());
    assert_eq!(shake(), Ok(()));
}

#[test]
fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
    let files = Files::new();
    let [own, one, any] = ["gw", "one.x.org", "any.x.org"].map(Identity::new);
    let sni = |server_name: &str, identity: &Identity| SniConfig {
        server_name: server_name.to_owned(),
        cert_file: files.put(&format!("{server_name}.crt"), &identity.cert_pem()),
        key_file: files.put(&format!("{server_name}.key"), &identity.key_pem()),
    };
    let authority = Identity::new("authority");
    let lamp = authority.issue(&["lamp"]);
    let base = verifying(&files, &own, &authority, Verify::Optional);
    let config = TlsConfig { sni: vec![sni("one.x.org", &one), sni("*.x.org", &any)], ..base };
    let server = ServerTls::load(&config, &no_keys()).unwrap();
    for (asked, expected) in [
        (Some("one.x.org"), "one.x.org"),
        (Some("ONE.x.ORG"), "one.x.org"),
        (Some("two.x.org"), "any.x.org"),
        (Some("a.b.x.org"), "gw"),
        (Some("x.org"), "gw"),
        (None, "gw"),
    ] {
        let mut ssl = plain_client(|builder| lamp.show(builder));
        if let Some(name) = asked {
            ssl.set_hostname(name).unwrap();
        }
        let done = handshake(&server, ssl);
        let found = (done.verdict, done.shown.as_deref(), done.proven.view());
        assert_eq!(found, (Ok(()), Some(expected), Proven::Certificate("lamp")), "{asked:?}");
    }
}

#[test]
fn a_reload_is_for_connections_to_come_and_a_bad_one_for_none() {
    let files = Files::new();
    let [old, new] = ["old", "new"].map(Identity::new);
    let config = config(&files, &old);
    let server = ServerTls::load(&config, &no_keys()).unwrap();
    let shown = |server: &ServerTls| handshake(server, plain_client(|_| {})).shown;
    let before = server.session().unwrap();
    files.put("own.crt", &new.cert_pem());
    assert!(matches!(server.renewal(&config, false), Err(TlsFault::File { key, .. }) if key == "key_file"));
    assert_eq!(shown(&server).as_deref(), Some("old"));
    files.put("own.key", &new.key_pem());
    let longer = TlsConfig { handshake_timeout: settings::HumanDuration::from_secs(99), ..config };
    let renewal = server.renewal(&longer, false).unwrap();
    assert_eq!(shown(&server).as_deref(), Some("old"), "not yet");
    server.renew(renewal);
    assert_eq!((shown(&server).as_deref(), server.handshake_timeout().as_secs()), (Some("new"), 99));
    let done = support::handshake_on(before, plain_client(|_| {}));
    assert_eq!(done.shown.as_deref(), Some("old"));
}

#[test]
fn keys_that_are_to_come_are_reckoned_with_and_those_that_are_to_go_no_more() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    let live = no_keys();
    let server = ServerTls::load(&config(&files, &own), &live).unwrap();
    // With keys alone there is no handshake before there are any.
    assert!(matches!(server.renewal(&TlsConfig::default(), false), Err(TlsFault::Nothing)));
    let renewal = server.renewal(&TlsConfig::default(), true).unwrap();
    live.set([("lamp".into(), KEY.into())].into_iter().collect());
    server.renew(renewal);
    let done = handshake(&server, plain_client(|builder| with_psk(builder, "lamp", KEY)));
    assert_eq!((done.verdict, done.proven.view()), (Ok(()), Proven::Psk("lamp")));
    assert!(matches!(server.renewal(&TlsConfig::default(), false), Err(TlsFault::Nothing)));
    server.renew(server.renewal(&config(&files, &own), false).unwrap());
    assert_eq!(support::tickets(&server), 1, "as where there are no keys");
}

#[test]
fn a_key_does_whatever_name_is_asked_for() {
    let (files, own, one) = (Files::new(), Identity::new("gw"), Identity::new("one.x.org"));
    let sni = SniConfig {
        server_name: "one.x.org".to_owned(),
        cert_file: files.put("one.crt", &one.cert_pem()),
        key_file: files.put("one.key", &one.key_pem()),
    };
    for version in VERSIONS {
        let config = TlsConfig { versions: vec![version], sni: vec![sni.clone()], ..config(&files, &own) };
        let server = ServerTls::load(&config, &keys(&[("lamp", KEY)])).unwrap();
        for name in ["one.x.org", "other.x.org"] {
            let mut ssl = plain_client(|builder| {
                with_psk(builder, "lamp", KEY);
                builder.set_cipher_list("PSK").unwrap();
            });
            ssl.set_hostname(name).unwrap();
            let done = handshake(&server, ssl);
            assert_eq!((done.verdict, done.proven.view()), (Ok(()), Proven::Psk("lamp")), "{version} {name}");
        }
    }
}

#[test]
fn there_are_tickets_to_resume_by_but_none_where_there_are_keys() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    for version in VERSIONS {
        let config = TlsConfig { versions: vec![version], ..config(&files, &own) };
        let tickets = |keys| support::tickets(&ServerTls::load(&config, keys).unwrap());
        assert_eq!((tickets(&no_keys()), tickets(&keys(&[("ops", KEY)]))), (1, 0), "{version}");
    }
}

#[test]
fn the_configured_ciphers_are_the_only_ones() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    let names = ["ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
    let ciphers = names.map(str::to_owned).to_vec();
    for (version, expected) in VERSIONS.into_iter().zip(names) {
        let config = TlsConfig { versions: vec![version], ciphers: ciphers.clone(), ..config(&files, &own) };
        let server = ServerTls::load(&config, &no_keys()).unwrap();
        assert_eq!(handshake(&server, plain_client(|_| {})).cipher.as_deref(), Some(expected));
    }
    for name in ["AES-9000", "TLS_AES_9000"] {
        let config = TlsConfig { ciphers: vec![name.to_owned()], ..config(&files, &own) };
        let fault = ServerTls::load(&config, &no_keys()).unwrap_err();
        assert_eq!((fault.key(), fault.message()), (Some("ciphers"), format!("{name}: no cipher match")));
    }
}

#[test]
fn what_is_below_the_standard_level_of_security_needs_that_lowered() {
    let keys = keys(&[("lamp", KEY)]);
    for (ciphers, expected) in
        [(&["PSK-AES128-CCM8"][..], Err("nothing_in_common")), (&["PSK-AES128-CCM8", "@SECLEVEL=0"], Ok(()))]
    {
        let ciphers = ciphers.iter().map(|&name| name.to_owned()).collect();
        let config = TlsConfig { versions: vec![TlsVersion::Tls12], ciphers, ..TlsConfig::default() };
        let done = handshake(
            &ServerTls::load(&config, &keys).unwrap(),
            plain_client(|builder| {
                with_psk(builder, "lamp", KEY);
                builder.set_cipher_list("PSK-AES128-CCM8:@SECLEVEL=0").unwrap();
            }),
        );
        assert_eq!(done.verdict.map_err(|fault| fault.reason()), expected);
    }
}

#[test]
fn a_certificate_with_a_weak_key_is_told() {
    let files = Files::new();
    let weak = Identity::with_key("gw", PKey::from_rsa(Rsa::generate(1024).unwrap()).unwrap());
    let fault = ServerTls::load(&config(&files, &weak), &no_keys()).unwrap_err();
    let path = files.put("own.crt", &weak.cert_pem());
    assert_eq!((fault.key(), fault.message()), (Some("cert_file"), format!("{}: ee key too small", path.display())));
}

#[test]
fn each_bad_file_is_told_by_its_key() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    let good = config(&files, &own);
    let junk = files.put("junk.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let (gone, other) = (Path::new("/nowhere/x.pem"), files.put("other.key", &Identity::new("other").key_pem()));
    let sni = |cert_file: &Path| SniConfig {
        server_name: "x".into(),
        cert_file: cert_file.into(),
        key_file: good.key_file.clone().unwrap(),
    };
    let own_crt = good.cert_file.clone().unwrap();
    let verify = Verify::Required;
    let told = |config: &TlsConfig| {
        let fault = ServerTls::load(config, &no_keys()).unwrap_err();
        (fault.key().unwrap_or_default().to_owned(), fault.message())
    };
    for (config, key, message) in [
        (
            TlsConfig { cert_file: Some(gone.into()), ..good.clone() },
            "cert_file",
            "/nowhere/x.pem: No such file or directory (os error 2)".to_owned(),
        ),
        (
            TlsConfig { cert_file: Some(junk.clone()), ..good.clone() },
            "cert_file",
            format!("{}: no certificate in it", junk.display()),
        ),
        (
            TlsConfig { key_file: Some(junk.clone()), ..good.clone() },
            "key_file",
            format!("{}: no private key in it that is not encrypted", junk.display()),
        ),
        (
            TlsConfig { key_file: Some(other.clone()), ..good.clone() },
            "key_file",
            format!("{}: is not the key of {}", other.display(), own_crt.display()),
        ),
        (
            TlsConfig { ca_file: Some(junk.clone()), verify, ..good.clone() },
            "ca_file",
            format!("{}: no certificate in it", junk.display()),
        ),
        (
            TlsConfig { sni: vec![sni(&own_crt), sni(&junk)], ..good.clone() },
            "sni[1].cert_file",
            format!("{}: no certificate in it", junk.display()),
        ),
        (
            TlsConfig::default(),
            "",
            "neither a certificate (`cert_file`, `key_file`) nor pre-shared keys (`[auth.psk]`)".to_owned(),
        ),
    ] {
        assert_eq!(told(&config), (key.to_owned(), message));
    }
}

#[test]
fn a_certificate_that_is_out_of_date_is_loaded_and_told() {
    let (files, old) = (Files::new(), Identity::new("authority").issue_until(&["gw"], 1_000_000_000));
    let server = ServerTls::load(&config(&files, &old), &no_keys()).unwrap();
    let path = files.put("own.crt", &old.cert_pem());
    let expected = format!("{}: the certificate is out of date since Sep  9 01:46:40 2001 GMT", path.display());
    assert_eq!(server.warnings(), [expected]);
}

#[test]
fn a_client_that_speaks_something_else_is_told_apart() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    let server = ServerTls::load(&config(&files, &own), &no_keys()).unwrap();
    for plain in [
        b"\x10\x00\x07\x3c\x00\x04abcd".as_slice(),
        b"GET / HTTP/1.1\r\n\r\n",
        b"CONNECT\naccept-version:1.2\n\n\0",
        b"PROXY TCP4 10.1.2.3 10.9.8.7 4660 8090\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c",
        b"hello, is anybody there?\n",
    ] {
        assert_eq!(support::answer_to(&server, plain), HandshakeFault::NotTls, "{plain:?}");
    }
    assert_eq!(support::answer_to(&server, b""), HandshakeFault::Closed);
    assert_eq!(support::answer_to(&server, b"\x16\x03\x01\x02\x00\x01\x00"), HandshakeFault::Closed);
}

#[test]
fn a_client_that_does_not_trust_us_says_so() {
    let (files, own) = (Files::new(), Identity::new("gw"));
    let server = ServerTls::load(&config(&files, &own), &no_keys()).unwrap();
    let done = handshake(&server, client(&Identity::new("other"), |_| {}));
    assert!(matches!(&done.verdict, Err(HandshakeFault::Refused(_))), "{:?}", done.verdict);
}

#[test]
fn tls_on_a_plain_port_is_recognised_by_its_first_octets() {
    let hello = support::client_hello();
    for (bytes, expected) in [
        (&hello[..], true),
        (&hello[..1], true),
        (&hello[..6], true),
        (b"\x16\x03\x01\x02\x00\x02", false),
        (b"\x16\x04", false),
        (b"\x10\x00\x07", false),
        (b"\x16\x03\x05", false),
        (b"", false),
    ] {
        assert_eq!(looks_like_tls(bytes), expected, "{bytes:02x?}");
    }
}

#[test]
fn debug_shows_no_key() {
    let keys = keys(&[("lamp", KEY)]);
    let shown = format!("{:?} {:?}", ServerTls::load(&TlsConfig::default(), &keys).unwrap(), keys.get());
    assert!(!shown.contains("sixteen") && !shown.contains("115, 105") && !shown.contains("lamp"), "{shown}");
}
