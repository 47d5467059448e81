//! Environment variables that override keys of the file.

use super::{
    mistake::{Mistake, Place},
    nearest::nearest,
};

/// The variables that begin with the prefix of this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment {
    prefix: String,
    variables: Vec<(String, String)>,
}

impl Environment {
    pub(super) fn gather(prefix: &str, env: impl IntoIterator<Item = (String, String)>) -> Self {
        let prefix = format!("{prefix}_");
        let variables = env
            .into_iter()
            .filter(|(name, _)| name.starts_with(&prefix))
            .collect();
        Self { prefix, variables }
    }

    /// The override of the key at `path`: the variable's name and value.
    pub(super) fn of(&self, path: &str) -> Option<(&str, &str)> {
        let wanted = self.name_of(path);
        self.variables
            .iter()
            .find(|(name, value)| *name == wanted && !value.is_empty())
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Variables that override none of the `known` keys.
    pub(super) fn unknown(&self, known: &[&str]) -> Vec<Mistake> {
        let names: Vec<String> = known.iter().map(|path| self.name_of(path)).collect();
        self.variables
            .iter()
            .filter(|(name, _)| !names.contains(name))
            .filter(|(name, value)| !self.is_service_link(name, value))
            .map(|(name, _)| {
                let suffixes = names.iter().map(|known| &known[self.prefix.len()..]);
                let hint = nearest(&name[self.prefix.len()..], suffixes)
                    .map(|meant| format!("; did you mean `{}{meant}`?", self.prefix))
                    .unwrap_or_default();
                Mistake {
                    place: Place::Variable(name.clone()),
                    key: String::new(),
                    message: format!("overrides no known key{hint}"),
                }
            })
            .collect()
    }

    fn name_of(&self, path: &str) -> String {
        let upper = path.to_uppercase().replace(['.', '-'], "_");
        format!("{}{upper}", self.prefix)
    }

    /// Kubernetes and Docker describe a service called like this process to
    /// every container beside it: `WEIR_GATEWAY_SERVICE_HOST`,
    /// `WEIR_GATEWAY_PORT_4319_TCP_ADDR`. Nobody wrote those.
    fn is_service_link(&self, name: &str, value: &str) -> bool {
        let rest = &name[self.prefix.len()..];
        if rest == "SERVICE_HOST" || rest == "SERVICE_PORT" || rest.starts_with("SERVICE_PORT_") {
            return true;
        }
        if rest == "PORT" {
            return value.contains("://");
        }
        rest.strip_prefix("PORT_").is_some_and(|rest| {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
                matches!(
                    rest.strip_prefix(protocol),
                    Some("" | "_PROTO" | "_PORT" | "_ADDR")
                )
            })
        })
    }
}
