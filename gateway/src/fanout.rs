//! Handing each batch to every output, without any of them waiting for another.

mod ledger;
mod queue;

use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_point::PointBatch;

pub use self::{
    ledger::{Cause, Ledger},
    queue::{Receiver, Sender, queue},
};

/// Where Points go after the intake.
pub trait Output: Send + Sync {
    /// Take what is of interest in `batch`. Must not wait: what does not fit is dropped
    /// and counted.
    fn offer(&self, batch: &Arc<PointBatch>);

    /// Nothing comes after this; what is queued is still delivered.
    fn close(&self);
}

/// All outputs of one gateway.
pub struct Fanout {
    outputs: ArcSwap<Vec<Arc<dyn Output>>>,
}

impl Fanout {
    /// Hand batches to these outputs.
    pub fn new(outputs: Vec<Arc<dyn Output>>) -> Self {
        Self {
            outputs: ArcSwap::from_pointee(outputs),
        }
    }

    /// From now on hand batches to these outputs. Gives back those before; as long as others hold them too, a batch is
    /// on its way to them.
    pub fn replace(&self, outputs: Vec<Arc<dyn Output>>) -> Arc<Vec<Arc<dyn Output>>> {
        self.outputs.swap(Arc::new(outputs))
    }

    /// Hand `batch` to every output. An empty batch goes nowhere.
    pub fn hand_on(&self, batch: PointBatch) {
        if batch.is_empty() {
            return;
        }
        let batch = Arc::new(batch);
        for output in self.outputs.load().iter() {
            output.offer(&batch);
        }
    }

    /// Nothing comes after this; every output drains its queue and ends.
    pub fn close(&self) {
        for output in self.outputs.load().iter() {
            output.close();
        }
    }
}
