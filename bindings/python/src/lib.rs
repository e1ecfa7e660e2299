//! The extension module `masep._masep`: the crates for Python. Code that can be in Python is
//! there, in `python/masep/`; the crates alone decide which bytes go over the wire.

mod access;
mod admitting;
mod array;
mod bounds;
mod buffer;
mod client;
mod connection;
mod control;
mod elements;
mod ending;
mod errors;
mod event_loop;
mod exchange;
mod exit;
mod frames;
mod from_python;
mod listening;
mod message;
mod place;
mod player;
mod rejections;
mod request;
mod server;
mod table;
mod tls;
mod to_python;
mod waiting;

use pyo3::exceptions::PyImportError;
use pyo3::prelude::*;

/// True if this is the interpreter with which the process began: the module keeps objects for the whole
/// process. Python 3.12 and later ask for that by themselves; those before would load the module
/// anywhere, and hang at their end while another interpreter has an exit hook.
fn is_main_interpreter(_py: Python<'_>) -> bool {
    // SAFETY: there is a current interpreter, as the token says.
    let id = unsafe { pyo3::ffi::PyInterpreterState_GetID(pyo3::ffi::PyInterpreterState_Get()) };
    id == 0
}

// Arrays and buffers are shared between threads with the GIL alone.
#[pymodule(gil_used = true)]
fn _masep(module: &Bound<'_, PyModule>) -> PyResult<()> {
    if !is_main_interpreter(module.py()) {
        let text = "masep does not support loading in subinterpreters";
        return Err(PyImportError::new_err(text));
    }
    module.add_class::<message::Decoded>()?;
    module.add_class::<array::PyArray>()?;
    module.add_class::<frames::ForAll>()?;
    module.add_class::<frames::Outgoing>()?;
    module.add_class::<frames::Received>()?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<server::Server>()?;
    module.add_class::<event_loop::EventLoop>()?;
    module.add_class::<event_loop::Driven>()?;
    module.add_class::<request::Request>()?;
    module.add_class::<request::Detached>()?;
    module.add_class::<rejections::Rejections>()?;
    module.add_class::<admitting::AccessRequests>()?;
    module.add_class::<admitting::AccessRequest>()?;
    module.add_function(wrap_pyfunction!(request::take_over, module)?)?;
    module.add_function(wrap_pyfunction!(exchange::ask, module)?)?;
    module.add_function(wrap_pyfunction!(exchange::answer, module)?)?;
    module.add_function(wrap_pyfunction!(exchange::wait_in_reads, module)?)?;
    module.add_function(wrap_pyfunction!(exchange::send_step, module)?)?;
    module.add_function(wrap_pyfunction!(exchange::stepped, module)?)?;
    module.add_function(wrap_pyfunction!(exchange::step, module)?)?;
    module.add_function(wrap_pyfunction!(exchange::next_request, module)?)?;
    module.add_function(wrap_pyfunction!(exchange::answer_step, module)?)?;
    module.add_class::<table::Table>()?;
    module.add_class::<table::Turn>()?;
    module.add_class::<table::Actions>()?;
    module.add_class::<player::Player>()?;
    module.add_function(wrap_pyfunction!(client::connect, module)?)?;
    module.add_function(wrap_pyfunction!(client::connect_found, module)?)?;
    module.add_function(wrap_pyfunction!(client::discover, module)?)?;
    module.add_function(wrap_pyfunction!(client::search, module)?)?;
    module.add_function(wrap_pyfunction!(ending::end_all, module)?)?;
    module.add_function(wrap_pyfunction!(waiting::check_timeout, module)?)?;
    module.add_function(wrap_pyfunction!(waiting::forked, module)?)?;
    module.add_function(wrap_pyfunction!(exit::begin_exit, module)?)?;
    module.add_function(wrap_pyfunction!(message::encode_message, module)?)?;
    module.add_function(wrap_pyfunction!(message::encode_cbor, module)?)?;
    module.add_function(wrap_pyfunction!(message::message_to_xml, module)?)?;
    module.add_function(wrap_pyfunction!(message::decode_message, module)?)?;
    module.add_function(wrap_pyfunction!(message::decode_cbor, module)?)?;
    module.add_function(wrap_pyfunction!(message::decode_element, module)?)?;
    module.add_function(wrap_pyfunction!(message::quoted, module)?)?;
    module.add_function(wrap_pyfunction!(errors::hint_of_refusal, module)?)?;
    module.add_function(wrap_pyfunction!(message::parse_element, module)?)?;
    module.add_function(wrap_pyfunction!(message::check_frame, module)?)?;
    module.add_function(wrap_pyfunction!(message::check_queue, module)?)
}
