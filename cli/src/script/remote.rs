//! The scripts of a gateway.

use std::{fmt::Write as _, io::Write, path::Path, time::Duration};

use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use weir_proto::observe::v1::{
    Category as WireCategory, ListScriptsRequest, LoadScriptRequest, Script, ScriptNamespace,
    UnloadScriptRequest, scripts_client::ScriptsClient,
};

use super::{Category, ScriptError, read, write};
use crate::points::GatewayAddress;

const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// A thousand scripts with a mistake each.
const MAX_MESSAGE: usize = 64 * 1024 * 1024;

async fn connect(gateway: &GatewayAddress) -> Result<ScriptsClient<Channel>, ScriptError> {
    let unreachable = |source| ScriptError::Unreachable {
        gateway: gateway.clone(),
        source,
    };
    let channel = Endpoint::from_shared(gateway.url())
        .map_err(unreachable)?
        .connect_timeout(CONNECT_WITHIN)
        .connect()
        .await
        .map_err(unreachable)?;
    Ok(ScriptsClient::new(channel).max_decoding_message_size(MAX_MESSAGE))
}

fn refused(gateway: GatewayAddress) -> impl FnOnce(Status) -> ScriptError {
    move |status| ScriptError::Refused {
        gateway,
        status: status.into(),
    }
}

async fn scripts(gateway: GatewayAddress) -> Result<Vec<Script>, ScriptError> {
    let mut client = connect(&gateway).await?;
    let listed = client.list_scripts(ListScriptsRequest {}).await;
    Ok(listed.map_err(refused(gateway))?.into_inner().scripts)
}

pub(super) async fn list(gateway: GatewayAddress, out: &mut impl Write) -> Result<(), ScriptError> {
    let scripts = scripts(gateway).await?;
    let mut rows = vec![
        ["CATEGORY", "NAME", "NAMESPACE", "STATE"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for own in &scripts {
        let state = match (own.runs, own.mistake.is_empty()) {
            (true, true) => "runs",
            (true, false) => "runs as it was before the mistake",
            (false, true) => "hidden by another namespace",
            (false, false) => "has a mistake",
        };
        rows.push(
            [category(own), &own.name, namespace(own), state]
                .map(str::to_owned)
                .to_vec(),
        );
    }
    write(out, &table(&rows))?;
    for own in scripts.iter().filter(|own| !own.mistake.is_empty()) {
        let (category, name) = (category(own), &own.name);
        write(out, &format!("\n{category}/{name}: {}\n", own.mistake))?;
    }
    Ok(())
}

pub(super) async fn stats(
    gateway: GatewayAddress,
    out: &mut impl Write,
) -> Result<(), ScriptError> {
    let scripts = scripts(gateway).await?;
    let titles = [
        "CATEGORY",
        "NAME",
        "NAMESPACE",
        "POINTS",
        "EDITED",
        "DROPPED",
        "ADDED",
        "ERRORS",
        "NS/POINT",
    ];
    let mut rows = vec![titles.map(str::to_owned).to_vec()];
    for own in &scripts {
        let stats = own.stats.clone().unwrap_or_default();
        let each = stats.nanoseconds.checked_div(stats.points).unwrap_or(0);
        let numbers = [
            stats.points,
            stats.edited,
            stats.dropped,
            stats.emitted,
            stats.errors,
            each,
        ];
        let names = [category(own), &own.name, namespace(own)];
        let cells = names.into_iter().map(str::to_owned);
        rows.push(cells.chain(numbers.map(|own| own.to_string())).collect());
    }
    write(out, &table(&rows))?;
    for own in &scripts {
        if let Some(stats) = own.stats.as_ref().filter(|own| !own.last_error.is_empty()) {
            let (category, name) = (category(own), &own.name);
            write(out, &format!("\n{category}/{name}: {}\n", stats.last_error))?;
        }
    }
    Ok(())
}

pub(super) async fn load(
    script: &Path,
    category: Category,
    name: Option<String>,
    gateway: GatewayAddress,
    out: &mut impl Write,
) -> Result<(), ScriptError> {
    let source = read(script)?;
    let own_name = || Some(script.file_stem()?.to_str()?.to_owned());
    let name = name.or_else(own_name).ok_or_else(|| ScriptError::NoName {
        file: script.to_owned(),
    })?;
    let mut client = connect(&gateway).await?;
    let request = LoadScriptRequest {
        category: WireCategory::from(category).into(),
        name: name.clone(),
        source,
    };
    let loaded = client.load_script(request).await;
    loaded.map_err(refused(gateway))?;
    write(out, &format!("loaded {name}\n"))
}

pub(super) async fn unload(
    name: String,
    category: Category,
    gateway: GatewayAddress,
    out: &mut impl Write,
) -> Result<(), ScriptError> {
    let mut client = connect(&gateway).await?;
    let request = UnloadScriptRequest {
        category: WireCategory::from(category).into(),
        name: name.clone(),
    };
    let unloaded = client.unload_script(request).await;
    unloaded.map_err(refused(gateway))?;
    write(out, &format!("unloaded {name}\n"))
}

fn category(script: &Script) -> &'static str {
    match script.category() {
        WireCategory::Network => "network",
        WireCategory::Metric => "metric",
        WireCategory::Tracing => "tracing",
        WireCategory::Logging => "logging",
        WireCategory::Unspecified => "?",
    }
}

fn namespace(script: &Script) -> &'static str {
    match script.namespace() {
        ScriptNamespace::Local => "local",
        ScriptNamespace::Loaded => "loaded",
        ScriptNamespace::Shipped => "shipped",
        ScriptNamespace::Unspecified => "?",
    }
}

/// Columns as wide as their widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|own| width(own).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            write!(line, "{cell:<width$}  ").expect("a String takes everything");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
