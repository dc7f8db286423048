//! What the admin API offers, in the words of OpenAPI 3.1.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// Kept by hand; a test holds it to the routes.
const DOCUMENT: &str = include_str!("openapi.json");
/// Where the document says its version.
const VERSION: &str = "@VERSION@";

pub(super) async fn serve() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.replacen(VERSION, env!("CARGO_PKG_VERSION"), 1)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::{OPEN, paths};
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// Each operation: `GET /path`.
    fn documented() -> BTreeSet<String> {
        let document = document();
        let paths = document["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(path, operations)| {
                let methods = operations.as_object().unwrap().keys().filter(|key| *key != "parameters");
                methods.map(|method| format!("{method} {path}")).collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn the_document_names_every_route_and_nothing_else() {
        let routes = paths().into_iter().flat_map(|(path, methods)| {
            methods.into_iter().map(move |(method, _)| format!("{method} {path}")).collect::<Vec<_>>()
        });
        let mut routes: BTreeSet<String> = routes.collect();
        routes.insert(format!("get {OPEN}"));
        assert_eq!(documented(), routes);
    }

    #[test]
    fn the_page_names_every_route() {
        let page = include_str!("../../../../docs/admin-api.md");
        for operation in documented() {
            let (method, path) = operation.split_once(' ').unwrap();
            let named = format!("`{} {path}`", method.to_uppercase());
            assert!(page.contains(&named), "docs/admin-api.md lacks {named}");
        }
    }

    #[test]
    fn the_document_is_openapi_and_whole() {
        let document = document();
        assert_eq!((&document["openapi"], &document["info"]["version"]), (&"3.1.0".into(), &VERSION.into()));
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(references.len() > 20);
        for reference in references {
            let found = document.pointer(reference.strip_prefix('#').unwrap());
            assert!(found.is_some(), "{reference} leads nowhere");
        }
        for (path, item) in document["paths"].as_object().unwrap() {
            let given = item["parameters"].as_array().map_or(&[][..], Vec::as_slice);
            let named = path.matches('{').count();
            assert_eq!(given.len(), named, "{path}: its parameters");
            for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
                for key in ["operationId", "summary", "responses"] {
                    assert!(operation.get(key).is_some(), "{method} {path} lacks {key}");
                }
            }
        }
    }

    #[test]
    fn the_parameters_of_a_list_are_those_that_are_read() {
        let document = document();
        let given = document["paths"]["/api/v5/gateways/{name}/clients"]["get"]["parameters"].as_array().unwrap();
        let mut given: Vec<_> = given.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
        let mut read = crate::admin::query::ClientsQuery::KEYS.to_vec();
        given.sort_unstable();
        read.sort_unstable();
        assert_eq!(given, read);
    }

    fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                references.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| collect(value, references));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
            _ => {}
        }
    }
}
