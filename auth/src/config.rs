//! `[auth]` and `[[auth.chain]]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bridge_core::topic::ClientId;
use settings::{HumanDuration, Secret, Section, Settings};

use crate::psk::check_identity;
use crate::users::check_name;

settings::choice! {
    /// A gateway that an entry serves.
    pub enum GatewayName {
        /// `[gateways.mqttsn]`.
        Mqttsn = "mqttsn",
        /// `[gateways.tcp]`.
        Tcp = "tcp",
    }
    not_yet "coap", "lwm2m", "stomp";
}

settings::choice! {
    /// What becomes of a client that no entry has an opinion of.
    #[derive(Default)]
    pub enum OnAllIgnore {
        /// It may come in.
        Allow = "allow",
        /// It may not.
        #[default]
        Deny = "deny",
    }
}

settings::choice! {
    /// What an entry is.
    enum EntryType {
        Static = "static",
        File = "file",
        X509 = "x509",
        Broker = "broker",
    }
    not_yet "http", "postgresql", "mysql", "redis", "mongodb", "jwt", "ldap";
}

settings::choice! {
    /// What of a certificate is the user name.
    #[derive(Default)]
    pub enum CertificateName {
        /// Its common name.
        #[default]
        CommonName = "cn",
    }
    not_yet "dn", "san";
}

/// `[auth]`: who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthConfig {
    /// Whether clients without credentials may come in where no entry says otherwise. `None`: where no entry serves
    /// their gateway.
    pub allow_anonymous: Option<bool>,
    /// What an exhausted chain means.
    pub on_all_ignore: OnAllIgnore,
    /// Time for one decision: 100 ms to 1 h.
    pub timeout: HumanDuration,
    /// `[[auth.chain]]`, in the order in which they are tried.
    pub chain: Vec<EntryConfig>,
    /// `[auth.psk]`.
    pub psk: PskConfig,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            allow_anonymous: None,
            on_all_ignore: OnAllIgnore::default(),
            timeout: HumanDuration::from_secs(5),
            chain: Vec::new(),
            psk: PskConfig::default(),
        }
    }
}

impl Settings for AuthConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("allow_anonymous", &mut self.allow_anonymous);
        s.leaf("on_all_ignore", &mut self.on_all_ignore);
        s.ranged("timeout", &mut self.timeout, HumanDuration::from_millis(100)..=HumanDuration::from_secs(3600));
        s.tables("chain", &mut self.chain);
        s.table("psk", &mut self.psk);
    }
}

/// `[auth.psk]`: pre-shared keys of TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PskConfig {
    /// The file of keys, see [`load_keys`](crate::load_keys); `None` = there are none.
    pub file: Option<PathBuf>,
    /// Identities with the one client id that each may have. Others may have any.
    pub endpoints: BTreeMap<String, String>,
}

impl Settings for PskConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.leaf("file", &mut self.file);
        let keyless = self.file.is_none();
        let identity = |identity: &str| match check_identity(identity) {
            Err(fault) => Err(fault.to_string()),
            Ok(()) if keyless => Err("can have no key without `file`".to_owned()),
            Ok(()) => Ok(()),
        };
        let client_id = |id: &str| ClientId::try_from(id).map(drop).map_err(|fault| fault.to_string());
        s.texts("endpoints", &mut self.endpoints, identity, client_id);
        s.not_in_this_version(&["type", "query"]);
    }
}

/// One `[[auth.chain]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryConfig {
    /// The gateways that it serves; empty = all.
    pub gateways: Vec<GatewayName>,
    /// What it does.
    pub source: Source,
}

/// Where an entry has its opinion from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `type = "static"`: one credential put on every client.
    Static {
        /// The user name; never empty.
        username: String,
        /// The password; empty is none.
        password: Secret,
    },
    /// `type = "file"`: a file of users with hashed passwords.
    File {
        /// The file; never empty.
        path: PathBuf,
    },
    /// `type = "x509"`: whoever has shown a verified certificate comes in under its name.
    X509 {
        /// What of the certificate the name is.
        username: CertificateName,
    },
    /// `type = "broker"`: the broker decides, when the client's own connection comes there. In per-device mode only.
    Broker,
}

/// Stands in while an entry is read.
impl Default for EntryConfig {
    fn default() -> Self {
        Self { gateways: Vec::new(), source: Source::of(EntryType::Static) }
    }
}

impl Source {
    const fn kind(&self) -> EntryType {
        match self {
            Self::Static { .. } => EntryType::Static,
            Self::File { .. } => EntryType::File,
            Self::X509 { .. } => EntryType::X509,
            Self::Broker => EntryType::Broker,
        }
    }

    fn of(kind: EntryType) -> Self {
        match kind {
            EntryType::Static => Self::Static { username: String::new(), password: Secret::default() },
            EntryType::File => Self::File { path: PathBuf::new() },
            EntryType::X509 => Self::X509 { username: CertificateName::default() },
            EntryType::Broker => Self::Broker,
        }
    }
}

impl Settings for EntryConfig {
    fn visit(&mut self, s: &mut Section<'_>) {
        s.renamed(&[("mechanism", "type"), ("backend", "type")]);
        let mut kind = self.source.kind();
        if !s.required("type", &mut kind) {
            return s.ignore_others();
        }
        if kind != self.source.kind() {
            self.source = Source::of(kind);
        }
        s.list("gateways", &mut self.gateways);
        match &mut self.source {
            Source::Static { username, password } => {
                s.required_checked("username", username, |name| check_name(name).map_err(|fault| fault.to_string()));
                s.secret("password", password);
            }
            Source::File { path } => {
                s.required_checked("path", path, |path| match path.as_os_str().is_empty() {
                    true => Err("names no file".into()),
                    false => Ok(()),
                });
                s.not_in_this_version(&["hash"]);
                s.renamed_and_not_in_this_version(&[("password_hash_algorithm", "hash")]);
            }
            Source::X509 { username } => s.leaf("username", username),
            Source::Broker => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use settings::{Document, to_toml};

    fn read(text: &str) -> (AuthConfig, Vec<String>) {
        let mut config = AuthConfig::default();
        let mut document = Document::parse("a.toml", text);
        document.read(&mut config, &mut |path| match path.to_str() {
            Some("secret.txt") => Ok("from a file\n".into()),
            _ => Err(std::io::Error::other("gone")),
        });
        let problems = document.finish().err().unwrap_or_default();
        (config, problems.iter().map(ToString::to_string).collect())
    }

    const WHOLE: &str = r#"
        allow_anonymous = true
        on_all_ignore = "allow"
        timeout = "250ms"
        [[chain]]
        type = "static"
        username = "gateway"
        password = "hunter2"
        gateways = ["mqttsn"]
        [[chain]]
        type = "file"
        path = "users.txt"
        [[chain]]
        type = "static"
        username = "nobody"
        password_file = "secret.txt"
        [[chain]]
        type = "x509"
        username = "cn"
        [[chain]]
        type = "broker"
        [psk]
        file = "psk.txt"
        endpoints = { "urn:imei:1" = "lamp" }
    "#;

    #[test]
    fn a_chain_keeps_its_order() {
        let (config, problems) = read(WHOLE);
        assert_eq!(problems, [""; 0]);
        let entry = |gateways: &[GatewayName], source| EntryConfig { gateways: gateways.to_vec(), source };
        let credential = |username: &str, password: &str| Source::Static {
            username: username.into(),
            password: password.to_owned().into(),
        };
        let expected = AuthConfig {
            allow_anonymous: Some(true),
            on_all_ignore: OnAllIgnore::Allow,
            timeout: HumanDuration::from_millis(250),
            chain: vec![
                entry(&[GatewayName::Mqttsn], credential("gateway", "hunter2")),
                entry(&[], Source::File { path: "users.txt".into() }),
                entry(&[], credential("nobody", "from a file")),
                entry(&[], Source::X509 { username: CertificateName::CommonName }),
                entry(&[], Source::Broker),
            ],
            psk: PskConfig {
                file: Some("psk.txt".into()),
                endpoints: [("urn:imei:1".to_owned(), "lamp".to_owned())].into(),
            },
        };
        assert_eq!(config, expected);
    }

    #[test]
    fn what_is_written_reads_back_but_for_the_passwords() {
        for text in [WHOLE, ""] {
            let (config, _) = read(text);
            let written = to_toml(&mut config.clone());
            assert!(!written.contains("hunter2") && !written.contains("from a file"), "{written}");
            let (mut again, problems) = read(&written);
            assert_eq!(problems, [""; 0], "{written}");
            for (read, given) in again.chain.iter_mut().zip(&config.chain) {
                if let (Source::Static { password, .. }, Source::Static { password: given, .. }) =
                    (&mut read.source, &given.source)
                {
                    assert_eq!(password.expose(), "***");
                    *password = given.clone();
                }
            }
            assert_eq!(again, config);
        }
    }

    #[test]
    #[rustfmt::skip]
    fn each_mistake_is_told_where_it_stands() {
        for (text, expected) in [
            ("allow_anonymous = 1", "a.toml:1:19: allow_anonymous: expected `true` or `false`, found the number 1"),
            ("timeout = \"2h\"", "a.toml:1:11: timeout: expected \"100ms\" to \"1h\", found \"2h\""),
            ("on_all_ignore = \"ignore\"", "a.toml:1:17: on_all_ignore: expected \"allow\" or \"deny\", found \"ignore\""),
            ("[psk]\ntype = \"redis\"", "a.toml:2:1: psk.type: not in this version"),
            ("[psk]\nendpoints = { a = \"b\" }", "a.toml:2:15: psk.endpoints.a: \"a\" can have no key without `file`"),
            ("[psk]\nendpoints = { \" a\" = \"b\" }", "a.toml:2:15: psk.endpoints.\" a\": \" a\" begins with '#', or begins or ends with white space: no line can say it"),
            ("[psk]\nfile = \"f\"\nendpoints = { a = 5 }", "a.toml:3:19: psk.endpoints.a: expected a text in quotes, found the number 5"),
            ("[psk]\nfile = \"f\"\nendpoints = { a = \"\" }", "a.toml:3:19: psk.endpoints.a: \"\" is empty"),
            ("[psk]\nendpoints = \"a\"", "a.toml:2:13: psk.endpoints: expected a table, like { \"…\" = \"…\" }, found \"a\""),
            ("[[chain]]\ntype = \"x509\"\nusername = \"dn\"", "a.toml:3:12: chain[0].username: \"dn\" is not in this version"),
            ("chain = \"file\"", "a.toml:1:9: chain: expected an array of tables, each headed by `[[…]]`, found \"file\""),
            ("[chain]\ntype = \"file\"", "a.toml:1:1: chain: expected an array of tables, each headed by `[[…]]`, found a table"),
            ("[[chain]]\npath = \"users.txt\"", "a.toml:1:1: chain[0].type: is missing: expected \"static\", \"file\", \"x509\" or \"broker\""),
            ("[[chain]]\ntype = \"ldap\"\nurl = \"ldap://h\"", "a.toml:2:8: chain[0].type: \"ldap\" is not in this version"),
            ("[[chain]]\ntype = \"broker\"\npath = \"x\"", "a.toml:3:1: chain[0].path: unknown key"),
            ("[[chain]]\ntype = \"fiel\"", "a.toml:2:8: chain[0].type: expected \"static\", \"file\", \"x509\" or \"broker\", found \"fiel\" (did you mean \"file\"?)"),
            ("[[chain]]\nbackend = \"built_in_database\"\ntype = \"file\"\npath = \"u\"", "a.toml:2:1: chain[0].backend: is EMQX's name: here it is `type`"),
            ("[[chain]]\ntype = \"file\"", "a.toml:1:1: chain[0].path: is missing: expected a path in quotes, like \"/etc/tidegate/ca.pem\""),
            ("[[chain]]\ntype = \"file\"\npath = \"\"", "a.toml:3:8: chain[0].path: \"\" names no file"),
            ("[[chain]]\ntype = \"file\"\npath = \"u\"\nhash = \"bcrypt\"", "a.toml:4:1: chain[0].hash: not in this version"),
            ("[[chain]]\ntype = \"file\"\npath = \"u\"\nusername = \"x\"", "a.toml:4:1: chain[0].username: unknown key"),
            ("[[chain]]\ntype = \"static\"\nusername = \"\"", "a.toml:3:12: chain[0].username: \"\" is empty"),
            ("[[chain]]\ntype = \"static\"\nusername = \"a\\u0007\"", "a.toml:3:12: chain[0].username: \"a\\u0007\" holds a character that MQTT cannot carry"),
            ("[[chain]]\ntype = \"static\"\nusername = \"a\"\npassword = 5", "a.toml:4:12: chain[0].password: expected a text in quotes, found something else"),
            ("[[chain]]\ntype = \"static\"\nusername = \"a\"\npassword_file = \"x\"", "a.toml:4:17: chain[0].password_file: cannot read \"x\": gone"),
            ("[[chain]]\ntype = \"file\"\npath = \"u\"\ngateways = [\"mqttsn\", \"stomp\"]", "a.toml:4:23: chain[0].gateways[1]: \"stomp\" is not in this version"),
            ("[[chain]]\ntype = \"file\"\npath = \"u\"\ngateways = [\"mqtt-sn\"]", "a.toml:4:13: chain[0].gateways[0]: expected \"mqttsn\" or \"tcp\", found \"mqtt-sn\" (did you mean \"mqttsn\"?)"),
        ] {
            assert_eq!(read(text).1, [expected], "{text}");
        }
    }
}
