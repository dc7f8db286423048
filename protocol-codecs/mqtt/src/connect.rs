//! CONNECT (5.0 and 3.1.1, 3.1).

use crate::frame::text;
use crate::property::Allowed;
use crate::sink::{Sink, put_bytes16, put_u8, put_u16};
use crate::{EncodeFault, Fault, Level, Properties, Qos, Version, topic};
use wire::Reader;

/// Octets that no log may show: `Debug` prints how many there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret<'a>(pub &'a [u8]);

impl std::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{} secret bytes>", self.0.len())
    }
}

/// CONNECT. Its level, not the connection's version, says how it is laid out.
///
/// `Debug` shows neither user name nor password: some brokers take an access token as either.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Connect<'a> {
    /// Protocol name and level.
    pub level: Level,
    /// Clean Start of 5.0, Clean Session of 3.1.1.
    pub clean_start: bool,
    /// Seconds; 0 is none.
    pub keep_alive: u16,
    /// May be empty: the server chooses then.
    pub client_id: &'a str,
    /// What the server publishes when the connection is lost.
    pub will: Option<Will<'a>>,
    /// User name.
    pub user_name: Option<&'a str>,
    /// Password; in 3.1.1 only beside a user name.
    pub password: Option<Secret<'a>>,
    /// 5.0 only.
    pub properties: Properties<'a>,
}

/// A will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// Topic name.
    pub topic: &'a str,
    /// May be empty; at most 65,535 octets.
    pub payload: &'a [u8],
    /// QoS of the publication.
    pub qos: Qos,
    /// Whether it is retained.
    pub retain: bool,
    /// 5.0 only.
    pub properties: Properties<'a>,
}

const CLEAN_START: u8 = 0x02;
const WILL: u8 = 0x04;
const WILL_RETAIN: u8 = 0x20;
const PASSWORD: u8 = 0x40;
const USER_NAME: u8 = 0x80;

impl<'a> Connect<'a> {
    /// A CONNECT without will, credentials and properties. `keep_alive` is in seconds.
    #[must_use]
    pub const fn new(level: Level, client_id: &'a str, clean_start: bool, keep_alive: u16) -> Self {
        let properties = Properties::EMPTY;
        Self { level, clean_start, keep_alive, client_id, will: None, user_name: None, password: None, properties }
    }

    pub(crate) fn read(mut r: Reader<'a>) -> Result<Self, Fault> {
        let level = read_level(&mut r)?;
        let version = level.version();
        let flags = read_flags(&mut r, version)?;
        let keep_alive = r.u16("keep alive")?;
        let properties = Properties::read_in(version, &mut r, Allowed::CONNECT)?;
        let client_id = text(&mut r, "client id")?;
        let clean_start = flags & CLEAN_START != 0;
        if version == Version::V311 && client_id.is_empty() && (!clean_start || level == Level::V31) {
            return Err(Fault::ClientId);
        }
        let will = if flags & WILL != 0 { Some(Will::read(&mut r, version, flags)?) } else { None };
        let user_name = if flags & USER_NAME != 0 { Some(text(&mut r, "user name")?) } else { None };
        let password = if flags & PASSWORD != 0 { Some(Secret(r.bytes16("password")?)) } else { None };
        r.finish()?;
        Ok(Self { level, clean_start, keep_alive, client_id, will, user_name, password, properties })
    }

    pub(crate) fn write(&self, sink: &mut impl Sink) -> Result<(), EncodeFault> {
        let version = self.level.version();
        if version == Version::V311 && self.password.is_some() && self.user_name.is_none() {
            return Err(EncodeFault::NotInVersion("password without a user name"));
        }
        if self.client_id.is_empty() && (self.level == Level::V31 || version == Version::V311 && !self.clean_start) {
            return Err(EncodeFault::Empty("client id"));
        }
        let (name, number) = self.level.name_and_number();
        put_bytes16(sink, name.as_bytes(), "protocol name")?;
        put_u8(sink, number);
        put_u8(sink, self.flags());
        put_u16(sink, self.keep_alive);
        if version == Version::V5 {
            self.properties.write(sink, Allowed::CONNECT)?;
        }
        put_bytes16(sink, self.client_id.as_bytes(), "client id")?;
        if let Some(will) = &self.will {
            will.write(sink, version)?;
        }
        if let Some(user_name) = self.user_name {
            put_bytes16(sink, user_name.as_bytes(), "user name")?;
        }
        if let Some(Secret(password)) = self.password {
            put_bytes16(sink, password, "password")?;
        }
        Ok(())
    }

    fn flags(&self) -> u8 {
        let will = self.will.map_or(0, |will| WILL | (will.qos.bits() << 3) | when(will.retain, WILL_RETAIN));
        will | when(self.clean_start, CLEAN_START)
            | when(self.user_name.is_some(), USER_NAME)
            | when(self.password.is_some(), PASSWORD)
    }
}

impl<'a> Will<'a> {
    fn read(r: &mut Reader<'a>, version: Version, flags: u8) -> Result<Self, Fault> {
        let properties = Properties::read_in(version, r, Allowed::WILL)?;
        let topic = text(r, "will topic")?;
        topic::check_name(topic).map_err(Fault::TopicName)?;
        let payload = r.bytes16("will payload")?;
        let qos = Qos::from_bits((flags >> 3) & 3).ok_or(Fault::Malformed("will qos"))?;
        Ok(Self { topic, payload, qos, retain: flags & WILL_RETAIN != 0, properties })
    }

    fn write(&self, sink: &mut impl Sink, version: Version) -> Result<(), EncodeFault> {
        if self.topic.is_empty() {
            return Err(EncodeFault::Empty("will topic"));
        }
        if version == Version::V5 {
            self.properties.write(sink, Allowed::WILL)?;
        }
        put_bytes16(sink, self.topic.as_bytes(), "will topic")?;
        put_bytes16(sink, self.payload, "will payload")
    }
}

fn read_level(r: &mut Reader<'_>) -> Result<Level, Fault> {
    let name = text(r, "protocol name")?;
    match (name, r.u8("protocol level")?) {
        ("MQIsdp", 3) => Ok(Level::V31),
        ("MQTT", 4) => Ok(Level::V311),
        ("MQTT", 5) => Ok(Level::V5),
        _ => Err(Fault::UnsupportedProtocol),
    }
}

fn read_flags(r: &mut Reader<'_>, version: Version) -> Result<u8, Fault> {
    let flags = r.u8("connect flags")?;
    let will_details = flags & (WILL_RETAIN | 0x18);
    let bad = flags & 1 != 0
        || will_details & 0x18 == 0x18
        || (flags & WILL == 0 && will_details != 0)
        // 3.1.1, 3.1.2.9; 5.0 lifts it.
        || (version == Version::V311 && flags & PASSWORD != 0 && flags & USER_NAME == 0);
    if bad { Err(Fault::Malformed("connect flags")) } else { Ok(flags) }
}

const fn when(set: bool, bits: u8) -> u8 {
    if set { bits } else { 0 }
}

impl std::fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("level", &self.level)
            .field("clean_start", &self.clean_start)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("user_name", &self.user_name.map(|name| Secret(name.as_bytes())))
            .field("password", &self.password)
            .field("properties", &self.properties)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Packet, Property};

    #[test]
    fn debug_output_shows_no_credentials() {
        let properties = [Property::AuthenticationMethod("m"), Property::AuthenticationData(Secret(b"sesame"))];
        let mut connect = Connect::new(Level::V5, "lamp", true, 60);
        connect.user_name = Some("tok3n");
        connect.password = Some(Secret(b"hunter2"));
        connect.properties = Properties::list(&properties);
        let shown = format!("{:?}", Packet::Connect(connect));
        assert!(shown.contains("lamp") && shown.contains("<7 secret bytes>"), "{shown}");
        for octets in ["tok3n", "hunter2", "sesame", "104, 117", "115, 101"] {
            assert!(!shown.contains(octets), "{shown}");
        }
    }

    #[test]
    fn what_3_1_1_cannot_say_is_not_written() {
        let mut connect = Connect::new(Level::V311, "", false, 0);
        let refused = |connect: Connect<'_>| Packet::Connect(connect).encode(Version::V311, &mut Vec::new());
        assert_eq!(refused(connect), Err(EncodeFault::Empty("client id")));
        connect.client_id = "c";
        connect.password = Some(Secret(b"p"));
        assert_eq!(refused(connect), Err(EncodeFault::NotInVersion("password without a user name")));
    }
}
