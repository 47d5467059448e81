//! What programs can look up: places of addresses, names of subnets, tables, routes.

mod file;
pub mod geo;
pub mod subnets;
pub mod tables;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use weir_route::{PatternError, Routes};

use self::{
    geo::Geo,
    subnets::{SubnetError, Subnets},
    tables::Tables,
};

/// Where what can be looked up comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Databases in the MaxMind DB format; of several that have an address the first counts.
    pub geoip: Vec<PathBuf>,
    /// Networks in CIDR notation by the name of the subnet.
    pub subnets: BTreeMap<String, Vec<String>>,
    /// CSV files by the name of the table; their first column is the key.
    pub tables: BTreeMap<String, PathBuf>,
    /// Patterns of routes: see [`Routes::new`].
    pub routes: Vec<String>,
}

/// Settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A subnet.
    #[error(transparent)]
    Subnet(#[from] SubnetError),
    /// A pattern of a route.
    #[error(transparent)]
    Route(#[from] PatternError),
}

/// Everything that can be looked up. Shared by all programs, and changed while they run.
#[derive(Debug)]
pub struct Lookups {
    pub(crate) geo: Geo,
    pub(crate) tables: Tables,
    pub(crate) named: ArcSwap<Named>,
}

/// What has no files of its own.
#[derive(Debug, Default)]
pub(crate) struct Named {
    pub(crate) subnets: Subnets,
    pub(crate) routes: Routes,
}

impl Named {
    fn new(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            subnets: Subnets::new(&settings.subnets)?,
            routes: Routes::new(settings.routes.iter().map(String::as_str))?,
        })
    }
}

impl Lookups {
    /// Reads the files; one that cannot be read is told in the log, and read as soon as it can be.
    ///
    /// # Errors
    /// If a network or a pattern is none.
    pub fn new(settings: &Settings) -> Result<Arc<Self>, SettingsError> {
        let lookups = Self {
            named: ArcSwap::from_pointee(Named::new(settings)?),
            geo: Geo::new(settings.geoip.clone()),
            tables: Tables::new(settings.tables.clone()),
        };
        lookups.refresh();
        Ok(Arc::new(lookups))
    }

    /// Takes other settings.
    ///
    /// # Errors
    /// If a network or a pattern is none; then everything is as before.
    pub fn change(&self, settings: &Settings) -> Result<(), SettingsError> {
        let named = Named::new(settings)?;
        self.named.store(Arc::new(named));
        self.geo.read_from(settings.geoip.clone());
        self.tables.read_from(settings.tables.clone());
        self.refresh();
        Ok(())
    }

    /// Reads the files that have changed since they were read. Call it from time to time; it waits for the disk.
    pub fn refresh(&self) {
        self.geo.refresh();
        self.tables.refresh();
    }

    /// Whether there is a database of places.
    pub fn has_places(&self) -> bool {
        self.geo.has_places()
    }
}
