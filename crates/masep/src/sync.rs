//! What tasks and threads are synchronised with: the types of the standard library and of tokio.
//!
//! In the model check (`cargo xtask model`) they are those of a scheduler that tries out in which order
//! things can happen, see `crates/masep-model`. So whatever is synchronised by hand takes them from here.

#[cfg(not(masep_model))]
pub(crate) use std::sync::{Mutex, MutexGuard, OnceLock, atomic};
#[cfg(not(masep_model))]
pub(crate) use tokio::sync::{Mutex as FairMutex, Notify};
#[cfg(not(masep_model))]
pub(crate) use tokio::time;

#[cfg(masep_model)]
pub(crate) use crate::model::sync::{FairMutex, Mutex, MutexGuard, Notify, OnceLock, atomic, time};
