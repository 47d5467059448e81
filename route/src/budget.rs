//! How many routes a service may have.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use crate::Routes;

/// The route of every path past the budget.
pub const OTHER: &str = "~other";

/// How many routes are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Of one service.
    pub routes: usize,
    /// How many services; those past it share one.
    pub services: usize,
}

impl Default for Budget {
    /// 100 routes are more than most interfaces have, 1000 services more than most nodes.
    fn default() -> Self {
        Self {
            routes: 100,
            services: 1000,
        }
    }
}

/// Makes routes of paths, but only so many per service: the route of the others is [`OTHER`].
#[derive(Debug)]
pub struct Budgeted {
    routes: Routes,
    budget: Budget,
    services: HashMap<Box<str>, Service>,
    other: Service,
    refused: u64,
}

/// The routes of one service.
#[derive(Debug, Default)]
struct Service {
    /// Seen since the last turn.
    fresh: HashSet<Box<str>>,
    /// Seen before, and not since.
    stale: HashSet<Box<str>>,
}

impl Budgeted {
    /// Routes within `budget`.
    pub fn new(routes: Routes, budget: Budget) -> Self {
        Self {
            routes,
            budget,
            services: HashMap::new(),
            other: Service::default(),
            refused: 0,
        }
    }

    /// The route of `path` of the service called `service`.
    pub fn route<'a>(&'a mut self, service: &str, path: &'a str) -> Cow<'a, str> {
        let route = self.routes.route(path);
        let has_room = self.services.len() < self.budget.services;
        let service = match self.services.get_mut(service) {
            Some(known) => known,
            None if has_room => self.services.entry(service.into()).or_default(),
            None => &mut self.other,
        };
        if service.takes(&route, self.budget.routes) {
            route
        } else {
            self.refused += 1;
            Cow::Borrowed(OTHER)
        }
    }

    /// How many paths were past the budget.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Forget the routes and services that were not seen since the turn before, so that others get their places.
    pub fn turn(&mut self) {
        self.services.retain(|_, service| service.turn());
        self.other.turn();
    }
}

impl Service {
    /// Whether `route` is one of at most `limit`.
    fn takes(&mut self, route: &str, limit: usize) -> bool {
        if self.fresh.contains(route) {
            return true;
        }
        if let Some(known) = self.stale.take(route) {
            return self.fresh.insert(known);
        }
        self.fresh.len() + self.stale.len() < limit && self.fresh.insert(route.into())
    }

    /// Whether anything is left.
    fn turn(&mut self) -> bool {
        self.stale = std::mem::take(&mut self.fresh);
        !self.stale.is_empty()
    }
}
