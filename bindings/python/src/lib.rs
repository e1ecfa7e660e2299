//! The extension module `masep._masep`: the crates for Python. What can be said in Python is said
//! there, in `python/masep/`; what goes over the wire is decided in the crates alone.

mod client;
mod connection;
mod elements;
mod errors;
mod from_python;
mod message;
mod place;
mod server;
mod to_python;
mod waiting;

use pyo3::prelude::*;

#[pymodule]
fn _masep(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<message::Decoded>()?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<server::Server>()?;
    module.add_function(wrap_pyfunction!(client::connect, module)?)?;
    module.add_function(wrap_pyfunction!(client::connect_found, module)?)?;
    module.add_function(wrap_pyfunction!(client::discover, module)?)?;
    module.add_function(wrap_pyfunction!(connection::close_all, module)?)?;
    module.add_function(wrap_pyfunction!(waiting::check_timeout, module)?)?;
    module.add_function(wrap_pyfunction!(message::encode_message, module)?)?;
    module.add_function(wrap_pyfunction!(message::message_to_xml, module)?)?;
    module.add_function(wrap_pyfunction!(message::decode_message, module)?)?;
    module.add_function(wrap_pyfunction!(message::decode_element, module)?)?;
    module.add_function(wrap_pyfunction!(message::check_frame, module)?)?;
    module.add_function(wrap_pyfunction!(message::check_queue, module)?)
}
