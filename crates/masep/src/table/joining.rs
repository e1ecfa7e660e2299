//! Clients of protocol 2 that have said `HELLO`: the table is asked, and its verdict told.

use std::time::Instant;

use masep_table::{Code, Hello, PeerKey, ResumeSecret, Verdict};

use super::driver::{Driver, Link};
use crate::random::random_bytes;
use crate::{Admitting, Request};

/// Asks the table about a client. The verdict is among those that the driver has when this returns. An error is the code by
/// which the client is to be refused.
pub(crate) fn ask<L: Link>(
    driver: &mut Driver<L>,
    request: &Request,
    now: Instant,
) -> Result<PeerKey, Code> {
    let asked = request.hello();
    let mut hello = Hello::try_from(asked).inspect_err(|code| {
        driver.rejected(asked.id.clone(), *code);
    })?;
    hello.grant = request.shared_grant();
    let secret = random_bytes().map_err(|_| Code::Failed)?;
    Ok(driver.hello(hello, ResumeSecret(secret), now))
}

/// Tells a client the verdict: what comes of its connection, if it is taken.
pub(crate) fn decide(request: Request, verdict: Verdict) -> Option<Admitting> {
    let mut welcome = request.welcome();
    match verdict {
        Verdict::Admit(filling) => {
            filling.fill(&mut welcome);
            Some(request.admit(welcome))
        }
        Verdict::Replace(filling) => {
            filling.fill(&mut welcome);
            Some(request.replace(welcome))
        }
        Verdict::Reject { code, text } => {
            request.refuse(code.rejected(&text));
            None
        }
    }
}

pub(crate) fn refuse(request: Request, code: Code) {
    request.refuse(code.rejected(code.text()));
}
