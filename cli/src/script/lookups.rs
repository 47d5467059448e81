//! What a script on trial can look up.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use weir_script::lookups::{Cidr, GeoSettings, LookupSettings, Lookups, TableSettings};

use super::ScriptError;

/// As the sections `geoip`, `tables`, `subnets` and `routes` of a gateway.
#[derive(Debug, Clone, Default, Args)]
pub struct LookupArguments {
    /// A GeoIP database, or a folder with databases; can be given more than once.
    #[arg(long, value_name = "FILE")]
    geoip: Vec<PathBuf>,
    /// A table in a CSV file, and the columns of its key if they are not the first one.
    #[arg(long, value_name = "NAME=FILE[:COLUMN,...]", value_parser = table)]
    table: Vec<TableSettings>,
    /// Networks by name.
    #[arg(long, value_name = "NAME=CIDR,...", value_parser = subnet)]
    subnet: Vec<(String, Networks)>,
    /// The route of a request, such as `/user/*/orders`.
    #[arg(long, value_name = "PATTERN")]
    route: Vec<String>,
}

/// Not a `Vec`, which the parser of arguments would take for several arguments.
type Networks = Box<[Cidr]>;

impl LookupArguments {
    /// Open what was given.
    pub(super) fn open(&self) -> Result<Arc<Lookups>, ScriptError> {
        let settings = LookupSettings {
            geoip: GeoSettings {
                files: self.geoip.clone(),
                ..GeoSettings::default()
            },
            tables: self.table.clone(),
            subnets: self
                .subnet
                .iter()
                .map(|(name, networks)| (name.clone(), networks.to_vec()))
                .collect(),
            routes: self.route.clone(),
        };
        let failed = |error: &dyn std::fmt::Display| ScriptError::Failed(error.to_string());
        let lookups = Lookups::open(&settings).map_err(|error| failed(&error))?;
        let (databases, broken) = lookups.geo().files();
        if broken > 0 || databases == 0 && !self.geoip.is_empty() {
            return Err(failed(&"a GeoIP database cannot be used"));
        }
        if lookups.tables().files().1 > 0 {
            return Err(failed(&"a table cannot be used"));
        }
        Ok(Arc::new(lookups))
    }
}

fn named(text: &str) -> Result<(&str, &str), String> {
    text.split_once('=')
        .ok_or_else(|| "it has the form NAME=…".to_owned())
}

fn table(text: &str) -> Result<TableSettings, String> {
    let (name, file) = named(text)?;
    let (file, key) = file.rsplit_once(':').unwrap_or((file, ""));
    let key = key.split(',').filter(|column| !column.is_empty());
    Ok(TableSettings {
        name: name.to_owned(),
        file: PathBuf::from(file),
        key: key.map(str::to_owned).collect(),
    })
}

fn subnet(text: &str) -> Result<(String, Networks), String> {
    let (name, networks) = named(text)?;
    let networks = networks.split(',').map(str::parse);
    let networks: Result<Networks, _> = networks.collect();
    let networks = networks.map_err(|error: weir_script::lookups::CidrError| error.to_string())?;
    Ok((name.to_owned(), networks))
}
