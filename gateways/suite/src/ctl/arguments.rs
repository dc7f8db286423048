//! The command line of `tidegate ctl`, and whom it leads to.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::api::Api;
use crate::configuration;
use crate::failure::Failure;
use crate::startup::reached_from_here;

/// `tidegate ctl`.
#[derive(Debug, Args)]
pub(crate) struct Ctl {
    /// Where the admin API is, like http://127.0.0.1:18083; otherwise the configuration says so
    #[arg(long, value_name = "URL", global = true)]
    pub(super) url: Option<String>,
    /// Configuration file of the node: its `admin` table says where, and as whom; so do the variables TIDEGATE__ADMIN__*
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
    /// Print JSON, in one line
    #[arg(long, global = true)]
    pub(super) json: bool,
    #[command(subcommand)]
    pub(super) what: What,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(super) enum What {
    /// Show the node and its links to the broker; exit code 1 while it is not ready
    Status,
    /// List the gateways
    Gateways,
    /// List the listeners
    Listeners {
        /// Of one gateway only
        #[arg(long, value_name = "NAME")]
        gateway: Option<String>,
    },
    /// List clients, show one, or tell one to go
    Clients {
        #[command(subcommand)]
        command: ClientsCommand,
        /// Whose clients; otherwise those of the only gateway that runs, or of the first
        #[arg(long, value_name = "NAME", global = true)]
        gateway: Option<String>,
    },
    /// List the subscriptions of a client, or change them first
    Subscriptions {
        /// Client id
        id: String,
        /// Whose client; otherwise one of the only gateway that runs, or of the first
        #[arg(long, value_name = "NAME")]
        gateway: Option<String>,
        /// Subscribe in the client's stead
        #[arg(long, value_name = "FILTER")]
        add: Option<String>,
        /// QoS of what is added
        #[arg(long, value_name = "QOS", default_value_t = 0, requires = "add", value_parser = clap::value_parser!(u8).range(0..=2))]
        qos: u8,
        /// End a subscription
        #[arg(long, value_name = "FILTER")]
        remove: Option<String>,
    },
    /// Print everything that is counted
    Metrics,
    #[command(hide = true)]
    Trace(Anything),
    #[command(hide = true)]
    Lwm2m(Anything),
    #[command(hide = true)]
    Token(Anything),
}

impl What {
    /// As on the command line, for those that are not here yet.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Trace(_) => "trace",
            Self::Lwm2m(_) => "lwm2m",
            _ => "token",
        }
    }
}

/// About clients.
#[derive(Debug, Subcommand)]
pub(super) enum ClientsCommand {
    /// List clients, in no order but that of the node
    List {
        /// Clients at most
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
        #[command(flatten)]
        filters: Filters,
    },
    /// Show one client
    Show {
        /// Client id
        id: String,
    },
    /// Tell a client to go: its will is published, its session ends
    Kick {
        /// Client id
        id: String,
    },
}

/// Which clients.
#[derive(Debug, Default, Args)]
pub(super) struct Filters {
    /// One client
    #[arg(long, value_name = "ID")]
    clientid: Option<String>,
    /// Part of the client id
    #[arg(long, value_name = "PART")]
    like_clientid: Option<String>,
    /// The user name
    #[arg(long, value_name = "NAME")]
    username: Option<String>,
    /// Part of the user name
    #[arg(long, value_name = "PART")]
    like_username: Option<String>,
    /// The address, without port
    #[arg(long, value_name = "ADDRESS")]
    ip_address: Option<IpAddr>,
    /// connecting, connected, asleep, awake or disconnected
    #[arg(long, value_name = "STATE")]
    conn_state: Option<String>,
    /// true: whose session ends with the connection
    #[arg(long, value_name = "BOOL")]
    clean_start: Option<bool>,
}

impl Filters {
    /// As the API names them.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&'static str, String)> {
        let text = |key: &'static str, text: &Option<String>| text.clone().map(|text| (key, text));
        [
            text("clientid", &self.clientid),
            text("like_clientid", &self.like_clientid),
            text("username", &self.username),
            text("like_username", &self.like_username),
            self.ip_address.map(|ip| ("ip_address", ip.to_string())),
            text("conn_state", &self.conn_state),
            self.clean_start.map(|clean| ("clean_start", clean.to_string())),
        ]
        .into_iter()
        .flatten()
    }
}

/// What follows a command that is not here yet.
#[derive(Debug, Args)]
pub(super) struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _rest: Vec<OsString>,
}

/// Whom the command line, the file and the environment name.
///
/// # Errors
/// What is wrong with them.
pub(super) fn api(ctl: &Ctl) -> Result<Api, Failure> {
    let config = configuration::load(ctl.config.as_deref())?;
    let wrong = |why: String| Failure::Configuration(vec![format!("tidegate: {why}")]);
    let url = match (&ctl.url, config.admin.bind) {
        (Some(url), _) => url.clone(),
        (None, Some(bind)) => format!("http://{}", reached_from_here(bind.resolve(config.node.bind))),
        (None, None) => {
            return Err(wrong("admin.bind is empty: such a node has no admin API; --url names another".to_owned()));
        }
    };
    Api::new(&url, &config.admin.username, &config.admin.password).map_err(wrong)
}
