//! Batches whose ended jobs are asked again: counted as open once more, and not let go of meanwhile.

use egret_core::id::{BatchId, JobId};
use egret_store::EndState;

use super::{Drive, Progress};

impl Drive {
    /// Keeps a batch until [`Drive::release_batch`], as it is here or else as the store has it; false: look there, for
    /// it has been let go of since.
    pub(crate) fn hold_batch(&mut self, batch: BatchId, stored: Option<Progress>) -> bool {
        if let Some(progress) = stored {
            self.batches.entry(batch).or_insert(progress);
        }
        let Some(progress) = self.batches.get_mut(&batch) else { return false };
        progress.is_held = true;
        true
    }

    /// These ends were taken back in the store; the jobs come as new ones.
    pub(crate) fn reopened(&mut self, batch: BatchId, ends: &[(JobId, EndState)]) {
        let jobs: Vec<_> = ends.iter().map(|(job, _)| *job).collect();
        // They were on disk, whether that was heard or not.
        self.recorded(&jobs);
        if let Some(progress) = self.batches.get_mut(&batch) {
            ends.iter().for_each(|(_, state)| progress.reopen(*state));
        }
    }

    /// All that is to be asked again is here.
    pub(crate) fn release_batch(&mut self, batch: BatchId) {
        if let Some(progress) = self.batches.get_mut(&batch) {
            progress.is_held = false;
            self.let_go(batch);
        }
    }

    /// Lets go of a batch if every end of it is on disk.
    pub(super) fn let_go(&mut self, batch: BatchId) {
        if self.batches.get(&batch).is_some_and(Progress::is_over) {
            self.batches.remove(&batch);
            self.forget_order(batch);
        }
    }
}
