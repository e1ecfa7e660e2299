//! `Value`s, `Element`s and `Message`s as the XML that Python's ElementTree writes.
