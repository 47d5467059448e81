//! The exporters that run, by name, and the outputs that hand flows to them.

use std::{mem, sync::Arc};

use futures_util::future::join_all;
use weir_runtime::stop::Deadline;

use super::Notes;
use crate::{
    exporter::{Config, Exporter, StartError},
    fanout::Output,
    flow_export,
    self_metrics::SelfMetrics,
};

/// All of them.
pub(super) struct Exporters {
    all: Vec<Running>,
    metrics: Arc<SelfMetrics>,
}

struct Running {
    name: String,
    config: Config,
    exporter: Arc<Exporter>,
    flows: Vec<Arc<dyn Output>>,
}

/// Who gets nothing any more, once no batch is on its way to them.
#[derive(Default)]
pub(super) struct Leaving {
    pub(super) flows: Vec<Arc<dyn Output>>,
    pub(super) exporters: Vec<Arc<Exporter>>,
}

impl Exporters {
    /// Start all of them.
    pub(super) fn start(
        configured: &[(String, Config)],
        metrics: &Arc<SelfMetrics>,
    ) -> Result<Self, StartError> {
        let start = |(name, config): &(String, Config)| Running::start(name, config, metrics);
        Ok(Self {
            all: configured.iter().map(start).collect::<Result<_, _>>()?,
            metrics: Arc::clone(metrics),
        })
    }

    /// Go over to `configured`. One that does not start, or not otherwise, is put in it as it was.
    pub(super) fn apply(
        &mut self,
        configured: &mut Vec<(String, Config)>,
        notes: &mut Notes,
    ) -> Leaving {
        let mut before = mem::take(&mut self.all);
        let mut leaving = Leaving::default();
        for (name, config) in &mut *configured {
            let known = before.iter().position(|running| running.name == *name);
            let result = match known.map(|index| before.swap_remove(index)) {
                None => Running::start(name, config, &self.metrics).map_err(|error| (None, error)),
                Some(running) => running
                    .change(config, &self.metrics, &mut leaving)
                    .map_err(|(running, error)| (Some(running), error)),
            };
            match result {
                Ok(running) => self.all.push(running),
                Err((running, error)) => {
                    notes.fail(&error);
                    if let Some(running) = running {
                        *config = running.config.clone();
                        self.all.push(*running);
                    }
                }
            }
        }
        configured.retain(|(name, _)| self.all.iter().any(|running| running.name == *name));
        for running in before {
            leaving.add(running);
        }
        leaving
    }

    /// Where OTLP is forwarded to.
    pub(super) fn all(&self) -> Vec<Arc<Exporter>> {
        let all = self.all.iter();
        all.map(|running| Arc::clone(&running.exporter)).collect()
    }

    /// What hands flows to them.
    pub(super) fn flows(&self) -> impl Iterator<Item = Arc<dyn Output>> + '_ {
        self.all.iter().flat_map(|running| running.flows.clone())
    }

    /// After everything was handed to them. Whether nothing was cut off.
    pub(super) async fn stop(&self, deadline: &Deadline) -> bool {
        stop(&self.all(), deadline).await
    }
}

/// All at once: one whose endpoint is away takes all the time there is.
async fn stop(exporters: &[Arc<Exporter>], deadline: &Deadline) -> bool {
    let stops = exporters.iter().map(|exporter| exporter.stop(deadline));
    join_all(stops).await.into_iter().all(|complete| complete)
}

impl Leaving {
    fn add(&mut self, running: Running) {
        self.flows.extend(running.flows);
        self.exporters.push(running.exporter);
    }

    /// Nothing comes to them any more: hand on and send what they have.
    pub(super) async fn end(self, deadline: &Deadline) {
        for flows in &self.flows {
            flows.close();
        }
        stop(&self.exporters, deadline).await;
    }
}

impl Running {
    fn start(name: &str, config: &Config, metrics: &SelfMetrics) -> Result<Self, StartError> {
        let exporter = Arc::new(Exporter::start(name, config.clone(), metrics)?);
        Ok(Self {
            name: name.to_owned(),
            flows: flows(config, &exporter, metrics),
            config: config.clone(),
            exporter,
        })
    }

    /// The same, by `config`; its queue goes over, unless it is in another place.
    fn change(
        mut self,
        config: &Config,
        metrics: &SelfMetrics,
        leaving: &mut Leaving,
    ) -> Result<Self, (Box<Self>, StartError)> {
        if self.config == *config {
            return Ok(self);
        }
        if self.config.queue.folder != config.queue.folder {
            return match Self::start(&self.name, config, metrics) {
                Ok(started) => {
                    leaving.add(self);
                    Ok(started)
                }
                Err(error) => Err((Box::new(self), error)),
            };
        }
        if let Err(error) = self.exporter.change(config.clone()) {
            return Err((Box::new(self), error));
        }
        if self.config.flows != config.flows {
            let other = flows(config, &self.exporter, metrics);
            leaving.flows.extend(mem::replace(&mut self.flows, other));
        }
        self.config = config.clone();
        Ok(self)
    }
}

fn flows(config: &Config, exporter: &Arc<Exporter>, metrics: &SelfMetrics) -> Vec<Arc<dyn Output>> {
    let flows = config.flows.as_ref();
    flows.map_or_else(Vec::new, |flows| {
        flow_export::outputs(flows, exporter, metrics)
    })
}
