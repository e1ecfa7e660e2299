//! The limits of a masep that looks for bytes before it sleeps.

use std::time::Duration;

use masep::Limits;

use crate::job::Job;

/// How long to spin before sleeping: longer than any turn that is measured with it.
const SPIN: Duration = Duration::from_millis(1);

/// The limits for a job, with `busy_poll` if it wants to spin.
pub(crate) fn limits(job: &Job) -> Limits {
    let limits = Limits::default();
    if job.spin {
        limits.busy_poll(SPIN)
    } else {
        limits
    }
}
