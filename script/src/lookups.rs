//! What programs can look up. It can change while they run.

mod geo;
mod subnets;
mod tables;
mod watched;

use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_route::{PatternError, Routes};

pub use self::{
    geo::{Geo, GeoSettings, Place},
    subnets::{Cidr, CidrError, SubnetError, Subnets},
    tables::{TableSettings, Tables},
};

/// What there is to look up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookupSettings {
    /// Databases that know where addresses are.
    pub geoip: GeoSettings,
    /// Networks by name.
    pub subnets: Vec<(String, Vec<Cidr>)>,
    /// Tables in files.
    pub tables: Vec<TableSettings>,
    /// Routes of requests, the most important one first.
    pub routes: Vec<String>,
}

/// Settings that contradict themselves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// Of the networks.
    #[error(transparent)]
    Subnet(#[from] SubnetError),
    /// Of the routes.
    #[error(transparent)]
    Route(#[from] PatternError),
}

/// Places, networks, tables and routes.
#[derive(Debug)]
pub struct Lookups {
    geo: Geo,
    subnets: ArcSwap<Subnets>,
    tables: Tables,
    routes: ArcSwap<Routes>,
}

impl Lookups {
    /// Open and read everything. A file that cannot be used is told in the log, and taken as soon as it can.
    ///
    /// # Errors
    /// The settings contradict themselves.
    pub fn open(settings: &LookupSettings) -> Result<Self, LookupError> {
        Ok(Self {
            subnets: ArcSwap::from_pointee(Subnets::new(&settings.subnets)?),
            routes: ArcSwap::from_pointee(Routes::new(&settings.routes)?),
            geo: Geo::open(settings.geoip.clone()),
            tables: Tables::open(settings.tables.clone()),
        })
    }

    /// Have other settings from now on. What stays the same is not read again.
    ///
    /// # Errors
    /// The settings contradict themselves; nothing has changed.
    pub fn change(&self, settings: &LookupSettings) -> Result<(), LookupError> {
        let subnets = Subnets::new(&settings.subnets)?;
        let routes = Routes::new(&settings.routes)?;
        self.subnets.store(Arc::new(subnets));
        self.routes.store(Arc::new(routes));
        self.geo.change(settings.geoip.clone());
        self.tables.change(settings.tables.clone());
        Ok(())
    }

    /// Read the files that have changed; a change counts when two calls have seen the same. Reads files: not for a
    /// thread that others wait for.
    pub fn refresh(&self) {
        self.geo.refresh();
        self.tables.refresh();
    }

    /// Where addresses are.
    pub fn geo(&self) -> &Geo {
        &self.geo
    }

    /// The tables in files.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Networks by name.
    pub fn subnets(&self) -> Arc<Subnets> {
        self.subnets.load_full()
    }

    /// Routes of requests.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.load_full()
    }
}
