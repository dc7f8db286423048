//! What stands behind the `?`, read strictly: a filter that is not understood must not look like one that fits all.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use bridge_core::ask::Wanted;

use super::fault::Fault;
use super::walk::Position;

/// Rows of a page unless something else is asked for.
const LIMIT: usize = 100;
/// Rows of a page at most.
const MOST_ROWS: usize = 1000;
/// How deep pages may be counted off, in rows: each is looked at. A cursor costs nothing, however deep.
const DEEPEST_ROW: usize = 100_000;
/// What `conn_state` may say. `idle` is EMQX's word for `connecting`.
const STATES: [&str; 6] = ["connecting", "connected", "asleep", "awake", "disconnected", "idle"];

/// Parameters of a list of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientsQuery {
    /// One client only.
    pub(super) id: Option<String>,
    /// Which clients.
    pub(super) wanted: Arc<Wanted>,
    /// Where the page begins.
    pub(super) from: From,
    /// Rows at most.
    pub(super) limit: usize,
}

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// Behind all pages before this one; they count from 1.
    Page(usize),
    /// Where a page before has ended.
    Cursor(Position),
}

impl ClientsQuery {
    pub(super) const KEYS: [&str; 10] = [
        "page",
        "limit",
        "cursor",
        "clientid",
        "like_clientid",
        "username",
        "like_username",
        "ip_address",
        "conn_state",
        "clean_start",
    ];

    /// # Errors
    /// What is unknown, given twice, or out of its range.
    pub(super) fn read(raw: Option<&str>) -> Result<Self, Fault> {
        let mut given = pairs(raw, &Self::KEYS)?;
        let mut take = |key: &str| given.remove(key);
        let limit = number(take("limit"), "limit", LIMIT, MOST_ROWS)?;
        let from = match (take("page"), take("cursor")) {
            (Some(_), Some(_)) => return Err(Fault::bad_request("page and cursor exclude each other")),
            // As EMQX has it where it pages by cursors.
            (None, Some(cursor)) if cursor == "none" => From::Page(1),
            (None, Some(cursor)) => From::Cursor(cursor.parse()?),
            (page, None) => From::Page(number(page, "page", 1, usize::MAX)?),
        };
        if let From::Page(page) = from
            && page.saturating_mul(limit) > DEEPEST_ROW
        {
            let message = format!("page × limit is {DEEPEST_ROW} at most: go further by meta.cursor");
            return Err(Fault::bad_request(message));
        }
        let id = take("clientid");
        let wanted = Wanted {
            id_like: take("like_clientid"),
            username: take("username"),
            username_like: take("like_username"),
            ip: take("ip_address").map(|text| ip(&text)).transpose()?,
            state: take("conn_state").map(|text| state(&text)).transpose()?,
            clean: take("clean_start").map(|text| boolean(&text)).transpose()?,
        };
        Ok(Self { id, wanted: Arc::new(wanted), from, limit })
    }

    /// True when every client is wanted.
    pub(super) fn wants_all(&self) -> bool {
        self.id.is_none() && *self.wanted == Wanted::default()
    }
}

/// Nothing is understood.
///
/// # Errors
/// If something stands there.
pub(super) fn nothing(raw: Option<&str>) -> Result<(), Fault> {
    pairs(raw, &[]).map(drop)
}

/// Names and values, decoded.
fn pairs(raw: Option<&str>, known: &[&str]) -> Result<BTreeMap<String, String>, Fault> {
    let mut pairs = BTreeMap::new();
    for (key, value) in form_urlencoded::parse(raw.unwrap_or_default().as_bytes()) {
        if !known.contains(&&*key) {
            let message = match known {
                [] => format!("unknown parameter {key:?}: this path has none"),
                _ => format!("unknown parameter {key:?}: this path has {}", known.join(", ")),
            };
            return Err(Fault::bad_request(message));
        }
        if pairs.insert(key.clone().into_owned(), value.into_owned()).is_some() {
            return Err(Fault::bad_request(format!("{key} is given twice")));
        }
    }
    Ok(pairs)
}

fn number(text: Option<String>, key: &str, default: usize, most: usize) -> Result<usize, Fault> {
    let Some(text) = text else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| match most {
        usize::MAX => Fault::bad_request(format!("{key} is a number from 1 on, found {text:?}")),
        _ => Fault::bad_request(format!("{key} is a number from 1 to {most}, found {text:?}")),
    })
}

fn ip(text: &str) -> Result<IpAddr, Fault> {
    text.parse().map_err(|_fault| Fault::bad_request(format!("ip_address is an IP address, found {text:?}")))
}

fn state(text: &str) -> Result<String, Fault> {
    match text {
        "idle" => Ok("connecting".to_owned()),
        _ if STATES.contains(&text) => Ok(text.to_owned()),
        _ => Err(Fault::bad_request(format!("conn_state is one of {}, found {text:?}", STATES.join(", ")))),
    }
}

fn boolean(text: &str) -> Result<bool, Fault> {
    text.parse().map_err(|_fault| Fault::bad_request(format!("clean_start is true or false, found {text:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &str) -> Result<ClientsQuery, String> {
        ClientsQuery::read(Some(raw)).map_err(|fault| fault.message)
    }

    #[test]
    fn nothing_asked_for_is_the_first_hundred_of_all() {
        let query = ClientsQuery::read(None).unwrap();
        assert_eq!((query.from, query.limit, query.wants_all()), (From::Page(1), 100, true));
        assert_eq!(read("").unwrap(), query);
        assert_eq!(read("cursor=none").unwrap(), query);
    }

    #[test]
    fn filters_are_decoded_and_put_together() {
        let query =
            read("like_clientid=a%2Fb&username=o+p&like_username=o&ip_address=::1&conn_state=idle&clean_start=true");
        let some = |text: &str| Some(text.to_owned());
        let wanted = Wanted {
            id_like: some("a/b"),
            username: some("o p"),
            username_like: some("o"),
            ip: Some("::1".parse().unwrap()),
            state: some("connecting"),
            clean: Some(true),
        };
        let query = query.unwrap();
        assert_eq!((&*query.wanted, query.wants_all()), (&wanted, false));
        let query = read("clientid=lamp&page=3&limit=10").unwrap();
        assert_eq!((query.id.as_deref(), query.from, query.limit), (Some("lamp"), From::Page(3), 10));
        assert!(!query.wants_all());
    }

    #[test]
    #[rustfmt::skip]
    fn what_is_not_understood_is_refused_by_its_name() {
        for (raw, expected) in [
            ("like_client=x",        "unknown parameter \"like_client\": this path has page, limit, cursor, clientid, like_clientid, username, like_username, ip_address, conn_state, clean_start"),
            ("limit=1&limit=2",      "limit is given twice"),
            ("limit=0",              "limit is a number from 1 to 1000, found \"0\""),
            ("limit=1001",           "limit is a number from 1 to 1000, found \"1001\""),
            ("limit=",               "limit is a number from 1 to 1000, found \"\""),
            ("page=0",               "page is a number from 1 on, found \"0\""),
            ("page=-1",              "page is a number from 1 on, found \"-1\""),
            ("page=1001",            "page × limit is 100000 at most: go further by meta.cursor"),
            ("page=18446744073709551615&limit=2", "page × limit is 100000 at most: go further by meta.cursor"),
            ("page=1&cursor=0",      "page and cursor exclude each other"),
            ("cursor=x",             "cursor is what meta.cursor of a page before said, found \"x\""),
            ("ip_address=lamp",      "ip_address is an IP address, found \"lamp\""),
            ("conn_state=gone",      "conn_state is one of connecting, connected, asleep, awake, disconnected, idle, found \"gone\""),
            ("clean_start=1",        "clean_start is true or false, found \"1\""),
        ] {
            assert_eq!(read(raw), Err(expected.to_owned()), "{raw}");
        }
        assert!(read("page=1000").is_ok() && read("page=100&limit=1000").is_ok());
        assert_eq!(nothing(Some("a=1")).map_err(|fault| fault.message), Err("unknown parameter \"a\": this path has none".to_owned()));
        assert_eq!(nothing(Some("")), Ok(()));
    }
}
