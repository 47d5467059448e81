//! Paths and routes of the current period, under a budget.

use std::{net::IpAddr, sync::Arc};

use hashbrown::{HashMap, HashSet};
use weir_route::Routes;

/// In place of paths and routes that are over their budget.
const OTHER: &str = "~other";
/// Servers with budgets of their own; those past them share one.
const MOST_SERVERS: usize = 4096;

/// The server's end of connections: network namespace, address, port.
pub(super) type Server = (u32, IpAddr, u16);

/// The paths of one server.
#[derive(Debug, Default)]
struct OfServer {
    /// With their routes.
    paths: HashMap<Arc<str>, Arc<str>>,
    routes: HashSet<Arc<str>>,
}

/// The paths of the period that is running.
#[derive(Debug)]
pub(super) struct Paths {
    servers: HashMap<Server, OfServer>,
    others: OfServer,
    pub(super) routes: Routes,
    most_paths: usize,
    most_routes: usize,
    other: Arc<str>,
    /// Requests whose paths were over the budget, since the beginning.
    pub(super) over_budget: u64,
}

impl Paths {
    /// With at most so many paths and routes of a server in a period.
    pub(super) fn new(routes: Routes, most_paths: usize, most_routes: usize) -> Self {
        Self {
            servers: HashMap::new(),
            others: OfServer::default(),
            routes,
            most_paths,
            most_routes,
            other: OTHER.into(),
            over_budget: 0,
        }
    }

    /// How a path is shown, and its route.
    pub(super) fn show(&mut self, server: Server, path: &str) -> (Arc<str>, Arc<str>) {
        let has_room = self.servers.len() < MOST_SERVERS;
        let of = match self.servers.entry(server) {
            hashbrown::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hashbrown::hash_map::Entry::Vacant(entry) if has_room => {
                entry.insert(OfServer::default())
            }
            hashbrown::hash_map::Entry::Vacant(_) => &mut self.others,
        };
        if let Some((path, route)) = of.paths.get_key_value(path) {
            return (Arc::clone(path), Arc::clone(route));
        }
        let route = self.routes.route(path);
        let route = match of.routes.get(&*route) {
            Some(route) => Arc::clone(route),
            None if of.routes.len() < self.most_routes => {
                let route: Arc<str> = route.into();
                of.routes.insert(Arc::clone(&route));
                route
            }
            None => Arc::clone(&self.other),
        };
        if of.paths.len() < self.most_paths {
            let path: Arc<str> = path.into();
            of.paths.insert(Arc::clone(&path), Arc::clone(&route));
            return (path, route);
        }
        self.over_budget += 1;
        (Arc::clone(&route), route)
    }

    /// Begins a period.
    pub(super) fn clear(&mut self) {
        self.servers.clear();
        self.servers.shrink_to(64);
        self.others = OfServer::default();
    }
}
