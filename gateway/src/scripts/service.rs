//! The scripts for users: what runs, what it has done, and loading while the gateway runs.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use tonic::{Request, Response, Status};
use weir_point::Category;
use weir_proto::observe::v1::{
    self as wire, ListScriptsRequest, ListScriptsResponse, LoadScriptRequest, LoadScriptResponse,
    ScriptNamespace, ScriptStats, UnloadScriptRequest, UnloadScriptResponse,
    scripts_server::{Scripts as Service, ScriptsServer},
};

use super::{
    LoadError, Scripts,
    set::{Key, Namespace},
    store::{Entry, Store},
};

impl Scripts {
    /// The gRPC service.
    pub fn service(self: &Arc<Self>) -> ScriptsServer<impl Service> {
        ScriptsServer::new(Calls(Arc::clone(self)))
    }
}

struct Calls(Arc<Scripts>);

#[tonic::async_trait]
impl Service for Calls {
    async fn list_scripts(
        &self,
        _request: Request<ListScriptsRequest>,
    ) -> Result<Response<ListScriptsResponse>, Status> {
        let scripts = list(&self.0.store());
        Ok(Response::new(ListScriptsResponse { scripts }))
    }

    async fn load_script(
        &self,
        request: Request<LoadScriptRequest>,
    ) -> Result<Response<LoadScriptResponse>, Status> {
        let LoadScriptRequest {
            category,
            name,
            source,
        } = request.into_inner();
        self.0.load(own_category(category)?, name, &source)?;
        Ok(Response::new(LoadScriptResponse {}))
    }

    async fn unload_script(
        &self,
        request: Request<UnloadScriptRequest>,
    ) -> Result<Response<UnloadScriptResponse>, Status> {
        let UnloadScriptRequest { category, name } = request.into_inner();
        self.0.unload(own_category(category)?, name)?;
        Ok(Response::new(UnloadScriptResponse {}))
    }
}

impl From<LoadError> for Status {
    fn from(error: LoadError) -> Self {
        match &error {
            LoadError::Name(_) => Self::invalid_argument(error.to_string()),
            LoadError::Mistake(mistake) => {
                Self::invalid_argument(format!("{mistake}\n{}", mistake.text))
            }
            LoadError::TooMany(_) => Self::resource_exhausted(error.to_string()),
            LoadError::NotLoaded { .. } => Self::not_found(error.to_string()),
            LoadError::State { source, .. } => Self::internal(format!("{error}: {source}")),
        }
    }
}

fn list(store: &Store) -> Vec<wire::Script> {
    let mut list: Vec<wire::Script> = Vec::new();
    let mut served = None;
    for (key, entry) in store.entries() {
        let subject = (key.category, key.name.as_str());
        let runs = entry.running.is_some() && served != Some(subject);
        if runs {
            served = Some(subject);
        }
        list.push(script(key, entry, runs));
    }
    list
}

fn script(key: &Key, entry: &Entry, runs: bool) -> wire::Script {
    let namespace = match key.namespace {
        Namespace::Local => ScriptNamespace::Local,
        Namespace::Loaded => ScriptNamespace::Loaded,
        Namespace::Shipped => ScriptNamespace::Shipped,
    };
    let counts = entry.stats.counts();
    let latest = entry.stats.latest_error();
    wire::Script {
        category: wire_category(key.category).into(),
        name: key.name.clone(),
        namespace: namespace.into(),
        runs,
        mistake: entry.mistake.clone().unwrap_or_default(),
        updated_unix_nano: entry.updated.map_or(0, nanoseconds),
        stats: Some(ScriptStats {
            points: counts.points,
            edited: counts.edited,
            dropped: counts.dropped,
            emitted: counts.emitted,
            errors: counts.errors,
            last_error_unix_nano: latest.as_ref().map_or(0, |error| nanoseconds(error.time)),
            last_error: latest.map(|error| error.text).unwrap_or_default(),
            nanoseconds: entry.stats.nanoseconds(),
        }),
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

const fn wire_category(category: Category) -> wire::Category {
    match category {
        Category::Network => wire::Category::Network,
        Category::Metric => wire::Category::Metric,
        Category::Tracing => wire::Category::Tracing,
        Category::Logging => wire::Category::Logging,
    }
}

fn own_category(number: i32) -> Result<Category, Status> {
    match wire::Category::try_from(number) {
        Ok(wire::Category::Network) => Ok(Category::Network),
        Ok(wire::Category::Metric) => Ok(Category::Metric),
        Ok(wire::Category::Tracing) => Ok(Category::Tracing),
        Ok(wire::Category::Logging) => Ok(Category::Logging),
        Ok(wire::Category::Unspecified) | Err(_) => {
            let message = format!("there is no category {number} for scripts");
            Err(Status::invalid_argument(message))
        }
    }
}
