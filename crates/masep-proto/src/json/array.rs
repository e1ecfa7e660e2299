//! Arrays in JSON: `{"dtype": "uint8", "shape": [84, 84, 4], "base64": "…"}`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;

use super::read::{self, under};
use super::{JsonError, JsonErrorKind};
use crate::value::excerpt;
use crate::{Array, DType};

pub(super) fn write(array: &Array) -> Json {
    serde_json::json!({
        "dtype": array.dtype().as_str(),
        "shape": array.shape(),
        "base64": STANDARD.encode(array.bytes()),
    })
}

pub(super) fn read(json: &Json) -> Result<Array, JsonError> {
    let object = json
        .as_object()
        .ok_or_else(|| JsonErrorKind::unexpected("dtype, shape and base64", json))?;
    let known = ["dtype", "shape", "base64"];
    if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
        let (tag, key) = ("dtype".into(), excerpt(key));
        return Err(JsonErrorKind::BesideTag { tag, key }.into());
    }
    let dtype: DType = under(object, "dtype", |json| {
        let name = read::str(json)?;
        name.parse()
            .map_err(|()| JsonErrorKind::InvalidDType(excerpt(name)).into())
    })?;
    let shape = under(object, "shape", shape)?;
    let bytes = under(object, "base64", |json| {
        STANDARD
            .decode(read::str(json)?)
            .map_err(|error| JsonErrorKind::InvalidBase64(error.to_string()).into())
    })?;
    let array = Array::new(dtype, shape, bytes).map_err(JsonErrorKind::from)?;
    Ok(array.aligned())
}

fn shape(json: &Json) -> Result<Vec<usize>, JsonError> {
    let lengths = read::array(json)?;
    if lengths.len() > Array::MAX_DIMENSIONS {
        return Err(JsonErrorKind::from(crate::ArrayError::Dimensions(lengths.len())).into());
    }
    let length = |(index, json): (usize, &Json)| {
        json.as_u64()
            .and_then(|length| usize::try_from(length).ok())
            .ok_or_else(|| {
                let kind = JsonErrorKind::unexpected("a length", json);
                JsonError::from(kind).at_index(index)
            })
    };
    lengths.iter().enumerate().map(length).collect()
}
