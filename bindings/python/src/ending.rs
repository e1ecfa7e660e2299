//! The end of all that a process has open, when its interpreter comes to its own.

use pyo3::prelude::*;

use crate::connection::Connection;
use crate::player::Player;
use crate::table::Table;
use crate::waiting::{self, Call};

/// Ends connections, tables and players, all at the same time, for no longer than this many seconds. Those of a process
/// from which this one was forked are left alone.
#[pyfunction]
pub(crate) fn end_all(
    py: Python<'_>,
    connections: Vec<Py<Connection>>,
    tables: Vec<Py<Table>>,
    players: Vec<Py<Player>>,
    timeout: f64,
) -> PyResult<()> {
    let until = waiting::deadline(py, Some(timeout))?;
    let mut calls: Vec<Call> = Vec::new();
    // All before any ends: of two ends in this process, the other is no rejection.
    calls.extend(connections.iter().filter_map(|it| it.get().ending()));
    calls.extend(tables.iter().filter_map(|it| it.get().ending()));
    calls.extend(players.iter().filter_map(|it| it.get().ending()));
    let ended = waiting::at_once(py, calls, until);
    for table in &tables {
        table.get().let_go();
    }
    ended
}
