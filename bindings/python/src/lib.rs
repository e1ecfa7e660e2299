//! The extension module `masep._masep`: the crates for Python. What can be said in Python is said
//! there, in `python/masep/`; what goes over the wire is decided in the crates alone.

mod errors;
mod from_python;
mod message;
mod to_python;

use pyo3::prelude::*;

#[pymodule]
fn _masep(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<message::Decoded>()?;
    module.add_function(wrap_pyfunction!(message::encode_message, module)?)?;
    module.add_function(wrap_pyfunction!(message::message_to_xml, module)?)?;
    module.add_function(wrap_pyfunction!(message::decode_message, module)?)?;
    module.add_function(wrap_pyfunction!(message::decode_element, module)?)?;
    module.add_function(wrap_pyfunction!(message::encode_frame, module)?)
}
