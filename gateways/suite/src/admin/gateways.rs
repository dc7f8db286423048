//! `/api/v5/gateways` and their listeners.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use bridge_core::gate::Gate;
use bridge_core::metrics::SESSIONS;
use bridge_core::peer::GatewayId;
use config::ListenerKind;
use serde_json::{Map, Value, json};

use super::fault::{Fault, Json};
use super::{Admin, PathResult, query};

/// A gateway, whether it runs or not.
#[derive(Clone, Debug)]
pub(crate) struct GatewayInfo {
    /// As the configuration names it: `mqttsn`.
    pub(crate) name: &'static str,
    /// As events and EMQX name its protocol: `MQTT-SN`.
    pub(crate) protocol: &'static str,
    /// `None`: it is not part of this version.
    pub(crate) id: Option<GatewayId>,
    /// It has been switched on.
    pub(crate) enabled: bool,
}

impl GatewayInfo {
    /// In the words of EMQX.
    const fn status(&self) -> &'static str {
        match (self.id, self.enabled) {
            (None, _) => "unloaded",
            (Some(_), false) => "stopped",
            (Some(_), true) => "running",
        }
    }
}

/// A listener that runs.
#[derive(Clone, Debug)]
pub(crate) struct ListenerInfo {
    /// Its gateway's name.
    pub(crate) gateway: &'static str,
    /// What it listens for.
    pub(crate) kind: ListenerKind,
    /// As the operator has named it.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// How many sessions it has, and may have.
    pub(crate) gate: Arc<Gate>,
}

impl ListenerInfo {
    /// `mqttsn:udp:default`, as EMQX names it.
    fn id(&self) -> String {
        format!("{}:{}:{}", self.gateway, self.kind, self.name)
    }

    fn json(&self, node: &str) -> Value {
        let (sessions, most) = (self.gate.sessions(), self.gate.max_sessions());
        let status = json!({ "running": true, "current_connections": sessions, "max_connections": most });
        json!({
            "id": self.id(),
            "type": self.kind.as_str(),
            "name": self.name,
            "bind": self.address,
            "running": true,
            "current_connections": sessions,
            "max_connections": most,
            "node_status": [{ "node": node, "status": status }],
        })
    }
}

impl Admin {
    /// The gateway of this name, with its number, if it is part of this version.
    ///
    /// # Errors
    /// That there is none.
    pub(super) fn gateway(&self, name: &str) -> Result<(&GatewayInfo, GatewayId), Fault> {
        let info = self.gateway_info(name)?;
        let id = info.id.ok_or_else(|| {
            Fault::no_such_gateway(format!("gateway {name} is not part of this version: it has no clients"))
        })?;
        Ok((info, id))
    }

    fn gateway_info(&self, name: &str) -> Result<&GatewayInfo, Fault> {
        let found = self.inventory.gateways.iter().find(|info| info.name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.inventory.gateways.iter().map(|info| info.name).collect();
            Fault::no_such_gateway(format!("there is no gateway {name:?}: there are {}", names.join(", ")))
        })
    }

    fn listeners_of(&self, name: &str) -> impl Iterator<Item = &ListenerInfo> {
        self.inventory.listeners.iter().filter(move |listener| listener.gateway == name)
    }

    /// Sessions, kept ones included, as `max_connections` counts them.
    pub(super) fn sessions_of(&self, name: &str) -> u64 {
        self.listeners_of(name).map(|listener| u64::from(listener.gate.sessions())).sum()
    }

    /// The gauge of sessions, by state.
    fn states_of(&self, name: &str) -> Map<String, Value> {
        let mut states = Map::new();
        for (series, value) in self.meters().iter().flat_map(|meter| meter.read()) {
            let labelled = |wanted: &str| series.labels.iter().find(|(label, _)| *label == wanted).map(|(_, v)| *v);
            if series.family.name != SESSIONS.name || labelled("protocol") != Some(name) {
                continue;
            }
            let Some(state) = labelled("state") else { continue };
            let sum = states.get(state).and_then(Value::as_u64).unwrap_or(0).wrapping_add(value);
            states.insert(state.to_owned(), sum.into());
        }
        states
    }

    fn gateway_json(&self, info: &GatewayInfo) -> Value {
        let mut told = json!({ "name": info.name, "status": info.status() });
        if info.id.is_none() {
            return told;
        }
        let limits: Vec<u32> = self.listeners_of(info.name).map(|listener| listener.gate.max_sessions()).collect();
        // One listener without a limit leaves the gateway without one.
        let most: u64 = if limits.contains(&0) { 0 } else { limits.iter().copied().map(u64::from).sum() };
        let sessions = self.sessions_of(info.name);
        let started = super::present::rfc3339(self.started_s.saturating_mul(1000));
        let listeners: Vec<Value> =
            self.listeners_of(info.name).map(|listener| listener.json(&self.inventory.node)).collect();
        let status = json!({
            "node": self.inventory.node,
            "status": info.status(),
            "current_connections": sessions,
            "max_connections": most,
        });
        let more = json!({
            "created_at": started,
            "started_at": if info.enabled { Value::from(started.as_str()) } else { Value::Null },
            "current_connections": sessions,
            "max_connections": most,
            "sessions": self.states_of(info.name),
            "listeners": listeners,
            "node_status": [status],
        });
        if let (Value::Object(told), Value::Object(more)) = (&mut told, more) {
            told.extend(more);
        }
        told
    }
}

pub(super) async fn list(State(admin): State<Arc<Admin>>, RawQuery(raw): RawQuery) -> Result<Json, Fault> {
    query::nothing(raw.as_deref())?;
    admin.refresh().await;
    Ok(Json(admin.inventory.gateways.iter().map(|info| admin.gateway_json(info)).collect()))
}

pub(super) async fn show(
    State(admin): State<Arc<Admin>>,
    path: PathResult<String>,
    RawQuery(raw): RawQuery,
) -> Result<Json, Fault> {
    let Path(name) = path.map_err(|fault| super::bad_path(&fault))?;
    query::nothing(raw.as_deref())?;
    let info = admin.gateway_info(&name)?;
    admin.refresh().await;
    Ok(Json(admin.gateway_json(info)))
}

pub(super) async fn listeners(
    State(admin): State<Arc<Admin>>,
    path: PathResult<String>,
    RawQuery(raw): RawQuery,
) -> Result<Json, Fault> {
    let Path(name) = path.map_err(|fault| super::bad_path(&fault))?;
    query::nothing(raw.as_deref())?;
    let info = admin.gateway_info(&name)?;
    let listed = admin.listeners_of(info.name).map(|listener| listener.json(&admin.inventory.node));
    Ok(Json(listed.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bridge_core::time::Now;

    #[test]
    fn a_listener_is_named_as_emqx_names_it() {
        let gate = Arc::new(Gate::new(7, 0));
        assert!(gate.enter(Now { mono_ms: 0, wall_ms: 0 }).is_ok());
        let listener = ListenerInfo {
            gateway: "mqttsn",
            kind: ListenerKind::Udp,
            name: "a.b".to_owned(),
            address: "[::]:1884".parse().unwrap(),
            gate,
        };
        let told = listener.json("north");
        assert_eq!(told["id"], "mqttsn:udp:a.b", "a name may have dots");
        assert_eq!((&told["type"], &told["name"], &told["bind"]), (&json!("udp"), &json!("a.b"), &json!("[::]:1884")));
        assert_eq!((&told["current_connections"], &told["max_connections"]), (&json!(1), &json!(7)));
        assert_eq!(told["node_status"][0]["status"]["current_connections"], 1);
    }

    #[test]
    fn a_gateway_runs_is_stopped_or_is_not_there() {
        let status =
            |id: Option<u8>, enabled| GatewayInfo { name: "x", protocol: "X", id: id.map(GatewayId), enabled }.status();
        assert_eq!(
            [status(Some(0), true), status(Some(0), false), status(None, true)],
            ["running", "stopped", "unloaded"]
        );
    }
}
