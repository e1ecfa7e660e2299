//! Switches masep's `busy_poll` on, if the masep that is measured has it.

use std::time::Duration;

use anyhow::{Result, bail};
use masep::Limits;

use crate::job::Job;

/// How long to spin before sleeping: longer than any turn that is measured with it.
const SPIN: Duration = Duration::from_millis(1);

/// The limits for a job, with `busy_poll` if it wants to spin.
pub(crate) fn limits(job: &Job) -> Result<Limits> {
    let limits = Limits::default();
    if !job.spin {
        return Ok(limits);
    }
    // A method of `Limits` itself, which takes this name before the trait's does, is the real one.
    // It may take a duration or an option of one.
    #[allow(clippy::useless_conversion)]
    match limits.busy_poll(SPIN.into()).offered() {
        Some(limits) => Ok(limits),
        None => bail!("this masep has no busy_poll"),
    }
}

/// Stands in for [`Limits`] without `busy_poll`.
trait WithoutBusyPoll: Sized {
    fn busy_poll(self, _spin: Duration) -> NotOffered {
        NotOffered
    }
}

impl WithoutBusyPoll for Limits {}

struct NotOffered;

trait Offered {
    fn offered(self) -> Option<Limits>;
}

impl Offered for NotOffered {
    fn offered(self) -> Option<Limits> {
        None
    }
}

impl Offered for Limits {
    fn offered(self) -> Option<Limits> {
        Some(self)
    }
}
