//! The options of a masep that looks for bytes before it sleeps.

use std::time::Duration;

use masep::SocketOptions;

use crate::job::Job;

/// The time to spin before sleeping: longer than any turn that is measured with it.
const SPIN: Duration = Duration::from_millis(1);

/// The options for a job, with `busy_poll` if it wants to spin.
pub(crate) fn socket_options(job: &Job) -> SocketOptions {
    let options = SocketOptions::default();
    if job.spin {
        options.busy_poll(SPIN)
    } else {
        options
    }
}
