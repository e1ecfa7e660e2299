//! Tells masep's source that it is to be checked.

fn main() {
    println!("cargo::rustc-cfg=masep_model");
    println!("cargo::rerun-if-changed=build.rs");
}
